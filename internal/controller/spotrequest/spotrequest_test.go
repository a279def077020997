package spotrequest

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

type world struct {
	*testing.T
	*Controller
	store *store.Store
	at    time.Time
	calls reconciletest.Calls
	id    string // of the request that a life is about
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	w := &world{T: t, store: st, at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.begin()
	w.edit(func(tx *store.Tx) error { _, err := provision.EnsureRegion(tx, home, w.at); return err })
	return w
}

// begin begins another life of the daemon.
func (w *world) begin() {
	w.Controller = New(w.store, func() time.Time { return w.at }, slog.New(slog.DiscardHandler))
	call := func(what string, f func(*store.Tx, string, time.Time) error) func(*store.Tx, string, time.Time) error {
		return func(tx *store.Tx, id string, now time.Time) error {
			if err := w.calls.Call(what); err != nil {
				return err
			}
			return f(tx, id, now)
		}
	}
	w.fulfils, w.takesBack = call("fulfil", w.fulfils), call("take back", w.takesBack)
}

func (w *world) edit(f func(tx *store.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

// request makes an open request and returns its id.
func (w *world) request(change func(*resource.SpotRequest, *provision.InstanceRequest)) (id string) {
	w.Helper()
	image, _ := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
	launch := provision.InstanceRequest{Type: "m5.large", Image: image.ID, Zone: "us-west-2a"}
	r := resource.SpotRequest{Home: home, Created: w.at}
	change(&r, &launch)
	w.edit(func(tx *store.Tx) error {
		made, err := provision.SpotRequest(tx, r, launch)
		id = made.ID
		return err
	})
	return id
}

// twice reconciles a request twice: the second time must change nothing, and ask for the
// same.
func (w *world) twice(id string) (r resource.SpotRequest, again time.Duration) {
	w.Helper()
	var first resource.SpotRequest
	for n := range 2 {
		var err error
		if again, err = w.Reconcile(w.Context(), id); err != nil {
			w.Fatal(err)
		}
		if err := w.store.View(func(tx *store.Tx) error { r, _ = tx.SpotRequests.Get(id); return nil }); err != nil {
			w.Fatal(err)
		}
		if n == 0 {
			first = r
		}
	}
	if first.State != r.State || first.StatusCode != r.StatusCode || first.Instance != r.Instance {
		w.Errorf("reconciled again: %+v, before: %+v", r, first)
	}
	return r, again
}

func (w *world) instance(id string) (i resource.Instance) {
	w.Helper()
	if err := w.store.View(func(tx *store.Tx) error { i, _ = tx.Instances.Get(id); return nil }); err != nil {
		w.Fatal(err)
	}
	return i
}

// A request waits for capacity, gets an instance, and the instance is taken back after its
// notice.
func TestFulfilAndTakeBack(t *testing.T) {
	w := newWorld(t)
	fault := resource.CapacityFault{Type: "m5.*", Zone: "*", Lifecycle: provision.Spot}
	w.edit(func(tx *store.Tx) error { tx.CapacityFaults.Put(fault.Key(), fault); return nil })
	id := w.request(func(*resource.SpotRequest, *provision.InstanceRequest) {})
	if r, again := w.twice(id); r.State != resource.SpotOpen || r.StatusCode != "capacity-not-available" || again != retry {
		t.Fatalf("without capacity: %s, %s, again in %s", r.State, r.StatusCode, again)
	}
	w.edit(func(tx *store.Tx) error { tx.CapacityFaults.Delete(fault.Key()); return nil })
	r, _ := w.twice(id)
	i := w.instance(r.Instance)
	if r.State != resource.SpotActive || r.StatusCode != "fulfilled" || i.Spec.SpotRequest != id || i.Spec.Lifecycle != provision.Spot || i.Spec.Zone != "us-west-2a" {
		t.Fatalf("%s, %s: %+v", r.State, r.StatusCode, i.Spec)
	}
	for range 2 { // the notice is given once
		w.edit(func(tx *store.Tx) error { return provision.InterruptSpot(tx, i.ID, 2*time.Minute, w.at) })
		r, again := w.twice(id)
		if r.State != resource.SpotActive || r.StatusCode != "marked-for-termination" || again <= 0 || w.instance(i.ID).Terminating {
			t.Fatalf("%s, %s, again in %s", r.State, r.StatusCode, again)
		}
		if w.at = w.at.Add(time.Minute); r.Interruption.Sub(r.Rebalance) != 2*time.Minute {
			t.Fatalf("noticed at %s for %s", r.Rebalance, r.Interruption)
		}
	}
	r, _ = w.twice(id)
	i = w.instance(i.ID)
	if r.State != resource.SpotClosed || r.StatusCode != "instance-terminated-no-capacity" || !i.Terminating || i.Status.StateCode != "Server.SpotInstanceTermination" {
		t.Fatalf("%s, %s: %+v", r.State, r.StatusCode, i.Status)
	}
	w.at = w.at.Add(provision.SpotVisible)
	w.twice(id)
	if err := w.store.View(func(tx *store.Tx) error {
		if tx.SpotRequests.Has(id) {
			t.Error("its record has not left")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEnds(t *testing.T) {
	w := newWorld(t)
	expired := w.request(func(r *resource.SpotRequest, l *provision.InstanceRequest) {
		r.ValidUntil, r.MaxPrice = w.at.Add(time.Minute), "0.001"
	})
	if r, again := w.twice(expired); r.StatusCode != "price-too-low" || again != retry {
		t.Errorf("%s, %s, again in %s", r.State, r.StatusCode, again)
	}
	w.at = w.at.Add(time.Minute)
	if r, _ := w.twice(expired); r.State != resource.SpotCancelled || r.StatusCode != "schedule-expired" {
		t.Errorf("%s, %s", r.State, r.StatusCode)
	}
	bad := w.request(func(_ *resource.SpotRequest, l *provision.InstanceRequest) { l.Type = "m6g.large" })
	if r, _ := w.twice(bad); r.State != resource.SpotFailed || r.StatusCode != "bad-parameters" {
		t.Errorf("%s, %s", r.State, r.StatusCode)
	}
	ended := w.request(func(*resource.SpotRequest, *provision.InstanceRequest) {})
	r, _ := w.twice(ended)
	w.edit(func(tx *store.Tx) error { _, err := provision.Terminate(tx, home, r.Instance, w.at); return err })
	if r, _ := w.twice(ended); r.State != resource.SpotClosed || r.StatusCode != "instance-terminated-by-user" {
		t.Errorf("%s, %s", r.State, r.StatusCode)
	}
	// A cancelled request's instance stays, and can be taken back all the same.
	cancelled := w.request(func(*resource.SpotRequest, *provision.InstanceRequest) {})
	r, _ = w.twice(cancelled)
	w.edit(func(tx *store.Tx) error { provision.CancelSpot(tx, r, w.at); return nil })
	if r, _ := w.twice(cancelled); r.StatusCode != "request-canceled-and-instance-running" || w.instance(r.Instance).Terminating {
		t.Errorf("%s, %s", r.State, r.StatusCode)
	}
	w.edit(func(tx *store.Tx) error { return provision.InterruptSpot(tx, r.Instance, time.Minute, w.at) })
	w.at = w.at.Add(time.Minute)
	if r, _ := w.twice(cancelled); r.State != resource.SpotCancelled || !w.instance(r.Instance).Terminating {
		t.Errorf("%s, %s", r.State, r.StatusCode)
	}
	w.edit(func(tx *store.Tx) error {
		if err := provision.InterruptSpot(tx, r.Instance, time.Minute, w.at); !errors.Is(err, provision.ErrNotSpot) {
			t.Errorf("one that ends is interrupted: %v", err)
		}
		return nil
	})
}
