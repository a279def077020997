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

// A ShiftStatus is a line of `ekster fault shift`.
type ShiftStatus struct {
	Cluster string    `json:"cluster"`
	Zone    string    `json:"zone"`
	Expires time.Time `json:"expires"`
	State   string    `json:"state"` // STARTING, ACTIVE, ENDING
}

// Why there is no shift: its cluster or zone is not there, it is asked for in a way that none can be, or the cluster is not as it
// would have to be. They read alike, and differ in the status that they are answered with.
var (
	errShiftUnknown  = errors.New("no zonal shift")
	errShiftInvalid  = errors.New("no zonal shift")
	errShiftConflict = errors.New("no zonal shift")
)

// serveShifts answers `ekster fault shift` on the admin socket. It stands in for the API of ARC,
// Amazon's Application Recovery Controller, by which zonal shifts are started on AWS.
//
//	GET    /faults/shifts                          []ShiftStatus
//	PUT    /faults/shifts?cluster=…&zone=…&for=1h  the cluster's traffic keeps away from the zone
//	DELETE /faults/shifts?cluster=…                until it is over, or this
func (d *Daemon) serveShifts(mux *http.ServeMux) {
	mux.HandleFunc("GET /faults/shifts", func(w http.ResponseWriter, _ *http.Request) {
		list, err := d.shifts()
		d.answerCLI(w, list, err)
	})
	for method, change := range map[string]func(*store.Tx, resource.Cluster, *http.Request) error{
		http.MethodPut: startShift, http.MethodDelete: endShift,
	} {
		mux.HandleFunc(method+" /faults/shifts", func(w http.ResponseWriter, r *http.Request) {
			d.answerCLI(w, map[string]string{}, d.store.Update(r.Context(), func(tx *store.Tx) error {
				c, err := clusterCalled(tx, r.URL.Query().Get("cluster"))
				if err != nil {
					return err
				}
				return change(tx, c, r)
			}))
		})
	}
}

func (d *Daemon) shifts() ([]ShiftStatus, error) {
	list := []ShiftStatus{}
	err := d.store.View(func(tx *store.Tx) error {
		for arn, z := range tx.ZonalShifts.All() {
			c, _ := tx.Clusters.Get(arn)
			s := ShiftStatus{Cluster: c.Name, Zone: z.Zone, Expires: z.Expires, State: "STARTING"}
			switch {
			case z.Over(c, time.Now()):
				s.State = "ENDING"
			case z.Away:
				s.State = "ACTIVE"
			}
			list = append(list, s)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b ShiftStatus) int { return strings.Compare(a.Cluster, b.Cluster) })
	return list, err
}

// clusterCalled is the cluster of a name, or of an ARN where accounts or regions share one.
func clusterCalled(tx *store.Tx, name string) (resource.Cluster, error) {
	found := slices.Collect(tx.Clusters.Values(func(c resource.Cluster) bool { return c.Name == name || c.ARN == name }))
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return resource.Cluster{}, fmt.Errorf("%w: there is no cluster %q", errShiftUnknown, name)
	}
	return resource.Cluster{}, fmt.Errorf("%w: there are %d clusters %s; say the ARN", errShiftInvalid, len(found), name)
}

// startShift starts a cluster's shift, or moves the end of the one that leads away from the zone.
func startShift(tx *store.Tx, c resource.Cluster, r *http.Request) error {
	q := r.URL.Query()
	length, err := time.ParseDuration(q.Get("for"))
	if err != nil || length < time.Minute || length > resource.MaxZonalShift {
		return fmt.Errorf("%w: it takes from a minute to %s, and not %q", errShiftInvalid, resource.MaxZonalShift, q.Get("for"))
	}
	home, _ := region.Lookup(c.Region)
	zone, ok := home.Zone(q.Get("zone"))
	if !ok {
		return fmt.Errorf("%w: %s, where cluster %s is, has no zone %q", errShiftUnknown, c.Region, c.Name, q.Get("zone"))
	}
	if !c.Spec.ZonalShiftOn {
		return fmt.Errorf("%w: cluster %s is not registered for it: aws eks update-cluster-config --name %s --zonal-shift-config enabled=true", errShiftConflict, c.Name, c.Name)
	}
	now := time.Now()
	z, ok := tx.ZonalShifts.Get(c.ARN)
	switch {
	case !ok:
		z = resource.ZonalShift{Cluster: c.ARN, Zone: zone.Name, Started: now}
	case z.Over(c, now):
		return fmt.Errorf("%w: the one before, away from %s, is being ended; try again", errShiftConflict, z.Zone)
	case z.Zone != zone.Name:
		return fmt.Errorf("%w: cluster %s is shifted away from %s already, until %s", errShiftConflict, c.Name, z.Zone, z.Expires.Format(time.RFC3339))
	}
	z.Expires = now.Add(length)
	tx.ZonalShifts.Put(c.ARN, z)
	return nil
}

// endShift ends a cluster's shift before its time. A repeat changes nothing.
func endShift(tx *store.Tx, c resource.Cluster, _ *http.Request) error {
	return tx.ZonalShifts.Edit(c.ARN, func(z *resource.ZonalShift) error { z.Cancelled = true; return nil })
}
