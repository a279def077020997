package autoscalinggroup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A spot instance that EC2 may take back stays until another one serves; without capacity
// rebalance nothing is done before it is gone.
func TestCapacityRebalance(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
				s.Mixed, s.InstanceTypes, s.SpotPercentage, s.CapacityRebalance = true, []string{"t3.medium"}, 100, on
				s.Desired, s.Max = 2, 2
			})
			w.settle(time.Minute)
			id := w.inState(resource.MemberInService)[0]
			w.now = w.now.Add(time.Minute)
			w.update(func(tx *store.Tx) error { return provision.RecommendRebalance(tx, id, w.now) })
			w.reconcile()
			serves, joins := w.inState(resource.MemberInService), w.inState(resource.MemberPending)
			if !slices.Contains(serves, id) || len(joins) == 1 != on {
				t.Fatalf("serving %v, joining %v", serves, joins)
			}
			w.settle(time.Minute)
			serves = w.inState(resource.MemberInService)
			if len(serves) != 2 || slices.Contains(serves, id) != !on || len(w.members()) != 2 {
				t.Fatalf("serving %v", serves)
			}
			if ends := w.of("Terminating"); on && !strings.HasSuffix(ends[0].Cause, "in response to an EC2 instance rebalance recommendation.") {
				t.Errorf("%+v", ends)
			}
		})
	}
}

// Two of a group whose instances live a day are replaced after it, one after the other.
func TestMaximumLifetime(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired, s.MaxInstanceLifetime = 2, 86400 })
	w.settle(time.Minute)
	before := w.inState(resource.MemberInService)
	w.now = w.now.Add(24*time.Hour - time.Minute)
	if again := w.reconcile(); again != time.Minute || len(w.of("Terminating")) != 0 {
		t.Fatalf("looks again in %s; %+v", again, w.of("Terminating"))
	}
	w.now = w.now.Add(time.Minute)
	w.reconcile()
	if got := w.of("Terminating"); len(got) != 1 || !strings.HasSuffix(got[0].Cause, "in response to the maximum instance lifetime of the group.") {
		t.Fatalf("%+v", got)
	}
	w.settle(time.Minute)
	for _, id := range w.inState(resource.MemberInService) {
		if slices.Contains(before, id) {
			t.Errorf("%s lives on", id)
		}
	}
	if got := len(w.inState(resource.MemberInService)); got != 2 {
		t.Errorf("%d are in service", got)
	}
}

// Away from a zone a group launches elsewhere only, and does not even its zones; back, it does.
func TestAwayFromAZone(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired, s.Max = 2, 6 })
	w.settle(time.Minute)
	away := w.instance(w.inState(resource.MemberInService)[0]).Spec.Zone
	in := func() (n int) {
		for _, id := range w.inState(resource.MemberInService) {
			if w.instance(id).Spec.Zone == away {
				n++
			}
		}
		return n
	}
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.AwayFrom, g.Spec.Desired = away, 6 })
	w.settle(time.Minute)
	w.now = w.now.Add(2 * balanceAfter)
	w.settle(time.Minute)
	if n := len(w.inState(resource.MemberInService)); n != 6 || in() != 1 {
		t.Fatalf("%d serve, %d of them in %s", n, in(), away)
	}
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.AwayFrom = "" })
	for range 4 {
		w.settle(time.Minute)
		w.now = w.now.Add(2 * balanceAfter)
	}
	w.settle(time.Minute)
	if in() < 2 {
		t.Errorf("back in %s, %d serve there", away, in())
	}
}
