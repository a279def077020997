package nodegroup

import (
	"fmt"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// left says what of the surge or of the cordons a roll has left behind, "" for nothing.
func (w *world) left() string {
	s := w.state()
	g := s.group.Spec
	out := ""
	if g.Min != 1 || g.Max != 3 || g.Desired != 3 || len(g.Condemned) > 0 {
		out += fmt.Sprintf("sizes %d %d %d, condemned %v; ", g.Min, g.Max, g.Desired, g.Condemned)
	}
	w.nodes.mu.Lock()
	defer w.nodes.mu.Unlock()
	for _, m := range s.members {
		if w.nodes.cordoned[m.node.Name] || w.nodes.labels[m.node.Name][excluded] != "" {
			out += m.node.Name + " is cordoned; "
		}
	}
	return out
}

func TestRoll(t *testing.T) {
	for _, c := range []struct {
		name, strategy       string
		unavailable, percent int32
		atOnce, least, most  int // drains at a time; nodes that take pods; members
	}{
		{"default", "DEFAULT", 1, 0, 1, 3, 6},
		{"two at a time", "DEFAULT", 2, 0, 2, 3, 6},
		{"by percentage", "DEFAULT", 0, 70, 2, 3, 6},
		{"minimal", "MINIMAL", 1, 0, 1, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(n *resource.Nodegroup) {
				n.Spec.UpdateStrategy, n.Spec.MaxUnavailable, n.Spec.MaxUnavailablePercentage = c.strategy, c.unavailable, c.percent
			})
			w.untilActive()
			w.watch = func() {
				all := 0
				for _, m := range w.state().members {
					if !m.leaving() {
						all++
					}
				}
				if n := w.free(); n < c.least || all > c.most {
					t.Errorf("%d nodes take pods of %d members", n, all)
				}
			}
			w.ask("1.35", false)
			if ng, _ := w.group(); ng.Current() != resource.NodegroupUpdating || ng.Rolled().Version != "1.34" {
				t.Fatalf("asked to be rolled it is %s at %s", ng.Current(), ng.Rolled().Version)
			}
			w.untilActive()
			ng, _ := w.group()
			if u := w.updated("u1"); u.State != resource.UpdateSuccessful || len(u.Errors) > 0 {
				t.Fatalf("%+v", u)
			}
			if ng.Rolled().Version != "1.35" || w.templates() != "2 2 2" || w.left() != "" {
				t.Errorf("version %s, templates %s, left: %s", ng.Rolled().Version, w.templates(), w.left())
			}
			if len(w.nodes.drained) < 3 || w.nodes.most > c.atOnce && c.strategy == "MINIMAL" {
				t.Errorf("drained %v, %d at a time", w.nodes.drained, w.nodes.most)
			}
			// The same again finds nothing to do.
			calls := len(w.nodes.Log)
			w.ask("1.35", false)
			w.untilActive()
			if u := w.updated("u2"); u.State != resource.UpdateSuccessful || len(w.nodes.Log) != calls || w.templates() != "2 2 2" {
				t.Errorf("again: %+v, %d calls more, templates %s", u, len(w.nodes.Log)-calls, w.templates())
			}
		})
	}
}

func TestRollSurvivesKills(t *testing.T) {
	for _, strategy := range []string{"DEFAULT", "MINIMAL"} {
		w := newWorld(t, func(n *resource.Nodegroup) { n.Spec.UpdateStrategy = strategy })
		w.untilActive()
		steps := 0
		w.watch = func() {
			if steps++; steps%2 == 0 { // a drain may need the time between two
				w.restart()
			}
		}
		w.ask("1.35", false)
		w.untilActive()
		if u := w.updated("u1"); u.State != resource.UpdateSuccessful || w.templates() != "2 2 2" || w.left() != "" {
			t.Errorf("%s: %+v, templates %s, left: %s", strategy, u, w.templates(), w.left())
		}
	}
}

