package addon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
)

// What resolveConflicts can be.
const (
	overwrite = "OVERWRITE"
	preserve  = "PRESERVE"
)

const conflictText = "Conflicts found when trying to apply. Will not continue due to resolve conflicts mode. Conflicts:\n"

// install applies the objects that the Spec wants. What the cluster refuses for good ends
// the create or the update as failed. Conflicts are found before anything is changed; what
// is refused after that leaves what was applied until then. A create has it in
// Status.Applied, with no revision, so that the next update or the delete can clear it.
func (c *Controller) install(ctx context.Context, w work) (time.Duration, error) {
	if err := c.begin(ctx, w.addon); err != nil {
		return reconcile.Never, err
	}
	objects, err := c.objects(w, w.addon.Spec)
	if err != nil {
		return reconcile.Never, err
	}
	if err := kubeapply.Create(ctx, w.client, namespace(w.addon.Spec.Namespace)); err != nil {
		return c.refused(ctx, w, err)
	}
	apply, issue, err := resolve(ctx, w, objects)
	switch {
	case err != nil:
		return c.refused(ctx, w, err)
	case issue != nil:
		return reconcile.Never, c.fail(ctx, w.addon, *issue)
	}
	before, err := c.objects(w, w.addon.Status.Applied)
	if err != nil {
		return reconcile.Never, err
	}
	before = without(before, objects)
	if w.addon.Status.Applied.Revision == 0 {
		// What another create has left goes first: from here on the record tells of this one.
		if err := kubeapply.Delete(ctx, w.client, before); err != nil {
			return c.refused(ctx, w, err)
		}
		before = nil
		if err := c.applying(ctx, w.addon); err != nil {
			return reconcile.Never, err
		}
	}
	if err := kubeapply.Apply(ctx, w.client, apply, w.addon.Spec.ResolveConflicts == overwrite); err != nil {
		return c.refused(ctx, w, err)
	}
	if err := kubeapply.Delete(ctx, w.client, before); err != nil {
		return c.refused(ctx, w, err)
	}
	return time.Millisecond, c.applied(ctx, w.addon)
}

// resolve is what to apply of the objects as far as fields of others allow it, or the
// issue that stands in the way. What the self-managed add-on of before had written is
// EKS's from then on.
func resolve(ctx context.Context, w work, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, *resource.Issue, error) {
	mode := w.addon.Spec.ResolveConflicts
	if mode != overwrite {
		conflicts, err := kubeapply.Conflicts(ctx, w.client, objects)
		if err != nil {
			return nil, nil, err
		}
		if updating := w.addon.Status.Applied.Revision > 0; len(conflicts) > 0 && !(mode == preserve && updating) {
			return nil, &resource.Issue{Code: "ConfigurationConflict", Message: conflictText + lines(conflicts)}, nil
		}
		objects = kubeapply.Leave(objects, conflicts)
	}
	return objects, nil, kubeapply.Adopt(ctx, w.client, objects)
}

func lines(conflicts []kubeapply.Conflict) string {
	var out []string
	for _, f := range conflicts {
		out = append(out, f.String())
	}
	return strings.Join(out, "\n")
}

// refused tells what the cluster will not have, which ends the create, update or delete, from
// what may pass, which is an error to come back from.
func (c *Controller) refused(ctx context.Context, w work, err error) (time.Duration, error) {
	issue, final := issueFor(err)
	if !final {
		return reconcile.Never, err
	}
	return reconcile.Never, c.fail(ctx, w.addon, issue)
}

// issueFor is the issue that an error is, and whether it does not pass.
func issueFor(err error) (issue resource.Issue, final bool) {
	issue.Message = err.Error()
	var status apierrors.APIStatus
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "admission webhook"), apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"):
		issue.Code = "AdmissionRequestDenied"
	case apierrors.IsForbidden(err):
		issue.Code = "AccessDenied"
	case apierrors.IsInvalid(err):
		issue.Code = "UnsupportedAddonModification"
	case errors.As(err, &status):
		issue.Code = "InternalFailure"
		return issue, false
	default:
		issue.Code = "ClusterUnreachable"
		return issue, false
	}
	return issue, true
}

// tooLate is the issue that err is, if the create, update or delete has had its time.
func (c *Controller) tooLate(a resource.Addon, err error) (resource.Issue, bool) {
	issue, _ := issueFor(err)
	return issue, c.late(a)
}

// late says whether what is under way has had its time.
func (c *Controller) late(a resource.Addon) bool {
	return !a.Status.Begun.IsZero() && c.cfg.Now().Sub(a.Status.Begun) >= c.cfg.UpdateTimeout
}

// namespace is the namespace of the add-on as an object, unless Kubernetes makes it.
func namespace(name string) []*unstructured.Unstructured {
	if name == "kube-system" || name == "default" {
		return nil
	}
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(name)
	return []*unstructured.Unstructured{u}
}

// without are the objects of which others have no namesake.
func without(objects, others []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(u *unstructured.Unstructured) bool {
		return slices.ContainsFunc(others, func(o *unstructured.Unstructured) bool {
			return o.GroupVersionKind().GroupKind() == u.GroupVersionKind().GroupKind() && o.GetName() == u.GetName() && o.GetNamespace() == u.GetNamespace()
		})
	})
}
