// Package kubeapply writes Kubernetes objects as EKS does: by server-side apply with the
// field manager "eks", so that it is known of every field whether it is EKS's or a user's.
//
//	Create     what is not there yet; what is there stays as it is
//	Apply      with force takes the fields that others own; without, they are conflicts
//	Conflicts  what an Apply without force would run into, of all objects; changes nothing
//	Leave      takes fields in conflict out of objects, so that an Apply lets their owners be
//	Adopt      makes what Create wrote Apply's
//	Delete     workloads first
//
// It needs no discovery: the resource's name is guessed from the kind as Kubernetes does
// it, and an object with a namespace is namespaced. What workloads need is written before
// the workloads, since their controllers make pods at once and back off for seconds if a
// service account is not there yet.
//
// It does not render objects (package addon does) and does not watch what it wrote.
package kubeapply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// FieldManager owns what EKS writes.
const FieldManager = "eks"

// parallel is how many requests are under way at once.
const parallel = 8

// stages are the order in which objects are written: what others are in or of, what
// workloads need, the workloads.
var stages = []func(kind string) bool{base, needed, Workload}

func base(kind string) bool { return kind == "Namespace" || kind == "CustomResourceDefinition" }

func needed(kind string) bool { return !base(kind) && !Workload(kind) }

// Workload says whether objects of the kind make pods.
func Workload(kind string) bool {
	switch kind {
	case "DaemonSet", "Deployment", "StatefulSet", "Job", "CronJob":
		return true
	}
	return false
}

// Apply writes the objects. With force it takes fields that others own; without, such a
// field is an error for which apierrors.IsConflict holds. It may be called any number of
// times. A namespace that the API server has not made yet is waited for until ctx ends.
func Apply(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured, force bool) error {
	for _, stage := range stages {
		err := each(ctx, client, objects, stage, func(ctx context.Context, to dynamic.ResourceInterface, u *unstructured.Unstructured) error {
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

// Create writes those of the objects that are not there, as a client does that does not
// apply: their fields are in conflict with an Apply that wants others, until they are adopted.
func Create(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) error {
	for _, stage := range stages {
		err := each(ctx, client, objects, stage, func(ctx context.Context, to dynamic.ResourceInterface, u *unstructured.Unstructured) error {
			return patient(ctx, func() error {
				_, err := to.Create(ctx, u, metav1.CreateOptions{FieldManager: FieldManager})
				if apierrors.IsAlreadyExists(err) {
					return nil
				}
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("creating: %w", err)
		}
	}
	return nil
}

// Delete removes the objects, workloads first; what is gone already is fine. It does not
// wait until they are gone.
func Delete(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) error {
	for i := range stages {
		err := each(ctx, client, objects, stages[len(stages)-1-i], func(ctx context.Context, to dynamic.ResourceInterface, u *unstructured.Unstructured) error {
			err := to.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
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

// Get reads an object as it is; nil if it is not there.
func Get(ctx context.Context, client dynamic.Interface, u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now, err := endpoint(client, u).Get(ctx, u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", Name(u), err)
	}
	return now, nil
}

// Name is how EKS writes of an object: "Deployment.apps coredns".
func Name(u *unstructured.Unstructured) string {
	return u.GroupVersionKind().GroupKind().String() + " " + u.GetName()
}

type request func(context.Context, dynamic.ResourceInterface, *unstructured.Unstructured) error

func each(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured, which func(kind string) bool, do request) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, parallel)
		errs  = make([]error, len(objects))
	)
	for i, u := range objects {
		if !which(u.GetKind()) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := do(ctx, endpoint(client, u), u); err != nil {
				errs[i] = fmt.Errorf("%s: %w", Name(u), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func endpoint(client dynamic.Interface, u *unstructured.Unstructured) dynamic.ResourceInterface {
	plural, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	if ns := u.GetNamespace(); ns != "" {
		return client.Resource(plural).Namespace(ns)
	}
	return client.Resource(plural)
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