func TestPodThatCannotBeEvicted(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.DrainTimeout = 200 * time.Millisecond
	w.restart()
	w.untilActive()
	w.nodes.allStuck = true
	w.ask("1.35", false)
	w.until("given up", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
	w.nodes.mu.Lock()
	w.nodes.allStuck = false
	w.nodes.mu.Unlock()
	w.untilActive()
	u := w.updated("u1")
	if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "PodEvictionFailure" ||
		u.Errors[0].Message != "Reached max retries while trying to evict pods from nodes in node group ng" || len(u.Errors[0].ResourceIDs) != 2 || u.Errors[0].ResourceIDs[1] != "default/web-1" {
		t.Fatalf("%+v", u)
	}
	ng, _ := w.group()
	if ng.Rolled().Version != "1.34" || w.templates() != "1 1 1" || w.left() != "" {
		t.Errorf("version %s, templates %s, left: %s", ng.Rolled().Version, w.templates(), w.left())
	}
	if s := w.state(); s.group.Spec.LaunchTemplateVersion != "1" {
		t.Errorf("the group makes nodes from version %s", s.group.Spec.LaunchTemplateVersion)
	}
}

func TestForceDoesNotWaitForever(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.DrainTimeout = 100 * time.Millisecond
	w.restart()
	w.untilActive()
	for _, m := range w.state().members {
		w.nodes.stuck[m.node.Name] = true
	}
	w.ask("1.35", true)
	w.untilActive()
	if u := w.updated("u1"); u.State != resource.UpdateSuccessful || w.templates() != "2 2 2" || w.left() != "" {
		t.Errorf("%+v, templates %s, left: %s", u, w.templates(), w.left())
	}
}

func TestNodesThatDoNotJoin(t *testing.T) {
	for _, strategy := range []string{"DEFAULT", "MINIMAL"} {
		t.Run(strategy, func(t *testing.T) {
			w := newWorld(t, func(n *resource.Nodegroup) { n.Spec.UpdateStrategy = strategy })
			w.untilActive()
			w.absent = func(in resource.Instance) bool { return in.Tags["aws:ec2launchtemplate:version"] == "2" }
			w.ask("1.35", false)
			w.untilActive()
			u := w.updated("u1")
			if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "NodeCreationFailure" || len(u.Errors[0].ResourceIDs) == 0 {
				t.Fatalf("%+v", u)
			}
			if w.left() != "" {
				t.Errorf("left: %s", w.left())
			}
			if w.templates() != "1 1 1" || len(w.nodes.drained) > 3 {
				t.Errorf("templates %s, drained %v", w.templates(), w.nodes.drained)
			}
		})
	}
}

// suspend has the Auto Scaling group do without some of its processes.
func (w *world) suspend(processes ...string) {
	w.update(func(tx *store.Tx) error {
		g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
		g.Spec.SuspendedProcesses = nil
		for _, name := range processes {
			g.Spec.SuspendedProcesses = append(g.Spec.SuspendedProcesses, resource.SuspendedProcess{Name: name, Since: w.clock()})
		}
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
}

// A group that may not terminate its instances keeps those that have been replaced: that is
// said at once, and ends the roll in the time that nodes have to join.
func TestRollWithTerminateSuspended(t *testing.T) {
	for _, c := range []struct {
		name, strategy string
		when           func(*world) bool
		version        string // of the group in the end
	}{
		{"from the start", "DEFAULT", func(*world) bool { return true }, "1.34"},
		{"from the start, minimal", "MINIMAL", func(*world) bool { return true }, "1.34"},
		{"once the old nodes are gone", "DEFAULT", func(w *world) bool { return len(w.state().old()) == 0 }, "1.34"},
		{"for a while", "DEFAULT", func(*world) bool { return true }, "1.35"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(n *resource.Nodegroup) { n.Spec.UpdateStrategy = c.strategy })
			w.untilActive()
			w.ask("1.35", false)
			w.until("begun", func() bool { ng, _ := w.group(); return ng.Status.Roll.Revision == 1 && c.when(w) })
			w.suspend("Terminate")
			w.untilState(resource.NodegroupUpdating, "AutoScalingGroupInvalidConfiguration")
			if c.version == "1.35" {
				w.until("blocked", func() bool {
					ng, _ := w.group()
					return len(w.state().group.Spec.Condemned) > 0 && !ng.Status.Roll.Since.IsZero()
				})
				w.suspend()
				w.untilActive()
				if u := w.updated("u1"); u.State != resource.UpdateSuccessful || w.templates() != "2 2 2" || w.left() != "" {
					t.Errorf("resumed it ends with %+v, templates %s, left: %s", u, w.templates(), w.left())
				}
				return
			}
			w.until("given up", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
			u := w.updated("u1")
			if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Message != "Couldn't terminate instances in ASG as Terminate process is suspended" {
				t.Fatalf("%+v", u)
			}
			w.untilState(resource.NodegroupDegraded, "AutoScalingGroupInvalidConfiguration")
			w.suspend()
			w.untilActive()
			if ng, _ := w.group(); ng.Rolled().Version != c.version || w.left() != "" {
				t.Errorf("version %s, left: %s", ng.Rolled().Version, w.left())
			}
		})
	}
}

func TestAutoscalerIsLeftAlone(t *testing.T) {
	w := newWorld(t, func(n *resource.Nodegroup) { n.Spec.Max = 10 })
	w.untilActive()
	w.ask("1.35", false)
	w.until("cordoned", func() bool { ng, _ := w.group(); return ng.Status.Roll.Cordoned })
	w.update(func(tx *store.Tx) error {
		g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
		g.Spec.Desired++
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
	w.untilActive()
	if g := w.state().group.Spec; g.Desired != 7 || g.Max != 10 || w.updated("u1").State != resource.UpdateSuccessful {
		t.Errorf("desired %d, max %d: %+v", g.Desired, g.Max, w.updated("u1"))
	}
}

// Members that are protected from scale-in do not keep the surge.
func TestRollOfProtectedInstances(t *testing.T) {
	protected := func(t *testing.T) *world {
		w := newWorld(t, nil)
		w.untilActive()
		w.update(func(tx *store.Tx) error {
			g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
			g.Spec.NewInstancesProtected = true
			tx.AutoScalingGroups.Put(g.ARN, g)
			for _, m := range w.state().members {
				m.Protected = true
				tx.GroupInstances.Put(m.Instance, m.GroupInstance)
			}
			return nil
		})
		w.ask("1.35", false)
		return w
	}
	t.Run("alone", func(t *testing.T) {
		w := protected(t)
		w.untilActive()
		if u := w.updated("u1"); u.State != resource.UpdateSuccessful || w.templates() != "2 2 2" || w.left() != "" {
			t.Errorf("%+v, templates %s, left: %s", u, w.templates(), w.left())
		}
	})
	t.Run("with an autoscaler", func(t *testing.T) {
		w := protected(t)
		w.until("replaced", func() bool { return w.state().rolled() && len(w.state().old()) == 0 })
		w.update(func(tx *store.Tx) error {
			g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
			g.Spec.Desired--
			tx.AutoScalingGroups.Put(g.ARN, g)
			return nil
		})
		w.until("ended", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
		if s := w.state(); w.updated("u1").State != resource.UpdateSuccessful || int(s.group.Spec.Desired) != len(s.members)-1 {
			t.Errorf("%+v, %d of %d members", w.updated("u1"), len(s.members), s.group.Spec.Desired)
		}
	})
}

func TestDeleteWhileRolling(t *testing.T) {
	w := newWorld(t, nil)
	w.untilActive()
	w.ask("1.35", false)
	w.until("cordoned", func() bool { ng, _ := w.group(); return ng.Status.Roll.Cordoned })
	w.delete()
	w.until("gone", func() bool { _, ok := w.group(); return !ok })
}

// A node that is being emptied when its group is deleted has no more time than the others.
func TestDeleteWhileDraining(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.DrainTimeout, w.cfg.DeleteDrainTimeout = time.Hour, 0
	w.restart()
	w.untilActive()
	w.nodes.allStuck = true
	w.update(func(tx *store.Tx) error {
		g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
		g.Spec.Desired = 2
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
	w.until("draining", func() bool {
		w.nodes.mu.Lock()
		defer w.nodes.mu.Unlock()
		return w.nodes.draining == 1
	})
	w.delete()
	w.until("gone", func() bool { _, ok := w.group(); return !ok })
}

func (w *world) delete() {
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Deleting = true
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

// again asks for the deletion of a group that could not be deleted.
func (w *world) again() {
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Status.State = resource.NodegroupDeleting // as DeleteNodegroup does
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}
