// Package cluster makes the records of EKS clusters real: control planes.
//
//	CREATING ─ interfaces plugged ─ loopback address chosen ─ authenticator listening
//	         ─ controlplane.Ensure until ready ─ self-managed defaults applied ─▶ ACTIVE
//	process gone, daemon restarted, host rebooted: the same line again
//	Spec.Revision ahead ─ UPDATING ─ the same line with what is wanted now ─▶ ACTIVE
//	                         ├─ the new version is not up in time ─ the same line with the
//	                         │  version before ─▶ ACTIVE, the update Failed (update.go);
//	                         │  so too another scaling tier (tier.go)
//	                         └─ nothing is up in time ─▶ ACTIVE, the update Failed, and the same line
//	something that it needs is gone ─ an issue in its health, until it is back (health.go)
//	its version's support is over ─ an upgrade by one minor version, as if asked for
//	Deleting ─ control plane removed ─ authenticator closed ─ guest removed
//	         ─ interfaces, security group, what belongs to it and record deleted
//
// It makes no network (controller/vpc does, from the interfaces that service/eks has
// recorded), decides nobody's access (package clusterauth does), and does not look at
// nodes (controller/node does).
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/process"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Planes runs control planes; controlplane.Planes does.
type Planes interface {
	Ensure(ctx context.Context, c controlplane.Config) (controlplane.Status, error)
	Remove(ctx context.Context, dir string) error
	DataSize(dir string) (int64, error)
}

// Guests are the network namespaces of control planes; network.Host has them.
type Guests interface {
	GuestPath(guest string) string
	RemoveGuest(ctx context.Context, guest string) error
}

// Authenticator answers the webhooks of API servers on a unix socket a cluster.
type Authenticator interface {
	Open(cluster string) (socket string, err error)
	Close(cluster string)
}

// Config says what control planes are made of.
type Config struct {
	Dir      string                                                                                       // a directory a cluster below it
	Kube     func(minor string) (binary string, ok bool)                                                  // the payload of a Kubernetes version
	Issuer   func(c resource.Cluster) string                                                              // URL of the issuer of its tokens
	Loopback netip.Prefix                                                                                 // endpoints' addresses are taken from it
	Bindable func(netip.AddrPort) bool                                                                    // nobody listens there
	Defaults func(ctx context.Context, api *rest.Config, c resource.Cluster, server netip.AddrPort) error // applies the self-managed add-ons
	Now      func() time.Time
	Own      func() []netip.Addr // the host's addresses, by which publicAccessCidrs let it in; nil: its interfaces'

	Inspect func(ctx context.Context, api *rest.Config) (resource.Inspection, error) // nil: Inspect
	// Verdicts are what the insights of a cluster say, by their ids; nil: there are none.
	Verdicts func(tx *store.Tx, c resource.Cluster, at time.Time) map[string]string

	UpgradeTimeout time.Duration // until a version that is not up is given up; 0: DefaultUpgradeTimeout
}

// Controller reconciles clusters, by their ARNs.
type Controller struct {
	cfg    Config
	store  *store.Store
	planes Planes
	guests Guests
	auth   Authenticator
	queue  *reconcile.Queue
	log    *slog.Logger

	mu      sync.Mutex
	watched map[int]bool // pids whose end is waited for
	deaths  map[string]death
	choose  sync.Mutex // held while an address is chosen
	ctx     context.Context
}

// New returns the controller; Run starts it.
func New(cfg Config, st *store.Store, p Planes, g Guests, a Authenticator, log *slog.Logger) *Controller {
	c := &Controller{cfg: cfg, store: st, planes: p, guests: g, auth: a, log: log, watched: map[int]bool{}, deaths: map[string]death{}}
	c.queue = reconcile.New("cluster", c.Reconcile, log)
	return c
}

// Run reconciles every cluster once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.ctx = ctx
	return reconcile.Serve(ctx, c.queue, c.store, 12, func(tx *store.Tx) *store.Table[resource.Cluster] { return tx.Clusters }, c.changed)
}

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	switch ch.Table {
	case store.IdentityProviders:
		if p, ok := tx.IdentityProviders.Get(ch.Key); ok {
			c.queue.Wake(p.Cluster)
		}
	case store.Interfaces:
		if i, ok := tx.Interfaces.Get(ch.Key); ok && strings.HasPrefix(i.Owner, "arn:") {
			c.queue.Wake(i.Owner)
		}
	case store.Roles, store.Subnets, store.SecurityGroups, store.VPCs: // what clusters need (health.go)
		for arn := range tx.Clusters.All() {
			c.queue.Wake(arn)
		}
	}
}

// Errors are those of the clusters that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Dir is where the cluster's control plane lives, below the directory of all of them.
func Dir(dir string, cl resource.Cluster) string {
	return filepath.Join(dir, strings.ToLower(cl.Spec.Hex[:16]))
}

