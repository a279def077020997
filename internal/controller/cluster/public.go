package cluster

import (
	"fmt"
	"net"
	"net/netip"

	"ekster.dev/ekster/internal/resource"
)

// daemonPort is where a control plane listens on its loopback address while its public
// endpoint is closed: for the daemon, and not known to clients.
const daemonPort = 8443

// publicOpen says whether the public endpoint, which is the cluster's loopback address, is
// open. The host is a client like any on the internet: publicAccessCidrs let it in by one of
// its own addresses, or as anybody.
func (c *Controller) publicOpen(spec resource.ClusterSpec) bool {
	if !spec.PublicAccess {
		return false
	}
	own := ownAddresses
	if c.cfg.Own != nil {
		own = c.cfg.Own
	}
	for _, s := range spec.PublicAccessCIDRs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			continue // service/eks lets none in
		}
		if p.Bits() == 0 {
			return true
		}
		for _, a := range own() {
			if p.Contains(a) {
				return true
			}
		}
	}
	return false
}

// Listening are the addresses of the host at which a cluster's control plane may be found:
// its endpoint, and where it listens while that is closed to the host.
func Listening(cl resource.Cluster) ([]netip.AddrPort, error) {
	open, err := listenOf(cl, true)
	return []netip.AddrPort{open, netip.AddrPortFrom(open.Addr(), daemonPort)}, err
}

// ownAddresses are those of the host's interfaces. Where they cannot be read there are none,
// and only a publicAccessCidrs of everybody lets the host in.
func ownAddresses() (out []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// listenOf is where the control plane listens on the host.
func listenOf(cl resource.Cluster, open bool) (netip.AddrPort, error) {
	l, err := netip.ParseAddrPort(cl.Status.Listen)
	if err != nil {
		return l, fmt.Errorf("endpoint of cluster %s: %w", cl.Name, err)
	}
	if !open {
		l = netip.AddrPortFrom(l.Addr(), daemonPort)
	}
	return l, nil
}
