package cluster

import (
	"context"
	"errors"
	"net/netip"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// setStatus writes the status that f makes of the present one, if it differs.
func (c *Controller) setStatus(ctx context.Context, arn string, f func(*resource.ClusterStatus) error) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Clusters.Edit(arn, func(cl *resource.Cluster) error { return f(&cl.Status) })
	})
}

// ports are tried in this order for an endpoint: EKS's, and the API server's usual one
// for hosts where somebody listens on every address's 443.
var ports = []uint16{443, 6443}

var errNoAddress = errors.New("every loopback address of the pool is taken")

// chooseListen gives the cluster an address of the loopback pool that no other cluster
// has and nobody listens on, for good: kubeconfigs hold it.
func (c *Controller) chooseListen(ctx context.Context, arn string) error {
	c.choose.Lock()
	defer c.choose.Unlock()
	taken := map[netip.Addr]bool{}
	err := c.store.View(func(tx *store.Tx) error {
		for _, cl := range tx.Clusters.All() {
			if l, err := netip.ParseAddrPort(cl.Status.Listen); err == nil {
				taken[l.Addr()] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The pool's first two addresses are the network's and the daemon's own.
	for a := c.cfg.Loopback.Addr().Next().Next(); c.cfg.Loopback.Contains(a); a = a.Next() {
		if taken[a] {
			continue
		}
		for _, port := range ports {
			if l := netip.AddrPortFrom(a, port); c.cfg.Bindable(l) {
				return c.setStatus(ctx, arn, func(s *resource.ClusterStatus) error { s.Listen = l.String(); return nil })
			}
		}
	}
	return errNoAddress
}
