package nodegroup

import (
	"slices"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func newSpot(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, func(ng *resource.Nodegroup) { ng.Spec.CapacityType = "SPOT" })
	w.untilActive()
	return w
}

// TestRebalance: a node at risk goes only when another one is there for it.
func TestRebalance(t *testing.T) {
	for _, n := range []int{1, 3} {
		w := newSpot(t)
		before := w.instances()
		w.update(func(tx *store.Tx) error {
			for _, id := range before[:n] {
				if err := provision.RecommendRebalance(tx, id, w.clock()); err != nil {
					return err
				}
			}
			return nil
		})
		least, most := 9, 0
		w.watch = func() { least, most = min(least, w.free()), max(most, len(w.instances())) }
		w.until("replaced", func() bool { return kept(before[:n], w.instances()) == 0 })
		w.untilActive()
		ng, _ := w.group()
		if w.left() != "" || least < 3 || most > 3+n || len(ng.Status.Rebalancing) > 0 || kept(before, w.instances()) != 3-n {
			t.Errorf("%d at risk: at least %d nodes took pods, at most %d were there; left: %s %v", n, least, most, w.left(), ng.Status.Rebalancing)
		}
		for _, id := range before[:n] {
			if w.nodes.drained["node-"+id] == 0 {
				t.Errorf("%s was not drained", id)
			}
		}
	}
}

// TestInterruption: a node that is taken back is drained at once, whatever is there for it,
// and also if its replacement was under way.
func TestInterruption(t *testing.T) {
	for _, warned := range []bool{false, true} {
		w := newSpot(t)
		before := w.instances()
		if warned {
			w.absent = func(in resource.Instance) bool { return !slices.Contains(before, in.ID) }
			w.update(func(tx *store.Tx) error { return provision.RecommendRebalance(tx, before[0], w.clock()) })
			w.until("one more", func() bool { return len(w.instances()) == 4 })
		}
		w.update(func(tx *store.Tx) error {
			return provision.InterruptSpot(tx, before[0], 2*time.Minute, w.clock())
		})
		began := w.clock()
		w.until("gone", func() bool { return !slices.Contains(w.instances(), before[0]) })
		if took := w.clock().Sub(began); took > 10*time.Second {
			t.Errorf("it began to go after %s", took)
		}
		w.absent = func(resource.Instance) bool { return false }
		w.untilActive()
		ng, _ := w.group()
		if w.left() != "" || len(ng.Status.Rebalancing) > 0 || kept(before, w.instances()) != 2 || w.nodes.drained["node-"+before[0]] == 0 {
			t.Errorf("warned %v: left: %s %v; %v became %v, drained %v", warned, w.left(), ng.Status.Rebalancing, before, w.instances(), w.nodes.drained)
		}
	}
}

// TestRiskThatEndsAtOnce: the node is gone before there was another one for it.
func TestRiskThatEndsAtOnce(t *testing.T) {
	w := newSpot(t)
	before := w.instances()
	w.absent = func(in resource.Instance) bool { return !slices.Contains(before, in.ID) }
	w.update(func(tx *store.Tx) error { return provision.RecommendRebalance(tx, before[0], w.clock()) })
	w.until("one more", func() bool { return len(w.instances()) == 4 })
	w.update(func(tx *store.Tx) error {
		_, err := provision.Terminate(tx, home, before[0], w.clock())
		return err
	})
	w.until("gone", func() bool { return !slices.Contains(w.instances(), before[0]) })
	w.absent = func(resource.Instance) bool { return false }
	w.untilActive()
	ng, _ := w.group()
	if w.left() != "" || len(ng.Status.Rebalancing) > 0 {
		t.Errorf("left: %s %v", w.left(), ng.Status.Rebalancing)
	}
}

// TestSizeDuringRebalance: what somebody sets while the group is one node larger is what it has then.
func TestSizeDuringRebalance(t *testing.T) {
	w := newSpot(t)
	before := w.instances()
	w.absent = func(in resource.Instance) bool { return !slices.Contains(before, in.ID) }
	w.update(func(tx *store.Tx) error { return provision.RecommendRebalance(tx, before[0], w.clock()) })
	w.until("one more", func() bool { return len(w.instances()) == 4 })
	w.update(func(tx *store.Tx) error {
		for arn, g := range tx.AutoScalingGroups.All() {
			g.Spec.Desired = 3
			tx.AutoScalingGroups.Put(arn, g)
		}
		return nil
	})
	w.absent = func(resource.Instance) bool { return false }
	w.until("one node less", func() bool { ng, _ := w.group(); return len(w.instances()) == 3 && len(ng.Status.Rebalancing) == 0 })
	w.untilActive()
	if s := w.state(); s.group.Spec.Desired != 3 || w.left() != "" {
		t.Errorf("%d nodes are wanted; left: %s", s.group.Spec.Desired, w.left())
	}
}
