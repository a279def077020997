// Package zonalshift makes the records of zonal shifts real: a cluster's traffic keeps away from
// one zone for a time, and what serves there stays as it is.
//
//	started ── EndpointSlices lose the zone's endpoints (traffic.go)
//	        ── the zone's nodes are cordoned, those that join later too ─▶ Away
//	over (cancelled, expired, not enabled any more)
//	        ── endpoints are back ── nodes that it has cordoned are uncordoned ─▶ record deleted
//
// It terminates no node and evicts no pod, as EKS does not: all that is there serves again when the
// shift is over. It does not keep new nodes out of the zone (controller/nodegroup does, and the
// Auto Scaling group behind it), nor does it change endpoints itself (package zonalshift does).
package zonalshift

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Waits until something is looked at again that nobody tells of.
const (
	unsettled = 50 * time.Millisecond // the API server does not ask the webhook yet
	lookAgain = 30 * time.Second      // slices that were written while the daemon was not there to be asked
)

// Nodes changes Kubernetes nodes; package controller/node does.
type Nodes interface {
	Configure(ctx context.Context, cluster, node string, change resource.NodeChange) error
}

// Traffic moves what Services of a cluster lead to; APIServers does.
type Traffic interface {
	// Shift takes the endpoints in a zone out, and says whether none is left.
	Shift(ctx context.Context, c resource.Cluster, zone string) (done bool, err error)
	// Restore has all endpoints put back.
	Restore(ctx context.Context, c resource.Cluster) error
}

// Controller reconciles zonal shifts, by their clusters' ARNs.
type Controller struct {
	store   *store.Store
	nodes   Nodes
	traffic Traffic
	now     func() time.Time
	queue   *reconcile.Queue
	log     *slog.Logger
}

// New returns the controller; Run starts it.
func New(st *store.Store, nodes Nodes, traffic Traffic, now func() time.Time, log *slog.Logger) *Controller {
	c := &Controller{store: st, nodes: nodes, traffic: traffic, now: now, log: log}
	c.queue = reconcile.New("zonalshift", c.Reconcile, log)
	return c
}

// Run reconciles every shift once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 2, func(tx *store.Tx) *store.Table[resource.ZonalShift] { return tx.ZonalShifts }, c.changed)
}

// Errors are those of the shifts that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	key := ch.Key
	switch ch.Table {
	case store.Clusters:
	case store.Nodes:
		key, _, _ = strings.Cut(ch.Key, "|")
	default:
		return
	}
	if tx.ZonalShifts.Has(key) {
		c.queue.Wake(key)
	}
}

// state is what a reconcile sees of a shift.
type state struct {
	shift   resource.ZonalShift
	cluster resource.Cluster
	there   bool            // the cluster
	nodes   map[string]bool // in the zone → whether it is cordoned
}

func (c *Controller) get(arn string) (s state, ok bool, err error) {
	err = c.store.View(func(tx *store.Tx) error {
		if s.shift, ok = tx.ZonalShifts.Get(arn); !ok {
			return nil
		}
		s.cluster, s.there = tx.Clusters.Get(arn)
		s.nodes = map[string]bool{}
		for _, n := range tx.Nodes.All() {
			if in, _ := tx.Instances.Get(n.Instance); n.Cluster == arn && in.Spec.Zone == s.shift.Zone {
				s.nodes[n.Name] = n.Cordoned
			}
		}
		return nil
	})
	return s, ok, err
}

// Reconcile brings the cluster nearer to where its shift wants it.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	s, ok, err := c.get(arn)
	if err != nil || !ok {
		return reconcile.Never, err
	}
	if !s.there || s.cluster.Deleting {
		return reconcile.Never, c.forget(ctx, arn)
	}
	if state := s.cluster.Current(); state != resource.ClusterActive && state != resource.ClusterUpdating {
		return reconcile.Never, nil // until it is
	}
	if s.shift.Over(s.cluster, c.now()) {
		return reconcile.Never, c.restore(ctx, s)
	}
	done, err := c.traffic.Shift(ctx, s.cluster, s.shift.Zone)
	if err != nil {
		return reconcile.Never, fmt.Errorf("shifting the traffic of cluster %s away from %s: %w", s.cluster.Name, s.shift.Zone, err)
	}
	if !done {
		return unsettled, nil
	}
	if err := c.cordon(ctx, s); err != nil {
		return reconcile.Never, err
	}
	if !s.shift.Away {
		c.log.Info("the traffic of a cluster has been shifted", "cluster", s.cluster.Name, "away from", s.shift.Zone, "until", s.shift.Expires)
		err = c.edit(ctx, arn, func(z *resource.ZonalShift) { z.Away = true })
	}
	// It may have expired meanwhile, which is a time to look, and not none.
	return max(time.Millisecond, min(lookAgain, s.shift.Expires.Sub(c.now()))), err
}

// cordon cordons each node of the zone once: one that somebody uncordons meanwhile stays so. What
// is to be done is written before it is done, so that it is undone whatever happens in between.
func (c *Controller) cordon(ctx context.Context, s state) error {
	for _, name := range slices.Sorted(maps.Keys(s.nodes)) {
		was := s.shift.Nodes[name]
		if was == resource.NodeCordoned || was == resource.NodeLeft {
			continue
		}
		if was == "" {
			plan := resource.NodeCordoning
			if s.nodes[name] {
				plan = resource.NodeLeft
			}
			if err := c.mark(ctx, s, name, plan); err != nil {
				return err
			}
			if plan == resource.NodeLeft {
				continue
			}
		}
		if err := c.set(ctx, s, name, true); err != nil {
			return err
		}
		if err := c.mark(ctx, s, name, resource.NodeCordoned); err != nil {
			return err
		}
	}
	return nil
}

// restore gives the zone its traffic back, and the nodes their pods that this shift has cordoned.
func (c *Controller) restore(ctx context.Context, s state) error {
	for _, name := range slices.Sorted(maps.Keys(s.shift.Nodes)) {
		if s.shift.Nodes[name] == resource.NodeLeft {
			continue
		}
		if err := c.set(ctx, s, name, false); err != nil {
			return err
		}
	}
	if err := c.traffic.Restore(ctx, s.cluster); err != nil {
		return fmt.Errorf("giving zone %s the traffic of cluster %s back: %w", s.shift.Zone, s.cluster.Name, err)
	}
	c.log.Info("a zonal shift is over", "cluster", s.cluster.Name, "zone", s.shift.Zone)
	return c.forget(ctx, s.shift.Cluster)
}

func (c *Controller) set(ctx context.Context, s state, node string, cordoned bool) error {
	if err := c.nodes.Configure(ctx, s.shift.Cluster, node, resource.NodeChange{Cordon: &cordoned}); err != nil {
		return fmt.Errorf("node %s of zone %s: %w", node, s.shift.Zone, err)
	}
	return nil
}

func (c *Controller) mark(ctx context.Context, s state, node, as string) error {
	return c.edit(ctx, s.shift.Cluster, func(z *resource.ZonalShift) {
		z.Nodes = maps.Clone(z.Nodes)
		if z.Nodes == nil {
			z.Nodes = map[string]string{}
		}
		z.Nodes[node] = as
	})
}

func (c *Controller) edit(ctx context.Context, arn string, f func(*resource.ZonalShift)) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.ZonalShifts.Edit(arn, func(z *resource.ZonalShift) error { f(z); return nil })
	})
}

func (c *Controller) forget(ctx context.Context, arn string) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		tx.ZonalShifts.Delete(arn)
		return nil
	})
}
