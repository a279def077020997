// Package account takes accounts away with all that is in them, for those who gave an
// account to a test and want nothing of it back:
//
//	asked to go ─ node groups and scaling groups forgotten: only records
//	            ─ clusters and instances asked to go ──▶ their controllers take them off the host
//	            ─ every other record of the account forgotten, networks too ──▶ controller/vpc
//	            ─ the account's own record, last
//
// Nothing is drained and nothing is protected: the account's owner has given it up. Each
// step looks at what there is now, so it can be cut off anywhere and go on.
//
// The package makes no account, and nothing on the host: what stands there belongs to the
// controllers of clusters, instances and VPCs.
package account

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// batch is how many records one transaction deletes; etcd bounds a transaction.
const batch = 100

// again is when an account is looked at again whose machines or clusters are still there;
// their changes wake it earlier.
const again = time.Second

// Controller reconciles accounts, by their ids.
type Controller struct {
	store *store.Store
	now   func() time.Time
	queue *reconcile.Queue
}

// New returns the controller; Run starts it.
func New(st *store.Store, now func() time.Time, log *slog.Logger) *Controller {
	c := &Controller{store: st, now: now}
	c.queue = reconcile.New("account", c.Reconcile, log)
	return c
}

// Run looks at every account once and then at those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 2, func(tx *store.Tx) *store.Table[resource.Account] { return tx.Accounts }, nil)
}

// Errors are those of the accounts that could not be taken away.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Reconcile brings the end of an account nearer, if it has been asked to go.
func (c *Controller) Reconcile(ctx context.Context, id string) (time.Duration, error) {
	var going bool
	err := c.store.View(func(tx *store.Tx) error {
		a, _ := tx.Accounts.Get(id)
		going = a.Deleting
		return nil
	})
	if err != nil || !going {
		return reconcile.Never, err
	}
	left, err := c.stop(ctx, id)
	if err != nil {
		return reconcile.Never, fmt.Errorf("taking account %s away: %w", id, err)
	}
	if left > 0 {
		return again, nil
	}
	if err := c.forget(ctx, id); err != nil {
		return reconcile.Never, fmt.Errorf("forgetting what account %s had: %w", id, err)
	}
	return reconcile.Never, nil
}

// makers are what brings instances back that are asked to go, and has nothing on the host itself.
var makers = map[string]bool{
	store.Nodegroups: true, store.AutoScalingGroups: true, store.GroupInstances: true, store.ScalingActivities: true,
	store.SpotRequests: true, store.ScheduledActions: true, store.InstanceRefreshes: true,
}

// stop asks what stands on the host to go and returns how much still does.
func (c *Controller) stop(ctx context.Context, id string) (left int, err error) {
	for {
		var n int
		err := c.store.Update(ctx, func(tx *store.Tx) error {
			n = tx.DeleteWhere(batch, func(table, key string, record any) bool { return makers[table] && owner(key, record) == id })
			return nil
		})
		if err != nil {
			return 0, err
		}
		if n < batch {
			break
		}
	}
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		for arn, cl := range tx.Clusters.All() {
			if cl.Account != id {
				continue
			}
			left++
			if !cl.Deleting {
				cl.Deleting = true
				tx.Clusters.Put(arn, cl)
			}
		}
		asked := 0
		for key, in := range tx.Instances.All() {
			if in.Account != id || in.Status.State == resource.InstanceTerminated {
				continue
			}
			left++
			if in.Terminating || asked == batch {
				continue
			}
			asked++
			if _, err := provision.Terminate(tx, in.Home, key, c.now()); err != nil {
				return err
			}
		}
		return nil
	})
	return left, err
}

// forget deletes the account's records, its own last.
func (c *Controller) forget(ctx context.Context, id string) error {
	for {
		var n int
		err := c.store.Update(ctx, func(tx *store.Tx) error {
			n = tx.DeleteWhere(batch, func(_, key string, record any) bool { return owner(key, record) == id }, store.Accounts)
			if n == 0 {
				tx.Accounts.Delete(id)
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// owner is the account that a record belongs to: the one that it names, or that is in its
// own ARN, or else in that of the cluster or the group which it is part of. "" is nobody's.
func owner(key string, record any) string {
	v := reflect.ValueOf(record)
	for _, name := range []string{"Account", "ARN", "Cluster", "Group"} {
		f := v.FieldByName(name)
		if !f.IsValid() || f.Kind() != reflect.String || f.String() == "" {
			continue
		}
		if name == "Account" {
			return f.String()
		}
		if a := accountIn(f.String()); a != "" {
			return a
		}
	}
	return accountIn(key)
}

func accountIn(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 && f[0] == "arn" {
		return f[4]
	}
	return ""
}