// Reconcile brings the control plane nearer to the cluster's record.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	cl, enis, ok, err := c.get(arn)
	if err != nil || !ok {
		return reconcile.Never, err
	}
	if cl.Deleting {
		return reconcile.Never, c.remove(ctx, cl)
	}
	if cl.Status.State == resource.ClusterFailed {
		return reconcile.Never, nil
	}
	if cl, err = c.begin(ctx, cl); err != nil {
		return reconcile.Never, fmt.Errorf("update of cluster %s: %w", cl.Name, err)
	}
	for _, e := range enis {
		if e.Status.Plugged != cl.Guest() {
			return c.unplugged(ctx, cl, e.ID)
		}
	}
	if cl.Status.Listen == "" {
		if err := c.chooseListen(ctx, arn); err != nil {
			return reconcile.Never, fmt.Errorf("endpoint of cluster %s: %w", cl.Name, err)
		}
		if cl, _, ok, err = c.get(arn); err != nil || !ok {
			return reconcile.Never, err
		}
	}
	again, err := c.run(ctx, cl, enis)
	if err != nil || again != reconcile.Never {
		return again, err
	}
	if err := c.watchHealth(ctx, arn); err != nil {
		return reconcile.Never, err
	}
	until, err := c.expire(ctx, arn)
	if err != nil {
		return reconcile.Never, err
	}
	next, err := c.inspect(ctx, arn)
	if next == reconcile.Never || until != reconcile.Never && until < next {
		next = until
	}
	return next, err
}

// run ensures the control plane, and makes the cluster ACTIVE once it is ready.
func (c *Controller) run(ctx context.Context, cl resource.Cluster, enis []resource.NetworkInterface) (time.Duration, error) {
	socket, err := c.auth.Open(cl.ARN)
	if err != nil {
		return reconcile.Never, fmt.Errorf("authenticator of cluster %s: %w", cl.Name, err)
	}
	open := c.publicOpen(cl.Spec)
	cfg, err := c.configFor(cl, enis, socket, open)
	if err != nil {
		return reconcile.Never, err
	}
	providers, err := c.providersOf(cl.ARN)
	if err != nil {
		return reconcile.Never, err
	}
	cfg.Issuers = issuersFor(providers)
	if left := c.mourning(cl.ARN); left > 0 {
		return left, c.waiting(ctx, cl.ARN, "another try: its process does not stay up")
	}
	st, err := c.planes.Ensure(ctx, cfg)
	if err != nil {
		if switching(cl) && ctx.Err() == nil {
			return c.died(ctx, cl, err)
		}
		c.mourn(cl.ARN)
		return reconcile.Never, fmt.Errorf("control plane of cluster %s: %w", cl.Name, err)
	}
	if st.Ready {
		c.forget(cl.ARN)
	}
	c.watch(cl.ARN, st.PID)
	if !st.Ready {
		_, err := c.giveUpProviders(ctx, cl, st.Waiting)
		return 20 * time.Millisecond, errors.Join(err, c.waiting(ctx, cl.ARN, st.Waiting))
	}
	if !cl.Status.DefaultsApplied {
		api, err := controlplane.RESTConfig(cfg)
		if err != nil {
			return reconcile.Never, err
		}
		server := netip.AddrPortFrom(cfg.Addresses[0], 443)
		if err := c.cfg.Defaults(ctx, api, cl, server); err != nil {
			return reconcile.Never, fmt.Errorf("first objects of cluster %s: %w", cl.Name, err)
		}
	}
	again := reconcile.Never
	if st.Reloading {
		again = reloadPoll
		if _, err := c.giveUpProviders(ctx, cl, "The API server does not take its identity providers."); err != nil {
			return reconcile.Never, err
		}
	} else if err := c.settle(ctx, providers); err != nil {
		return reconcile.Never, fmt.Errorf("identity providers of cluster %s: %w", cl.Name, err)
	}
	return again, c.ready(ctx, cl, func(s *resource.ClusterStatus) {
		s.Waiting, s.DefaultsApplied = "", true
		s.Endpoint, s.CA, s.JWKS, s.Issuer = endpoint(cl), st.CA, st.JWKS, cfg.IssuerURL
		s.PublicClosed = !open
	})
}

// configFor is the control plane of a cluster. It is pure but for the payload's look-up.
func (c *Controller) configFor(cl resource.Cluster, enis []resource.NetworkInterface, socket string, open bool) (controlplane.Config, error) {
	listen, err := listenOf(cl, open)
	if err != nil {
		return controlplane.Config{}, err
	}
	version := cl.TargetVersion()
	binary, ok := c.cfg.Kube(version)
	if !ok {
		return controlplane.Config{}, fmt.Errorf("cluster %s needs the payload of Kubernetes %s, which is not there", cl.Name, version)
	}
	tier, ok := tiers[cl.TargetTier()]
	if !ok {
		return controlplane.Config{}, fmt.Errorf("cluster %s has the scaling tier %s, which is not known", cl.Name, cl.TargetTier())
	}
	cfg := controlplane.Config{
		ID: cl.ARN, Dir: Dir(c.cfg.Dir, cl), Tier: tier, Binary: binary, ClusterName: cl.Name, Region: cl.Region,
		Netns: c.guests.GuestPath(cl.Guest()), Listen: listen, ServiceCIDR: cl.Spec.ServiceCIDR,
		SANs:      []string{listen.Addr().String(), hostName(cl)},
		IssuerURL: c.cfg.Issuer(cl), AuthSocket: socket, Audit: slices.Contains(cl.Spec.LogTypes, controlplane.LogAudit),
	}
	for _, e := range enis {
		cfg.Addresses = append(cfg.Addresses, e.Addresses[0])
	}
	if len(cfg.Addresses) == 0 {
		return cfg, fmt.Errorf("cluster %s has no network interface", cl.Name)
	}
	return cfg, nil
}

