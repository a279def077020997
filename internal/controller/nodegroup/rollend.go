package nodegroup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// emptyingEnds is how often it is looked whether the emptying of nodes, called off, has ended.
const emptyingEnds = 5 * time.Millisecond

// scaleDown gives back the surge, a node at a time, and ends the update. Members that are
// protected from scale-in stay where the desired capacity is lowered: where all are, one is
// sent off by its name, unless it is an autoscaler that has lowered it.
func (c *Controller) scaleDown(ctx context.Context, s state) (time.Duration, error) {
	r, g := s.ng.Status.Roll, s.group.Spec
	leaving := slices.ContainsFunc(s.members, func(m member) bool {
		_, asked := g.Condemned[m.Instance]
		return asked || m.leaving()
	})
	surplus := len(s.members) - int(g.Desired)
	kept := surplus > 0 && !slices.ContainsFunc(s.members, func(m member) bool { return !m.Protected })
	switch {
	case s.ready() < int(g.Desired):
		return c.awaitNodes(ctx, s, fmt.Sprintf("%d of %d nodes to be ready", int(g.Desired)-s.ready(), g.Desired))
	case leaving || surplus != 0 && !kept:
		return c.awaitEnds(ctx, s, fmt.Sprintf("%d nodes to be gone", surplus)) // woken when one is
	case kept && g.Desired == r.Expect:
		return reconcile.Never, c.change(ctx, s, func(_ *resource.RollStatus, g *resource.AutoScalingGroupSpec) {
			condemn(g, s.dispensable()[0].Instance, true)
		})
	case r.Surge > 0 && g.Desired == r.Expect:
		return reconcile.Never, c.change(ctx, s, func(r *resource.RollStatus, g *resource.AutoScalingGroupSpec) {
			r.Surge, r.Expect, r.Since = r.Surge-1, r.Expect-1, time.Time{}
			g.Desired, g.Max = g.Desired-1, g.Max-1
		})
	}
	return reconcile.Never, c.endRoll(ctx, s, resource.UpdateSuccessful)
}

// giveUp takes back what the roll has not completed, once nobody empties a node any more: the
// last request of that would cordon it again.
func (c *Controller) giveUp(ctx context.Context, s state) (time.Duration, error) {
	emptying := false
	c.mu.Lock()
	for _, m := range s.members {
		if cancel := c.emptying[m.Instance]; cancel != nil {
			cancel()
			emptying = true
		}
	}
	c.mu.Unlock()
	if emptying {
		return emptyingEnds, nil
	}
	late, err := c.eachNode(ctx, s, slices.DeleteFunc(s.old(), member.leaving), exclusion(false))
	switch {
	case late: // nodes stay cordoned, which only a cluster that answers can change
		return reconcile.Never, c.endRoll(ctx, s, resource.UpdateFailed, s.unreachable(err))
	case err != nil:
		return reconcile.Never, err
	}
	return reconcile.Never, c.endRoll(ctx, s, resource.UpdateFailed)
}

// endRoll ends the roll's update and leaves the group at its size of before, or at an
// autoscaler's. One that has failed sends off as many new nodes as the surge still has, and
// all that never became Ready; further is what went wrong when it was taken back.
func (c *Controller) endRoll(ctx context.Context, s state, outcome string, further ...resource.UpdateError) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, g, ok := records(tx, s)
		if !ok {
			return nil
		}
		st := &ng.Status
		failed := st.Roll.Failed
		if failed != nil {
			g.Spec.LaunchTemplateVersion = st.Roll.Before
			g.Spec.InstanceTypes = ng.Rolled().InstanceTypes
			for id, lowered := range g.Spec.Condemned {
				if !lowered && !s.leaves(id) {
					delete(g.Spec.Condemned, id) // it stays after all
				}
			}
			extra := int(st.Roll.Surge)
			for i, m := range s.dispensable() {
				if i < extra || !m.ready() { // one that is none of the extra makes room for one of before
					condemn(&g.Spec, m.Instance, i < extra)
				}
			}
			g.Spec.Desired = max(g.Spec.Desired-st.Roll.Surge, g.Spec.Min)
		} else {
			st.RolledRevision = ng.Spec.Roll.Revision
		}
		g.Spec.Max = max(st.Roll.Max, g.Spec.Desired)
		tx.AutoScalingGroups.Put(g.ARN, g)
		for id, u := range tx.Updates.All() {
			if u.Nodegroup != ng.ARN || u.Revision != ng.Spec.Roll.Revision || u.State != resource.UpdateInProgress {
				continue
			}
			u.State, u.Ended = outcome, c.cfg.Now()
			if failed != nil {
				u.Errors = append([]resource.UpdateError{*failed}, further...)
			}
			tx.Updates.Put(id, u)
		}
		st.AppliedRevision, st.Roll, st.Waiting, st.WaitingSince = ng.Spec.Roll.Revision, resource.RollStatus{}, "", time.Time{}
		if err := st.Move(resource.NodegroupActive); err != nil {
			return err
		}
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

func (s state) leaves(instance string) bool {
	return slices.ContainsFunc(s.members, func(m member) bool { return m.Instance == instance && m.leaving() })
}

// dispensable are the new nodes, those first that are not Ready, and then the youngest.
func (s state) dispensable() []member {
	var out []member
	for _, m := range s.members {
		if m.template == s.ng.Status.Roll.Template && !m.leaving() {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b member) int {
		if a.ready() != b.ready() {
			if b.ready() {
				return -1
			}
			return 1
		}
		return b.Joined.Compare(a.Joined)
	})
	return out
}
