package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"ekster.dev/ekster/internal/controller/cluster"
	"ekster.dev/ekster/internal/controller/vpc"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/store"
)

// clusterDial is how long a control plane may take to accept a connection.
const clusterDial = 5 * time.Second

// A clusterDoor is a listener of a VPC's router, on all its addresses: what has come to the
// public endpoint of a cluster is led to the control plane, all else is accepted.
type clusterDoor struct {
	net.Listener
	endpoint func(at netip.Addr) ([]netip.AddrPort, error)
	log      *slog.Logger
}

var errNoCluster = errors.New("no cluster has this endpoint")

// Accept waits for a connection that is not a cluster's.
func (d clusterDoor) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		local := addrOf(c.LocalAddr())
		tcp, ok := c.(*net.TCPConn)
		if !ok || !network.ClusterPrefix.Contains(local) {
			return c, nil
		}
		go d.lead(tcp, local)
	}
}

func addrOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}

func (d clusterDoor) lead(c *net.TCPConn, local netip.Addr) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), clusterDial)
	defer cancel()
	to, err := d.endpoint(local)
	var far net.Conn
	for _, a := range to {
		if far, err = new(net.Dialer).DialContext(ctx, "tcp", a.String()); err == nil {
			break
		}
	}
	if err != nil {
		d.log.Debug("a cluster's public endpoint does not answer", "endpoint", local, "from", c.RemoteAddr(), "err", err)
		_ = c.SetLinger(0) // refused, as well as that can still be said
		return
	}
	defer far.Close()
	network.Join(c, far.(*net.TCPConn))
}

// clusterEndpoint is where the control plane listens whose public endpoint is at an address
// inside VPCs. Who may connect has been for the router's rules to say.
func (d *Daemon) clusterEndpoint(at netip.Addr) (out []netip.AddrPort, err error) {
	err = d.store.View(func(tx *store.Tx) error {
		for _, c := range tx.Clusters.All() {
			l, err := netip.ParseAddrPort(c.Status.Listen)
			if err == nil && vpc.EndpointAt(l.Addr()) == at {
				out, err = cluster.Listening(c)
				return err
			}
		}
		return errNoCluster
	})
	return out, err
}
