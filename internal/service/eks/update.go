package eks

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const configUpdate = "ConfigUpdate"

// UpdateNodegroupConfig changes what a node group should be, and records the update that
// package controller/nodegroup carries out and ends.
func (s *Service) UpdateNodegroupConfig(ctx context.Context, call awsapi.Call, in *eks.UpdateNodegroupConfigInput) (*eks.UpdateNodegroupConfigOutput, error) {
	same := *in
	same.ClientRequestToken = nil
	request, err := fingerprint(same)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.UpdateNodegroupConfigOutput, error) {
		c, n, err := findNodegroup(tx, call, in.ClusterName, in.NodegroupName)
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name, nodegroup: n.Name}
		u, err := updateNodegroup(tx, call, n, configUpdate, deref(in.ClientRequestToken), request, func(spec *resource.NodegroupSpec) ([]resource.UpdateParam, error) {
			return configure(sub, spec, in)
		})
		return &eks.UpdateNodegroupConfigOutput{Update: u}, err
	})
}

// updateNodegroup records one update of a node group that is in a state for it and has no
// other under way. f changes the Spec, whose revision is the update's by then.
func updateNodegroup(tx *store.Tx, call awsapi.Call, n resource.Nodegroup, kind, token, print string, f func(*resource.NodegroupSpec) ([]resource.UpdateParam, error)) (*eks.Update, error) {
	c, _ := tx.Clusters.Get(n.Cluster)
	sub := subject{cluster: c.Name, nodegroup: n.Name}
	if token != "" {
		for u := range tx.Updates.Values(func(u resource.Update) bool { return u.Nodegroup == n.ARN && u.Token == token }) {
			if u.Fingerprint != print {
				return nil, sub.tokenReused()
			}
			return describeUpdate(u), nil
		}
	}
	state, busy := n.Current(), n.Status.AppliedRevision < n.Spec.ForcedConfigUpdateRevision
	if busy || state != resource.NodegroupActive && state != resource.NodegroupDegraded {
		return nil, sub.inUse("Nodegroup cannot be updated as it is currently not in Active State")
	}
	n.Spec = n.Rolled()
	n.Spec.Desired = provision.DesiredNodes(tx, n) // an autoscaler's choice is kept, unless the caller makes another
	n.Spec.ForcedConfigUpdateRevision++
	params, err := f(&n.Spec)
	if err != nil {
		return nil, err
	}
	n.Modified = moment(call.Time)
	u := resource.Update{
		ID: awsid.UUID(), Cluster: n.Cluster, Nodegroup: n.ARN, Type: kind, Params: params, Created: moment(call.Time),
		Revision: n.Spec.ForcedConfigUpdateRevision, Token: token, Fingerprint: print, State: resource.UpdateInProgress,
	}
	tx.Nodegroups.Put(n.ARN, n)
	tx.Updates.Put(u.ID, u)
	return describeUpdate(u), nil
}

// configure applies a request to a node group's settings, checks the whole, and returns
// what the update shows as its parameters. It is pure.
func configure(sub subject, spec *resource.NodegroupSpec, in *eks.UpdateNodegroupConfigInput) ([]resource.UpdateParam, error) {
	var params []resource.UpdateParam
	for _, f := range []func(subject, *resource.NodegroupSpec, *eks.UpdateNodegroupConfigInput) ([]resource.UpdateParam, error){
		scale, relabel, retaint, restrategize,
	} {
		more, err := f(sub, spec, in)
		if err != nil {
			return nil, err
		}
		params = append(params, more...)
	}
	if in.WarmPoolConfig != nil && deref(in.WarmPoolConfig.Enabled) {
		return nil, sub.notYet("The warmPoolConfig of node groups is")
	}
	if len(params) == 0 {
		return nil, sub.invalidParameter("At least one of labels, taints, scalingConfig, updateConfig and nodeRepairConfig must be provided")
	}
	return params, nil
}

