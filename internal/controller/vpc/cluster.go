package vpc

import (
	"net/netip"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// EndpointAt is the address inside VPCs that stands for a cluster's endpoint, a loopback
// address of the host's: the one of network.ClusterPrefix with the same last bytes.
func EndpointAt(listen netip.Addr) netip.Addr {
	a, b := network.ClusterPrefix.Addr().As4(), listen.As4()
	a[2], a[3] = a[2]|b[2], b[3]
	return netip.AddrFrom4(a)
}

// endpointsOf are the loopback addresses that endpoints are taken from: the half of the
// daemon's that public addresses are not from.
func endpointsOf(tx *store.Tx) netip.Prefix {
	pool, ok := tx.AddressPools.Get(resource.PublicPool)
	if !ok || pool.Prefix.Bits() != 17 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(netip.PrefixFrom(pool.Prefix.Addr(), 16).Masked().Addr(), 17)
}

// clustersFor are the clusters' endpoints as a VPC sees them. One with private access leads
// to an interface of the cluster's in its own VPC; for everybody else it is on the internet.
func clustersFor(tx *store.Tx, vpc string) (out []network.Cluster) {
	for _, c := range tx.Clusters.All() {
		l, err := netip.ParseAddrPort(c.Status.Listen)
		if err != nil || c.Deleting || l.Port() != 443 {
			continue // not yet, not any more, or not at a port that clients in a VPC could use
		}
		e := network.Cluster{Address: EndpointAt(l.Addr())}
		if c.Spec.VPC == vpc && c.Spec.PrivateAccess {
			e.Private = interfaceOf(tx, c)
		}
		if e.Private.IsValid() {
			out = append(out, e)
		} else if c.Spec.PublicAccess {
			e.From = publicFrom(tx, c.Spec.PublicAccessCIDRs)
			out = append(out, e)
		}
	}
	return out
}

// publicFrom are publicAccessCidrs as the routers have public addresses.
func publicFrom(tx *store.Tx, cidrs []string) (out []netip.Prefix) {
	pool, _ := tx.AddressPools.Get(resource.PublicPool)
	for _, s := range cidrs {
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil: // service/eks lets none in
		case p.Bits() <= pool.Prefix.Bits() && p.Contains(pool.Prefix.Addr()):
			out = append(out, netip.PrefixFrom(netip.IPv4Unspecified(), 0))
		case pool.Prefix.Contains(p.Addr()):
			out = append(out, netip.PrefixFrom(onTheInternet(p.Addr()), p.Bits()))
		}
	}
	return out
}

// interfaceOf is the address of the cluster's interface with the lowest id; invalid while
// there is none.
func interfaceOf(tx *store.Tx, c resource.Cluster) (out netip.Addr) {
	lowest := ""
	for id, i := range tx.Interfaces.All() {
		if i.Owner == c.ARN && i.Attachment != nil && i.Attachment.Guest != "" && (lowest == "" || id < lowest) {
			lowest, out = id, i.Addresses[0]
		}
	}
	return out
}
