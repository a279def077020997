package network

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A ruleset is the table of a router before it is a batch of netlink messages.
type ruleset struct {
	sets   []set
	chains []chain
}

type set struct {
	name      string
	key       nftables.SetDatatype
	verdicts  bool // a verdict map
	addresses bool // a map to addresses
	interval  bool // of ranges: each begins with an element and ends before the next
	elements  []element
}

type element struct {
	key  []byte
	jump string // in a verdict map: the chain
	to   []byte // in a map to addresses: the address
	end  bool   // in a set of ranges: here one has ended
}

type chain struct {
	name  string
	base  *base // nil: only jumped to
	rules []rule
}

// A base is what hooks a chain into the kernel's path of a packet.
type base struct {
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	policy   nftables.ChainPolicy
	kind     nftables.ChainType
}

type rule struct {
	comment string
	exprs   []expr.Any
}

// compile is the rule set of a valid VPC: see the package comment. It does not
// depend on the order of interfaces and groups.
func compile(v VPC) ruleset {
	ports := v.ports()
	slices.SortFunc(ports, func(a, b port) int { return strings.Compare(a.ID, b.ID) })
	groups := slices.Clone(v.SecurityGroups)
	slices.SortFunc(groups, func(a, b SecurityGroup) int { return strings.Compare(a.ID, b.ID) })

	var rs ruleset
	rs.addSets(v, ports, groups)
	rs.addHooks(v, ports)
	rs.addRoutes(v, ports)
	rs.addACLs(v, ports)
	rs.addTranslation(v, ports)
	rs.addEndpoints(v)
	for _, p := range ports {
		rs.addPort(v, p)
	}
	used := map[string]bool{}
	for _, p := range ports {
		for _, g := range p.SecurityGroups {
			used[g] = true
		}
	}
	for _, e := range v.Endpoints {
		for _, g := range e.SecurityGroups {
			used[g] = true
		}
	}
	for _, g := range groups {
		if used[g.ID] {
			rs.chains = append(rs.chains,
				chain{name: g.ID + "-out", rules: v.compileRules(g.ID, g.Egress, destination)},
				chain{name: g.ID + "-in", rules: v.compileRules(g.ID, g.Ingress, source)})
		}
	}
	return rs
}

// fixedSets are the sets that are there whatever the VPC; others are named for groups.
var fixedSets = []string{
	"guarded", "sources", "uplinks", "egress", "ingress", "routes", "registry", "acl-out", "acl-in", "public", "private", "nameable",
	"endpoints", "endpoint-groups", "sources6", "clusters", "inner",
}

// addSets makes the sets and maps that say which ENI is which.
func (rs *ruleset) addSets(v VPC, ports []port, groups []SecurityGroup) {
	guarded := set{name: "guarded", key: nftables.TypeIFName}
	sources := set{name: "sources", key: linkAndAddress}
	uplinks := set{name: "uplinks", key: nftables.TypeIFName}
	for _, u := range v.uplinks() {
		uplinks.elements = append(uplinks.elements, element{key: linkKey(u.link)})
	}
	egress := set{name: "egress", key: nftables.TypeIFName, verdicts: true}
	ingress := set{name: "ingress", key: nftables.TypeIFName, verdicts: true}
	members := map[string][]netip.Prefix{}
	sources6 := set{name: "sources6", key: linkAndAddress6}
	for _, p := range ports {
		link := linkKey(p.link)
		if p.SourceDestCheck {
			guarded.elements = append(guarded.elements, element{key: link})
		}
		for _, a := range p.Addresses {
			sources.elements = append(sources.elements, element{key: append(slices.Clone(link), a.AsSlice()...)})
		}
		egress.elements = append(egress.elements, element{key: link, jump: p.ID + "-out"})
		ingress.elements = append(ingress.elements, element{key: link, jump: p.ID + "-in"})
		for _, a := range p.Addresses6 {
			sources6.elements = append(sources6.elements, element{key: append(slices.Clone(link), a.AsSlice()...)})
		}
		for _, g := range p.SecurityGroups {
			members[g] = append(members[g], p.ranges()...)
		}
	}
	for _, g := range v.PeerGroups {
		members[g.ID] = g.Members
	}
	for _, e := range v.Endpoints {
		for _, g := range e.SecurityGroups {
			members[g] = append(members[g], netip.PrefixFrom(e.Address, 32))
		}
	}
	rs.sets = append(rs.sets, guarded, sources, uplinks, egress, ingress)
	rs.addNameable(ports)
	if v.has6() {
		rs.sets = append(rs.sets, sources6)
	}
	for _, g := range referenced(groups) {
		rs.sets = append(rs.sets, addressSet(g, family(members[g], false), false))
		if v.has6() {
			rs.sets = append(rs.sets, addressSet(g+set6, family(members[g], true), true))
		}
	}
	for _, l := range v.sortedPrefixLists() {
		rs.sets = append(rs.sets, rangeSet(l.ID, l.CIDRs, l.is6()))
	}
}

