package nodegroup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// The replacement of a group's nodes, as EKS does it. Where it is follows from the records:
// members made from another version of the launch template than Status.Roll.Template are old.
//
//	setup      a template version with what is wanted; the group grows by the surge
//	scale up   until the new nodes are Ready; then the old ones are cordoned
//	upgrade    old nodes, at most maxUnavailable at a time: drained, a pause, terminated
//	           through the group, which makes a new one for each
//	scale down the surge is given back, one by one
//	give up    no node in time, a pod that cannot be evicted, or an Auto Scaling group that may
//	           not terminate, an API server that stays away, EKS's launch template gone: the
//	           template goes back, old nodes take pods again, the surge goes
//
// The strategy MINIMAL has no surge: an old node goes only while no more than maxUnavailable
// are missing.

// DefaultDrainedPause is how long EKS waits before it terminates a node that is empty.
const DefaultDrainedPause = 60 * time.Second

// drainsEvery is how often a drain that has broken off for another reason than its time is
// begun again.
const drainsEvery = time.Second

// excluded keeps a node out of load balancers.
const excluded = "node.kubernetes.io/exclude-from-external-load-balancers"

const strategyMinimal = "MINIMAL"

// Codes of an update's errors.
const (
	nodeCreationFailure = "NodeCreationFailure"
	podEvictionFailure  = "PodEvictionFailure"
)

// roll brings the replacement on by what can be done now.
func (c *Controller) roll(ctx context.Context, s state) (time.Duration, error) {
	if err := c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error { st.Issues = s.faults; return nil }); err != nil {
		return reconcile.Never, err
	}
	switch {
	case !s.grouped:
		return reconcile.Never, fmt.Errorf("node group %s has lost its Auto Scaling group", s.ng.Name)
	case !s.rolled():
		return reconcile.Never, c.orFail(ctx, s, c.beginRoll(ctx, s))
	case s.ng.Status.Roll.Failed != nil:
		return c.giveUp(ctx, s)
	case !s.ng.Status.Roll.Cordoned:
		return c.scaleUp(ctx, s)
	case len(s.old()) > 0:
		return c.replace(ctx, s)
	default:
		return c.scaleDown(ctx, s)
	}
}

// rolled says whether the roll that is asked for has begun, and not ended.
func (s state) rolled() bool {
	return s.ng.Rolling() && s.ng.Status.Roll.Revision == s.ng.Spec.Roll.Revision
}

// old are the members that are to go, those that are leaving too.
func (s state) old() (out []member) {
	for _, m := range s.members {
		if m.template != s.ng.Status.Roll.Template {
			out = append(out, m)
		}
	}
	return out
}

// readyNew is how many of the new nodes are Ready.
func (s state) readyNew() (n int) {
	for _, m := range s.members {
		if m.template == s.ng.Status.Roll.Template && m.ready() {
			n++
		}
	}
	return n
}

// surge is how many more nodes the group gets: twice as many as it has zones, but no more
// than there are to replace; and maxUnavailable at least.
func (s state) surge(version string) int32 {
	live := 0
	for _, m := range s.members {
		if m.template != version && !m.leaving() {
			live++
		}
	}
	if live == 0 || s.ng.Spec.UpdateStrategy == strategyMinimal {
		return 0
	}
	return int32(max(min(2*len(s.group.Spec.Zones), live), s.maxUnavailable()))
}

// maxUnavailable is how many old nodes may be emptied at a time.
func (s state) maxUnavailable() int {
	spec := s.ng.Spec
	if p := spec.MaxUnavailablePercentage; p > 0 {
		return max(1, int(spec.Desired*p/100))
	}
	return max(1, int(spec.MaxUnavailable))
}

func (c *Controller) beginRoll(ctx context.Context, s state) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, g, ok := records(tx, s)
		if !ok {
			return nil
		}
		lt, ok := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
		if !ok {
			return fmt.Errorf("node group %s has lost its launch template", ng.Name)
		}
		version, err := c.newVersion(tx, ng, s.cluster, lt)
		if err != nil {
			return err
		}
		// The roll counts from the caller's size, not from one that Spot has grown.
		g.Spec.Desired -= ng.Grown(g)
		g.Spec.Max, ng.Status.Rebalancing = max(g.Spec.Max-int32(len(ng.Status.Rebalancing)), g.Spec.Desired), nil
		surge := s.surge(version)
		ng.Status.Roll = resource.RollStatus{
			Revision: ng.Spec.Roll.Revision, Template: version, Before: g.Spec.LaunchTemplateVersion, Max: g.Spec.Max, Surge: surge,
			Expect: g.Spec.Desired + surge, Since: c.cfg.Now(), Cordoned: surge == 0,
		}
		g.Spec.LaunchTemplateVersion = version
		g.Spec.InstanceTypes = ng.Target().InstanceTypes
		g.Spec.Max, g.Spec.Desired = g.Spec.Max+surge, g.Spec.Desired+surge
		tx.AutoScalingGroups.Put(g.ARN, g)
		if err := ng.Status.Move(resource.NodegroupUpdating); err != nil {
			return err
		}
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

