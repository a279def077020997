package autoscalinggroup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestLaunchesOverAllZones(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	zones := map[string]int{}
	for _, id := range w.inState(resource.MemberPending) {
		in := w.instance(id)
		zones[in.Spec.Zone]++
		if in.Tags["team"] != "a" || in.Tags["quiet"] != "" || in.Tags["aws:autoscaling:groupName"] != "g" {
			t.Errorf("tags of %s: %v", id, in.Tags)
		}
	}
	if len(zones) != 3 {
		t.Fatalf("three instances are in zones %v", zones)
	}
	w.run()
	if got := len(w.inState(resource.MemberInService)); got != 3 {
		t.Fatalf("%d members are in service", got)
	}
	for _, a := range w.activities() {
		if a.Status != "Successful" || a.Ended.IsZero() {
			t.Errorf("activity %+v", a)
		}
	}
	w.reconcile()
	if got := len(w.members()); got != 3 {
		t.Fatalf("a second look made %d members", got)
	}
}

func TestReplacesWhatDied(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.run()
	dead := w.inState(resource.MemberInService)[0]
	w.update(func(tx *store.Tx) error { provision.Terminated(tx, dead, w.now); return nil })
	w.reconcile()
	w.run()
	now := w.inState(resource.MemberInService)
	if len(now) != 3 || slices.Contains(now, dead) {
		t.Fatalf("in service after the death of %s: %v", dead, now)
	}
}

func TestHookHoldsUntilContinue(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Hooks = []resource.LifecycleHook{{Name: "h", Transition: resource.HookTerminating, Heartbeat: 60, Default: resource.ActionContinue}}
	})
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 1 })
	if again := w.reconcile(); again != time.Minute {
		t.Fatalf("looks again in %s", again)
	}
	held := w.inState(resource.MemberTerminatingWait)
	if len(held) != 2 || w.instance(held[0]).Terminating {
		t.Fatalf("held: %v", held)
	}
	w.update(func(tx *store.Tx) error {
		m, _ := tx.GroupInstances.Get(held[0])
		m.Complete("h", "", resource.ActionContinue, "")
		tx.GroupInstances.Put(m.Instance, m)
		return nil
	})
	w.reconcile()
	if !w.instance(held[0]).Terminating || w.instance(held[1]).Terminating {
		t.Fatal("Continue let the wrong one go")
	}
	w.now = w.now.Add(time.Minute)
	w.reconcile()
	if !w.instance(held[1]).Terminating {
		t.Fatal("the heartbeat is over and the instance is still held")
	}
	w.run()
	if got := len(w.members()); got != 1 {
		t.Fatalf("%d members are left", got)
	}
}

func TestShrinksTheFullestZoneFirst(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired = 4 })
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 3 })
	w.reconcile()
	w.run()
	zones := map[string]bool{}
	for _, id := range w.inState(resource.MemberInService) {
		zones[w.instance(id).Spec.Zone] = true
	}
	if len(zones) != 3 {
		t.Fatalf("after the scale-in the zones are %v", zones)
	}
}

func TestProtectedMembersStay(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.NewInstancesProtected = true })
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 0 })
	w.reconcile()
	if got := len(w.inState(resource.MemberInService)); got != 3 {
		t.Fatalf("%d of 3 protected members stay", got)
	}
}

func TestCondemnedGoesAndIsForgotten(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.run()
	id := w.inState(resource.MemberInService)[1]
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired, g.Spec.Condemned = 2, map[string]bool{id: true} })
	w.reconcile()
	w.run()
	if now := w.inState(resource.MemberInService); len(now) != 2 || slices.Contains(now, id) {
		t.Fatalf("in service: %v", now)
	}
	_ = w.store.View(func(tx *store.Tx) error {
		if g, _ := tx.AutoScalingGroups.Get(w.arn); len(g.Spec.Condemned) != 0 {
			t.Errorf("still condemned: %v", g.Spec.Condemned)
		}
		return nil
	})
}

func TestDeletedGroupGoesLast(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Deleting = true })
	w.reconcile()
	exists := func() (ok bool) {
		_ = w.store.View(func(tx *store.Tx) error { ok = tx.AutoScalingGroups.Has(w.arn); return nil })
		return ok
	}
	if !exists() {
		t.Fatal("the group is gone before its instances")
	}
	w.run()
	w.reconcile()
	if exists() || len(w.members()) != 0 {
		t.Fatal("something of the group is left")
	}
	if got := len(w.activities()); got != 6 {
		t.Fatalf("%d activities tell of three launches and three ends", got)
	}
}

func TestFailedLaunchWaitsLonger(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.LaunchTemplateID = "lt-gone" })
	if again := w.reconcile(); again != firstRetry {
		t.Fatalf("tries again in %s", again)
	}
	a := w.activities()
	if len(a) != 1 || a[0].Status != "Failed" || !strings.Contains(a[0].Message, "does not exist") {
		t.Fatalf("activities: %+v", a)
	}
	if again := w.reconcile(); again != firstRetry || len(w.activities()) != 1 {
		t.Fatalf("woken early it tries again in %s, with %d activities", again, len(w.activities()))
	}
	w.now = w.now.Add(firstRetry)
	if again := w.reconcile(); again != 2*firstRetry {
		t.Fatalf("the second failure waits %s", again)
	}
}

func TestSuspendedProcesses(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.SuspendedProcesses = []resource.SuspendedProcess{{Name: "Launch"}}
	})
	w.reconcile()
	if got := len(w.members()); got != 0 {
		t.Fatalf("%d members although Launch is suspended", got)
	}
}
