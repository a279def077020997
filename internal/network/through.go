package network

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A route may lead to a network interface: of an instance that passes on what is not for it,
// as a NAT instance does. Such packets get the interface's mark, and with it a routing table of
// their own, which sends them to its guest:
//
//	10.0.2.5 ─▶ 198.51.100.1   mark of eni-nat ─▶ guest of eni-nat, which translates
//	10.0.1.9 ─▶ 198.51.100.1   as the route table of eni-nat's own subnet says
//
// That table comes before the one of the router's own addresses, on which the internet is
// served: to who is routed elsewhere they are addresses like others. What the guest passes on
// from there comes in with a source that is the router's own.
//
// The kernel knows one connection where a guest passes packets on as they are; what translates
// (internet and NAT gateways) then does so for none of its packets.

// through are the interfaces that routes lead to, sorted.
func (v VPC) through() []string {
	var out []string
	for _, n := range v.Interfaces {
		if slices.ContainsFunc(v.Subnets, func(s Subnet) bool {
			return slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Target == Target(n.ID) })
		}) {
			out = append(out, n.ID)
		}
	}
	slices.Sort(out)
	return out
}

// checked replaces interfaces that take nothing which is not for them by Blackhole.
func (v VPC) checked(routes []Route) []Route {
	out := slices.Clone(routes)
	for i, r := range out {
		if slices.ContainsFunc(v.Interfaces, func(n Interface) bool { return Target(n.ID) == r.Target && n.SourceDestCheck }) {
			out[i].Target = Blackhole
		}
	}
	return out
}

// inner are the subnet's routes to parts of the VPC.
func (v VPC) inner(s Subnet) []Route {
	return slices.DeleteFunc(v.checked(s.Routes), func(r Route) bool {
		return !slices.ContainsFunc(v.CIDRs, func(c netip.Prefix) bool { return c.Bits() < r.Destination.Bits() && c.Contains(r.Destination.Addr()) })
	})
}

// innerRoutes make the chains of the subnets that have such routes, and lead to them.
func (rs *ruleset) innerRoutes(v VPC, ports []port) (rules []rule, chains []chain) {
	byLink := set{name: "inner", key: nftables.TypeIFName, verdicts: true}
	done := map[string]bool{}
	for _, p := range ports {
		routes := v.inner(p.subnet)
		if len(routes) == 0 {
			continue
		}
		name := p.Subnet + "-inner"
		byLink.elements = append(byLink.elements, element{key: linkKey(p.link), jump: name})
		if !done[p.Subnet] {
			done[p.Subnet] = true
			chains = append(chains, chain{name: name, rules: p.subnet.routeRules(routes)})
		}
	}
	if len(chains) == 0 {
		return nil, nil
	}
	rs.sets = append(rs.sets, byLink)
	return []rule{{"past the local route", dispatch(expr.MetaKeyIIFNAME, "inner")}}, chains
}

// throughRoutes are the tables of interfaces that routes lead to.
func (r *router) throughRoutes(v VPC) (out []netlink.Route) {
	through := v.through()
	for _, p := range r.ports {
		if !slices.Contains(through, p.ID) {
			continue
		}
		route := netlink.Route{
			LinkIndex: r.links[p.link].Attrs().Index, Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Gw: p.Addresses[0].AsSlice(),
			Flags: int(netlink.FLAG_ONLINK), Protocol: routeProtocol, Table: int(markOf(p.ID)),
		}
		out = append(out, route)
		if p.has6() && v.has6() {
			route.Dst, route.Gw, route.Flags, route.Priority = ipNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0)), guestNext6.AsSlice(), 0, metric6
			out = append(out, route)
		}
	}
	return out
}

// Priorities of routing rules: those for interfaces, and then the router's own addresses.
const (
	throughRules = 100
	localRules   = 200
)

// throughPolicy has packets with an interface's mark routed by its table.
func throughPolicy(v VPC) (out []netlink.Rule) {
	for _, id := range v.through() {
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Mark, rule.Table, rule.Protocol = netlink.FAMILY_V4, throughRules, markOf(id), int(markOf(id)), routeProtocol
		out = append(out, *rule)
		if v.has6() {
			rule := *rule
			rule.Family = netlink.FAMILY_V6
			out = append(out, rule)
		}
	}
	return out
}

var acceptLocal = setting{"ipv4/conf/all/accept_local", "1"}

// ensureThrough makes room for throughPolicy before the router's own addresses. It stays so.
func (r *router) ensureThrough(v VPC) error {
	if len(v.through()) == 0 {
		return nil
	}
	err := r.host.step("letting "+r.space.name+" take in its own addresses", func() error { return within(r.space.path, acceptLocal.write) })
	if err != nil {
		return err
	}
	families := []int{netlink.FAMILY_V4}
	if r.has6 {
		families = append(families, netlink.FAMILY_V6)
	}
	for _, family := range families {
		rules, err := dump("routing rules of "+r.space.name, func() ([]netlink.Rule, error) { return r.space.nl.RuleList(family) })
		if err != nil {
			return err
		}
		local := func(first bool) func(netlink.Rule) bool { // the kernel names no priority of 0
			return func(rule netlink.Rule) bool { return rule.Table == unix.RT_TABLE_LOCAL && rule.Priority <= 0 == first }
		}
		later := netlink.NewRule()
		later.Family, later.Priority, later.Table = family, localRules, unix.RT_TABLE_LOCAL
		if !slices.ContainsFunc(rules, local(false)) {
			if err := r.host.step(fmt.Sprintf("adding a later rule for addresses of %s, family %d", r.space.name, family), func() error { return r.space.nl.RuleAdd(later) }); err != nil {
				return err
			}
		}
		if at := slices.IndexFunc(rules, local(true)); at >= 0 {
			first := rules[at]
			first.Family = family
			if err := r.host.step(fmt.Sprintf("removing the first rule for addresses of %s, family %d", r.space.name, family), func() error { return r.space.nl.RuleDel(&first) }); err != nil {
				return err
			}
		}
	}
	return nil
}
