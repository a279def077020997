// Package spotrequest brings Spot requests on: what takes capacity, and what takes time.
//
//	open ──capacity────────────▶ provision.FulfilSpot ──▶ active
//	open ──EC2 refuses it──────▶ failed
//	open ──ValidUntil──────────▶ cancelled
//	active ──notice given──────▶ the notice runs out ──▶ its instance is taken back, closed
//	active ──instance gone─────▶ closed
//	over ──two days later──────▶ the record leaves
//
// Instances launched by RunInstances, a fleet or a scaling group bring an active request
// along. The notice itself is given by provision.InterruptSpot and told by the metadata
// service; the package ends no machine: it asks the instance to go, as anybody does.
package spotrequest

import (
	"context"
	"log/slog"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// retry is when a request that found no capacity is looked at again, should nothing that
// gives back capacity wake it.
const retry = 30 * time.Second

// Controller reconciles Spot requests, by their ids.
type Controller struct {
	store *store.Store
	now   func() time.Time
	queue *reconcile.Queue

	// What it asks of EC2.
	fulfils   func(tx *store.Tx, id string, now time.Time) error
	takesBack func(tx *store.Tx, id string, now time.Time) error
}

// New returns the controller; Run starts it.
func New(st *store.Store, now func() time.Time, log *slog.Logger) *Controller {
	c := &Controller{store: st, now: now, fulfils: provision.FulfilSpot, takesBack: takeBack}
	c.queue = reconcile.New("spotrequest", c.Reconcile, log)
	return c
}

func takeBack(tx *store.Tx, id string, now time.Time) error {
	provision.TakeBackSpot(tx, id, now)
	return nil
}

// Run reconciles every request once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 2, func(tx *store.Tx) *store.Table[resource.SpotRequest] { return tx.SpotRequests }, c.changed)
}

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	switch ch.Table {
	case store.Instances:
		if i, ok := tx.Instances.Get(ch.Key); ok && i.Spec.SpotRequest != "" {
			c.queue.Wake(i.Spec.SpotRequest)
		}
	case store.CapacityFaults:
		for r := range tx.SpotRequests.Values(func(r resource.SpotRequest) bool { return r.State == resource.SpotOpen }) {
			c.queue.Wake(r.ID)
		}
	}
}

// Errors are those of the requests that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Reconcile brings a request on.
func (c *Controller) Reconcile(ctx context.Context, id string) (time.Duration, error) {
	var r resource.SpotRequest
	var ok bool
	err := c.store.View(func(tx *store.Tx) error { r, ok = tx.SpotRequests.Get(id); return nil })
	now := c.now()
	switch {
	case err != nil || !ok:
		return reconcile.Never, err
	case r.State == resource.SpotOpen:
		return c.open(ctx, r)
	case !r.Interruption.IsZero() && !provision.SpotOver(r) && now.Before(r.Interruption):
		return r.Interruption.Sub(now), c.update(ctx, id, provision.CloseSpot)
	case !r.Interruption.IsZero() && !provision.SpotOver(r):
		return reconcile.Never, c.store.Update(ctx, func(tx *store.Tx) error { return c.takesBack(tx, id, c.now()) })
	case r.State == resource.SpotActive:
		return reconcile.Never, c.update(ctx, id, provision.CloseSpot)
	}
	if left := provision.SpotVisible - now.Sub(r.Updated); left > 0 {
		return left, nil
	}
	return reconcile.Never, c.store.Update(ctx, func(tx *store.Tx) error { tx.SpotRequests.Delete(id); return nil })
}

func (c *Controller) update(ctx context.Context, id string, f func(tx *store.Tx, id string, now time.Time)) error {
	return c.store.Update(ctx, func(tx *store.Tx) error { f(tx, id, c.now()); return nil })
}

// open tries to fulfil a request.
func (c *Controller) open(ctx context.Context, r resource.SpotRequest) (time.Duration, error) {
	if !r.ValidUntil.IsZero() && !c.now().Before(r.ValidUntil) {
		return reconcile.Never, c.update(ctx, r.ID, provision.ExpireSpot)
	}
	refusal := c.store.Update(ctx, func(tx *store.Tx) error { return c.fulfils(tx, r.ID, c.now()) })
	if refusal == nil {
		return reconcile.Never, nil
	}
	if err := c.store.Update(ctx, func(tx *store.Tx) error { return provision.NoteSpot(tx, r.ID, refusal, c.now()) }); err != nil {
		return reconcile.Never, err
	}
	if left := r.ValidUntil.Sub(c.now()); !r.ValidUntil.IsZero() && left < retry {
		return max(left, time.Millisecond), nil
	}
	return retry, nil
}
