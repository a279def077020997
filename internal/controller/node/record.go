package node

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// seen is what is kept of a Node.
type seen struct {
	uid        types.UID
	providerID string
	unlabelled bool
	taints     []string // keys, in order
	record     resource.Node
}

func see(cluster string, n *core.Node) *seen {
	s := &seen{uid: n.UID, providerID: n.Spec.ProviderID, unlabelled: len(n.Labels) == 0, record: resource.Node{
		Cluster: cluster, Name: n.Name, Instance: instanceOf(n.Spec.ProviderID),
		Version: n.Status.NodeInfo.KubeletVersion, Cordoned: n.Spec.Unschedulable,
		Reason: "the kubelet has not reported yet",
	}}
	for _, t := range n.Spec.Taints {
		s.taints = append(s.taints, t.Key)
	}
	for _, cond := range n.Status.Conditions {
		if bad(cond) {
			s.record.Conditions = append(s.record.Conditions, resource.NodeCondition{Type: string(cond.Type), Reason: cond.Reason, Since: cond.LastTransitionTime.UTC()})
		}
		if cond.Type != core.NodeReady {
			continue
		}
		s.record.Since = cond.LastTransitionTime.UTC()
		if s.record.Ready = cond.Status == core.ConditionTrue; s.record.Ready {
			s.record.Reason = ""
		} else if s.record.Reason = cond.Message; cond.Message == "" {
			s.record.Reason = cond.Reason
		}
	}
	return s
}

// bad says whether a condition is one that speaks of a trouble. Of one whose name is a state
// to be in, such as Ready or the node monitoring agent's KernelReady, that is when it is not
// so; nobody knows whether the kubelet is Ready when it has not been heard of.
func bad(c core.NodeCondition) bool {
	switch {
	case c.Type == core.NodeReady:
		return c.Status != core.ConditionTrue
	case strings.HasSuffix(string(c.Type), "Ready"):
		return c.Status == core.ConditionFalse
	}
	return c.Status == core.ConditionTrue
}

func (s *seen) uninitialized() bool { return slices.Contains(s.taints, uninitializedTaint) }

// instanceOf returns the instance that a provider id names, aws:///zone/i-…; "" if none.
func instanceOf(providerID string) string {
	rest, ok := strings.CutPrefix(providerID, "aws://")
	if !ok {
		return ""
	}
	if id := rest[strings.LastIndexByte(rest, '/')+1:]; strings.HasPrefix(id, "i-") {
		return id
	}
	return ""
}

// nodesOf returns the names of the nodes that an instance is: one, but for mistakes.
func (cl *cluster) nodesOf(instance string) (names []string) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for name, s := range cl.nodes {
		if s.record.Instance == instance {
			names = append(names, name)
		}
	}
	return names
}

func (cl *cluster) node(name string) *seen {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.nodes[name]
}

func (c *Controller) nodeChanged(cl *cluster, o runtime.Object, gone bool) {
	n, ok := o.(*core.Node)
	if !ok {
		return
	}
	cl.mu.Lock()
	if gone {
		delete(cl.nodes, n.Name)
	} else {
		cl.nodes[n.Name] = see(cl.arn, n)
	}
	cl.mu.Unlock()
	c.queue.Wake(key(cl.arn, kindNode, n.Name))
}

// replaceNodes takes what there is, and wakes what there was too: records of nodes that
// have gone unseen are to go.
func (c *Controller) replaceNodes(cl *cluster, all []runtime.Object) {
	nodes := map[string]*seen{}
	for _, o := range all {
		if n, ok := o.(*core.Node); ok {
			nodes[n.Name] = see(cl.arn, n)
			c.queue.Wake(key(cl.arn, kindNode, n.Name))
		}
	}
	cl.mu.Lock()
	cl.nodes = nodes
	cl.mu.Unlock()
	_ = c.store.View(func(tx *store.Tx) error {
		for _, n := range tx.Nodes.All() {
			if n.Cluster == cl.arn && nodes[n.Name] == nil {
				c.queue.Wake(key(cl.arn, kindNode, n.Name))
			}
		}
		return nil
	})
}

