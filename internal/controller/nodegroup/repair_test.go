package nodegroup

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const wait = 30 * time.Second // of these tests' clock, which goes by a second a step

// newRepaired is a world with nodes Ready and auto repair as config says.
func newRepaired(t *testing.T, nodes int32, config resource.NodeRepair) *world {
	t.Helper()
	config.Enabled = true
	w := newWorld(t, func(ng *resource.Nodegroup) {
		ng.Spec.Repair, ng.Spec.Desired, ng.Spec.Max = config, nodes, 2*nodes
	})
	w.cfg.RepairWait, w.cfg.JoinTimeout = wait, time.Hour
	w.restart()
	w.untilActive()
	return w
}

// instances are the members that are not leaving, sorted.
func (w *world) instances() (out []string) {
	for _, m := range w.state().members {
		if !m.leaving() {
			out = append(out, m.Instance)
		}
	}
	slices.Sort(out)
	return out
}

// sicken gives nodes a bad condition; without one they recover.
func (w *world) sicken(bad *resource.NodeCondition, instances ...string) {
	w.update(func(tx *store.Tx) error {
		for _, id := range instances {
			key := resource.NodeKey(clusterARN, "node-"+id)
			n, _ := tx.Nodes.Get(key)
			n.Conditions, n.Ready = nil, true
			if bad != nil {
				c := *bad
				c.Since = w.clock()
				n.Conditions, n.Ready = []resource.NodeCondition{c}, c.Type != "Ready"
			}
			tx.Nodes.Put(key, n)
		}
		return nil
	})
}

// pass lets the clock go by d.
func (w *world) pass(d time.Duration) {
	for range int(d / time.Second) {
		w.step()
	}
}

func condition(kind, reason string) *resource.NodeCondition {
	return &resource.NodeCondition{Type: kind, Reason: reason}
}

// kept counts those of before that are still there.
func kept(before, now []string) (n int) {
	for _, id := range before {
		if slices.Contains(now, id) {
			n++
		}
	}
	return n
}

func TestUnhealthyNodesAreReplaced(t *testing.T) {
	for _, c := range []struct {
		kind, reason string
		after        time.Duration // 0: never
		overrides    []resource.RepairOverride
	}{
		{"Ready", "NodeStatusUnknown", wait, nil},
		{"KernelReady", "ForkFailedOutOfPID", wait, nil},
		{"NetworkingReady", "IPAMDNotReady", wait, nil},
		{"StorageReady", "XFSSmallAverageClusterSize", wait, nil},
		{"ContainerRuntimeReady", "ContainerRuntimeFailed", wait, nil},
		{"AcceleratedHardwareReady", "NvidiaXID48Error", wait / 3, nil},
		{"DiskPressure", "KubeletHasDiskPressure", 0, nil},
		{"KernelReady", "AppCrash", 0, []resource.RepairOverride{{Condition: "KernelReady", Reason: "AppCrash", WaitMinutes: 1, Action: "NoAction"}}},
		{"KernelReady", "AppCrash", wait, []resource.RepairOverride{{Condition: "KernelReady", Reason: "SoftLockup", WaitMinutes: 1, Action: "NoAction"}}},
		{"DiskPressure", "KubeletHasDiskPressure", time.Minute, []resource.RepairOverride{{Condition: "DiskPressure", Reason: "KubeletHasDiskPressure", WaitMinutes: 1, Action: "Replace"}}},
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.reason, " ", c.after), func(t *testing.T) {
			w := newRepaired(t, 3, resource.NodeRepair{Overrides: c.overrides})
			before := w.instances()
			w.sicken(condition(c.kind, c.reason), before[0])
			if c.after == 0 {
				w.pass(3 * time.Minute)
				if now := w.instances(); !slices.Equal(now, before) {
					t.Fatalf("%v became %v", before, now)
				}
				return
			}
			w.pass(c.after - 2*time.Second)
			if now := w.instances(); !slices.Equal(now, before) {
				t.Fatalf("%v became %v too early", before, now)
			}
			w.until("replaced", func() bool { return !slices.Contains(w.instances(), before[0]) })
			w.untilActive()
			if now := w.instances(); len(now) != 3 || kept(before, now) != 2 || w.left() != "" && len(w.state().group.Spec.Condemned) > 0 {
				t.Errorf("%v became %v, left: %s", before, now, w.left())
			}
			if w.nodes.drained["node-"+before[0]] == 0 {
				t.Error("it was not drained")
			}
		})
	}
}

