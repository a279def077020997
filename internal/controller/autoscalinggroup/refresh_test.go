package autoscalinggroup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// versions counts the members in service by the version of the launch template.
func (w *world) versions() string {
	var out []string
	for _, id := range w.inState(resource.MemberInService) {
		out = append(out, w.instance(id).Spec.LaunchTemplateVersion)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *world) rolled() resource.InstanceRefresh { return w.refreshes()[0] }

// Whatever the preferences, no more are missing than they allow, no more are there, and all
// are new in the end.
func TestRefreshKeepsItsBounds(t *testing.T) {
	for _, c := range []struct {
		desired, least, most int32
		low, high            int // members in service and warm, and members
	}{
		{4, 90, 100, 3, 4},  // one at a time, however little 10% are
		{4, 100, 100, 3, 4}, // the same
		{4, 50, 100, 2, 4},
		{4, 100, 110, 4, 5}, // one is launched first
		{4, 100, 200, 4, 8},
		{4, 75, 150, 3, 6},
		{4, 0, 100, 0, 4},
		{1, 100, 200, 1, 2},
		{0, 90, 100, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d of %d to %d%%", c.desired, c.least, c.most), func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired = c.desired })
			w.settle(time.Minute)
			w.now = w.now.Add(time.Hour)
			w.newVersion()
			w.startRefresh(func(f *resource.InstanceRefresh) {
				f.Preferences.MinHealthy, f.Preferences.MaxHealthy, f.Preferences.Warmup = c.least, c.most, 30
			})
			low, high, percent := int(c.desired), 0, int32(0)
			for range 400 {
				w.reconcile()
				live, warm := 0, 0
				for _, m := range w.members() {
					if m.Counts() {
						live++
					}
					if m.Lifecycle == resource.MemberInService && w.now.Sub(m.Served) >= 30*time.Second {
						warm++
					}
				}
				low, high = min(low, warm), max(high, live)
				if p := w.rolled().Percent; p < percent {
					t.Fatalf("from %d%% to %d%%", percent, p)
				} else {
					percent = p
				}
				if !w.rolled().Active() {
					break
				}
				w.machines()
				w.now = w.now.Add(5 * time.Second)
			}
			f := w.rolled()
			if f.State != resource.RefreshSuccessful || f.Percent != 100 || len(f.Todo) != 0 || f.Total != int(c.desired) {
				t.Fatalf("%+v", f)
			}
			if want := strings.TrimSpace(strings.Repeat("2 ", int(c.desired))); w.versions() != want {
				t.Errorf("versions %s", w.versions())
			}
			if low != c.low || high != c.high {
				t.Errorf("between %d warm and %d in all; want %d and %d", low, high, c.low, c.high)
			}
		})
	}
}

func TestRefreshSkipsWhatMatches(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired = 1 })
	w.settle(time.Minute)
	w.newVersion()
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 2 })
	w.settle(time.Minute)
	before := w.inState(resource.MemberInService)
	w.startRefresh(func(f *resource.InstanceRefresh) { f.Preferences.SkipMatching = true })
	w.settle(time.Minute)
	kept := slices.DeleteFunc(w.inState(resource.MemberInService), func(id string) bool { return !slices.Contains(before, id) })
	if f := w.rolled(); f.State != resource.RefreshSuccessful || f.Total != 1 || len(kept) != 1 || w.versions() != "2 2" {
		t.Fatalf("%+v, kept %v, versions %s", f, kept, w.versions())
	}
	for _, a := range w.of("Terminating") {
		if !strings.Contains(a.Cause, "in response to an instance refresh.  At ") {
			t.Errorf("%+v", a)
		}
	}
}

func TestRefreshWaitsAtCheckpoints(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired = 4 })
	w.settle(time.Minute)
	w.newVersion()
	w.startRefresh(func(f *resource.InstanceRefresh) {
		f.Preferences.Checkpoints, f.Preferences.CheckpointWait = []int32{25, 100}, 600
	})
	w.settle(time.Minute)
	if f := w.rolled(); w.versions() != "1 1 1 2" || f.State != resource.RefreshInProgress || f.Percent != 25 {
		t.Fatalf("at the checkpoint: versions %s, %+v", w.versions(), f)
	}
	w.settle(time.Hour)
	if f := w.rolled(); w.versions() != "2 2 2 2" || f.State != resource.RefreshSuccessful {
		t.Fatalf("versions %s, %+v", w.versions(), f)
	}
}

func TestRefreshIsCancelled(t *testing.T) {
	w := newWorld(t, nil)
	w.settle(time.Minute)
	w.newVersion()
	w.startRefresh(nil)
	w.reconcile()
	w.update(func(tx *store.Tx) error {
		f, _ := tx.InstanceRefreshes.Get("refresh")
		f.State = resource.RefreshCancelling
		tx.InstanceRefreshes.Put(f.ID, f)
		return nil
	})
	w.settle(time.Minute)
	if f := w.rolled(); f.State != resource.RefreshCancelled || f.Reason != "Cancelled due to user request." || w.versions() != "1 1 2" {
		t.Fatalf("%+v, versions %s", f, w.versions())
	}
}