func scale(sub subject, spec *resource.NodegroupSpec, in *eks.UpdateNodegroupConfigInput) (out []resource.UpdateParam, err error) {
	s := in.ScalingConfig
	if s == nil {
		return nil, nil
	}
	for _, f := range []struct {
		param string
		given *int32
		to    *int32
	}{{"MinSize", s.MinSize, &spec.Min}, {"MaxSize", s.MaxSize, &spec.Max}, {"DesiredSize", s.DesiredSize, &spec.Desired}} {
		if f.given != nil {
			*f.to = *f.given
			out = append(out, resource.UpdateParam{Type: f.param, Value: strconv.Itoa(int(*f.given))})
		}
	}
	return out, checkSizes(sub, spec)
}

func relabel(sub subject, spec *resource.NodegroupSpec, in *eks.UpdateNodegroupConfigInput) (out []resource.UpdateParam, err error) {
	l := in.Labels
	if l == nil {
		return nil, nil
	}
	if err := checkLabels(sub, l.AddOrUpdateLabels); err != nil {
		return nil, err
	}
	for _, k := range l.RemoveLabels {
		if _, both := l.AddOrUpdateLabels[k]; both {
			return nil, sub.invalidParameter("The label %s cannot be both added and removed", k)
		}
	}
	spec.Labels = resource.Tags(spec.Labels).With(l.AddOrUpdateLabels).Without(l.RemoveLabels...)
	if len(l.AddOrUpdateLabels) > 0 {
		out = append(out, param("LabelsToAdd", l.AddOrUpdateLabels))
	}
	if len(l.RemoveLabels) > 0 {
		out = append(out, param("LabelsToRemove", l.RemoveLabels))
	}
	return out, nil
}

// jsonTaint is a taint in an update's parameters.
type jsonTaint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

func retaint(sub subject, spec *resource.NodegroupSpec, in *eks.UpdateNodegroupConfigInput) (out []resource.UpdateParam, err error) {
	if in.Taints == nil {
		return nil, nil
	}
	add, err := taintsOf(sub, in.Taints.AddOrUpdateTaints)
	if err != nil {
		return nil, err
	}
	remove, err := taintsOf(sub, in.Taints.RemoveTaints)
	if err != nil {
		return nil, err
	}
	var taints []resource.Taint
	for _, t := range spec.Taints {
		if taintAt(remove, t) < 0 && taintAt(add, t) < 0 {
			taints = append(taints, t)
		}
	}
	for _, t := range add {
		if taintAt(remove, t) >= 0 {
			return nil, sub.invalidParameter("The taint %s cannot be both added and removed", t.Key)
		}
	}
	spec.Taints = append(taints, add...)
	for _, p := range []struct {
		name   string
		taints []resource.Taint
	}{{"TaintsToAdd", add}, {"TaintsToRemove", remove}} {
		var shown []jsonTaint
		for _, t := range p.taints {
			shown = append(shown, jsonTaint(t))
		}
		if len(shown) > 0 {
			out = append(out, param(p.name, shown))
		}
	}
	return out, checkTaintCount(sub, spec.Taints)
}

func restrategize(sub subject, spec *resource.NodegroupSpec, in *eks.UpdateNodegroupConfigInput) (out []resource.UpdateParam, err error) {
	if err := applyUpdateConfig(sub, in.UpdateConfig, spec); err != nil {
		return nil, err
	}
	if err := applyRepairConfig(sub, in.NodeRepairConfig, spec); err != nil {
		return nil, err
	}
	if u := in.UpdateConfig; u != nil {
		if u.MaxUnavailable != nil {
			out = append(out, param("MaxUnavailable", *u.MaxUnavailable))
		}
		if u.MaxUnavailablePercentage != nil {
			out = append(out, param("MaxUnavailablePercentage", *u.MaxUnavailablePercentage))
		}
		if u.UpdateStrategy != nil {
			out = append(out, resource.UpdateParam{Type: "UpdateStrategy", Value: *u.UpdateStrategy})
		}
	}
	return append(out, repairParams(in.NodeRepairConfig)...), nil
}

