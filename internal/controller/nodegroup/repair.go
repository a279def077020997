package nodegroup

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Node auto repair, for groups whose nodeRepairConfig wants it. What is wrong with a node say
// its conditions: Ready is the kubelet's, the others are a node monitoring agent's.
//
//	a condition is bad for as long as its rule waits ─▶ Replace: the instance is terminated
//	through its group, drained like every other, and a new one launched; Reboot: its
//	machine boots again
//
// Too many unhealthy nodes mean that it is not the nodes: then nothing is repaired, nor during a
// zonal shift.

// DefaultRepairWait is for how long a node is unhealthy before EKS repairs it.
const DefaultRepairWait = 30 * time.Minute

// Actions, as the API spells them.
const (
	repairReplace = "Replace"
	repairReboot  = "Reboot"
	repairNothing = "NoAction"
)

// What EKS repairs unless an override says otherwise: each after the wait, divided by this.
// For pressures it does nothing.
var repaired = map[string]time.Duration{
	"Ready": 1, "ContainerRuntimeReady": 1, "KernelReady": 1, "NetworkingReady": 1, "StorageReady": 1, "AcceleratedHardwareReady": 3,
}

// A patient is a node that is unhealthy, and what is to be done about it.
type patient struct {
	member
	action string
	why    resource.NodeCondition
	due    time.Time
}

// patients are the unhealthy nodes of the group, those first that are longest due.
func (s state) patients(wait time.Duration) (out []patient) {
	for _, m := range s.members {
		if !m.joined || m.Lifecycle != resource.MemberInService {
			continue
		}
		p := patient{}
		for _, bad := range m.node.Conditions {
			action, after := s.remedy(bad, wait)
			since := bad.Since
			if last := s.ng.Status.Rebooted[m.Instance]; last.After(since) {
				since = last // it has its time again
			}
			if due := since.Add(after); action != repairNothing && (p.action == "" || due.Before(p.due)) {
				p = patient{m, action, bad, due}
			}
		}
		if p.action != "" {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b patient) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.Instance, b.Instance)) })
	return out
}

// remedy is what a bad condition asks for, and after how long.
func (s state) remedy(bad resource.NodeCondition, wait time.Duration) (action string, after time.Duration) {
	for _, o := range s.ng.Spec.Repair.Overrides {
		if o.Condition == bad.Type && o.Reason == bad.Reason {
			return o.Action, time.Duration(o.WaitMinutes) * time.Minute
		}
	}
	if part, ok := repaired[bad.Type]; ok {
		return repairReplace, wait / part
	}
	return repairNothing, 0
}

// Without a threshold of the caller's, more than a fifth of the nodes of a group of more than
// five are too many.
const (
	smallGroup         = 5
	unhealthyByDefault = 20
)

// tooMany says whether so many of the group's nodes are unhealthy that none is repaired.
func (s state) tooMany(unhealthy, nodes int) bool {
	r := s.ng.Spec.Repair
	switch {
	case r.MaxUnhealthyCount > 0:
		return unhealthy > int(r.MaxUnhealthyCount)
	case r.MaxUnhealthyPercentage > 0:
		return unhealthy*100 > nodes*int(r.MaxUnhealthyPercentage)
	}
	return nodes > smallGroup && unhealthy*100 > nodes*unhealthyByDefault
}

// room is for how many nodes a repair may begin now.
func (s state) room(nodes, busy int) int {
	r := s.ng.Spec.Repair
	switch {
	case r.MaxParallelCount > 0:
		return int(r.MaxParallelCount) - busy
	case r.MaxParallelPercentage > 0:
		return max(1, nodes*int(r.MaxParallelPercentage)/100) - busy
	}
	return nodes
}

// repair begins what is due, and says when to look again.
func (c *Controller) repair(ctx context.Context, s state) (time.Duration, error) {
	if !s.ng.Spec.Repair.Enabled || !s.grouped || s.away != "" || s.ng.Status.State == resource.NodegroupCreating {
		return reconcile.Never, nil
	}
	now, busy, nodes := c.cfg.Now(), 0, 0
	for _, m := range s.members {
		_, condemned := s.group.Spec.Condemned[m.Instance]
		switch {
		case condemned || m.leaving():
			busy++
		case m.Lifecycle == resource.MemberInService:
			nodes++
		}
	}
	sick := s.patients(cmp.Or(c.cfg.RepairWait, DefaultRepairWait))
	sick = slices.DeleteFunc(sick, func(p patient) bool { _, condemned := s.group.Spec.Condemned[p.Instance]; return condemned })
	if len(sick) == 0 || s.tooMany(len(sick), nodes) {
		return reconcile.Never, nil // what changes that wakes it
	}
	room := s.room(nodes, busy)
	for _, p := range sick {
		if left := p.due.Sub(now); left > 0 {
			return left, nil
		}
		if room <= 0 {
			return reconcile.Never, nil
		}
		room--
		c.log.Info("repairing a node", "node", p.node.Name, "instance", p.Instance, "action", p.action, "condition", p.why.Type, "reason", p.why.Reason)
		if err := c.treat(ctx, s, p); err != nil {
			return reconcile.Never, err
		}
	}
	return reconcile.Never, nil
}

// treat records what is to be done about one node.
func (c *Controller) treat(ctx context.Context, s state, p patient) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, ok := tx.Nodegroups.Get(s.ng.ARN)
		if !ok || ng.Deleting {
			return nil
		}
		if p.action == repairReboot {
			if ng.Status.Rebooted == nil {
				ng.Status.Rebooted = map[string]time.Time{}
			}
			for id := range ng.Status.Rebooted {
				if !tx.GroupInstances.Has(id) {
					delete(ng.Status.Rebooted, id)
				}
			}
			ng.Status.Rebooted[p.Instance] = c.cfg.Now()
			tx.Nodegroups.Put(ng.ARN, ng)
			return provision.Reboot(tx, ng.Home, p.Instance)
		}
		g, ok := tx.AutoScalingGroups.Get(groupARN(ng))
		if !ok {
			return nil
		}
		condemn(&g.Spec, p.Instance, false) // the desired capacity stays: a new one comes
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
}