// A desired configuration is the group's only once all have it; rolled back, it leaves nothing.
func TestRefreshBringsADesiredConfiguration(t *testing.T) {
	begin := func(t *testing.T) *world {
		w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.LaunchTemplateVersion = "1" })
		w.settle(time.Minute)
		w.newVersion()
		w.startRefresh(func(f *resource.InstanceRefresh) {
			f.Desired = &resource.LaunchSettings{LaunchTemplateID: "lt-1", LaunchTemplateName: "lt", LaunchTemplateVersion: "2"}
			f.Preferences.BakeTime, f.Preferences.AutoRollback = 300, true
		})
		w.settle(time.Minute)
		if f := w.rolled(); f.State != resource.RefreshBaking || w.versions() != "2 2 2" || w.group().Spec.LaunchTemplateVersion != "1" {
			t.Fatalf("%+v, versions %s", f, w.versions())
		}
		return w
	}
	t.Run("success", func(t *testing.T) {
		w := begin(t)
		w.settle(time.Hour)
		if f := w.rolled(); f.State != resource.RefreshSuccessful || w.group().Spec.LaunchTemplateVersion != "2" {
			t.Fatalf("%+v, %+v", f, w.group().Spec)
		}
	})
	t.Run("rollback", func(t *testing.T) {
		w := begin(t)
		w.update(func(tx *store.Tx) error {
			f, _ := tx.InstanceRefreshes.Get("refresh")
			f.State, f.RollbackStarted = resource.RefreshRollbackInProgress, w.now
			tx.InstanceRefreshes.Put(f.ID, f)
			return nil
		})
		w.settle(time.Hour)
		if f := w.rolled(); f.State != resource.RefreshRollbackSuccessful || f.RollbackPercent != 100 || f.RollbackTotal != 3 || w.versions() != "1 1 1" || w.group().Spec.LaunchTemplateVersion != "1" {
			t.Fatalf("%+v, versions %s", f, w.versions())
		}
	})
}

// What a refresh brings counts by the weights that it brings.
func TestRefreshBringsWeights(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.Weights, s.Desired = true, []string{"t3.medium"}, map[string]string{"t3.medium": "2"}, 8
	})
	w.settle(time.Minute)
	w.startRefresh(func(f *resource.InstanceRefresh) {
		to := w.group().Spec.LaunchSettings()
		to.InstanceTypes, to.Weights = []string{"t3.large"}, map[string]string{"t3.large": "4"}
		f.Desired = &to
	})
	w.settle(time.Hour)
	launched := 0
	_ = w.store.View(func(tx *store.Tx) error {
		for range tx.Instances.All() {
			launched++
		}
		return nil
	})
	if f := w.rolled(); f.State != resource.RefreshSuccessful || len(w.members()) != 2 || launched != 4+2 {
		t.Errorf("%s: %d instances, %d launched on the way", f.State, len(w.members()), launched)
	}
}

func TestRefreshThatDoesNotGetOnFails(t *testing.T) {
	for _, rollback := range []bool{false, true} {
		t.Run(fmt.Sprint("rollback ", rollback), func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.LaunchTemplateVersion = "1" })
			w.settle(time.Minute)
			w.startRefresh(func(f *resource.InstanceRefresh) {
				f.Desired = &resource.LaunchSettings{LaunchTemplateID: "lt-gone", LaunchTemplateVersion: "1"}
				f.Preferences.AutoRollback = rollback
			})
			w.settle(3 * time.Hour)
			f := w.rolled()
			state, why := resource.RefreshFailed, f.Reason
			if rollback {
				state, why = resource.RefreshRollbackSuccessful, f.RollbackReason
			}
			if f.State != state || !strings.Contains(why, "lt-gone") {
				t.Fatalf("%+v", f)
			}
			if w.settle(time.Hour); w.versions() != "1 1 1" {
				t.Errorf("versions %s", w.versions())
			}
		})
	}
}

func TestRefreshAndProtectedMembers(t *testing.T) {
	for _, c := range []struct{ preference, versions, state string }{
		{"Ignore", "1 2 2", resource.RefreshSuccessful},
		{"Refresh", "2 2 2", resource.RefreshSuccessful},
		{"Wait", "1 2 2", resource.RefreshInProgress},
	} {
		t.Run(c.preference, func(t *testing.T) {
			w := newWorld(t, nil)
			w.settle(time.Minute)
			w.member(w.inState(resource.MemberInService)[0], func(m *resource.GroupInstance) { m.Protected = true })
			w.newVersion()
			w.startRefresh(func(f *resource.InstanceRefresh) { f.Preferences.Protected = c.preference })
			w.settle(time.Minute)
			if f := w.rolled(); f.State != c.state || w.versions() != c.versions {
				t.Fatalf("%+v, versions %s", f, w.versions())
			}
			if c.preference != "Wait" {
				return
			}
			if w.settle(2 * time.Hour); w.rolled().State != resource.RefreshFailed {
				t.Fatalf("%+v", w.rolled())
			}
		})
	}
}
