package addon

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/resource"
)

// How often workloads are looked at: while they are awaited, and while all is well.
const (
	awaited = 250 * time.Millisecond
	well    = 5 * time.Second
)

const replicasText = "The add-on is unhealthy because it doesn't have the desired number of replicas."

// observe looks at the add-on's workloads, and says in the record what that means.
func (c *Controller) observe(ctx context.Context, w work) (time.Duration, error) {
	objects, err := c.objects(w, w.addon.Status.Applied)
	if err != nil {
		return 0, err
	}
	var issues []resource.Issue
	waiting := ""
	for _, u := range objects {
		if !kubeapply.Workload(u.GetKind()) {
			continue
		}
		now, err := kubeapply.Get(ctx, w.client, u)
		if err != nil {
			return 0, err
		}
		issue := resource.Issue{}
		switch {
		case now == nil:
			issue = resource.Issue{Code: "K8sResourceNotFound", Message: "The add-on is unhealthy because a resource of it is not found: " + kubeapply.Name(u), ResourceIDs: []string{u.GetName()}}
		case !whole(now):
			issue = resource.Issue{Code: "InsufficientNumberOfReplicas", Message: replicasText}
		default:
			continue
		}
		waiting = kubeapply.Name(u)
		if !slices.ContainsFunc(issues, func(i resource.Issue) bool { return i.Code == issue.Code && i.Message == issue.Message }) {
			issues = append(issues, issue)
		}
	}
	if err := c.health(ctx, w.addon.ARN, issues, waiting); err != nil {
		return 0, err
	}
	if len(issues) > 0 {
		return awaited, nil
	}
	return well, nil
}

// whole says whether a workload is as it is wanted, and its controller has seen what is
// wanted. A DaemonSet without nodes is whole.
func whole(u *unstructured.Unstructured) bool {
	number := func(path ...string) int64 {
		n, _, err := unstructured.NestedInt64(u.Object, path...)
		if err != nil {
			return 0
		}
		return n
	}
	if number("status", "observedGeneration") < u.GetGeneration() {
		return false
	}
	switch u.GetKind() {
	case "Deployment", "StatefulSet":
		want := number("spec", "replicas")
		available := number("status", "availableReplicas")
		return available >= want && number("status", "updatedReplicas") >= want && number("status", "replicas") == number("status", "updatedReplicas")
	case "DaemonSet":
		want := number("status", "desiredNumberScheduled")
		return number("status", "numberAvailable") >= want && number("status", "updatedNumberScheduled") >= want
	}
	return true
}
