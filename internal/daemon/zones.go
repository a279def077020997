package daemon

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A ZoneStatus is a line of `ekster fault zone`.
type ZoneStatus struct {
	Zone  string    `json:"zone"`
	Since time.Time `json:"since"`
}

var errNoZone = errors.New("no region has the zone")

// serveZones answers `ekster fault zone` on the admin socket.
//
//	GET    /faults/zones         []ZoneStatus
//	PUT    /faults/zones/{name}  the zone is gone, until
//	DELETE /faults/zones/{name}  it is back
func (d *Daemon) serveZones(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults/zones", func(w http.ResponseWriter, _ *http.Request) {
		list, err := d.zoneFaults()
		d.answerCLI(w, list, err)
	})
	mux.HandleFunc("PUT /faults/zones/{name}", func(w http.ResponseWriter, r *http.Request) {
		d.answerCLI(w, map[string]string{}, d.changeZone(r, true))
	})
	mux.HandleFunc("DELETE /faults/zones/{name}", func(w http.ResponseWriter, r *http.Request) {
		d.answerCLI(w, map[string]string{}, d.changeZone(r, false))
	})
}

func (d *Daemon) zoneFaults() ([]ZoneStatus, error) {
	list := []ZoneStatus{}
	err := d.store.View(func(tx *store.Tx) error {
		for _, f := range tx.ZoneFaults.All() {
			list = append(list, ZoneStatus{Zone: f.Zone, Since: f.Since})
		}
		return nil
	})
	slices.SortFunc(list, func(a, b ZoneStatus) int { return strings.Compare(a.Zone, b.Zone) })
	return list, err
}

// changeZone takes a zone away or gives it back. A repeat changes nothing.
func (d *Daemon) changeZone(r *http.Request, gone bool) error {
	name := r.PathValue("name")
	known := slices.ContainsFunc(region.All(), func(r region.Region) bool {
		z, ok := r.Zone(name)
		return ok && z.Name == name // ids name zones, too, but machines go by names
	})
	if !known {
		return fmt.Errorf("%w %q", errNoZone, name)
	}
	return d.store.Update(r.Context(), func(tx *store.Tx) error {
		switch {
		case !gone:
			tx.ZoneFaults.Delete(name)
		case !tx.ZoneFaults.Has(name):
			tx.ZoneFaults.Put(name, resource.ZoneFault{Zone: name, Since: time.Now()})
		}
		return nil
	})
}
