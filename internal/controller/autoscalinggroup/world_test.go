package autoscalinggroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
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
	calls reconciletest.Calls // of EC2
	// refuses says that a launch that is made to fail is one that EC2 refuses.
	refuses bool
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
	w.restart()
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

// restart is a daemon that starts again: all but the records is forgotten.
func (w *world) restart() {
	w.c = New(w.store, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
	w.c.launches = func(tx *store.Tx, r provision.InstanceRequest) (resource.Instance, error) {
		if err := w.calls.Call("launch"); err != nil {
			if !w.refuses {
				return resource.Instance{}, err
			}
			r.Type = "none"
		}
		return provision.Instance(tx, r)
	}
	w.c.terminates = func(tx *store.Tx, home resource.Home, id string, now time.Time) (string, error) {
		if err := w.calls.Call("terminate"); err != nil {
			return "", err
		}
		return provision.Terminate(tx, home, id, now)
	}
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
	w.machines()
	w.reconcile()
}

func (w *world) machines() (changed bool) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		for id, in := range tx.Instances.All() {
			switch {
			case in.Status.State == resource.InstanceTerminated:
			case in.Terminating:
				provision.Terminated(tx, id, w.now)
				changed = true
			case in.Status.State == resource.InstancePending:
				in.Status.State = resource.InstanceRunning
				tx.Instances.Put(id, in)
				changed = true
			}
		}
		return nil
	})
	return changed
}

// settle has machines and the group go on, and the clock with them, until nothing changes
// any more within the time given.
func (w *world) settle(within time.Duration) {
	w.t.Helper()
	end := w.now.Add(within)
	for range 500 {
		before := w.now
		again, err := w.c.Reconcile(w.t.Context(), w.arn)
		switch {
		case err != nil && !errors.Is(err, reconciletest.ErrInjected):
			w.t.Fatal(err)
		case err != nil:
			again = 50 * time.Millisecond // the queue's back-off
		}
		if w.machines() || err == nil && w.stirred() {
			continue
		}
		if again == 0 || w.now.Add(again).After(end) {
			return
		}
		w.now = before.Add(again)
	}
	w.t.Fatalf("never at rest: %+v", w.members())
}

// stirred says whether the group still changes by itself.
func (w *world) stirred() bool {
	before := fmt.Sprint(w.members(), w.group(), w.refreshes())
	w.reconcile()
	return before != fmt.Sprint(w.members(), w.group(), w.refreshes())
}

func (w *world) group() (g resource.AutoScalingGroup) {
	_ = w.store.View(func(tx *store.Tx) error { g, _ = tx.AutoScalingGroups.Get(w.arn); return nil })
	return g
}

func (w *world) refreshes() (out []resource.InstanceRefresh) {
	_ = w.store.View(func(tx *store.Tx) error {
		for _, f := range tx.InstanceRefreshes.All() {
			out = append(out, f)
		}
		return nil
	})
	return out
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

// member changes a member as a client's call does.
func (w *world) member(id string, f func(*resource.GroupInstance)) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		m, _ := tx.GroupInstances.Get(id)
		f(&m)
		tx.GroupInstances.Put(id, m)
		return nil
	})
}

// newVersion gives the launch template one version more.
func (w *world) newVersion() {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		lt, _ := tx.LaunchTemplates.Get("lt-1")
		lt.Latest++
		lt.Versions = append(lt.Versions, resource.LaunchTemplateVersion{Number: lt.Latest, Data: lt.Versions[0].Data})
		tx.LaunchTemplates.Put(lt.ID, lt)
		return nil
	})
}

// startRefresh starts an instance refresh with the API's preferences, but for what change makes of it.
func (w *world) startRefresh(change func(*resource.InstanceRefresh)) {
	w.t.Helper()
	f := resource.InstanceRefresh{Home: home, ID: "refresh", Group: w.arn, GroupName: "g", State: resource.RefreshPending, Started: w.now,
		Preferences: resource.RefreshPreferences{MinHealthy: 90, MaxHealthy: 100, Protected: "Wait", Standby: "Wait", CheckpointWait: 3600}}
	if change != nil {
		change(&f)
	}
	w.update(func(tx *store.Tx) error { tx.InstanceRefreshes.Put(f.ID, f); return nil })
}
