// Package vpc makes the records of VPCs real: it turns a VPC with its subnets, routes,
// security groups and attached interfaces into a network.VPC and has it ensured.
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
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A Host is the data plane; network.Host is one.
type Host interface {
	EnsureVPC(ctx context.Context, v network.VPC) error
	RemoveVPC(ctx context.Context, id string) error
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
}

// New returns the controller; Run starts it.
func New(st *store.Store, host Host, doors Doors, log *slog.Logger) *Controller {
	c := &Controller{store: st, host: host, doors: doors, vpcOf: map[string]string{}}
	c.queue = reconcile.New("vpc", c.Reconcile, log)
	return c
}

// Run reconciles every VPC once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.store.Subscribe(c.changed)
	err := c.store.View(func(tx *store.Tx) error {
		for id := range tx.Interfaces.All() {
			c.vpcOfInterface(tx, id)
		}
		for id := range tx.VPCs.All() {
			c.queue.Wake(id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.queue.Run(ctx, 4)
	return nil
}

// Errors are those of the VPCs that could not be made.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

func (c *Controller) changed(changes []store.Change) {
	wake := map[string]bool{}
	_ = c.store.View(func(tx *store.Tx) error {
		for _, ch := range changes {
			switch ch.Table {
			case store.VPCs:
				wake[ch.Key] = true
			case store.Interfaces:
				wake[c.vpcOfInterface(tx, ch.Key)] = true
			case store.Subnets:
				if v, ok := tx.Subnets.Get(ch.Key); ok {
					wake[v.VPC] = true
				}
			case store.SecurityGroups:
				if v, ok := tx.SecurityGroups.Get(ch.Key); ok {
					wake[v.VPC] = true
				}
			case store.RouteTables:
				if v, ok := tx.RouteTables.Get(ch.Key); ok {
					wake[v.VPC] = true
				}
			case store.InternetGateways:
				// A detached gateway no longer tells which VPC it was in.
				for id := range tx.VPCs.All() {
					wake[id] = true
				}
			}
		}
		return nil
	})
	delete(wake, "")
	for id := range wake {
		c.queue.Wake(id)
	}
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
	err := c.store.View(func(tx *store.Tx) error {
		var err error
		want, plugged, err = configFor(tx, id)
		return err
	})
	if err != nil {
		return reconcile.Never, err
	}
	if len(want.Interfaces) == 0 {
		c.doors.Close(id)
		return reconcile.Never, c.host.RemoveVPC(ctx, id)
	}
	if err := c.host.EnsureVPC(ctx, want); err != nil {
		return reconcile.Never, fmt.Errorf("VPC %s: %w", id, err)
	}
	if err := c.doors.Open(ctx, id); err != nil {
		return reconcile.Never, fmt.Errorf("services of VPC %s: %w", id, err)
	}
	return reconcile.Never, c.record(ctx, plugged)
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

// configFor is the data plane of a VPC, and for every interface of it the guest that
// it is plugged into ("" for one that is not attached). An unknown VPC has none.
func configFor(tx *store.Tx, id string) (network.VPC, map[string]string, error) {
	want := network.VPC{ID: id}
	plugged := map[string]string{}
	v, ok := tx.VPCs.Get(id)
	if !ok {
		return want, plugged, nil
	}
	for _, a := range v.CIDRs {
		want.CIDRs = append(want.CIDRs, a.CIDR)
	}
	for s := range tx.Subnets.Values(func(s resource.Subnet) bool { return s.VPC == id }) {
		want.Subnets = append(want.Subnets, network.Subnet{ID: s.ID, CIDR: s.CIDR, Routes: routesOf(tx, s)})
	}
	for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.VPC == id }) {
		want.SecurityGroups = append(want.SecurityGroups, groupFor(g))
	}
	for i := range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.VPC == id }) {
		if i.Attachment == nil || i.Attachment.Guest == "" {
			plugged[i.ID] = ""
			continue
		}
		mac, err := net.ParseMAC(i.MAC)
		if err != nil {
			return want, nil, fmt.Errorf("interface %s: %w", i.ID, err)
		}
		plugged[i.ID] = i.Attachment.Guest
		want.Interfaces = append(want.Interfaces, network.Interface{
			ID: i.ID, Subnet: i.Subnet, Guest: i.Attachment.Guest, Device: fmt.Sprintf("eth%d", i.Attachment.DeviceIndex), MAC: mac,
			Addresses: i.Addresses, SecurityGroups: i.SecurityGroups, SourceDestCheck: i.SourceDestCheck,
			// An instance sets up further interfaces itself (its CNI does); a control plane has
			// nobody who would.
			Configure: i.Attachment.DeviceIndex == 0 || i.Attachment.Instance == "",
		})
	}
	return want, plugged, nil
}

// routesOf are the routes of the table that the subnet is associated with, or else of
// the VPC's main one.
func routesOf(tx *store.Tx, s resource.Subnet) []network.Route {
	var table resource.RouteTable
	for t := range tx.RouteTables.Values(func(t resource.RouteTable) bool { return t.VPC == s.VPC }) {
		explicit := false
		for _, subnet := range t.Associations {
			explicit = explicit || subnet == s.ID
		}
		if explicit {
			table = t
			break
		}
		if t.Main {
			table = t
		}
	}
	var out []network.Route
	for _, r := range table.Routes {
		target := network.Blackhole
		if g, ok := tx.InternetGateways.Get(r.Gateway); ok && g.VPC == s.VPC {
			target = network.Internet
		}
		out = append(out, network.Route{Destination: r.Destination, Target: target})
	}
	return out
}

func groupFor(g resource.SecurityGroup) network.SecurityGroup {
	out := network.SecurityGroup{ID: g.ID}
	for _, r := range g.Rules {
		if r.Protocol == "icmpv6" {
			continue
		}
		rule := network.Rule{Protocol: r.Protocol, FromPort: int(r.FromPort), ToPort: int(r.ToPort), Description: r.Description}
		switch {
		case r.CIDR.IsValid() && r.CIDR.Addr().Is4():
			rule.CIDRs = append(rule.CIDRs, r.CIDR)
		case r.Group != "":
			rule.Groups = append(rule.Groups, r.Group)
		default:
			continue // IPv6 and prefix lists have no data plane yet
		}
		if r.Egress {
			out.Egress = append(out.Egress, rule)
		} else {
			out.Ingress = append(out.Ingress, rule)
		}
	}
	return out
}
