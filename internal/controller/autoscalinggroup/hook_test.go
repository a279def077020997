package autoscalinggroup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
)

func hooks(list ...resource.LifecycleHook) func(*resource.AutoScalingGroupSpec) {
	return func(s *resource.AutoScalingGroupSpec) { s.Desired, s.Hooks = 1, list }
}

func (w *world) complete(hook, result string) {
	w.t.Helper()
	for _, m := range w.members() {
		w.member(m.Instance, func(m *resource.GroupInstance) {
			m.Complete(hook, "", result, "Lifecycle Action Completed with "+result+" Result")
		})
	}
	w.reconcile()
	w.reconcile()
}

// of are the activities whose descriptions begin with verb, the newest last.
func (w *world) of(verb string) (out []resource.ScalingActivity) {
	for _, a := range w.activities() {
		if strings.HasPrefix(a.Description, verb) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b resource.ScalingActivity) int { return a.Started.Compare(b.Started) })
	return out
}

func TestLaunchHookHolds(t *testing.T) {
	w := newWorld(t, hooks(resource.LifecycleHook{Name: "a", Transition: resource.HookLaunching, Heartbeat: 60, Default: resource.ActionContinue},
		resource.LifecycleHook{Name: "b", Transition: resource.HookLaunching, Heartbeat: 300, Default: resource.ActionAbandon}))
	w.reconcile()
	w.run()
	held := w.inState(resource.MemberPendingWait)
	if len(held) != 1 || w.of("Launching")[0].Status != "MidLifecycleAction" {
		t.Fatalf("held: %v, %+v", held, w.of("Launching"))
	}
	w.complete("a", resource.ActionContinue)
	if got := w.inState(resource.MemberPendingWait); len(got) != 1 {
		t.Fatal("one of two hooks let it go")
	}
	if again := w.reconcile(); again != 5*time.Minute {
		t.Fatalf("looks again in %s", again)
	}
	w.complete("b", resource.ActionContinue)
	if got := w.inState(resource.MemberInService); !slices.Equal(got, held) {
		t.Fatalf("in service: %v", got)
	}
	if a := w.of("Launching"); len(a) != 1 || a[0].Status != "Successful" {
		t.Fatalf("%+v", a)
	}
}

func TestAbandonedLaunchIsReplacedLaterAndLater(t *testing.T) {
	w := newWorld(t, hooks(resource.LifecycleHook{Name: "a", Transition: resource.HookLaunching, Heartbeat: 60, Default: resource.ActionAbandon}))
	for i, wait := range []time.Duration{firstRetry, 2 * firstRetry} {
		w.reconcile()
		w.run()
		held := w.inState(resource.MemberPendingWait)
		if len(held) != 1 {
			t.Fatalf("held: %v", w.members())
		}
		why := "Heartbeat Timeout"
		if i == 0 {
			why = "Lifecycle Action Completed with ABANDON Result"
			w.complete("a", resource.ActionAbandon)
		} else {
			w.now = w.now.Add(time.Minute)
			w.reconcile()
		}
		if in := w.instance(held[0]); !in.Terminating {
			t.Fatal("the abandoned instance runs on")
		}
		all := w.of("Launching")
		a := all[len(all)-1]
		if a.Status != "Cancelled" || !strings.HasPrefix(a.Message, "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token ") || !strings.HasSuffix(a.Message, " was abandoned: "+why) ||
			a.Description != "Launching a new EC2 instance: "+held[0]+".  Status Reason: "+a.Message {
			t.Fatalf("%+v", a)
		}
		w.machines()
		if again := w.reconcile(); again != wait || len(w.members()) != 0 {
			t.Fatalf("launches again in %s: %v", again, w.members())
		}
		w.now = w.now.Add(wait)
	}
}

func TestHeartbeatsHoldUpToTheLimit(t *testing.T) {
	w := newWorld(t, hooks(resource.LifecycleHook{Name: "a", Transition: resource.HookTerminating, Heartbeat: 30, Default: resource.ActionContinue}))
	w.reconcile()
	w.run()
	begin := w.now
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 0 })
	w.reconcile()
	for range 200 {
		id := w.inState(resource.MemberTerminatingWait)
		if len(id) == 0 {
			break
		}
		w.now = w.now.Add(20 * time.Second)
		w.member(id[0], func(m *resource.GroupInstance) { m.Actions[0].Beat = w.now })
		w.reconcile()
	}
	if held := w.now.Sub(begin); held != 3000*time.Second {
		t.Fatalf("held for %s by heartbeats of 30 s", held)
	}
	if got := w.inState(resource.MemberTerminatingProceed); len(got) != 1 || !w.instance(got[0]).Terminating {
		t.Fatalf("%+v", w.members())
	}
}

func TestForcedDeletePassesHooks(t *testing.T) {
	w := newWorld(t, hooks(resource.LifecycleHook{Name: "a", Transition: resource.HookTerminating, Heartbeat: 3600, Default: resource.ActionContinue}))
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Deleting = true })
	w.reconcile()
	if len(w.inState(resource.MemberTerminatingWait)) != 1 {
		t.Fatalf("%+v", w.members())
	}
	w.spec(func(g *resource.AutoScalingGroup) { g.Force = true })
	w.reconcile()
	if got := w.members(); len(got) != 1 || !w.instance(got[0].Instance).Terminating {
		t.Fatalf("%+v", got)
	}
}
