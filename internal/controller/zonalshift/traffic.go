package zonalshift

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	discovery "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/resource"
)

var (
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	services       = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// The slices that Kubernetes itself writes, of Services with a selector; EKS leaves others alone.
const (
	managedBy  = discovery.LabelManagedBy
	controller = "endpointslice-controller.k8s.io"
)

// APIServers shifts the traffic of clusters through their API servers.
//
//	Shift    the webhook is registered ── each slice with endpoints in the zone is written as it
//	         is, and comes back without them ── one that does not: the webhook is not asked yet
//	Restore  the webhook is gone ── each Service is touched, and the EndpointSlice controller
//	         writes its slices again
type APIServers struct {
	// API returns how to talk to a cluster's API server, as one of system:masters.
	API func(resource.Cluster) (*rest.Config, error)
}

// requests bounds what is asked of an API server in one go.
const requests = 2 * time.Minute

func (a APIServers) connect(c resource.Cluster) (dynamic.Interface, []byte, error) {
	cfg, err := a.API(c)
	if err != nil {
		return nil, nil, err
	}
	cfg.QPS, cfg.Burst = -1, -1 // traffic must not wait for its turn
	client, err := dynamic.NewForConfig(cfg)
	return client, cfg.CAData, err
}

// Shift implements Traffic.
func (a APIServers) Shift(ctx context.Context, c resource.Cluster, zone string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requests)
	defer cancel()
	client, ca, err := a.connect(c)
	if err != nil {
		return false, err
	}
	if err := kubeapply.Create(ctx, client, []*unstructured.Unstructured{webhook(ca)}); err != nil {
		return false, err
	}
	slices, err := client.Resource(endpointSlices).List(ctx, metav1.ListOptions{LabelSelector: managedBy + "=" + controller})
	if err != nil {
		return false, fmt.Errorf("listing EndpointSlices: %w", err)
	}
	done = true
	for i := range slices.Items {
		slice := &slices.Items[i]
		if !leadsTo(slice, zone) {
			continue
		}
		now, err := client.Resource(endpointSlices).Namespace(slice.GetNamespace()).Update(ctx, slice, metav1.UpdateOptions{FieldManager: kubeapply.FieldManager})
		switch {
		case apierrors.IsNotFound(err):
		case apierrors.IsConflict(err): // it is another one by now
			done = false
		case err != nil:
			return false, fmt.Errorf("writing EndpointSlice %s/%s: %w", slice.GetNamespace(), slice.GetName(), err)
		case leadsTo(now, zone):
			done = false
		}
	}
	return done, nil
}

// leadsTo says whether a slice has an endpoint in a zone.
func leadsTo(slice *unstructured.Unstructured, zone string) bool {
	endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
	for _, e := range endpoints {
		if e, ok := e.(map[string]any); ok && e["zone"] == zone {
			return true
		}
	}
	return false
}

// touched is the annotation by which a Service changes and is as before.
const touched = "ekster.dev/zonal-shift-over"

// Restore implements Traffic.
func (a APIServers) Restore(ctx context.Context, c resource.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, requests)
	defer cancel()
	client, ca, err := a.connect(c)
	if err != nil {
		return err
	}
	if err := kubeapply.Delete(ctx, client, []*unstructured.Unstructured{webhook(ca)}); err != nil {
		return err
	}
	all, err := client.Resource(services).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing Services: %w", err)
	}
	var errs []error
	for _, s := range all.Items {
		if selector, _, _ := unstructured.NestedMap(s.Object, "spec", "selector"); len(selector) == 0 {
			continue
		}
		for _, value := range []any{"true", nil} {
			patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{touched: value}}})
			if err != nil {
				return err
			}
			_, err = client.Resource(services).Namespace(s.GetNamespace()).Patch(ctx, s.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kubeapply.FieldManager})
			if err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("touching Service %s/%s: %w", s.GetNamespace(), s.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// webhook is how an API server is told to ask package zonalshift, for as long as a shift lasts:
// while there is none, nobody waits for an answer that is always the same. Without an answer a
// slice is written as it is, since Services that do not follow their pods are worse.
func webhook(ca []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1",
		"kind":       "MutatingWebhookConfiguration",
		"metadata":   map[string]any{"name": "zonal-shift-webhook"},
		"webhooks": []any{map[string]any{
			"name":                    "zonal-shift.eks.amazonaws.com",
			"admissionReviewVersions": []any{"v1"},
			"clientConfig":            map[string]any{"url": controlplane.AdmissionURL + "/shift", "caBundle": base64.StdEncoding.EncodeToString(ca)},
			"failurePolicy":           "Ignore",
			"matchPolicy":             "Equivalent",
			"objectSelector":          map[string]any{"matchLabels": map[string]any{managedBy: controller}},
			"rules": []any{map[string]any{
				"apiGroups": []any{"discovery.k8s.io"}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE", "UPDATE"},
				"resources": []any{"endpointslices"}, "scope": "Namespaced",
			}},
			"sideEffects":    "None",
			"timeoutSeconds": int64(5),
		}},
	}}
}
