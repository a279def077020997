package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A CapacityStatus is a line of `ekster fault capacity`.
type CapacityStatus struct {
	Type      string `json:"type"`
	Zone      string `json:"zone"`
	Lifecycle string `json:"lifecycle,omitempty"`
}

var errCapacity = errors.New("no capacity is meant")

// serveCapacity answers `ekster fault capacity` and `ekster fault spot` on the admin socket.
// A fault's query is its type, zone and lifecycle.
//
//	GET    /faults/capacity         []CapacityStatus
//	PUT    /faults/capacity?…       EC2 has no such capacity, until
//	DELETE /faults/capacity?…       it has again
//	PUT    /faults/spot/{instance}  the instance gets its interruption notice
//	PUT    /faults/rebalance/{instance}  the instance gets a rebalance recommendation
func (d *Daemon) serveCapacity(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults/capacity", func(w http.ResponseWriter, _ *http.Request) {
		list, err := d.capacityFaults()
		d.answerCLI(w, list, err)
	})
	for method, change := range map[string]func(tx *store.Tx, f resource.CapacityFault){
		http.MethodPut:    func(tx *store.Tx, f resource.CapacityFault) { tx.CapacityFaults.Put(f.Key(), f) },
		http.MethodDelete: func(tx *store.Tx, f resource.CapacityFault) { tx.CapacityFaults.Delete(f.Key()) },
	} {
		mux.HandleFunc(method+" /faults/capacity", func(w http.ResponseWriter, r *http.Request) {
			d.answerCLI(w, map[string]string{}, d.changeCapacity(r, change))
		})
	}
	for what, notice := range map[string]func(tx *store.Tx, id string) error{
		"spot": func(tx *store.Tx, id string) error {
			return provision.InterruptSpot(tx, id, cmp.Or(d.cfg.SpotNotice, DefaultSpotNotice), time.Now())
		},
		"rebalance": func(tx *store.Tx, id string) error { return provision.RecommendRebalance(tx, id, time.Now()) },
	} {
		mux.HandleFunc("PUT /faults/"+what+"/{instance}", func(w http.ResponseWriter, r *http.Request) {
			id := r.PathValue("instance")
			err := d.store.Update(r.Context(), func(tx *store.Tx) error { return notice(tx, id) })
			if err != nil {
				err = fmt.Errorf("instance %s: %w", id, err)
			}
			d.answerCLI(w, map[string]string{}, err)
		})
	}
}

func (d *Daemon) capacityFaults() ([]CapacityStatus, error) {
	list := []CapacityStatus{}
	err := d.store.View(func(tx *store.Tx) error {
		for _, f := range tx.CapacityFaults.All() {
			list = append(list, CapacityStatus(f))
		}
		return nil
	})
	slices.SortFunc(list, func(a, b CapacityStatus) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Lifecycle, b.Lifecycle))
	})
	return list, err
}

func (d *Daemon) changeCapacity(r *http.Request, change func(*store.Tx, resource.CapacityFault)) error {
	q := r.URL.Query()
	f := resource.CapacityFault{Type: q.Get("type"), Zone: q.Get("zone"), Lifecycle: q.Get("lifecycle")}
	for _, pattern := range []string{f.Type, f.Zone} {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("%w by %q: a type and a zone, or patterns of them", errCapacity, pattern)
		}
	}
	if !slices.Contains([]string{"", provision.Spot, provision.OnDemand}, f.Lifecycle) {
		return fmt.Errorf("%w by the lifecycle %q: it is %s or %s", errCapacity, f.Lifecycle, provision.Spot, provision.OnDemand)
	}
	return d.store.Update(r.Context(), func(tx *store.Tx) error { change(tx, f); return nil })
}
