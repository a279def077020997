package network

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Every packet of an interface to an address outside of the VPC gets a mark before it is
// routed: where its subnet's route table sends it. The mark is markInternet, or the one
// of a NAT gateway or a peer; packets without a route end there.

// markInternet is an internet gateway's. The marks of what has an id are far above.
const (
	markInternet uint32 = 1
	markRegistry uint32 = 2
)

// someMark is in the mark of everything that has an id. The lowest two bits are not: those
// of a connection say who does not track it.
const someMark = 0x40000000

// markOf is the mark of a NAT gateway, of a peer or of an interface; for the last two it is the
// number of the routing table, too. It depends on the id alone, so that rules and routes, which do not
// change at the same instant, never disagree.
func markOf(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()&0x3ffffffc | someMark
}

// mark is that of a route's target, 0 for one that drops.
func (t Target) mark() uint32 {
	switch t {
	case Internet:
		return markInternet
	case Blackhole:
		return 0
	}
	return markOf(string(t))
}

// publics are the port's addresses that go out by an internet gateway, each with its public one.
func (p port) publics() (out [][2]netip.Addr) {
	for i, a := range p.Addresses {
		public := p.SecondaryPublic[a]
		if i == 0 {
			public = p.Public
		}
		if public.IsValid() {
			out = append(out, [2]netip.Addr{a, public})
		}
	}
	return out
}

// addRoutes makes the chains that mark packets by their subnet's route table.
func (rs *ruleset) addRoutes(v VPC, ports []port) {
	byLink := set{name: "routes", key: nftables.TypeIFName, verdicts: true}
	registry := set{name: "registry", key: nftables.TypeIFName}
	var chains []chain
	done := map[string]bool{}
	for _, p := range ports {
		byLink.elements = append(byLink.elements, element{key: linkKey(p.link), jump: p.Subnet + "-routes"})
		if p.subnet.Registry {
			registry.elements = append(registry.elements, element{key: linkKey(p.link)})
		}
		if done[p.Subnet] {
			continue
		}
		done[p.Subnet] = true
		chains = append(chains, chain{name: p.Subnet + "-routes", rules: append(p.subnet.routeRules(v.checked(p.subnet.Routes)), rule{"no route", drop})})
	}
	rs.sets = append(rs.sets, byLink, registry)
	rules, inner := rs.innerRoutes(v, ports)
	for _, c := range v.CIDRs {
		rules = append(rules, rule{"the VPC itself", then(address(destination, c), accept)})
	}
	rules = append(rules, v.clusterRoutes()...)
	if v.has6() {
		rules = append(rules, rule{"neighbours", then(address(destination, linkLocal6), accept)}, rule{"neighbours", then(address(destination, multicast6), accept)},
			rule{"the router's services", then(address(destination, services6), accept)})
	}
	rules = append(rules,
		rule{"the router's services", then(address(destination, linkLocal), accept)},
		rule{"images, by the endpoints of ECR and S3", then(inSet(expr.MetaKeyIIFNAME, "registry"),
			address(destination, netip.PrefixFrom(InternetAddress, 32)), l4(protocolTCP), portRange(RegistryPort, RegistryPort), setMark(markRegistry), accept)},
		rule{exprs: dispatch(expr.MetaKeyIIFNAME, "routes")},
	)
	rs.chains = append(rs.chains, chain{"routes", &base{nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle, nftables.ChainPolicyAccept, nftables.ChainTypeFilter}, rules})
	rs.chains = append(rs.chains, chains...)
	rs.chains = append(rs.chains, inner...)
}

// routeRules are routes of the subnet's, the longest prefix first.
func (s Subnet) routeRules(routes []Route) (out []rule) {
	slices.SortStableFunc(routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(b.Destination.Bits(), a.Destination.Bits()), a.Destination.Addr().Compare(b.Destination.Addr()))
	})
	for _, r := range routes {
		if r.Destination.Addr().Is6() && !s.CIDR6.IsValid() {
			continue
		}
		to := address(destination, r.Destination)
		if m := r.Target.mark(); m == 0 {
			out = append(out, rule{string(r.Target), then(to, drop)})
		} else {
			out = append(out, rule{string(r.Target), then(to, setMark(m), accept)})
		}
	}
	return out
}

