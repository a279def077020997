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
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"

	admission "k8s.io/api/admission/v1"
	core "k8s.io/api/core/v1"

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

// maxReview is what an API server sends at most: a pod of the largest size that it stores.
const maxReview = 4 << 20

// Handler answers the reviews of one cluster, by its ARN. What it cannot answer is an
// error of the webhook's, by which the API server lets the pod in as it is.
func (h *Webhook) Handler(cluster string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admission.AdmissionReview
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
		if err == nil {
			err = json.Unmarshal(raw, &review)
		}
		if err != nil || review.Request == nil {
			http.Error(w, "this is no AdmissionReview", http.StatusBadRequest)
			return
		}
		out, err := h.review(r.Context(), cluster, review.Request)
		if err == nil {
			review.Request, review.Response = nil, out
			raw, err = json.Marshal(review)
		}
		if err != nil {
			h.cfg.Log.Error("a pod goes without its AWS identity", "cluster", cluster, "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw) // an API server that has hung up needs no answer
	})
}

func (h *Webhook) review(ctx context.Context, cluster string, req *admission.AdmissionRequest) (*admission.AdmissionResponse, error) {
	out := &admission.AdmissionResponse{UID: req.UID, Allowed: true}
	var pod core.Pod
	if err := json.Unmarshal(req.Object.Raw, &pod); err != nil {
		return nil, fmt.Errorf("reading a pod of %s: %w", req.Namespace, err)
	}
	id, err := h.identity(ctx, cluster, req.Namespace, pod.Spec.ServiceAccountName)
	if err != nil {
		return nil, fmt.Errorf("service account %s/%s: %w", req.Namespace, pod.Spec.ServiceAccountName, err)
	}
	id.Jitter = h.cfg.Jitter(maxExpiration - minDefaultExpiration + 1)
	patch := mutate(pod, id)
	if len(patch) == 0 {
		return out, nil
	}
	out.PatchType = new(admission.PatchTypeJSONPatch)
	out.Patch, err = json.Marshal(patch)
	return out, err
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
