package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// drainEvery is how often a drain looks what is left, and asks again for what was refused.
const drainEvery = 250 * time.Millisecond

// A Drainer empties nodes of one cluster.
type Drainer struct{ api *client }

// Drain cordons a node and evicts its pods, as their disruption budgets allow, until none is
// left or ctx ends; then the error names those that are, and what keeps them. Pods of
// DaemonSets, mirrors of static pods and pods that have ended stay. A node that is no more is
// drained.
func (c *Controller) Drain(ctx context.Context, cluster, node string) error {
	api, err := c.connect(cluster)
	if err != nil {
		return err
	}
	return Drainer{api}.Drain(ctx, node)
}

// Drain is the controller's Drain.
func (d Drainer) Drain(ctx context.Context, node string) error {
	var n core.Node
	err := d.api.core.Patch(types.MergePatchType).Resource("nodes").Name(node).Body([]byte(`{"spec":{"unschedulable":true}}`)).Do(ctx).Into(&n)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cordoning node %s: %w", node, err)
	}
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	var left []string
	for {
		now, err := d.round(ctx, node, see("", &n).record.Ready)
		if err == nil {
			if left = now; len(left) == 0 {
				return nil
			}
		} else if ctx.Err() == nil {
			return fmt.Errorf("draining node %s: %w", node, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &LeftError{Node: node, Cause: context.Cause(ctx), Left: left}
		}
	}
}

// A LeftError says that a drain's time was over before the node was empty.
type LeftError struct {
	Node  string
	Cause error
	Left  []string // pods, and what keeps each if it is a disruption budget
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("draining node %s: %v; left: %s", e.Node, e.Cause, strings.Join(e.Left, ", "))
}

func (e *LeftError) Unwrap() error { return e.Cause }

// Pods are those that are left.
func (e *LeftError) Pods() []string { return e.Left }

// round asks for the eviction of every pod that is not on its way out, and returns those
// that are left. On a node that is not alive, pods that should have ended by now are not
// waited for: there is no kubelet that would say so.
func (d Drainer) round(ctx context.Context, node string, alive bool) (left []string, err error) {
	var pods core.PodList
	err = d.api.core.Get().Resource("pods").
		VersionedParams(&metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}, d.api.params).Do(ctx).Into(&pods)
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if stays(p) || !alive && p.DeletionTimestamp != nil && time.Now().After(p.DeletionTimestamp.Time) {
			continue
		}
		name := p.Namespace + "/" + p.Name
		if p.DeletionTimestamp == nil {
			err := d.evict(ctx, p)
			switch {
			case err == nil:
			case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another one by now
			case apierrors.IsTooManyRequests(err):
				name += " (" + reason(err) + ")"
			default:
				return nil, fmt.Errorf("evicting pod %s: %w", name, err)
			}
		}
		left = append(left, name)
	}
	return left, nil
}

func (d Drainer) evict(ctx context.Context, p *core.Pod) error {
	// Without retries: the API server answers 429 for a budget, and the next round asks again.
	return d.api.core.Post().Namespace(p.Namespace).Resource("pods").Name(p.Name).SubResource("eviction").MaxRetries(0).
		Body(&policy.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
		}).Do(ctx).Error()
}

// reason is why an eviction is refused: the budget's words, if there are any.
func reason(err error) string {
	var s apierrors.APIStatus
	if errors.As(err, &s) && s.Status().Details != nil {
		for _, cause := range s.Status().Details.Causes {
			return cause.Message
		}
	}
	return err.Error()
}

// stays says whether a drain leaves a pod alone.
func stays(p *core.Pod) bool {
	if p.Status.Phase == core.PodSucceeded || p.Status.Phase == core.PodFailed {
		return true
	}
	if _, mirror := p.Annotations[core.MirrorPodAnnotationKey]; mirror {
		return true
	}
	return slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Kind == "DaemonSet" && o.Controller != nil && *o.Controller
	})
}
