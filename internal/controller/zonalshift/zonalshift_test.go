package zonalshift

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	clusterARN = "arn:aws:eks:us-west-2:000000000000:cluster/c"
	zone       = "us-west-2b"
)

// host is what the controller touches besides the store.
type host struct {
	reconciletest.Calls
	cordoned map[string]bool
	asked    int // how often traffic was to be shifted
	late     int // so many times the API server does not ask the webhook yet
	away     string
	during   func() // what happens while traffic is shifted
}

func (h *host) Configure(_ context.Context, _, node string, change resource.NodeChange) error {
	if err := h.Call(fmt.Sprintf("cordon %s %v", node, *change.Cordon)); err != nil {
		return err
	}
	h.cordoned[node] = *change.Cordon
	return nil
}

func (h *host) Shift(_ context.Context, _ resource.Cluster, zone string) (bool, error) {
	h.asked++
	if h.during != nil {
		h.during()
	}
	if h.away == zone {
		return true, nil // a look, which changes nothing
	}
	if err := h.Call("shift"); err != nil {
		return false, err
	}
	if h.late > 0 {
		h.late--
		return false, nil
	}
	h.away = zone
	return true, nil
}

func (h *host) Restore(context.Context, resource.Cluster) error {
	if err := h.Call("restore"); err != nil {
		return err
	}
	h.away = ""
	return nil
}

type world struct {
	t     *testing.T
	store *store.Store
	host  *host
	c     *Controller
	now   time.Time
}

// newWorld has a cluster with two nodes in the zone, one of them cordoned by somebody, and one
// elsewhere.
func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	w := &world{t: t, store: st, now: time.Unix(1000, 0).UTC(), host: &host{cordoned: map[string]bool{"busy": true}}}
	w.Again()
	w.update(func(tx *store.Tx) {
		tx.Clusters.Put(clusterARN, resource.Cluster{
			ARN: clusterARN, Name: "c", Spec: resource.ClusterSpec{ZonalShiftOn: true}, Status: resource.ClusterStatus{State: resource.ClusterActive},
		})
		for name, in := range map[string]string{"free": zone, "busy": zone, "other": "us-west-2a"} {
			w.join(tx, name, in, name == "busy")
		}
	})
	return w
}

func (w *world) join(tx *store.Tx, name, zone string, cordoned bool) {
	tx.Instances.Put("i-"+name, resource.Instance{ID: "i-" + name, Spec: resource.InstanceSpec{Zone: zone}})
	tx.Nodes.Put(resource.NodeKey(clusterARN, name), resource.Node{Cluster: clusterARN, Name: name, Instance: "i-" + name, Cordoned: cordoned})
}

func (w *world) update(f func(*store.Tx)) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start() {
	w.update(func(tx *store.Tx) {
		tx.ZonalShifts.Put(clusterARN, resource.ZonalShift{Cluster: clusterARN, Zone: zone, Started: w.now, Expires: w.now.Add(time.Hour)})
	})
	w.settle()
}

func (w *world) shift(f func(*resource.ZonalShift)) {
	w.update(func(tx *store.Tx) {
		_ = tx.ZonalShifts.Edit(clusterARN, func(z *resource.ZonalShift) error { f(z); return nil })
	})
	w.settle()
}

// settle reconciles until there is nothing left to do but to look again.
func (w *world) settle() {
	w.t.Helper()
	for range 50 {
		again, err := w.c.Reconcile(w.t.Context(), clusterARN)
		if err != nil && !errors.Is(err, reconciletest.ErrInjected) {
			w.t.Fatal(err)
		}
		if err == nil && (again == reconcile.Never || again > unsettled) {
			return
		}
	}
	w.t.Fatal("never at rest")
}

func (w *world) Host() *reconciletest.Calls { return &w.host.Calls }

func (w *world) Again() {
	w.c = New(w.store, w.host, w.host, func() time.Time { return w.now }, slog.New(slog.DiscardHandler))
	w.settle()
}

