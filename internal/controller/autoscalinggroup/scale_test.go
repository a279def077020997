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

// Each policy takes the one that its name says, of four in one zone.
func TestTerminationPolicies(t *testing.T) {
	for _, c := range []struct {
		policies []string
		want     string // the name of the one that goes
	}{
		{[]string{"OldestInstance"}, "old"},
		{[]string{"NewestInstance"}, "new"},
		{[]string{"OldestLaunchTemplate"}, "template"},
		{[]string{"ClosestToNextInstanceHour"}, "hour"},
		{[]string{"OldestLaunchConfiguration", "NewestInstance"}, "new"},
		{[]string{"Default"}, "template"},
		{[]string{"AllocationStrategy"}, "type"},
		{[]string{"AllocationStrategy", "now another"}, "type"},
	} {
		t.Run(strings.Join(c.policies, ","), func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
				s.Desired, s.TerminationPolicies, s.Subnets = 5, c.policies, s.Subnets[:1]
				s.Mixed = c.policies[0] == "AllocationStrategy"
				if s.Mixed {
					s.InstanceTypes, s.Distribution.OnDemandStrategy = []string{"t3.medium", "t3.large"}, "prioritized"
				}
			})
			w.settle(time.Minute)
			w.now = w.now.Add(24 * time.Hour)
			names := map[string]string{}
			for i, id := range w.inState(resource.MemberInService) {
				name := []string{"old", "new", "template", "hour", "type"}[i]
				names[id] = name
				w.update(func(tx *store.Tx) error {
					in, _ := tx.Instances.Get(id)
					in.Launched, in.Spec.LaunchTemplateVersion = w.now.Add(-10*time.Hour-time.Minute), "2"
					switch name {
					case "old":
						in.Launched = w.now.Add(-20*time.Hour - time.Minute)
					case "new":
						in.Launched = w.now.Add(-2*time.Hour - time.Minute)
					case "template":
						in.Spec.LaunchTemplateVersion = "1"
					case "hour":
						in.Launched = w.now.Add(-10*time.Hour - 59*time.Minute)
					case "type":
						in.Spec.Type = "t3.large"
					}
					tx.Instances.Put(id, in)
					return nil
				})
			}
			w.spec(func(g *resource.AutoScalingGroup) {
				g.Spec.Desired = 4
				if len(c.policies) == 2 && c.policies[1] == "now another" { // a type that is none of the group's any more
					g.Spec.InstanceTypes = []string{"t3.medium", "t3.small"}
				}
			})
			w.settle(time.Minute)
			for _, id := range w.inState(resource.MemberInService) {
				delete(names, id)
			}
			for _, name := range names {
				if name != c.want || len(names) != 1 {
					t.Errorf("%v went, want %s", names, c.want)
				}
			}
		})
	}
}

func TestWeightsCount(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.Weights, s.Desired = true, []string{"t3.large"}, map[string]string{"t3.large": "2"}, 5
	})
	w.settle(time.Minute)
	if got := len(w.inState(resource.MemberInService)); got != 3 {
		t.Fatalf("%d instances of weight 2 for a capacity of 5", got)
	}
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 4 })
	w.settle(time.Minute)
	if got := len(w.inState(resource.MemberInService)); got != 2 {
		t.Fatalf("%d instances of weight 2 for a capacity of 4", got)
	}
}

func TestMixOfPurchaseOptions(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Mixed, s.InstanceTypes, s.SpotPercentage, s.Distribution.OnDemandBase, s.Desired = true, []string{"t3.medium"}, 75, 2, 6
	})
	count := func() string {
		n := map[string]int{}
		for _, id := range w.inState(resource.MemberInService) {
			n[w.instance(id).Spec.Lifecycle]++
		}
		return fmt.Sprintf("%d on demand, %d spot", n[""], n[spot])
	}
	for _, c := range []struct {
		desired int32
		want    string
	}{{6, "3 on demand, 3 spot"}, {10, "4 on demand, 6 spot"}, {3, "3 on demand, 0 spot"}, {2, "2 on demand, 0 spot"}} {
		w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = c.desired })
		w.settle(time.Minute)
		if got := count(); got != c.want {
			t.Errorf("of %d: %s, want %s", c.desired, got, c.want)
		}
	}
}

