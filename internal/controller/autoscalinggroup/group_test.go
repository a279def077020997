package autoscalinggroup

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A world is a store with a default VPC, a launch template and a group over it, and a
// clock that the test turns.
type world struct {
	t     *testing.T
	store *store.Store
	c     *Controller
	arn   string
	now   time.Time
}

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

func newWorld(t *testing.T, change func(*resource.AutoScalingGroupSpec)) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, store: st, arn: "arn:aws:autoscaling:us-west-2:000000000000:autoScalingGroup:u:autoScalingGroupName/g", now: time.Unix(1000, 0).UTC()}
	w.c = New(st, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
	image, ok := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
	if !ok {
		t.Fatal("no image")
	}
	data, err := json.Marshal(ec2.RequestLaunchTemplateData{ImageId: new(image.ID), InstanceType: new("t3.medium")})
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx *store.Tx) error {
		tx.Accounts.Put(home.Account, resource.Account{ID: home.Account})
		if _, err := provision.EnsureRegion(tx, home, w.now); err != nil {
			return err
		}
		tx.LaunchTemplates.Put("lt-1", resource.LaunchTemplate{
			Home: home, ID: "lt-1", Name: "lt", Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: data}},
		})
		spec := resource.AutoScalingGroupSpec{Max: 10, Desired: 3, LaunchTemplateID: "lt-1", LaunchTemplateVersion: "$Latest",
			Tags: []resource.AutoScalingTag{{Key: "team", Value: "a", Propagate: true}, {Key: "quiet", Value: "b"}}}
		for id := range tx.Subnets.All() {
			spec.Subnets = append(spec.Subnets, id)
		}
		if change != nil {
			change(&spec)
		}
		tx.AutoScalingGroups.Put(w.arn, resource.AutoScalingGroup{Home: home, ARN: w.arn, Name: "g", Spec: spec})
		return nil
	})
	return w
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reconcile() time.Duration {
	w.t.Helper()
	again, err := w.c.Reconcile(w.t.Context(), w.arn)
	if err != nil {
		w.t.Fatal(err)
	}
	return again
}

func (w *world) spec(f func(*resource.AutoScalingGroup)) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		g, _ := tx.AutoScalingGroups.Get(w.arn)
		f(&g)
		tx.AutoScalingGroups.Put(w.arn, g)
		return nil
	})
}

// run makes every pending instance run, as controller/instance does, and ends those
// that have been asked to go.
func (w *world) run() {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		for id, in := range tx.Instances.All() {
			switch {
			case in.Terminating:
				provision.Terminated(tx, id, w.now)
			case in.Status.State == resource.InstancePending:
				in.Status.State = resource.InstanceRunning
				tx.Instances.Put(id, in)
			}
		}
		return nil
	})
	w.reconcile()
}

func (w *world) members() (out []resource.GroupInstance) {
	w.t.Helper()
	if err := w.store.View(func(tx *store.Tx) error {
		for _, m := range tx.GroupInstances.All() {
			out = append(out, m)
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) inState(lifecycle string) (ids []string) {
	for _, m := range w.members() {
		if m.Lifecycle == lifecycle {
			ids = append(ids, m.Instance)
		}
	}
	return ids
}

func (w *world) instance(id string) (in resource.Instance) {
	w.t.Helper()
	_ = w.store.View(func(tx *store.Tx) error { in, _ = tx.Instances.Get(id); return nil })
	return in
}

func (w *world) activities() (out []resource.ScalingActivity) {
	_ = w.store.View(func(tx *store.Tx) error {
		for _, a := range tx.ScalingActivities.All() {
			out = append(out, a)
		}
		return nil
	})
	return out
}

func TestLaunchesOverAllZones(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	zones := map[string]int{}
	for _, id := range w.inState(pending) {
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
	if got := len(w.inState(inService)); got != 3 {
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
	dead := w.inState(inService)[0]
	w.update(func(tx *store.Tx) error { provision.Terminated(tx, dead, w.now); return nil })
	w.reconcile()
	w.run()
	now := w.inState(inService)
	if len(now) != 3 || slices.Contains(now, dead) {
		t.Fatalf("in service after the death of %s: %v", dead, now)
	}
}

func TestHookHoldsUntilContinue(t *testing.T) {
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) {
		s.Hooks = []resource.LifecycleHook{{Name: "h", Transition: hookTerminating, Heartbeat: 60}}
	})
	w.reconcile()
	w.run()
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired = 1 })
	if again := w.reconcile(); again != time.Minute {
		t.Fatalf("looks again in %s", again)
	}
	held := w.inState(terminatingWait)
	if len(held) != 2 || w.instance(held[0]).Terminating {
		t.Fatalf("held: %v", held)
	}
	w.update(func(tx *store.Tx) error {
		m, _ := tx.GroupInstances.Get(held[0])
		m.Continue = true
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
	for _, id := range w.inState(inService) {
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
	if got := len(w.inState(inService)); got != 3 {
		t.Fatalf("%d of 3 protected members stay", got)
	}
}

func TestCondemnedGoesAndIsForgotten(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.run()
	id := w.inState(inService)[1]
	w.spec(func(g *resource.AutoScalingGroup) { g.Spec.Desired, g.Spec.Condemned = 2, map[string]bool{id: true} })
	w.reconcile()
	w.run()
	if now := w.inState(inService); len(now) != 2 || slices.Contains(now, id) {
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
	if exists() || len(w.members()) != 0 || len(w.activities()) != 0 {
		t.Fatal("something of the group is left")
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
	w := newWorld(t, func(s *resource.AutoScalingGroupSpec) { s.SuspendedProcesses = []string{"Launch"} })
	w.reconcile()
	if got := len(w.members()); got != 0 {
		t.Fatalf("%d members although Launch is suspended", got)
	}
}
