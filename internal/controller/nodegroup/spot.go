package nodegroup

import (
	"context"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Spot instances that EC2 wants back.
//
//	rebalance recommendation ─ the group grows by one ─ the new node is Ready ─ the old one is
//	cordoned, drained and terminated, the group shrinks again
//	interruption notice ─ the same at once: there are two minutes, and nothing to wait for
//
// Status.Rebalancing has the instances for which the group has grown, until somebody else sets
// its size.

// A notice is what EC2 has said about a Spot instance.
type notice struct {
	rebalance    time.Time // it is at a higher risk; zero: it is not
	interruption time.Time // it is taken back then; zero: it is not
}

func noticeOf(tx *store.Tx, in resource.Instance) notice {
	r, ok := tx.SpotRequests.Get(in.Spec.SpotRequest)
	if !ok {
		return notice{}
	}
	return notice{r.Rebalance, r.Interruption}
}

// leaveSpot sends off the nodes whose instances EC2 takes back, and replaces those that are
// at risk of it; during a roll, which moves the group's size itself, only the first.
func (c *Controller) leaveSpot(ctx context.Context, s state) error {
	if !s.grouped || s.ng.Deleting || s.ng.Spec.CapacityType != "SPOT" {
		return nil
	}
	var now, later []string
	var replaced []string // their replacements are there, or they are gone
	spare := s.spare()
	known := map[string]bool{}
	for _, m := range s.members {
		_, condemned := s.group.Spec.Condemned[m.Instance]
		if m.leaving() || condemned {
			continue
		}
		known[m.Instance] = true
		grown := s.ng.Status.Rebalancing[m.Instance]
		switch {
		case !m.notice.interruption.IsZero():
			now = append(now, m.Instance)
		case m.notice.rebalance.IsZero() || s.ng.Rolling():
		case !grown:
			later = append(later, m.Instance)
		case spare > 0:
			replaced, spare = append(replaced, m.Instance), spare-1
		}
	}
	for id := range s.ng.Status.Rebalancing {
		if !known[id] {
			replaced = append(replaced, id)
		}
	}
	if len(now)+len(later)+len(replaced) == 0 {
		return nil
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, ok := tx.Nodegroups.Get(s.ng.ARN)
		g, grouped := tx.AutoScalingGroups.Get(groupARN(s.ng))
		if !ok || !grouped || ng.Deleting {
			return nil
		}
		if ng.Status.Rebalancing == nil {
			ng.Status.Rebalancing = map[string]bool{}
		}
		before := g.Spec.Desired
		if len(ng.Status.Rebalancing) == 0 {
			ng.Status.Rebalanced = before
		}
		for _, id := range later {
			if !ng.Status.Rebalancing[id] {
				ng.Status.Rebalancing[id] = true
				g.Spec.Desired, g.Spec.Max = g.Spec.Desired+1, g.Spec.Max+1
			}
		}
		ng.Status.Rebalanced += g.Spec.Desired - before
		for _, id := range append(now, replaced...) {
			lowered := false
			if ng.Status.Rebalancing[id] {
				if lowered = ng.Grown(g) > 0; lowered {
					g.Spec.Desired, ng.Status.Rebalanced = g.Spec.Desired-1, ng.Status.Rebalanced-1
				}
				delete(ng.Status.Rebalancing, id)
				g.Spec.Max = max(g.Spec.Max-1, g.Spec.Desired)
			}
			if known[id] {
				condemn(&g.Spec, id, lowered)
			}
		}
		tx.Nodegroups.Put(ng.ARN, ng)
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
}

// spare is how many nodes are Ready beyond those that the group is to have when nobody is
// replaced any more.
func (s state) spare() int {
	ready := 0
	for _, m := range s.members {
		if m.ready() && m.notice == (notice{}) {
			ready++
		}
	}
	// Those at risk that wait for their turn still serve, so one that is Ready makes one free.
	wanted, waiting := int(s.group.Spec.Desired-s.ng.Grown(s.group)), 0
	for _, m := range s.members {
		if _, condemned := s.group.Spec.Condemned[m.Instance]; m.notice != (notice{}) && !condemned && !m.leaving() {
			waiting++
		}
	}
	return ready + waiting - wanted
}