func TestZonesAreEvenedOut(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprint("suspended ", suspended), func(t *testing.T) {
			var all []string
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
				all, s.Desired = s.Subnets, 4
				s.Subnets = s.Subnets[:1]
				if suspended {
					s.SuspendedProcesses = []resource.SuspendedProcess{{Name: "AZRebalance"}}
				}
			})
			w.settle(time.Minute)
			w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Subnets = all[:2] })
			if w.settle(balanceAfter / 2); len(w.of("Terminating")) != 0 {
				t.Fatal("it is balanced at once")
			}
			w.settle(time.Hour)
			zones := map[string]int{}
			for _, id := range w.inState(resource.MemberInService) {
				zones[w.instance(id).Spec.Zone]++
			}
			if suspended {
				if len(zones) != 1 || len(w.of("Terminating")) != 0 {
					t.Fatalf("zones %v", zones)
				}
				return
			}
			if len(zones) != 2 || len(w.inState(resource.MemberInService)) != 4 {
				t.Fatalf("zones %v", zones)
			}
			launches, ends := w.of("Launching"), w.of("Terminating")
			if len(ends) == 0 || !strings.HasSuffix(launches[len(launches)-1].Cause, "an instance was launched to aid in balancing the group's zones.") ||
				!strings.Contains(ends[0].Cause, "to balance instances in zones ") {
				t.Errorf("%+v\n%+v", launches, ends)
			}
			for _, a := range ends { // never fewer than desired
				if !strings.Contains(a.Cause, "shrinking the capacity from 5 to 4.") {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

func TestStandbyAttachAndDetach(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired = 2 })
	w.settle(time.Minute)
	id := w.inState(resource.MemberInService)[0]
	// As service/autoscaling begins it, without a decrement: another one takes its place.
	w.member(id, func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberEnteringStandby })
	w.settle(time.Minute)
	if !slices.Equal(w.inState(resource.MemberStandby), []string{id}) || len(w.inState(resource.MemberInService)) != 2 {
		t.Fatalf("%+v", w.members())
	}
	w.member(id, func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberPending })
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 3 })
	w.settle(time.Minute)
	if len(w.inState(resource.MemberInService)) != 3 {
		t.Fatalf("%+v", w.members())
	}
	w.member(id, func(m *resource.GroupInstance) { m.Lifecycle = resource.MemberDetaching })
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 2 })
	w.settle(time.Minute)
	in := w.instance(id)
	if in.Current() != resource.InstanceRunning || in.Spec.AutoScalingGroup != "" || in.Tags[tagGroup] != "" || in.Tags["team"] != "a" || len(w.members()) != 2 {
		t.Fatalf("detached: %+v, %+v", in, w.members())
	}
	w.update(func(tx *store.Tx) error {
		tx.GroupInstances.Put(id, resource.GroupInstance{Instance: id, Group: w.arn, Lifecycle: resource.MemberPending, Health: resource.MemberHealthy, Attached: true})
		return nil
	})
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 3 })
	w.settle(time.Minute)
	if in = w.instance(id); in.Spec.AutoScalingGroup != w.arn || in.Tags[tagGroup] != "g" || len(w.inState(resource.MemberInService)) != 3 {
		t.Fatalf("attached: %+v, %+v", in, w.members())
	}
}

