package autoscalinggroup

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// rest is time enough for a group to even its zones.
const rest = 2 * balanceAfter

// lives are what a group goes through; each ends in a state that does not depend on what
// failed on the way.
var lives = map[string]func(*world){
	"create": func(w *world) { w.settle(rest) },
	"grow and shrink": func(w *world) {
		w.settle(rest)
		w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 6 })
		w.settle(rest)
		w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 2 })
		w.settle(rest)
	},
	"hooks": func(w *world) {
		w.spec(func(g *resource.AutoScalingGroup) {
			g.Spec.Hooks = []resource.LifecycleHook{
				{Name: "in", Transition: resource.HookLaunching, Heartbeat: 30, Default: resource.ActionContinue},
				{Name: "out", Transition: resource.HookTerminating, Heartbeat: 30, Default: resource.ActionContinue},
			}
		})
		w.settle(rest)
		w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 1 })
		w.settle(rest)
	},
	"a death": func(w *world) {
		w.settle(rest)
		w.update(func(tx *store.Tx) error {
			provision.Terminated(tx, w.inState(resource.MemberInService)[0], w.now)
			return nil
		})
		w.settle(rest)
	},
	"unhealthy, condemned and in standby": func(w *world) {
		w.settle(rest)
		ids := w.inState(resource.MemberInService)
		w.member(ids[0], func(m *resource.GroupInstance) { m.Health = resource.MemberUnhealthy })
		w.member(ids[1], func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberEnteringStandby })
		w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Condemned = map[string]bool{ids[2]: false} })
		w.settle(rest)
	},
	"refresh": func(w *world) {
		w.settle(rest)
		w.newVersion()
		w.startRefresh(func(f *resource.InstanceRefresh) { f.Preferences.MaxHealthy = 150 })
		w.settle(rest)
	},
	"schedule": func(w *world) {
		w.settle(rest)
		w.update(func(tx *store.Tx) error {
			tx.ScheduledActions.Put("s", resource.ScheduledAction{Group: w.arn, Name: "s", Desired: new(int32(5)), Next: w.now.Add(time.Minute)})
			return nil
		})
		w.settle(rest)
	},
	"delete": func(w *world) {
		w.settle(rest)
		w.spec(func(g *resource.AutoScalingGroup) { g.Deleting = true })
		w.settle(rest)
	},
}

// Host are the calls of EC2.
func (w *world) Host() *reconciletest.Calls { return &w.calls }

// Again is a daemon started anew.
func (w *world) Again() {
	w.restart()
	w.settle(time.Second)
}

// End is the state that a life ends in, but for which zone has one instance more than another
// and how often something was tried.
func (w *world) End() string {
	g := w.group()
	members, zones, open := map[string]int{}, map[string]int{}, map[string]int{}
	for _, m := range w.members() {
		in := w.instance(m.Instance)
		members[fmt.Sprint(m.Lifecycle, " ", m.Health, " ", in.Current(), " ", in.Spec.LaunchTemplateVersion)]++
		zones[in.Spec.Zone]++
	}
	for _, a := range w.activities() {
		if a.Status != "Failed" && a.Status != "Successful" {
			open[a.Status+" "+a.Description]++
		}
	}
	running := 0
	_ = w.store.View(func(tx *store.Tx) error {
		for _, in := range tx.Instances.All() {
			if in.Current() == resource.InstanceRunning {
				running++
			}
		}
		return nil
	})
	out := fmt.Sprintf("desired %d, %d running, condemned %v, status %q %d %d, members %v, zones %v, open activities %v", g.Spec.Desired, running, g.Spec.Condemned,
		g.Status.Waiting, g.Status.Failures, g.Status.Unhealthy, members, slices.Sorted(maps.Values(zones)), open)
	for _, f := range w.refreshes() {
		out += fmt.Sprintf(", refresh %s %d%% of %d, todo %v", f.State, f.Percent, f.Total, f.Todo)
	}
	return out
}

func plain(t *testing.T) *world { return newWorld(t, nil) }

func TestEachHostCallFailsOnce(t *testing.T) { reconciletest.EachCallFailsOnce(t, lives, plain) }

// The same, where what fails is a launch that EC2 refuses: a failed activity, and no error.
func TestEachLaunchIsRefusedOnce(t *testing.T) {
	launching := map[string]func(*world){}
	for _, name := range []string{"create", "a death", "refresh", "schedule"} {
		launching[name] = lives[name]
	}
	reconciletest.EachCallFailsOnce(t, launching, func(t *testing.T) *world {
		w := newWorld(t, nil)
		w.refuses = true
		return w
	})
}

func TestRunTwice(t *testing.T) { reconciletest.RunTwice(t, lives, plain) }