func TestNodesThatRecoverStay(t *testing.T) {
	w := newRepaired(t, 3, resource.NodeRepair{})
	before := w.instances()
	for range 3 {
		w.sicken(condition("Ready", "KubeletNotReady"), before[1])
		w.pass(wait - 2*time.Second)
		w.sicken(nil, before[1])
		w.pass(wait)
	}
	if now := w.instances(); !slices.Equal(now, before) {
		t.Errorf("%v became %v", before, now)
	}
}

func TestRepairIsOff(t *testing.T) {
	w := newRepaired(t, 2, resource.NodeRepair{})
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Spec.Repair.Enabled = false
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
	before := w.instances()
	w.sicken(condition("Ready", "NodeStatusUnknown"), before[0])
	w.pass(2 * wait)
	if now := w.instances(); !slices.Equal(now, before) {
		t.Errorf("%v became %v", before, now)
	}
}

// TestTooManyUnhealthy: then it is not the nodes.
func TestTooManyUnhealthy(t *testing.T) {
	for _, c := range []struct {
		name        string
		nodes, sick int
		config      resource.NodeRepair
		repaired    bool
	}{
		{"all of five", 5, 5, resource.NodeRepair{}, true},
		{"a sixth", 6, 1, resource.NodeRepair{}, true},
		{"a third of six", 6, 2, resource.NodeRepair{}, false},
		{"count reached", 3, 2, resource.NodeRepair{MaxUnhealthyCount: 2}, true},
		{"count passed", 3, 3, resource.NodeRepair{MaxUnhealthyCount: 2}, false},
		{"percentage reached", 4, 2, resource.NodeRepair{MaxUnhealthyPercentage: 50}, true},
		{"percentage passed", 4, 3, resource.NodeRepair{MaxUnhealthyPercentage: 50}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRepaired(t, int32(c.nodes), c.config)
			before := w.instances()
			w.sicken(condition("KernelReady", "x"), before[:c.sick]...)
			w.pass(wait + 2*time.Second)
			if n := kept(before, w.instances()); n < c.nodes != c.repaired {
				t.Errorf("%d of %d are left", n, c.nodes)
			}
		})
	}
}

func TestRepairsAtATime(t *testing.T) {
	for _, config := range []resource.NodeRepair{{MaxParallelCount: 2}, {MaxParallelPercentage: 50}} {
		w := newRepaired(t, 5, config)
		before := w.instances()
		w.sicken(condition("KernelReady", "x"), before...)
		most := 0
		w.watch = func() {
			s := w.state()
			busy := 0
			for _, m := range s.members {
				if _, condemned := s.group.Spec.Condemned[m.Instance]; condemned || m.leaving() {
					busy++
				}
			}
			most = max(most, busy)
		}
		w.until("all replaced", func() bool { return kept(before, w.instances()) == 0 })
		if most != 2 {
			t.Errorf("%+v: %d at a time", config, most)
		}
	}
}

func TestRebootAsRepair(t *testing.T) {
	w := newRepaired(t, 2, resource.NodeRepair{Overrides: []resource.RepairOverride{{Condition: "AcceleratedHardwareReady", Reason: "x", WaitMinutes: 1, Action: "Reboot"}}})
	before := w.instances()
	reboots := func() (n int) {
		_ = w.store.View(func(tx *store.Tx) error {
			in, _ := tx.Instances.Get(before[0])
			n = in.Spec.Reboots
			return nil
		})
		return n
	}
	w.sicken(condition("AcceleratedHardwareReady", "x"), before[0])
	w.pass(time.Minute + 5*time.Second)
	if n := reboots(); n != 1 {
		t.Fatalf("%d reboots after a minute", n)
	}
	w.pass(50 * time.Second)
	if n := reboots(); n != 1 {
		t.Errorf("%d reboots before it had its time again", n)
	}
	w.pass(15 * time.Second)
	if n := reboots(); n != 2 || !slices.Equal(before, w.instances()) {
		t.Errorf("%d reboots; %v became %v", n, before, w.instances())
	}
}