func TestHealthChecks(t *testing.T) {
	stop := func(w *world, id string) {
		w.update(func(tx *store.Tx) error {
			if _, err := provision.Stop(tx, home, id, w.now); err != nil {
				return err
			}
			provision.Stopped(tx, id)
			return nil
		})
	}
	for _, c := range []struct {
		name, suspended string
		hurt            func(*world, string)
		replaced        bool
		cause           string
	}{
		{"stopped", "", stop, true, "in response to an EC2 health check indicating it has been terminated or stopped."},
		{"said unhealthy", "", func(w *world, id string) {
			w.member(id, func(m *resource.GroupInstance) { m.Health = resource.MemberUnhealthy })
		}, true, "in response to a user health-check."},
		{"stopped, unchecked", "HealthCheck", stop, false, ""},
		{"stopped, not replaced", "ReplaceUnhealthy", stop, false, ""},
		{"gone, unchecked", "HealthCheck", func(w *world, id string) {
			w.update(func(tx *store.Tx) error { provision.Terminated(tx, id, w.now); return nil })
		}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
				s.Desired = 1
				if c.suspended != "" {
					s.SuspendedProcesses = []resource.SuspendedProcess{{Name: c.suspended}}
				}
			})
			w.settle(time.Minute)
			id := w.inState(resource.MemberInService)[0]
			w.now = w.now.Add(time.Minute)
			c.hurt(w, id)
			w.settle(time.Minute)
			got := w.inState(resource.MemberInService)
			if replaced := !slices.Contains(got, id); replaced != c.replaced || len(got) != 1 {
				t.Fatalf("in service: %v, before %s", got, id)
			}
			if !c.replaced {
				return
			}
			launches, ends := w.of("Launching"), w.of("Terminating")
			if len(ends) != 1 || !strings.HasSuffix(ends[0].Cause, c.cause) || ends[0].Status != "Successful" ||
				!strings.HasSuffix(launches[len(launches)-1].Cause, "an instance was launched in response to an unhealthy instance needing to be replaced.") {
				t.Errorf("%+v\n%+v", launches, ends)
			}
		})
	}
}

func TestScheduledActions(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.Desired, s.Min, s.Max = 1, 0, 3 })
	w.settle(time.Second)
	at := w.now.Add(time.Minute)
	w.update(func(tx *store.Tx) error {
		for _, a := range []resource.ScheduledAction{
			{Name: "once", Desired: new(int32(2)), Next: at},
			{Name: "bounds", Min: new(int32(3)), Max: new(int32(3)), Next: at.Add(time.Hour)},
			{Name: "hourly", Recurrence: "30 * * * *", Desired: new(int32(0)), Min: new(int32(0)), Next: at.Add(2 * time.Hour), End: at.Add(4 * time.Hour)},
		} {
			a.Home, a.Group, a.GroupName = home, w.arn, "g"
			tx.ScheduledActions.Put(resource.ScheduledActionKey(w.arn, a.Name), a)
		}
		return nil
	})
	names := func() (out []string) {
		_ = w.store.View(func(tx *store.Tx) error {
			for _, a := range tx.ScheduledActions.All() {
				out = append(out, a.Name)
			}
			return nil
		})
		return out
	}
	sizes := func() string {
		s := w.group().Spec
		return fmt.Sprint(s.Min, s.Max, s.Desired, len(w.inState(resource.MemberInService)), names())
	}
	for _, c := range []struct {
		until time.Duration
		want  string
	}{
		{-time.Second, "0 3 1 1 [bounds hourly once]"},
		{time.Second, "0 3 2 2 [bounds hourly]"},
		{time.Hour + time.Second, "3 3 3 3 [hourly]"},
		{2*time.Hour + time.Second, "0 3 0 0 [hourly]"},
		{5 * time.Hour, "0 3 0 0 []"},
	} {
		w.settle(at.Add(c.until).Sub(w.now))
		w.now = at.Add(c.until)
		if got := sizes(); got != c.want {
			t.Fatalf("%s after the first: %s, want %s", c.until, got, c.want)
		}
	}
	if a := w.of("Launching")[1]; !strings.Contains(a.Cause, "Z a scheduled action update of AutoScalingGroup constraints to min: 0, max: 3, desired: 2 changing the desired capacity from 1 to 2.  At ") {
		t.Errorf("%+v", a)
	}
	// Suspended, an action passes without being executed.
	w.spec(func(g *resource.AutoScalingGroup) {
		g.Spec.SuspendedProcesses = []resource.SuspendedProcess{{Name: "ScheduledActions"}}
	})
	w.update(func(tx *store.Tx) error {
		tx.ScheduledActions.Put("k", resource.ScheduledAction{Home: home, Group: w.arn, Name: "k", Desired: new(int32(2)), Next: w.now})
		return nil
	})
	w.settle(time.Minute)
	if got := sizes(); got != "0 3 0 0 []" {
		t.Errorf("suspended: %s", got)
	}
}
