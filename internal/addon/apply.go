package addon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// FieldManager owns what EKS applies.
const FieldManager = "eks"

// A resource is how a kind is reached.
type resource struct {
	name       string
	namespaced bool
	// workload: its controller makes pods at once, and backs off for seconds if
	// their service account is not there yet. So it comes second.
	workload bool
}

// resources is by "Kind.group".
var resources = map[string]resource{
	"ServiceAccount":                        {"serviceaccounts", true, false},
	"ConfigMap":                             {"configmaps", true, false},
	"Service":                               {"services", true, false},
	"DaemonSet.apps":                        {"daemonsets", true, true},
	"Deployment.apps":                       {"deployments", true, true},
	"PodDisruptionBudget.policy":            {"poddisruptionbudgets", true, false},
	"ClusterRole.rbac.authorization.k8s.io": {"clusterroles", false, false},
	"ClusterRoleBinding.rbac.authorization.k8s.io": {"clusterrolebindings", false, false},
	"StorageClass.storage.k8s.io":                  {"storageclasses", false, false},

	"MutatingWebhookConfiguration.admissionregistration.k8s.io": {"mutatingwebhookconfigurations", false, false},
}

// parallel is how many requests are under way at once.
const parallel = 8

// Apply writes the objects by server-side apply as FieldManager: first what
// workloads need, then the workloads; in between the order does not matter. With
// force it takes fields that others own; without, such a field is a conflict
// (apierrors.IsConflict holds for the error). It may be called any number of times.
// A kube-system that the API server has not made yet is waited for until ctx ends.
func Apply(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured, force bool) error {
	for _, workloads := range []bool{false, true} {
		err := each(ctx, objects, workloads, func(ctx context.Context, u *unstructured.Unstructured) error {
			to, err := endpoint(client, u)
			if err != nil {
				return err
			}
			return patient(ctx, func() error {
				_, err := to.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: FieldManager, Force: force})
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("applying: %w", err)
		}
	}
	return nil
}

// Delete removes the objects, workloads first; what is gone already is fine.
func Delete(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) error {
	for _, workloads := range []bool{true, false} {
		err := each(ctx, objects, workloads, func(ctx context.Context, u *unstructured.Unstructured) error {
			to, err := endpoint(client, u)
			if err != nil {
				return err
			}
			err = to.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("deleting: %w", err)
		}
	}
	return nil
}

func each(ctx context.Context, objects []*unstructured.Unstructured, workloads bool, do func(context.Context, *unstructured.Unstructured) error) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, parallel)
		errs  = make([]error, len(objects))
	)
	for i, u := range objects {
		if resources[u.GroupVersionKind().GroupKind().String()].workload != workloads {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := do(ctx, u); err != nil {
				errs[i] = fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func endpoint(client dynamic.Interface, u *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := u.GroupVersionKind()
	r, ok := resources[gvk.GroupKind().String()]
	if !ok {
		return nil, fmt.Errorf("kind %s: not in the table of resources", gvk)
	}
	all := client.Resource(schema.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: r.name})
	if r.namespaced {
		return all.Namespace(u.GetNamespace()), nil
	}
	return all, nil
}

// patient repeats a request while the API server is still filling itself: its
// namespaces and its own RBAC come moments after it is ready.
func patient(ctx context.Context, request func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := request()
		if err == nil || !early(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

func early(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	s := status.Status()
	namespaceMissing := s.Code == http.StatusNotFound && s.Details != nil && s.Details.Kind == "namespaces"
	return namespaceMissing || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err)
}