// addTranslation makes the chains of internet and NAT gateways. A public address stands
// one to one for a private one; a NAT gateway's for all that is routed to it. What is for
// the router's own service on the internet never leaves: it is translated where it is
// delivered.
func (rs *ruleset) addTranslation(v VPC, ports []port) {
	public := set{name: "public", key: nftables.TypeIPAddr, addresses: true}
	private := set{name: "private", key: nftables.TypeIPAddr, addresses: true}
	for _, p := range ports {
		for _, a := range p.publics() {
			own, seen := a[0].AsSlice(), a[1].AsSlice()
			public.elements = append(public.elements, element{key: own, to: seen})
			private.elements = append(private.elements, element{key: seen, to: own})
		}
	}
	rs.sets = append(rs.sets, public, private)
	outward := []rule{{"one to one", then(markIs(markInternet), ipv4(), loadAddress(source), mapped("public"), snat)}}
	for _, g := range v.sortedNATGateways() {
		outward = append(outward, rule{g.ID, then(markIs(markOf(g.ID)), ipv4(), immediate(g.Public.AsSlice()), snat)})
	}
	nat := func(hook *nftables.ChainHook, priority nftables.ChainPriority) *base {
		return &base{hook, priority, nftables.ChainPolicyAccept, nftables.ChainTypeNAT}
	}
	rs.chains = append(rs.chains,
		chain{"inward", nat(nftables.ChainHookPrerouting, *nftables.ChainPriorityNATDest), append([]rule{
			{"one to one", then(ifname(internetLink), ipv4(), loadAddress(destination), mapped("private"), dnat)},
		}, v.clusterTranslation()...)},
		chain{"outward", nat(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource), outward},
		chain{"outward-here", nat(nftables.ChainHookInput, *nftables.ChainPriorityNATSource), outward},
	)
}

func (v VPC) sortedNATGateways() []NATGateway {
	out := slices.Clone(v.NATGateways)
	slices.SortFunc(out, func(a, b NATGateway) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// unmapped drops what goes to an internet gateway from an address that it does not
// know: one without a public address.
func unmapped() rule {
	return rule{"an internet gateway knows public addresses only", then(markIs(markInternet), ipv4(), loadAddress(source),
		[]expr.Any{&expr.Lookup{SourceRegister: 1, SetName: "nameable", Invert: true}}, drop)}
}

// addNameable makes the set of the private addresses that have a public one.
func (rs *ruleset) addNameable(ports []port) {
	s := set{name: "nameable", key: nftables.TypeIPAddr}
	for _, p := range ports {
		for _, a := range p.publics() {
			s.elements = append(s.elements, element{key: a[0].AsSlice()})
		}
	}
	rs.sets = append(rs.sets, s)
}

// addEndpoints makes the rules of interface endpoints: addresses of the router itself,
// behind security groups as any interface is.
func (rs *ruleset) addEndpoints(v VPC) {
	endpoints := slices.Clone(v.Endpoints)
	slices.SortFunc(endpoints, func(a, b Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	addrs := set{name: "endpoints", key: nftables.TypeIPAddr}
	groups := set{name: "endpoint-groups", key: nftables.TypeIPAddr, verdicts: true}
	for _, e := range endpoints {
		in := chain{name: e.ID + "-in"}
		list := slices.Clone(e.SecurityGroups)
		slices.Sort(list)
		for _, g := range slices.Compact(list) {
			in.rules = append(in.rules, rule{exprs: jump(g + "-in")})
		}
		rs.chains = append(rs.chains, in)
		addrs.elements = append(addrs.elements, element{key: e.Address.AsSlice()})
		groups.elements = append(groups.elements, element{key: e.Address.AsSlice(), jump: e.ID + "-in"})
	}
	rs.sets = append(rs.sets, addrs, groups)
	rs.chains = append(rs.chains, chain{"endpoint", &base{nftables.ChainHookInput, *nftables.ChainPriorityFilter + 10, nftables.ChainPolicyAccept, nftables.ChainTypeFilter}, []rule{
		{exprs: then(ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept)},
		{"interface endpoints", then(ipv4(), loadAddress(destination), []expr.Any{
			&expr.Lookup{SourceRegister: 1, SetName: "endpoint-groups", DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true},
		})},
		{exprs: then(member(destination, "endpoints"), drop)},
	}})
}

// The parts that only these rules are made of.

// meta mark <value>
func markIs(value uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, equal(binaryutil.NativeEndian.PutUint32(value)...)}
}

// meta mark set <value>
func setMark(value uint32) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(value)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
	}
}

func immediate(data []byte) []expr.Any { return []expr.Any{&expr.Immediate{Register: 1, Data: data}} }

// ip saddr, ip daddr: as the key of a map
func loadAddress(s side) []expr.Any {
	return []expr.Any{s.load(false, 1)}
}

// map @<set>
func mapped(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: set}}
}

var (
	// snat ip to <register 1>
	snat = []expr.Any{&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1}}
	// dnat ip to <register 1>
	dnat = []expr.Any{&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1}}
)

// macOf is the MAC address of one end of a link between routers: its other end knows it
// without asking.
func macOf(link, router string) []byte {
	h := fnv.New64a()
	h.Write([]byte(link + "/" + router))
	mac := binary.BigEndian.AppendUint64(nil, h.Sum64())[:6]
	mac[0] = mac[0]&^1 | 2 // of one device, and locally administered
	return mac
}
