// Package podidentity is the admission webhook that gives pods what an AWS SDK finds its
// credentials by. It answers what the MutatingWebhookConfiguration pod-identity-webhook of
// every cluster asks:
//
//	POST /mutate   AdmissionReview v1 ─▶ which identity? ─▶ mutate.go: the pod's JSON patch
//	                 a pod identity association of (namespace, service account)   store
//	                 else the annotation eks.amazonaws.com/role-arn               the API server
//
// The patch is EKS's own, field by field, and nothing is added to it: how a pod finds and
// trusts Ekster's endpoints is the node's business (docs/decisions/0010-pods-trust-by-their-node.md).
//
// The package verifies no token and gives no credentials (package service/eksauth and STS
// do). It keeps nothing between two pods.
package podidentity

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	core "k8s.io/api/core/v1"

	"ekster.dev/ekster/internal/admission"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Config says where a Webhook finds what it needs.
type Config struct {
	Store *store.Store
	// Annotations returns those of a service account; none for one that is not there.
	Annotations func(ctx context.Context, c resource.Cluster, namespace, account string) (map[string]string, error)
	Log         *slog.Logger
	// Jitter is a number below n; nil: a random one.
	Jitter func(n int64) int64
}

// A Webhook serves the clusters.
type Webhook struct{ cfg Config }

// New returns the webhook.
func New(cfg Config) *Webhook {
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Int64N
	}
	return &Webhook{cfg}
}

// Handler answers the reviews of one cluster, by its ARN.
func (h *Webhook) Handler(cluster string) http.Handler {
	review := func(ctx context.Context, req *admissionv1.AdmissionRequest) ([]admission.Operation, error) {
		return h.review(ctx, cluster, req)
	}
	return admission.Handler(review, h.cfg.Log.With("cluster", cluster), "a pod goes without its AWS identity")
}

func (h *Webhook) review(ctx context.Context, cluster string, req *admissionv1.AdmissionRequest) ([]admission.Operation, error) {
	var pod core.Pod
	if err := json.Unmarshal(req.Object.Raw, &pod); err != nil {
		return nil, fmt.Errorf("reading a pod of %s: %w", req.Namespace, err)
	}
	id, err := h.identity(ctx, cluster, req.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return nil, fmt.Errorf("service account %s/%s: %w", req.Namespace, pod.Spec.ServiceAccountName, err)
	}
	id.Jitter = h.cfg.Jitter(maxExpiration - minDefaultExpiration + 1)
	return mutate(pod, id), nil
}

// identity is what is known of a service account.
func (h *Webhook) identity(ctx context.Context, cluster, namespace, account string) (identity, error) {
	var c resource.Cluster
	var id identity
	err := h.cfg.Store.View(func(tx *store.Tx) error {
		var ok bool
		if c, ok = tx.Clusters.Get(cluster); !ok {
			return fmt.Errorf("there is no cluster %s", cluster)
		}
		for range tx.PodIdentityAssociations.Values(func(a resource.PodIdentityAssociation) bool { return a.Is(cluster, namespace, account) }) {
			id.Associated = true
		}
		return nil
	})
	if err != nil {
		return id, err
	}
	id.Region = c.Region
	id.Annotations, err = h.cfg.Annotations(ctx, c, namespace, account)
	return id, err
}