func (w *world) End() string {
	var z resource.ZonalShift
	_ = w.store.View(func(tx *store.Tx) error { z, _ = tx.ZonalShifts.Get(clusterARN); return nil })
	var cordoned []string
	for _, name := range slices.Sorted(maps.Keys(w.host.cordoned)) {
		if w.host.cordoned[name] {
			cordoned = append(cordoned, name)
		}
	}
	return fmt.Sprintf("away from %q, cordoned %v, marked %v, %v", w.host.away, cordoned, z.Nodes, z.Away)
}

func (w *world) want(what, end string) {
	w.t.Helper()
	if got := w.End(); got != end {
		w.t.Errorf("%s:\n%s\nwant\n%s", what, got, end)
	}
}

const (
	shifted  = `away from "us-west-2b", cordoned [busy free], marked map[busy:left free:cordoned], true`
	restored = `away from "", cordoned [busy], marked map[], false`
)

func TestShift(t *testing.T) {
	for name, end := range map[string]func(*world){
		"cancelled": func(w *world) { w.shift(func(z *resource.ZonalShift) { z.Cancelled = true }) },
		"expired":   func(w *world) { w.now = w.now.Add(time.Hour); w.settle() },
		"disabled": func(w *world) {
			w.update(func(tx *store.Tx) {
				c, _ := tx.Clusters.Get(clusterARN)
				c.Spec.ZonalShiftOn = false
				tx.Clusters.Put(clusterARN, c)
			})
			w.settle()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host.late = 2
			w.start()
			w.want("shifted", shifted)
			end(w)
			w.want("over", restored)
		})
	}
}

// It looks again when it is over, and meanwhile for slices that came while nobody was there to ask.
func TestLooksAgain(t *testing.T) {
	w := newWorld(t)
	w.start()
	if again, err := w.c.Reconcile(t.Context(), clusterARN); again != lookAgain || err != nil {
		t.Errorf("looks again in %s, %v", again, err)
	}
	w.now = w.now.Add(time.Hour - time.Second)
	asked := w.host.asked
	if again, err := w.c.Reconcile(t.Context(), clusterARN); again != time.Second || err != nil || w.host.asked == asked {
		t.Errorf("looks again in %s, %v", again, err)
	}
}

// A shift that expires while traffic is looked at is looked at again, and is over.
func TestExpiresMeanwhile(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second} {
		w := newWorld(t)
		w.start()
		w.now = w.now.Add(time.Hour - time.Second)
		w.host.during = func() { w.now = w.now.Add(time.Second + late) }
		if again, err := w.c.Reconcile(t.Context(), clusterARN); again != time.Millisecond || err != nil {
			t.Errorf("%s late it looks again in %s, %v", late, again, err)
		}
		w.settle()
		w.want("over", restored)
	}
}

// A node that joins is cordoned, one that somebody uncordons stays so.
func TestNodesDuringAShift(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.host.cordoned["free"] = false
	w.update(func(tx *store.Tx) {
		w.join(tx, "free", zone, false)
		w.join(tx, "late", zone, false)
	})
	w.settle()
	w.want("with another node", `away from "us-west-2b", cordoned [busy late], marked map[busy:left free:cordoned late:cordoned], true`)
	w.shift(func(z *resource.ZonalShift) { z.Cancelled = true })
	w.want("over", restored)
}

func TestDeletedCluster(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.update(func(tx *store.Tx) {
		c, _ := tx.Clusters.Get(clusterARN)
		c.Deleting = true
		tx.Clusters.Put(clusterARN, c)
	})
	calls := len(w.host.Log)
	w.settle()
	if _, ok, _ := w.c.get(clusterARN); ok || len(w.host.Log) != calls {
		t.Errorf("the shift of a deleted cluster is there: %t; asked for %q", ok, w.host.Log[calls:])
	}
}

var lives = map[string]func(*world){
	"shifted": (*world).start,
	"over": func(w *world) {
		w.start()
		w.shift(func(z *resource.ZonalShift) { z.Cancelled = true })
	},
}

func TestEachHostCallFailsOnce(t *testing.T) {
	reconciletest.EachCallFailsOnce(t, lives, newWorld)
}

func TestRunTwice(t *testing.T) { reconciletest.RunTwice(t, lives, newWorld) }