// param is a parameter whose value is JSON text, as EKS shows lists and objects.
func param(name string, v any) resource.UpdateParam {
	raw, _ := json.Marshal(v) // strings and numbers: there is nothing to go wrong
	return resource.UpdateParam{Type: name, Value: string(raw)}
}

// DescribeUpdate describes an update of a cluster, or of the node group or add-on named.
func (s *Service) DescribeUpdate(_ context.Context, call awsapi.Call, in *eks.DescribeUpdateInput) (*eks.DescribeUpdateOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeUpdateOutput, error) {
		all, sub, err := updatesOf(tx, call, in.Name, in.NodegroupName, in.AddonName, in.CapabilityName)
		if err != nil {
			return nil, err
		}
		for _, u := range all {
			if u.ID == deref(in.UpdateId) {
				return &eks.DescribeUpdateOutput{Update: describeUpdate(u)}, nil
			}
		}
		return nil, sub.notFound("No update found for ID: %s", deref(in.UpdateId))
	})
}

// ListUpdates lists the updates of a cluster, or of the node group or add-on named, newest first.
func (s *Service) ListUpdates(_ context.Context, call awsapi.Call, in *eks.ListUpdatesInput) (*eks.ListUpdatesOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListUpdatesOutput, error) {
		all, _, err := updatesOf(tx, call, in.Name, in.NodegroupName, in.AddonName, in.CapabilityName)
		if err != nil {
			return nil, err
		}
		key := func(u resource.Update) string { return u.Created.UTC().Format("20060102150405.000") + u.ID }
		descending := func(a, b string) int { return cmp.Compare(b, a) }
		slices.SortFunc(all, func(a, b resource.Update) int { return descending(key(a), key(b)) })
		all, next, err := pageBy(all, key, descending, in.NextToken, in.MaxResults)
		out := &eks.ListUpdatesOutput{NextToken: next, UpdateIds: []string{}}
		for _, u := range all {
			out.UpdateIds = append(out.UpdateIds, u.ID)
		}
		return out, err
	})
}

// updatesOf are the updates of what a request names. There are no capabilities to name.
func updatesOf(tx *store.Tx, call awsapi.Call, cluster, nodegroup, addon, capability *string) ([]resource.Update, subject, error) {
	sub := subject{cluster: deref(cluster), nodegroup: deref(nodegroup)}
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return nil, sub, err
	}
	of := ""
	switch {
	case addon != nil:
		if _, ok := addonNamed(tx, c, *addon); !ok {
			return nil, sub, addonSubject{c.Name, *addon}.notFound("No addon: %s found in cluster: %s", *addon, c.Name)
		}
	case capability != nil:
		return nil, sub, sub.notFound("No capability: %s found in cluster: %s", *capability, c.Name)
	case nodegroup != nil:
		_, n, err := findNodegroup(tx, call, cluster, nodegroup)
		if err != nil {
			return nil, sub, err
		}
		of = n.ARN
	}
	return slices.Collect(tx.Updates.Values(func(u resource.Update) bool {
		return u.Cluster == c.ARN && u.Nodegroup == of && u.Addon == deref(addon)
	})), sub, nil
}

func describeUpdate(u resource.Update) *eks.Update {
	out := &eks.Update{
		Id: new(u.ID), Status: new(u.State), Type: new(u.Type), CreatedAt: new(u.Created), Params: []eks.UpdateParam{}, Errors: []eks.ErrorDetail{},
	}
	for _, p := range u.Params {
		out.Params = append(out.Params, eks.UpdateParam{Type: new(p.Type), Value: new(p.Value)})
	}
	for _, e := range u.Errors {
		out.Errors = append(out.Errors, eks.ErrorDetail{ErrorCode: new(e.Code), ErrorMessage: new(e.Message), ResourceIds: list(e.ResourceIDs)})
	}
	return out
}
