package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"ekster.dev/ekster/internal/resource"
)

var effects = map[string]core.TaintEffect{
	"NO_SCHEDULE":        core.TaintEffectNoSchedule,
	"NO_EXECUTE":         core.TaintEffectNoExecute,
	"PREFER_NO_SCHEDULE": core.TaintEffectPreferNoSchedule,
}

// Configure changes labels and taints of a node, and leaves all others; it cordons or uncordons. A node that is no
// more has nothing to change.
func (c *Controller) Configure(ctx context.Context, cluster, node string, change resource.NodeChange) error {
	api, err := c.connect(cluster)
	if err != nil {
		return err
	}
	for range attempts {
		var n core.Node
		if err := api.core.Get().Resource("nodes").Name(node).Do(ctx).Into(&n); err != nil {
			return ignoreGone(err)
		}
		patch, err := json.Marshal(changePatch(&n, change))
		if err != nil {
			return err
		}
		err = api.core.Patch(types.MergePatchType).Resource("nodes").Name(node).Body(patch).Do(ctx).Error()
		if !apierrors.IsConflict(err) {
			return ignoreGone(err)
		}
	}
	return fmt.Errorf("node %s has changed %d times", node, attempts)
}

// changePatch is a merge patch: labels one by one, taints as a whole, for the version of the
// node that they were read from.
func changePatch(n *core.Node, change resource.NodeChange) map[string]any {
	labels := map[string]any{}
	for _, k := range change.RemoveLabels {
		labels[k] = nil
	}
	for k, v := range change.SetLabels {
		labels[k] = v
	}
	meta, spec := map[string]any{"labels": labels}, map[string]any{}
	if change.Cordon != nil {
		spec["unschedulable"] = *change.Cordon
	}
	if len(change.SetTaints)+len(change.RemoveTaints) > 0 {
		meta["resourceVersion"] = n.ResourceVersion
		spec["taints"] = taints(n.Spec.Taints, change)
	}
	return map[string]any{"metadata": meta, "spec": spec}
}

func taints(have []core.Taint, change resource.NodeChange) []core.Taint {
	out := slices.Clone(have)
	drop := func(t resource.Taint) {
		out = slices.DeleteFunc(out, func(h core.Taint) bool { return h.Key == t.Key && h.Effect == effects[t.Effect] })
	}
	for _, t := range change.RemoveTaints {
		drop(t)
	}
	for _, t := range change.SetTaints {
		drop(t)
		out = append(out, core.Taint{Key: t.Key, Value: t.Value, Effect: effects[t.Effect]})
	}
	return out
}
