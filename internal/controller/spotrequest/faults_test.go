package spotrequest

import (
	"fmt"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// lives are what a request goes through; each ends in a state that does not depend on what
// failed on the way.
var lives = map[string]func(*world){
	"fulfilled": func(w *world) { w.ask(nil) },
	"waits for capacity": func(w *world) {
		fault := resource.CapacityFault{Type: "*", Zone: "*"}
		w.edit(func(tx *store.Tx) error { tx.CapacityFaults.Put("f", fault); return nil })
		w.ask(nil)
		w.edit(func(tx *store.Tx) error { tx.CapacityFaults.Delete("f"); return nil })
		w.settle()
	},
	"refused for good": func(w *world) {
		w.ask(func(_ *resource.SpotRequest, l *provision.InstanceRequest) { l.Type = "m6g.large" })
	},
	"expired": func(w *world) {
		w.ask(func(r *resource.SpotRequest, _ *provision.InstanceRequest) {
			r.ValidUntil, r.MaxPrice = w.at.Add(time.Minute), "0.001"
		})
		w.at = w.at.Add(time.Minute)
		w.settle()
	},
	"taken back": func(w *world) {
		w.ask(nil)
		w.interrupt()
	},
	"cancelled, and taken back": func(w *world) {
		w.ask(nil)
		w.edit(func(tx *store.Tx) error {
			r, _ := tx.SpotRequests.Get(w.id)
			provision.CancelSpot(tx, r, w.at)
			return nil
		})
		w.settle()
		w.interrupt()
	},
	"terminated by its user": func(w *world) {
		w.ask(nil)
		w.edit(func(tx *store.Tx) error {
			r, _ := tx.SpotRequests.Get(w.id)
			_, err := provision.Terminate(tx, home, r.Instance, w.at)
			return err
		})
		w.settle()
	},
	"forgotten": func(w *world) {
		w.ask(nil)
		w.interrupt()
		w.at = w.at.Add(provision.SpotVisible)
		w.settle()
	},
}

// ask makes a request, and lets it come to rest.
func (w *world) ask(change func(*resource.SpotRequest, *provision.InstanceRequest)) {
	w.Helper()
	if change == nil {
		change = func(*resource.SpotRequest, *provision.InstanceRequest) {}
	}
	w.id = w.request(change)
	w.settle()
}

// interrupt takes the instance back, after its notice.
func (w *world) interrupt() {
	w.Helper()
	w.edit(func(tx *store.Tx) error {
		r, _ := tx.SpotRequests.Get(w.id)
		return provision.InterruptSpot(tx, r.Instance, 2*time.Minute, w.at)
	})
	w.settle()
	w.at = w.at.Add(2 * time.Minute)
	w.settle()
}

// settle reconciles until that goes well twice with the same end.
func (w *world) settle() {
	w.Helper()
	before := ""
	for range 10 {
		_, err := w.Reconcile(w.Context(), w.id)
		if now := w.End(); err == nil && now == before {
			return
		} else if err == nil {
			before = now
		}
	}
	w.Fatalf("it does not settle: %s", w.End())
}

// Host are the calls of EC2.
func (w *world) Host() *reconciletest.Calls { return &w.calls }

// End is what has become of the request, and of all instances.
func (w *world) End() string {
	out := ""
	_ = w.store.View(func(tx *store.Tx) error {
		r, ok := tx.SpotRequests.Get(w.id)
		out = fmt.Sprintf("request there %t, %s, %s; instances:", ok, r.State, r.StatusCode)
		for id, i := range tx.Instances.All() {
			out += fmt.Sprintf(" %s %q, the request's %t", i.Current(), i.Status.StateCode, id == r.Instance)
		}
		return nil
	})
	return out
}

// Again is a daemon started anew.
func (w *world) Again() {
	w.begin()
	if _, err := w.Reconcile(w.Context(), w.id); err != nil {
		w.Error(err)
	}
}

func TestEachCallFailsOnce(t *testing.T) { reconciletest.EachCallFailsOnce(t, lives, newWorld) }

func TestRunTwice(t *testing.T) { reconciletest.RunTwice(t, lives, newWorld) }

// A request that is gone is nothing to do for.
func TestNoRequest(t *testing.T) {
	w := newWorld(t)
	if again, err := w.Reconcile(t.Context(), "sir-0"); again != reconcile.Never || err != nil {
		t.Errorf("again in %s, %v", again, err)
	}
}
