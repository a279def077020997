package nodegroup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// applyConfig carries out UpdateNodegroupConfig: the group's sizes, the live nodes'
// labels and taints, and the template for nodes to come. It ends the updates.
func (c *Controller) applyConfig(ctx context.Context, s state) error {
	if st := s.ng.Status.State; st == resource.NodegroupActive || st == resource.NodegroupDegraded {
		err := c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error { return st.Move(resource.NodegroupUpdating) })
		if err != nil {
			return err
		}
	}
	change, err := c.changeOf(s)
	if err != nil {
		return err
	}
	if !change.Empty() {
		// A template that cannot be made fails the update, which then has changed no node.
		err := c.store.View(func(tx *store.Tx) error {
			_, err := c.templateOf(tx, s.ng, s.cluster)
			return err
		})
		if err != nil {
			return err
		}
		late, err := c.eachNode(ctx, s, s.members, change)
		switch {
		case late:
			return c.failUpdates(ctx, s, s.unreachable(err))
		case err != nil:
			return err
		}
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, ok := tx.Nodegroups.Get(s.ng.ARN)
		if !ok {
			return nil
		}
		g, ok := tx.AutoScalingGroups.Get(groupARN(ng))
		if !ok {
			return fmt.Errorf("node group %s has lost its Auto Scaling group", ng.Name)
		}
		g.Spec.Min, g.Spec.Max, g.Spec.Desired = ng.Spec.Min, ng.Spec.Max, ng.Spec.Desired
		if lt, ok := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate); ok && !change.Empty() {
			if g.Spec.LaunchTemplateVersion, err = c.newVersion(tx, ng, s.cluster, lt); err != nil {
				return err
			}
		}
		tx.AutoScalingGroups.Put(g.ARN, g)
		// What this round has seen is applied; a later call has a higher revision and
		// comes round again.
		ng.Status.Rebalancing = nil // the size is the caller's again
		ng.Status.AppliedRevision = s.ng.Spec.ForcedConfigUpdateRevision
		for id, u := range tx.Updates.All() {
			if u.Nodegroup == ng.ARN && u.State == resource.UpdateInProgress && u.Revision <= ng.Status.AppliedRevision {
				u.State, u.Ended = resource.UpdateSuccessful, c.cfg.Now()
				tx.Updates.Put(id, u)
			}
		}
		if ng.Status.State == resource.NodegroupUpdating {
			if err := ng.Status.Move(resource.NodegroupActive); err != nil {
				return err
			}
		}
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

// newVersion makes a version of the group's launch template for nodes to come, and returns
// its number. If the newest one says the same already, it is that one.
func (c *Controller) newVersion(tx *store.Tx, ng resource.Nodegroup, cl resource.Cluster, lt resource.LaunchTemplate) (string, error) {
	next, err := c.templateOf(tx, ng, cl)
	if err != nil {
		return "", err
	}
	v := next.Versions[0]
	if last := lt.Versions[len(lt.Versions)-1]; !bytes.Equal(last.Data, v.Data) {
		v.Number = lt.Latest + 1
		lt.Latest, lt.Default, lt.Versions = v.Number, v.Number, append(lt.Versions, v)
		tx.LaunchTemplates.Put(lt.ID, lt)
	}
	return fmt.Sprint(lt.Latest), nil
}

// templateOf is templateFor, now, and says of which group an error is.
func (c *Controller) templateOf(tx *store.Tx, ng resource.Nodegroup, cl resource.Cluster) (resource.LaunchTemplate, error) {
	lt, err := templateFor(tx, ng, cl, c.cfg.Now())
	if err != nil {
		return lt, fmt.Errorf("launch template of node group %s: %w", ng.Name, err)
	}
	return lt, nil
}

// changeOf is what the updates under way change on live nodes; it stands in their
// parameters, as DescribeUpdate shows them: JSON text.
func (c *Controller) changeOf(s state) (resource.NodeChange, error) {
	var out resource.NodeChange
	err := c.store.View(func(tx *store.Tx) error {
		for _, u := range tx.Updates.All() {
			if u.Nodegroup != s.ng.ARN || u.State != resource.UpdateInProgress || u.Revision > s.ng.Spec.ForcedConfigUpdateRevision {
				continue
			}
			for _, p := range u.Params {
				if err := addParam(&out, p); err != nil {
					return fmt.Errorf("update %s: %w", u.ID, err)
				}
			}
		}
		return nil
	})
	return out, err
}

// addParam adds what one parameter of an update changes.
func addParam(n *resource.NodeChange, p resource.UpdateParam) error {
	type taint struct{ Key, Value, Effect string }
	taints := func() (out []resource.Taint, err error) {
		var in []taint
		err = json.Unmarshal([]byte(p.Value), &in)
		for _, t := range in {
			out = append(out, resource.Taint(t))
		}
		return out, err
	}
	var err error
	switch p.Type {
	case "LabelsToAdd":
		err = json.Unmarshal([]byte(p.Value), &n.SetLabels)
	case "LabelsToRemove":
		err = json.Unmarshal([]byte(p.Value), &n.RemoveLabels)
	case "TaintsToAdd":
		n.SetTaints, err = taints()
	case "TaintsToRemove":
		n.RemoveTaints, err = taints()
	}
	return err
}
