package autoscalinggroup

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// kinds counts the instances in service by their types: "2 t3.large, 1 t3.medium".
func (w *world) kinds() string {
	n := map[string]int{}
	for _, id := range w.inState(resource.MemberInService) {
		n[w.instance(id).Spec.Type]++
	}
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		out = append(out, fmt.Sprint(n[kind], " ", kind))
	}
	return strings.Join(out, ", ")
}

// Which type is launched is the strategy's choice, in each zone.
func TestAllocationStrategies(t *testing.T) {
	types := []string{"t3.large", "t3.medium", "t3a.medium"} // the cheapest comes last, and fulfils as much
	for _, c := range []struct {
		name string
		spot int32
		how  resource.InstancesDistribution
		want string
	}{
		{"prioritized", 0, resource.InstancesDistribution{OnDemandStrategy: "prioritized"}, "4 t3.large"},
		{"lowest price", 0, resource.InstancesDistribution{OnDemandStrategy: "lowest-price"}, "4 t3a.medium"},
		{"spot by priority", 100, resource.InstancesDistribution{SpotStrategy: "capacity-optimized-prioritized"}, "4 t3.large"},
		{"spot, lowest price of two", 100, resource.InstancesDistribution{SpotStrategy: "lowest-price", SpotPools: 2}, "2 t3.medium, 2 t3a.medium"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
				s.Mixed, s.InstanceTypes, s.SpotPercentage, s.Distribution, s.Desired, s.Subnets = true, types, c.spot, c.how, 4, s.Subnets[:1]
			})
			w.settle(time.Minute)
			if got := w.kinds(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A zone that has no room for the first type gets the second, rather than another zone the first.
func TestAnotherTypeBeforeAnotherZone(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.Distribution.OnDemandStrategy = true, []string{"t3.large", "t3.medium"}, "prioritized"
	})
	w.update(func(tx *store.Tx) error {
		tx.CapacityFaults.Put("f", resource.CapacityFault{Type: "t3.large", Zone: "us-west-2a"})
		return nil
	})
	w.settle(time.Minute)
	if got := w.kinds(); got != "2 t3.large, 1 t3.medium" {
		t.Errorf("got %s", got)
	}
}

// A group that is balanced only waits for the zone that has no room.
func TestBalancedOnly(t *testing.T) {
	for distribution, want := range map[string]int{"balanced-best-effort": 3, "balanced-only": 2} {
		w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.ZoneDistribution = distribution })
		w.update(func(tx *store.Tx) error {
			tx.CapacityFaults.Put("f", resource.CapacityFault{Type: "*", Zone: "us-west-2a"})
			return nil
		})
		w.settle(time.Minute)
		if got := len(w.inState(resource.MemberInService)); got != want {
			t.Errorf("%s: %d instances", distribution, got)
		}
	}
}

// Types of another architecture have an image of their own, and one may have a template of its own.
func TestOverridesOfTypes(t *testing.T) {
	arm, _ := ami.Recommended(home.Region, "1.35", ami.ARM64, ami.Standard)
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.Weights = true, []string{"t4g.medium"}, nil
		s.Overrides = map[string]resource.LaunchOverride{"t4g.medium": {LaunchTemplateID: "lt-2", LaunchTemplateVersion: "1", Image: arm.ID}}
	})
	w.update(func(tx *store.Tx) error {
		lt, _ := tx.LaunchTemplates.Get("lt-1")
		lt.ID, lt.Name = "lt-2", "second"
		tx.LaunchTemplates.Put(lt.ID, lt)
		return nil
	})
	w.settle(time.Minute)
	for _, id := range w.inState(resource.MemberInService) {
		if s := w.instance(id).Spec; s.Image != arm.ID || s.Type != "t4g.medium" || s.LaunchTemplate != "lt-2" {
			t.Errorf("got %+v", s)
		}
	}
	if n := len(w.inState(resource.MemberInService)); n != 3 {
		t.Fatalf("%d instances: %+v", n, w.activities())
	}
	_ = w.store.View(func(tx *store.Tx) error {
		r := w.c.round(tx, w.group())
		for _, m := range r.members {
			if !r.matches(m, r.settings()) {
				t.Error("a refresh would replace what it would launch")
			}
		}
		return nil
	})
}

// Instances go into the group's placement group, and spot ones cost no more than it offers.
func TestPlacementGroupAndMaximalPrice(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.SpotPercentage, s.Desired = true, []string{"m5.large"}, 100, 1
		s.PlacementGroup, s.Distribution.SpotMaxPrice = "near", "0.09"
	})
	w.update(func(tx *store.Tx) error {
		tx.PlacementGroups.Put("pg-1", resource.PlacementGroup{Home: home, ID: "pg-1", Name: "near", Strategy: "cluster"})
		return nil
	})
	w.settle(time.Minute)
	members := w.inState(resource.MemberInService)
	if len(members) != 1 || w.instance(members[0]).Spec.PlacementGroup != "pg-1" {
		t.Fatalf("%+v", w.activities())
	}
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired, g.Spec.Distribution.SpotMaxPrice = 2, "0.0001" })
	w.settle(time.Minute)
	if got := w.group().Status.WaitingCode; got != "SpotMaxPriceTooLow" {
		t.Errorf("it waits for %q", got)
	}
}