// referenced are the groups that rules name as peers, sorted.
func referenced(groups []SecurityGroup) []string {
	var all []string
	for _, g := range groups {
		for _, r := range g.Ingress {
			all = append(all, r.Groups...)
		}
		for _, r := range g.Egress {
			all = append(all, r.Groups...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// addHooks makes the chains in the packet's path.
func (rs *ruleset) addHooks(v VPC, ports []port) {
	var services6 []rule
	stateful := []rule{
		{exprs: then(ctState(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept)},
		{exprs: then(ctState(expr.CtStateBitINVALID), drop)},
	}
	with := func(rules ...rule) []rule { return append(slices.Clone(stateful), rules...) }
	hook := func(hook *nftables.ChainHook, priority nftables.ChainPriority, policy nftables.ChainPolicy) *base {
		return &base{hook, priority, policy, nftables.ChainTypeFilter}
	}
	service := func(addr netip.Addr, protocol byte, port uint16, comment string) rule {
		return rule{comment, then(address(destination, netip.PrefixFrom(addr, addr.BitLen())), l4(protocol), portRange(port, port), accept)}
	}
	served := address(destination, netip.PrefixFrom(InternetAddress, 32))
	if v.has6() {
		services6 = append(neighbourRules(),
			service(MetadataAddress6, protocolTCP, 80, "instance metadata"),
			service(ResolverAddress6, protocolUDP, 53, "DNS"),
			service(ResolverAddress6, protocolTCP, 53, "DNS"))
	}
	https := then(l4(protocolTCP), portRange(443, 443))
	services := []rule{
		{"the router itself", then(ifname("lo"), accept)},
		service(MetadataAddress, protocolTCP, 80, "instance metadata"),
		service(ResolverAddress, protocolUDP, 53, "DNS"),
		service(ResolverAddress, protocolTCP, 53, "DNS"),
	}
	if r := v.resolver(); r.IsValid() {
		services = append(services, service(r, protocolUDP, 53, "DNS"), service(r, protocolTCP, 53, "DNS"))
	}
	services = append(services, services6...)
	services = append(services,
		rule{"interface endpoints", then(member(destination, "endpoints"), https, dispatch(expr.MetaKeyIIFNAME, "egress"))},
		rule{"interface endpoints, from peers", then(member(destination, "endpoints"), https, inSet(expr.MetaKeyIIFNAME, "uplinks"), accept)},
		unmapped(),
		rule{"the internet, by an internet gateway", then(served, markIs(markInternet), dispatch(expr.MetaKeyIIFNAME, "egress"))},
		rule{"images, by endpoints", then(served, markIs(markRegistry), dispatch(expr.MetaKeyIIFNAME, "egress"))},
	)
	for _, g := range v.sortedNATGateways() {
		services = append(services, rule{"the internet, by " + g.ID, then(served, markIs(markOf(g.ID)), dispatch(expr.MetaKeyIIFNAME, "egress"))})
	}
	services = append(services, v.clusterServices(ports)...)
	rs.sets = append(rs.sets, v.clusterSets()...)
	rs.chains = append(rs.chains,
		chain{"source", hook(nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw, nftables.ChainPolicyAccept), slices.Concat([]rule{
			{"the router itself", then(ifname("lo"), accept)},
		}, v.prefixSources(ports), []rule{
			{"source/destination check", then(inSet(expr.MetaKeyIIFNAME, "guarded"), notASource(), drop)},
			{"nobody asks for another's metadata", then(address(destination, linkLocal), notASource(), drop)},
		}, v.sourceRules6())},
		chain{"egress", hook(nftables.ChainHookForward, *nftables.ChainPriorityFilter, nftables.ChainPolicyDrop), append(append([]rule{
			{"nobody passes through the VPC", then(inSet(expr.MetaKeyIIFNAME, "uplinks"), inSet(expr.MetaKeyOIFNAME, "uplinks"), drop)},
			unmapped(),
		}, v.egressOnlyRules()...), append(established(true),
			rule{exprs: dispatch(expr.MetaKeyIIFNAME, "egress")},
			rule{"from the internet and from peers", then(inSet(expr.MetaKeyIIFNAME, "uplinks"), accept)},
		)...)},
		chain{"ingress", hook(nftables.ChainHookForward, *nftables.ChainPriorityFilter+10, nftables.ChainPolicyDrop), append(established(false),
			rule{exprs: dispatch(expr.MetaKeyOIFNAME, "ingress")},
			rule{"to the internet and to peers", then(inSet(expr.MetaKeyOIFNAME, "uplinks"), accept)},
		)},
		chain{"services", hook(nftables.ChainHookInput, *nftables.ChainPriorityFilter, nftables.ChainPolicyDrop), with(services...)},
	)
}

// linkLocal are the router's own services.
var linkLocal = netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, 0, 0}), 16)

// addPort makes the two chains of an ENI.
func (rs *ruleset) addPort(v VPC, p port) {
	groups := slices.Clone(p.SecurityGroups)
	slices.Sort(groups)
	out, in := chain{name: p.ID + "-out"}, chain{name: p.ID + "-in"}
	var egress, ingress []Rule
	for _, g := range v.SecurityGroups {
		if slices.Contains(groups, g.ID) {
			egress, ingress = append(egress, g.Egress...), append(ingress, g.Ingress...)
		}
	}
	out.rules = untracked(egress, ingress, untrackedFrom, v.has6())
	in.rules = untracked(ingress, egress, untrackedTo, v.has6())
	for _, g := range slices.Compact(groups) {
		out.rules = append(out.rules, rule{exprs: jump(g + "-out")})
		in.rules = append(in.rules, rule{exprs: jump(g + "-in")})
	}
	rs.chains = append(rs.chains, out, in)
}

// compileRules makes one rule for each peer; peer says which address of a packet that is.
func (v VPC) compileRules(group string, rules []Rule, peer side) []rule {
	var out []rule
	for _, r := range rules {
		comment := group
		if r.Description != "" {
			comment += ": " + r.Description
		}
		match := r.match()
		for _, c := range r.CIDRs {
			if c.Addr().Is4() || v.has6() { // otherwise no packet would match it
				out = append(out, rule{comment, then(match, address(peer, c), accept)})
			}
		}
		for _, g := range r.Groups {
			out = append(out, rule{comment, then(match, member(peer, g), accept)})
			if v.has6() {
				out = append(out, rule{comment, then(match, member6(peer, g+set6), accept)})
			}
		}
		for _, l := range r.PrefixLists {
			if v.list6(l) {
				out = append(out, rule{comment, then(match, member6(peer, l), accept)})
			} else {
				out = append(out, rule{comment, then(match, member(peer, l), accept)})
			}
		}
	}
	return out
}

// match is the protocol and port part of a valid rule.
func (r Rule) match() []expr.Any {
	number, err := r.protocol()
	if err != nil || number == protocolAny {
		return nil
	}
	match := l4(byte(number))
	switch {
	case number == protocolTCP || number == protocolUDP:
		if r.FromPort > 0 || r.ToPort < 65535 {
			match = append(match, portRange(uint16(r.FromPort), uint16(r.ToPort))...)
		}
	case (number == protocolICMP || number == protocolICMPv6) && r.FromPort >= 0:
		match = append(match, icmp(0, byte(r.FromPort))...)
		if r.ToPort >= 0 {
			match = append(match, icmp(1, byte(r.ToPort))...)
		}
	}
	return match
}
