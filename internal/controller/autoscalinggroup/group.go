// Package autoscalinggroup keeps the number of instances that Auto Scaling groups want.
//
//	             launch           running               Continue, heartbeat over
//	(nothing) ──────────▶ Pending ───────▶ Pending:Wait ────────────────────────▶ Pending:Proceed
//	                         │ no hook        │ Abandon                                 │
//	                         ▼                ▼                                         ▼
//	     Standby ◀──────▶ InService ◀──── (replaced) ◀──────────────────────────── InService
//	                         │ too many, condemned, unhealthy, refreshed, group deleted
//	                         ▼
//	                  Terminating:Wait ──Continue, Abandon, heartbeat over──▶ Terminating:Proceed ──▶ (gone)
//	                         │ no hook
//	                         ▼
//	                    Terminating ──▶ (gone)
//
// A round is one look at a group, in one transaction and in this order:
//
//	schedule   execute the scheduled actions that are due          schedule.go
//	settle     follow what has become of the members               round.go, hook.go
//	health     send off those that are Unhealthy                   health.go
//	refresh    replace instances, some at a time                   refresh.go
//	recall     let spot instances go that EC2 may take back        recall.go
//	retire     send off whose lifetime is over                     lifetime.go
//	balance    launch in an empty zone, to leave a full one        balance.go
//	shrink     send off whom nobody wants                          shrink.go, policy.go
//
// and after it, an instance a transaction, the launches that are missing (launch.go). So a
// launch that EC2 refuses leaves nothing behind but its failed activity.
//
// It acts as a client of EC2: it records instances through package provision, which
// controller/instance makes real. Every launch and end is a scaling activity, with its cause.
//
// It knows no health but the instance's own and what clients say (SetInstanceHealth), no
// warm pools. An instance maintenance policy bounds instance refreshes and nothing else.
package autoscalinggroup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Bounds of the wait after a launch that failed.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Controller reconciles Auto Scaling groups, by their ARNs.
type Controller struct {
	store *store.Store
	queue *reconcile.Queue
	now   func() time.Time
	log   *slog.Logger

	// What it asks of EC2.
	launches   func(*store.Tx, provision.InstanceRequest) (resource.Instance, error)
	terminates func(tx *store.Tx, home resource.Home, id string, now time.Time) (previous string, err error)
}

// New returns the controller; Run starts it.
func New(st *store.Store, now func() time.Time, log *slog.Logger) *Controller {
	c := &Controller{store: st, now: now, log: log, launches: provision.Instance, terminates: provision.Terminate}
	c.queue = reconcile.New("autoscalinggroup", c.Reconcile, log)
	return c
}

// Run reconciles every group once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 4, func(tx *store.Tx) *store.Table[resource.AutoScalingGroup] { return tx.AutoScalingGroups }, c.changed)
}

// changed wakes the group that a change is about.
func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	arn := ""
	switch ch.Table {
	case store.GroupInstances:
		m, _ := tx.GroupInstances.Get(ch.Key)
		arn = m.Group
	case store.Instances:
		in, _ := tx.Instances.Get(ch.Key)
		arn = in.Spec.AutoScalingGroup
	case store.SpotRequests:
		r, _ := tx.SpotRequests.Get(ch.Key)
		in, _ := tx.Instances.Get(r.Instance)
		arn = in.Spec.AutoScalingGroup
	case store.ScheduledActions:
		a, _ := tx.ScheduledActions.Get(ch.Key)
		arn = a.Group
	case store.InstanceRefreshes:
		f, _ := tx.InstanceRefreshes.Get(ch.Key)
		arn = f.Group
	}
	if arn != "" {
		c.queue.Wake(arn)
	}
}

// Errors are those of the groups that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Reconcile brings the group's instances nearer to what it wants.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	var again time.Duration
	missing := false
	err := c.store.Update(ctx, func(tx *store.Tx) error {
		g, ok := tx.AutoScalingGroups.Get(arn)
		if !ok {
			return nil
		}
		r := c.round(tx, g)
		if err := r.look(); err != nil {
			return err
		}
		missing, again = r.missing(), r.again
		return nil
	})
	for err == nil && missing {
		var wait time.Duration
		missing, wait, err = c.launchOne(ctx, arn)
		again = sooner(again, wait)
	}
	if err != nil {
		return reconcile.Never, fmt.Errorf("group %s: %w", arn, err)
	}
	return again, nil
}

// sooner is the shorter of two waits, of which 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