// reconcileNode initializes a node, keeps its record, and takes it away with its instance.
func (c *Controller) reconcileNode(ctx context.Context, cl *cluster, name string) error {
	s := cl.node(name)
	if s == nil {
		return c.putRecord(ctx, cl, name, nil)
	}
	i, rec, ok := c.instance(cl.arn, name, s)
	if s.record.Instance != "" && (ok && i.Current() == resource.InstanceTerminated || !ok && !s.record.Ready) {
		if err := c.deleteNode(ctx, cl, name, s.uid); err != nil {
			return fmt.Errorf("deleting node %s, whose instance %s is no more: %w", name, s.record.Instance, err)
		}
		return nil // the watch brings the rest
	}
	if ok && s.uninitialized() {
		if err := c.initialize(ctx, cl, rec, name, s, i); err != nil {
			return fmt.Errorf("initializing node %s: %w", name, err)
		}
	}
	return c.putRecord(ctx, cl, name, &s.record)
}

// instance finds the instance that a node is: by its provider id, or by its name.
func (c *Controller) instance(arn, name string, s *seen) (i resource.Instance, rec resource.Cluster, ok bool) {
	_ = c.store.View(func(tx *store.Tx) error {
		if rec, ok = tx.Clusters.Get(arn); !ok {
			return nil
		}
		if s.providerID == "" {
			i, ok = byName(tx, rec, name)
			return nil
		}
		i, ok = tx.Instances.Get(s.record.Instance)
		ok = ok && i.Home == rec.Home
		return nil
	})
	return i, rec, ok
}

// byName finds the live instance of the cluster's VPC that has a private DNS name. Only
// there is it one: addresses of other VPCs may be the same.
func byName(tx *store.Tx, cl resource.Cluster, name string) (resource.Instance, bool) {
	for _, i := range tx.Instances.All() {
		if i.Spec.PrivateDNS == name && i.Home == cl.Home && i.Spec.VPC == cl.Spec.VPC && i.Current() != resource.InstanceTerminated {
			return i, true
		}
	}
	return resource.Instance{}, false
}

// putRecord writes what is new about a node; nil: it has gone.
func (c *Controller) putRecord(ctx context.Context, cl *cluster, name string, want *resource.Node) error {
	k := resource.NodeKey(cl.arn, name)
	same := false
	err := c.store.View(func(tx *store.Tx) error {
		have, ok := tx.Nodes.Get(k)
		same = ok == (want != nil) && (want == nil || equal(have, *want)) || !tx.Clusters.Has(cl.arn)
		return nil
	})
	if err != nil || same {
		return err
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		switch {
		case want == nil:
			tx.Nodes.Delete(k)
		case tx.Clusters.Has(cl.arn): // and not deleted meanwhile, with its nodes
			tx.Nodes.Put(k, *want)
		}
		return nil
	})
}

func equal(a, b resource.Node) bool {
	same := a.Since.Equal(b.Since) && slices.EqualFunc(a.Conditions, b.Conditions, func(x, y resource.NodeCondition) bool {
		return x.Type == y.Type && x.Reason == y.Reason && x.Since.Equal(y.Since)
	})
	a.Since, a.Conditions, b.Conditions = b.Since, nil, nil
	return same && reflect.DeepEqual(a, b)
}

// deleteNode deletes a Node whose instance is no more, and the pods that were on it: it is
// known that they do not run, so their controllers need not wait for the pod garbage
// collector, which finds out a minute later. The Node goes first: as long as it is there, the
// pods that take the places of the deleted ones may be bound to it too.
func (c *Controller) deleteNode(ctx context.Context, cl *cluster, name string, uid types.UID) error {
	api, err := c.connect(cl.arn)
	if err != nil {
		return err
	}
	err = api.core.Delete().Resource("nodes").Name(name).
		Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}).Do(ctx).Error()
	if apierrors.IsConflict(err) {
		return nil // another one by now
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err := api.deletePodsOn(ctx, name); err != nil {
		return fmt.Errorf("pods of node %s: %w", name, err)
	}
	return nil
}

// deletePodsOn deletes every pod bound to a node, without grace: nobody is there to end them.
func (api *client) deletePodsOn(ctx context.Context, node string) error {
	var pods core.PodList
	err := api.core.Get().Resource("pods").
		VersionedParams(&metav1.ListOptions{FieldSelector: "spec.nodeName=" + node}, api.params).Do(ctx).Into(&pods)
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		err := api.core.Delete().Namespace(p.Namespace).Resource("pods").Name(p.Name).
			Body(&metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.UID}}).Do(ctx).Error()
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	return nil
}
