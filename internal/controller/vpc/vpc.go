// Package vpc makes the records of VPCs real: it turns a VPC with its subnets, routes,
// security groups, gateways, ACLs, peers, endpoints and attached interfaces into a
// network.VPC and has it ensured.
//
//	records of one VPC ──configFor──▶ network.VPC ──▶ network.Host ──▶ interface Status.Plugged
//	                                                       └──▶ Doors: the metadata service,
//	                                                            the AWS APIs, … open in its router
//
// A VPC in which nothing is plugged has nothing on the host. The package opens no
// listener and knows no protocol: what answers inside a VPC is behind Doors.
package vpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Host is the data plane; network.Host is one.
type Host interface {
	EnsureVPC(ctx context.Context, v network.VPC) error
	RemoveVPC(ctx context.Context, id string) error
	EnsureRelays(vpc string, want []network.Relay)
	Instances() ([]string, error)
	RemoveGuest(ctx context.Context, guest string) error
}

// Doors opens and closes what listens in a VPC's router. Both may be repeated.
type Doors interface {
	Open(ctx context.Context, vpc string) error
	Close(vpc string)
}

// Controller reconciles VPCs, by their ids.
type Controller struct {
	store *store.Store
	host  Host
	doors Doors
	queue *reconcile.Queue

	mu    sync.Mutex
	vpcOf map[string]string // interface → VPC, for those that are deleted
	made  map[string]bool   // VPCs that are on the host
}

// New returns the controller; Run starts it.
func New(st *store.Store, host Host, doors Doors, log *slog.Logger) *Controller {
	c := &Controller{store: st, host: host, doors: doors, vpcOf: map[string]string{}, made: map[string]bool{}}
	c.queue = reconcile.New("vpc", c.Reconcile, log)
	return c
}

// Run reconciles every VPC once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 4, func(tx *store.Tx) *store.Table[resource.VPC] { return tx.VPCs }, c.changed)
}

// Errors are those of the VPCs that could not be made.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	wake := func(ids ...string) {
		for _, id := range ids {
			if id != "" {
				c.queue.Wake(id)
			}
		}
	}
	switch ch.Table {
	case store.VPCs:
		for _, p := range peersOf(tx, ch.Key) {
			wake(p.VPC)
		}
	case store.Interfaces:
		vpc := c.vpcOfInterface(tx, ch.Key)
		wake(vpc)
		for _, p := range peersOf(tx, vpc) { // whose rules may name its groups
			wake(p.VPC)
		}
	case store.Instances: // routes may lead to it
		for _, i := range provision.InterfacesOf(tx, ch.Key) {
			if routed(tx, i) {
				wake(i.VPC)
			}
		}
	case store.Subnets:
		v, _ := tx.Subnets.Get(ch.Key)
		wake(v.VPC)
	case store.SecurityGroups:
		v, _ := tx.SecurityGroups.Get(ch.Key)
		wake(v.VPC)
	case store.RouteTables:
		v, _ := tx.RouteTables.Get(ch.Key)
		wake(v.VPC)
	case store.NATGateways:
		v, _ := tx.NATGateways.Get(ch.Key)
		wake(v.VPC)
	case store.NetworkACLs:
		v, _ := tx.NetworkACLs.Get(ch.Key)
		wake(v.VPC)
	case store.PeeringConnections:
		v, _ := tx.PeeringConnections.Get(ch.Key)
		wake(v.Requester, v.Accepter)
	case store.InternetGateways, store.EgressOnlyGateways, store.VPCEndpoints, store.PrefixLists, store.Clusters:
		// A detached gateway, or an endpoint that is gone, no longer tells where it was;
		// a prefix list never does.
		for id := range tx.VPCs.All() {
			wake(id)
		}
	}
}

// routed says whether a route leads to the interface.
func routed(tx *store.Tx, i resource.NetworkInterface) bool {
	for _, t := range tx.RouteTables.All() {
		if t.VPC == i.VPC && slices.ContainsFunc(t.Routes, func(r resource.Route) bool { return r.Interface == i.ID }) {
			return true
		}
	}
	return false
}

func (c *Controller) vpcOfInterface(tx *store.Tx, id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := tx.Interfaces.Get(id); ok {
		c.vpcOf[id] = i.VPC
		return i.VPC
	}
	vpc := c.vpcOf[id]
	delete(c.vpcOf, id)
	return vpc
}

// Reconcile brings the host nearer to the VPC's records.
func (c *Controller) Reconcile(ctx context.Context, id string) (time.Duration, error) {
	var want network.VPC
	var plugged map[string]string
	var relays []network.Relay
	err := c.store.View(func(tx *store.Tx) error {
		var err error
		want, plugged, err = configFor(tx, id)
		relays = relaysFor(tx, want)
		c.mu.Lock()
		defer c.mu.Unlock()
		for eni := range plugged {
			c.vpcOf[eni] = id
		}
		return err
	})
	if err != nil {
		return reconcile.Never, err
	}
	if len(want.Interfaces) == 0 {
		c.doors.Close(id)
		c.isMade(id, false)
		if err := c.host.RemoveVPC(ctx, id); err != nil {
			return reconcile.Never, fmt.Errorf("VPC %s: %w", id, err)
		}
		return reconcile.Never, errors.Join(c.sweep(ctx), c.record(ctx, plugged))
	}
	if err := c.host.EnsureVPC(ctx, want); err != nil {
		return reconcile.Never, fmt.Errorf("VPC %s: %w", id, err)
	}
	c.host.EnsureRelays(id, relays)
	if c.isMade(id, true) {
		// Peers could not connect to it before.
		for _, p := range want.Peers {
			c.queue.Wake(p.VPC)
		}
	}
	if err := c.doors.Open(ctx, id); err != nil {
		return reconcile.Never, fmt.Errorf("services of VPC %s: %w", id, err)
	}
	return reconcile.Never, errors.Join(c.sweep(ctx), c.record(ctx, plugged))
}

// sweep removes the namespaces of instances that no interface is attached to. They are
// removed when their instances end, but an EnsureVPC that has read the records before that
// makes them again.
func (c *Controller) sweep(ctx context.Context) error {
	guests, err := c.host.Instances()
	if err != nil {
		return fmt.Errorf("listing the instances on the host: %w", err)
	}
	attached := map[string]bool{}
	err = c.store.View(func(tx *store.Tx) error {
		for _, i := range tx.Interfaces.All() {
			if i.Attachment != nil {
				attached[i.Attachment.Guest] = true
			}
		}
		return nil
	})
	for _, guest := range guests {
		if err == nil && !attached[guest] {
			err = c.host.RemoveGuest(ctx, guest)
		}
	}
	return err
}

// isMade notes whether the VPC is on the host, and says whether that is news.
func (c *Controller) isMade(id string, made bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.made[id] != made
	c.made[id] = made
	return news
}

// record says of each interface which guest it is plugged into. Nothing is written
// where nothing has changed: every write wakes this controller again.
func (c *Controller) record(ctx context.Context, plugged map[string]string) error {
	stale := func(tx *store.Tx) (ids []string) {
		for id, guest := range plugged {
			if i, ok := tx.Interfaces.Get(id); ok && i.Status.Plugged != guest {
				ids = append(ids, id)
			}
		}
		return ids
	}
	var ids []string
	if err := c.store.View(func(tx *store.Tx) error { ids = stale(tx); return nil }); err != nil || len(ids) == 0 {
		return err
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range stale(tx) {
			i, _ := tx.Interfaces.Get(id)
			i.Status.Plugged = plugged[id]
			tx.Interfaces.Put(id, i)
		}
		return nil
	})
}