// records are the node group and its Auto Scaling group as they are now, if the roll that s
// has seen is still to be done.
func records(tx *store.Tx, s state) (ng resource.Nodegroup, g resource.AutoScalingGroup, ok bool) {
	ng, ok = tx.Nodegroups.Get(s.ng.ARN)
	if !ok || ng.Deleting || !ng.Rolling() || ng.Spec.Roll.Revision != s.ng.Spec.Roll.Revision {
		return ng, g, false
	}
	g, ok = tx.AutoScalingGroups.Get(groupARN(ng))
	return ng, g, ok
}

// change alters the roll's progress and the group.
func (c *Controller) change(ctx context.Context, s state, f func(*resource.RollStatus, *resource.AutoScalingGroupSpec)) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, g, ok := records(tx, s)
		if !ok {
			return nil
		}
		f(&ng.Status.Roll, &g.Spec)
		tx.Nodegroups.Put(ng.ARN, ng)
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
}

// awaitNodes says for how much longer the nodes that are awaited may be, and what for.
func (c *Controller) awaitNodes(ctx context.Context, s state, waiting string) (time.Duration, error) {
	return c.await(ctx, s, waiting, func() resource.UpdateError {
		e := resource.UpdateError{Code: nodeCreationFailure, Message: "Couldn't proceed with upgrade process as new nodes are not joining node group " + s.ng.Name}
		if why := s.group.Status.Waiting; why != "" {
			e.Message += ". " + why
		}
		for _, m := range s.members {
			if m.template == s.ng.Status.Roll.Template && !m.ready() {
				e.ResourceIDs = append(e.ResourceIDs, m.Instance)
			}
		}
		return e
	})
}

// awaitEnds is the same for nodes that are to go. Usually they do, without a time of their
// own; an Auto Scaling group that may not terminate keeps them until somebody resumes it.
func (c *Controller) awaitEnds(ctx context.Context, s state, waiting string) (time.Duration, error) {
	if !s.group.Spec.Suspended(processTerminate) {
		return reconcile.Never, c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error {
			st.Waiting, st.ReadyNodes, st.Roll.Since = waiting, s.ready(), time.Time{}
			return nil
		})
	}
	return c.await(ctx, s, waiting, func() resource.UpdateError {
		why := terminateSuspended(s.group)
		return resource.UpdateError{Code: "Unknown", Message: why.Message, ResourceIDs: why.ResourceIDs}
	})
}

// await says for how much longer something may be awaited, and gives the roll up when that
// has been too long.
func (c *Controller) await(ctx context.Context, s state, waiting string, late func() resource.UpdateError) (time.Duration, error) {
	now, left := c.cfg.Now(), c.cfg.JoinTimeout
	err := c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error {
		if st.Roll.Since.IsZero() {
			st.Roll.Since = now
		}
		left -= now.Sub(st.Roll.Since)
		st.Waiting, st.ReadyNodes = waiting, s.ready()
		return nil
	})
	if err != nil || left > 0 {
		return left, err
	}
	return reconcile.Never, c.fail(ctx, s, late())
}

func (c *Controller) fail(ctx context.Context, s state, e resource.UpdateError) error {
	return c.change(ctx, s, func(r *resource.RollStatus, _ *resource.AutoScalingGroupSpec) {
		if r.Failed == nil {
			r.Failed = &e
		}
	})
}

// scaleUp waits for the surge, and then cordons the old nodes.
func (c *Controller) scaleUp(ctx context.Context, s state) (time.Duration, error) {
	r := s.ng.Status.Roll
	if n := s.readyNew(); n < int(r.Surge) {
		return c.awaitNodes(ctx, s, fmt.Sprintf("%d of %d new nodes to be ready", int(r.Surge)-n, r.Surge))
	}
	if ok, err := c.cordon(ctx, s, s.old()); !ok {
		return reconcile.Never, err
	}
	return reconcile.Never, c.change(ctx, s, func(r *resource.RollStatus, _ *resource.AutoScalingGroupSpec) {
		r.Cordoned, r.Since = true, time.Time{}
	})
}