// API returns how the daemon itself talks to the cluster's API server, as a member of
// system:masters over the host's loopback. dir is Config.Dir.
func API(dir string, cl resource.Cluster) (*rest.Config, error) {
	listen, err := listenOf(cl, !cl.Status.PublicClosed)
	if err != nil {
		return nil, err
	}
	return controlplane.RESTConfig(controlplane.Config{ID: cl.ARN, Dir: Dir(dir, cl), ClusterName: cl.Name, Listen: listen})
}

// hostName is the name that the endpoint has on EKS; certificates carry it.
func hostName(cl resource.Cluster) string {
	return cl.Spec.Hex + ".gr7." + cl.Region + ".eks.amazonaws.com"
}

// endpoint is the URL that DescribeCluster shows. As on EKS it has no port, unless
// port 443 was taken on this host.
func endpoint(cl resource.Cluster) string {
	return "https://" + strings.TrimSuffix(cl.Status.Listen, ":443")
}

// remove takes away all that the cluster has, on the host and in the records.
func (c *Controller) remove(ctx context.Context, cl resource.Cluster) error {
	if err := c.planes.Remove(ctx, Dir(c.cfg.Dir, cl)); err != nil {
		return fmt.Errorf("removing the control plane of cluster %s: %w", cl.Name, err)
	}
	c.auth.Close(cl.ARN)
	c.forget(cl.ARN)
	if err := c.guests.RemoveGuest(ctx, cl.Guest()); err != nil {
		return fmt.Errorf("network of cluster %s: %w", cl.Name, err)
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range cl.Spec.Interfaces {
			if err := provision.DeleteInterface(tx, id); err != nil {
				return err
			}
		}
		// A group that something of the user's still refers to stays, as on EKS.
		if err := provision.DeleteSecurityGroup(tx, cl.Home, cl.Spec.ClusterSecurityGroup); err != nil {
			c.log.Warn("the cluster security group stays", "cluster", cl.Name, "group", cl.Spec.ClusterSecurityGroup, "err", err)
		}
		for key, e := range tx.AccessEntries.All() {
			if e.Cluster == cl.ARN {
				tx.AccessEntries.Delete(key)
			}
		}
		for key, u := range tx.Updates.All() {
			if u.Cluster == cl.ARN {
				tx.Updates.Delete(key)
			}
		}
		for key, a := range tx.Addons.All() {
			if a.Cluster == cl.ARN {
				tx.Addons.Delete(key)
			}
		}
		for key, n := range tx.Nodes.All() {
			if n.Cluster == cl.ARN {
				tx.Nodes.Delete(key)
			}
		}
		for key, a := range tx.PodIdentityAssociations.All() {
			if a.Cluster == cl.ARN {
				tx.PodIdentityAssociations.Delete(key)
			}
		}
		for key, p := range tx.IdentityProviders.All() {
			if p.Cluster == cl.ARN {
				tx.IdentityProviders.Delete(key)
			}
		}
		tx.Clusters.Delete(cl.ARN)
		return nil
	})
}

func (c *Controller) get(arn string) (cl resource.Cluster, enis []resource.NetworkInterface, ok bool, err error) {
	err = c.store.View(func(tx *store.Tx) error {
		cl, ok = tx.Clusters.Get(arn)
		for _, id := range cl.Spec.Interfaces {
			if e, there := tx.Interfaces.Get(id); there {
				enis = append(enis, e)
			}
		}
		return nil
	})
	return cl, enis, ok, err
}

// watch wakes the cluster's key when its control plane's process ends.
func (c *Controller) watch(arn string, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pid == 0 || c.watched[pid] {
		return
	}
	c.watched[pid] = true
	go func() {
		err := process.Process{PID: pid}.Wait(c.ctx)
		c.mu.Lock()
		delete(c.watched, pid)
		c.mu.Unlock()
		if c.ctx.Err() != nil {
			return
		}
		c.log.Warn("a control plane's process has ended", "cluster", arn, "pid", pid, "err", err)
		c.queue.Wake(arn)
	}()
}

func (c *Controller) waiting(ctx context.Context, arn, what string) error {
	return c.setStatus(ctx, arn, func(s *resource.ClusterStatus) error { s.Waiting = what; return nil })
}
