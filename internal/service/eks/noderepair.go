package eks

import (
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/resource"
)

func repairSettings(sub subject, in *eks.CreateNodegroupInput, spec *resource.NodegroupSpec) error {
	return applyRepairConfig(sub, in.NodeRepairConfig, spec)
}

// applyRepairConfig changes what is given; a count and its percentage replace each other, and
// overrides replace all those before.
func applyRepairConfig(sub subject, r *eks.NodeRepairConfig, spec *resource.NodegroupSpec) error {
	if r == nil {
		return nil
	}
	to := spec.Repair
	for _, limit := range []struct {
		count, percentage     *int32
		toCount, toPercentage *int32
	}{
		{r.MaxUnhealthyNodeThresholdCount, r.MaxUnhealthyNodeThresholdPercentage, &to.MaxUnhealthyCount, &to.MaxUnhealthyPercentage},
		{r.MaxParallelNodesRepairedCount, r.MaxParallelNodesRepairedPercentage, &to.MaxParallelCount, &to.MaxParallelPercentage},
	} {
		if limit.count != nil && limit.percentage != nil {
			return sub.invalidParameter("Either provide max parallel nodes to repair count or percentage in the request.")
		}
		if limit.count != nil || limit.percentage != nil {
			*limit.toCount, *limit.toPercentage = deref(limit.count), deref(limit.percentage)
		}
	}
	if r.NodeRepairConfigOverrides != nil {
		to.Overrides = nil
	}
	for _, o := range r.NodeRepairConfigOverrides {
		want := resource.RepairOverride{
			Condition: deref(o.NodeMonitoringCondition), Reason: deref(o.NodeUnhealthyReason), WaitMinutes: deref(o.MinRepairWaitTimeMins), Action: deref(o.RepairAction),
		}
		if want.Condition == "" || want.Reason == "" || want.WaitMinutes == 0 || want.Action == "" {
			return sub.invalidParameter("All of nodeMonitoringCondition, nodeUnhealthyReason, minRepairWaitTimeMins and repairAction must be specified in nodeRepairConfigOverrides.")
		}
		if slices.ContainsFunc(to.Overrides, func(h resource.RepairOverride) bool { return h.Condition == want.Condition && h.Reason == want.Reason }) {
			return sub.invalidParameter("Duplicate nodeRepairConfigOverrides for nodeMonitoringCondition %s and nodeUnhealthyReason %s", want.Condition, want.Reason)
		}
		to.Overrides = append(to.Overrides, want)
	}
	to.Enabled = or(r.Enabled, to.Enabled)
	spec.Repair = to
	return nil
}

// describeRepair is a nodeRepairConfig as the API shows it.
func describeRepair(r resource.NodeRepair) *eks.NodeRepairConfig {
	out := &eks.NodeRepairConfig{
		Enabled:                        new(r.Enabled),
		MaxUnhealthyNodeThresholdCount: optional(r.MaxUnhealthyCount), MaxUnhealthyNodeThresholdPercentage: optional(r.MaxUnhealthyPercentage),
		MaxParallelNodesRepairedCount: optional(r.MaxParallelCount), MaxParallelNodesRepairedPercentage: optional(r.MaxParallelPercentage),
	}
	for _, o := range r.Overrides {
		out.NodeRepairConfigOverrides = append(out.NodeRepairConfigOverrides, eks.NodeRepairConfigOverrides{
			NodeMonitoringCondition: new(o.Condition), NodeUnhealthyReason: new(o.Reason), MinRepairWaitTimeMins: new(o.WaitMinutes), RepairAction: new(o.Action),
		})
	}
	return out
}

// repairParams are what an update shows of a change of the nodeRepairConfig.
func repairParams(in *eks.NodeRepairConfig) (out []resource.UpdateParam) {
	if in == nil {
		return nil
	}
	if in.Enabled != nil {
		out = append(out, resource.UpdateParam{Type: "NodeRepairEnabled", Value: strconv.FormatBool(*in.Enabled)})
	}
	shown := jsonRepair{
		in.MaxUnhealthyNodeThresholdCount, in.MaxUnhealthyNodeThresholdPercentage, in.MaxParallelNodesRepairedCount, in.MaxParallelNodesRepairedPercentage, nil,
	}
	for _, o := range in.NodeRepairConfigOverrides {
		shown.Overrides = append(shown.Overrides, jsonOverride{deref(o.NodeMonitoringCondition), deref(o.NodeUnhealthyReason), deref(o.MinRepairWaitTimeMins), deref(o.RepairAction)})
	}
	if p := param("NodeRepairConfig", shown); p.Value != "{}" {
		out = append(out, p)
	}
	return out
}

// jsonRepair is a nodeRepairConfig in an update's parameters.
type jsonRepair struct {
	MaxUnhealthyNodeThresholdCount      *int32         `json:"maxUnhealthyNodeThresholdCount,omitempty"`
	MaxUnhealthyNodeThresholdPercentage *int32         `json:"maxUnhealthyNodeThresholdPercentage,omitempty"`
	MaxParallelNodesRepairedCount       *int32         `json:"maxParallelNodesRepairedCount,omitempty"`
	MaxParallelNodesRepairedPercentage  *int32         `json:"maxParallelNodesRepairedPercentage,omitempty"`
	Overrides                           []jsonOverride `json:"nodeRepairConfigOverrides,omitempty"`
}

type jsonOverride struct {
	Condition   string `json:"nodeMonitoringCondition"`
	Reason      string `json:"nodeUnhealthyReason"`
	WaitMinutes int32  `json:"minRepairWaitTimeMins"`
	Action      string `json:"repairAction"`
}