// cordon excludes nodes. If that cannot be done it gives the roll up, at last.
func (c *Controller) cordon(ctx context.Context, s state, nodes []member) (done bool, _ error) {
	late, err := c.eachNode(ctx, s, nodes, exclusion(true))
	if late {
		return false, c.fail(ctx, s, s.unreachable(err))
	}
	return err == nil, err
}

// exclusion takes a node out of scheduling and load balancing, or back into it.
func exclusion(out bool) resource.NodeChange {
	if out {
		return resource.NodeChange{Cordon: &out, SetLabels: map[string]string{excluded: "true"}}
	}
	return resource.NodeChange{Cordon: &out, RemoveLabels: []string{excluded}}
}

// replace empties old nodes and sends off those that are empty.
func (c *Controller) replace(ctx context.Context, s state) (time.Duration, error) {
	drains, now := s.ng.Status.Roll.Drains, c.cfg.Now()
	again := reconcile.Never
	soon := func(d time.Duration) { again = sooner(again, d) }
	var untouched []member
	for _, m := range s.old() {
		d, begun := drains[m.Instance]
		switch {
		case m.leaving():
		case !begun:
			untouched = append(untouched, m)
		case d.Done.IsZero():
			c.empty(s, m, d)
			soon(drainsEvery)
		default:
			if left := c.drainedPause() - now.Sub(d.Done); left > 0 {
				soon(left)
				continue
			}
			if _, asked := s.group.Spec.Condemned[m.Instance]; asked {
				continue
			}
			// The desired capacity stays: the group makes a new node for it.
			err := c.change(ctx, s, func(_ *resource.RollStatus, g *resource.AutoScalingGroupSpec) { condemn(g, m.Instance, false) })
			if err != nil {
				return reconcile.Never, err
			}
		}
	}
	missing := len(s.old()) - len(untouched)
	if s.ng.Spec.UpdateStrategy == strategyMinimal {
		missing = int(s.group.Spec.Desired) - s.serving()
	}
	if next := s.next(untouched, s.maxUnavailable()-missing); len(next) > 0 {
		return reconcile.Never, c.take(ctx, s, next)
	}
	if again == reconcile.Never && len(untouched) > 0 && s.ng.Spec.UpdateStrategy == strategyMinimal && !s.group.Spec.Suspended(processTerminate) {
		return c.awaitNodes(ctx, s, fmt.Sprintf("%d nodes to be ready", missing))
	}
	left, err := c.awaitEnds(ctx, s, fmt.Sprintf("%d nodes to be replaced", len(s.old())))
	return sooner(again, left), err
}

// next are the old nodes whose turn it is, at random, if room more may be missing. With
// MINIMAL one that is not Ready is missing already.
func (s state) next(untouched []member, room int) (out []member) {
	rand.Shuffle(len(untouched), func(i, j int) { untouched[i], untouched[j] = untouched[j], untouched[i] })
	for _, m := range untouched {
		free := s.ng.Spec.UpdateStrategy == strategyMinimal && !m.ready()
		if !free && room <= 0 {
			continue
		}
		if !free {
			room--
		}
		out = append(out, m)
	}
	return out
}

// take begins the emptying of nodes.
func (c *Controller) take(ctx context.Context, s state, nodes []member) error {
	if ok, err := c.cordon(ctx, s, nodes); !ok {
		return err
	}
	now := c.cfg.Now()
	return c.change(ctx, s, func(r *resource.RollStatus, _ *resource.AutoScalingGroupSpec) {
		if r.Drains == nil {
			r.Drains = map[string]resource.Drain{}
		}
		for _, m := range nodes {
			r.Drains[m.Instance] = resource.Drain{Since: now}
		}
		r.Since = time.Time{}
	})
}

// serving is how many nodes are Ready and not being emptied.
func (s state) serving() (n int) {
	for _, m := range s.members {
		if _, drained := s.ng.Status.Roll.Drains[m.Instance]; m.ready() && !drained {
			n++
		}
	}
	return n
}

func condemn(g *resource.AutoScalingGroupSpec, instance string, lowered bool) {
	if g.Condemned == nil {
		g.Condemned = map[string]bool{}
	}
	g.Condemned[instance] = lowered
}

func (c *Controller) drainedPause() time.Duration {
	if c.cfg.DrainedPause == 0 {
		return DefaultDrainedPause
	}
	return c.cfg.DrainedPause
}
