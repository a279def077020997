package network

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A cluster's endpoint is a loopback address of the host's, which in a guest would be the
// guest itself. So on its way out of a guest it becomes the address of ClusterPrefix with
// the same last bytes, and its sender, which the kernel took for the guest's loopback, the
// guest's own address:
//
//	guest                            router
//	127.70.0.2:443 ─▶ 198.18.128.2 ──▶ 10.0.1.9, the cluster's interface (private access)
//	                               └─▶ 198.18.128.2, by the subnet's way to the internet
//
// The kernel allows that of addresses of 127.0.0.0/8 where route_localnet says so.

var localRoutes = setting{"ipv4/conf/all/route_localnet", "1"}

var loopback4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 0}), 8)

// ensureEndpoints leads the endpoints out of a guest.
func (h *Host) ensureEndpoints(sp *space, ports []port) error {
	at := slices.IndexFunc(ports, func(p port) bool { return p.Endpoints.IsValid() })
	if at < 0 {
		return nil
	}
	err := h.step("letting "+sp.name+" route its loopback addresses", func() error { return within(sp.path, localRoutes.write) })
	if err != nil {
		return err
	}
	return h.ensureRules(sp, endpointRules(ports[at].Endpoints))
}

func endpointRules(from netip.Prefix) ruleset {
	nat := func(hook *nftables.ChainHook, priority nftables.ChainPriority) *base {
		return &base{hook, priority, nftables.ChainPolicyAccept, nftables.ChainTypeNAT}
	}
	return ruleset{chains: []chain{
		{"endpoints", nat(nftables.ChainHookOutput, *nftables.ChainPriorityNATDest), []rule{
			{"clusters", then(address(destination, from), netmap(ClusterPrefix))},
		}},
		{"senders", nat(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource), []rule{
			{"clusters", then(address(source, loopback4), address(destination, ClusterPrefix), []expr.Any{&expr.Masq{}})},
		}},
	}}
}

// dnat ip prefix to <prefix>
func netmap(to netip.Prefix) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.Masked().Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: last(to).AsSlice()},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegAddrMax: 2, Prefix: true},
	}
}

// clusterSets are the endpoints that lead to interfaces of this VPC.
func (v VPC) clusterSets() []set {
	if len(v.Clusters) == 0 {
		return nil
	}
	private := set{name: "clusters", key: nftables.TypeIPAddr, addresses: true}
	for _, c := range v.sortedClusters() {
		if c.Private.IsValid() {
			private.elements = append(private.elements, element{key: c.Address.AsSlice(), to: c.Private.AsSlice()})
		}
	}
	return []set{private}
}

func (v VPC) sortedClusters() []Cluster {
	out := slices.Clone(v.Clusters)
	slices.SortFunc(out, func(a, b Cluster) int { return a.Address.Compare(b.Address) })
	return out
}

// clusterRoutes let what is for a cluster's interface pass without a route, as within the VPC.
func (v VPC) clusterRoutes() []rule {
	var out []rule
	for _, c := range v.sortedClusters() {
		if c.Private.IsValid() {
			out = append(out, rule{"a cluster's private endpoint", then(address(destination, netip.PrefixFrom(c.Address, 32)), accept)})
		}
	}
	return out
}

// clusterTranslation leads private endpoints to their interfaces.
func (v VPC) clusterTranslation() []rule {
	if len(v.Clusters) == 0 {
		return nil
	}
	return []rule{{"clusters' private endpoints", then(ipv4(), loadAddress(destination), mapped("clusters"), dnat)}}
}

// clusterServices let the router serve public endpoints, to whom a route leads there under
// a public address that the cluster lets in.
func (v VPC) clusterServices(ports []port) (out []rule) {
	for _, c := range v.sortedClusters() {
		if c.Private.IsValid() {
			continue
		}
		lets := func(public netip.Addr) bool {
			return public.IsValid() && slices.ContainsFunc(c.From, func(p netip.Prefix) bool { return p.Contains(public) })
		}
		to := then(address(destination, netip.PrefixFrom(c.Address, 32)), l4(protocolTCP), portRange(443, 443))
		let := func(match ...[]expr.Any) {
			out = append(out, rule{"a cluster's public endpoint", then(to, then(match...), dispatch(expr.MetaKeyIIFNAME, "egress"))})
		}
		for _, g := range v.sortedNATGateways() {
			if lets(g.Public) {
				let(markIs(markOf(g.ID)))
			}
		}
		if slices.ContainsFunc(c.From, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
			let(markIs(markInternet))
			continue
		}
		for _, p := range ports {
			for _, a := range p.publics() {
				if lets(a[1]) {
					let(markIs(markInternet), address(source, netip.PrefixFrom(a[0], 32)))
				}
			}
		}
	}
	return out
}
