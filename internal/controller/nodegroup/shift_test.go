package nodegroup

import (
	"slices"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// During a zonal shift a lost node is replaced in another zone and a sick one is not; afterwards
// both are as ever.
func TestZonalShift(t *testing.T) {
	w := newRepaired(t, 2, resource.NodeRepair{})
	zoneOf := func(id string) (zone string) {
		_ = w.store.View(func(tx *store.Tx) error {
			in, _ := tx.Instances.Get(id)
			zone = in.Spec.Zone
			return nil
		})
		return zone
	}
	before := w.instances()
	away := zoneOf(before[0])
	w.update(func(tx *store.Tx) error {
		c, _ := tx.Clusters.Get(clusterARN)
		c.Spec.ZonalShiftOn = true
		tx.Clusters.Put(clusterARN, c)
		tx.ZonalShifts.Put(clusterARN, resource.ZonalShift{Cluster: clusterARN, Zone: away, Expires: w.clock().Add(24 * time.Hour)})
		return nil
	})
	w.until("away", func() bool { return w.state().group.Spec.AwayFrom == away })
	w.sicken(condition("KernelReady", "ForkFailedOutOfPID"), before[1])
	w.pass(3 * wait)
	if now := w.instances(); !slices.Equal(now, before) {
		t.Errorf("%v became %v during the shift", before, now)
	}
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Spec.Desired, ng.Spec.Max = 4, 8
		tx.Nodegroups.Put(ng.ARN, ng)
		g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
		g.Spec.Desired, g.Spec.Max = 4, 8
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
	w.until("grown", func() bool { return len(w.instances()) == 4 })
	for _, id := range w.instances() {
		if !slices.Contains(before, id) && zoneOf(id) == away {
			t.Errorf("%s was launched in %s", id, away)
		}
	}
	w.update(func(tx *store.Tx) error {
		return tx.ZonalShifts.Edit(clusterARN, func(z *resource.ZonalShift) error { z.Cancelled = true; return nil })
	})
	w.until("back", func() bool { return w.state().group.Spec.AwayFrom == "" })
	w.until("repaired", func() bool { return !slices.Contains(w.instances(), before[1]) })
}
