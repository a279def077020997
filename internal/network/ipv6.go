package network

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// IPv6 is routed as IPv4 is, with less: nobody has a neighbour but the router, which is
// fe80::1 on every link. A guest has its addresses alone (/128) and a default route there;
// the router sends all of an interface's addresses and ranges to one next hop, whose MAC
// address it has been told. Addresses are the internet's own, so nothing is translated.
//
// A VPC whose subnets have no IPv6 has none of this, and IPv6 is switched off in its router.

var (
	// routerAddress6 is the router, on each link.
	routerAddress6 = netip.MustParseAddr("fe80::1")
	// guestNext6 is the next hop for all that an interface has; no guest has the address.
	guestNext6 = netip.MustParseAddr("fe80::2")
	// uplinkNext6 is uplinkNext for IPv6.
	uplinkNext6 = netip.MustParseAddr("fe80::3")

	linkLocal6 = netip.MustParsePrefix("fe80::/10")
	multicast6 = netip.MustParsePrefix("ff00::/8")
	// services6 is the range of the router's own services.
	services6 = netip.MustParsePrefix("fd00:ec2::/32")
)

// set6 ends the name of a group's set of IPv6 addresses.
const set6 = "-6"

// metric6 is what the kernel gives an IPv6 route that asks for none.
const metric6 = 1024

// has6 says whether IPv6 is in use.
func (v VPC) has6() bool {
	return slices.ContainsFunc(v.Subnets, func(s Subnet) bool { return s.CIDR6.IsValid() })
}

// list6 says whether the prefix list is one of IPv6 ranges.
func (v VPC) list6(id string) bool {
	return slices.ContainsFunc(v.PrefixLists, func(l PrefixList) bool { return l.ID == id && l.is6() })
}

// has6 says whether the port has anything of IPv6.
func (p port) has6() bool {
	return len(p.Addresses6) > 0 || len(family(p.Prefixes, true)) > 0
}

// ranges are all addresses of the port.
func (p port) ranges() []netip.Prefix {
	out := slices.Clone(p.Prefixes)
	for _, a := range slices.Concat(p.Addresses, p.Addresses6) {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}

// prefixSources let interfaces send from the ranges that are theirs.
func (v VPC) prefixSources(ports []port) (out []rule) {
	for _, p := range ports {
		for _, r := range p.Prefixes {
			out = append(out, rule{"a range of " + p.ID, then(ifname(p.link), address(source, r), accept)})
		}
	}
	return out
}

// sourceRules6 are the source/destination check. Packets between link-local addresses
// are for the router and go no further.
func (v VPC) sourceRules6() []rule {
	if !v.has6() {
		return nil
	}
	return []rule{
		{"nobody asks for another's metadata", then(address(destination, services6), notASource6(), drop)},
		{"link-local", then(address(source, linkLocal6), accept)},
		{"is this address taken?", then(address(source, netip.PrefixFrom(netip.IPv6Unspecified(), 128)), accept)},
		{"source/destination check", then(inSet(expr.MetaKeyIIFNAME, "guarded"), notASource6(), drop)},
	}
}

// neighbourRules let guests find the router: solicitations of routers and neighbours, and
// their answers.
func neighbourRules() (out []rule) {
	for _, kind := range []byte{133, 135, 136} {
		out = append(out, rule{"neighbours", then(ipv6(), l4(protocolICMPv6), icmp(0, kind), accept)})
	}
	return out
}

// egressOnlyRules are the egress-only internet gateways: answers to what has come in do
// not pass them. Without an internet gateway, nothing comes in at all.
func (v VPC) egressOnlyRules() (out []rule) {
	gateways := slices.Clone(v.EgressOnly)
	slices.Sort(gateways)
	for _, id := range gateways {
		out = append(out, rule{id + " lets out only", then(ipv6(), markIs(markOf(id)), ctReply(), drop)})
	}
	if len(gateways) > 0 && !v.Internet {
		out = append(out, rule{"no internet gateway", then(ipv6(), ifname(internetLink), ctState(expr.CtStateBitNEW), drop)})
	}
	return out
}

// ct direction reply
func ctReply() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(1)}
}

// settings6 switch IPv6 on in a router: without addresses that the kernel makes up, and
// without its asking whether an address is taken.
var settings6 = []setting{
	{"ipv6/conf/all/addr_gen_mode", "1"},
	{"ipv6/conf/default/addr_gen_mode", "1"},
	{"ipv6/conf/all/accept_dad", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/all/disable_ipv6", "0"},
	{"ipv6/conf/default/disable_ipv6", "0"},
	{"ipv6/conf/all/forwarding", "1"},
}

func (h *Host) enable6(sp *space) error {
	return h.step("switching IPv6 on in "+sp.name, func() error {
		return within(sp.path, func() error {
			for _, s := range settings6 {
				if err := s.write(); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// ensureAddresses6 gives the router the services' addresses, and its own one on the links of
// ports with IPv6.
func (r *router) ensureAddresses6() error {
	have, err := dump("IPv6 addresses of "+r.space.name, func() ([]netlink.Addr, error) { return r.space.nl.AddrList(nil, netlink.FAMILY_V6) })
	if err != nil {
		return err
	}
	type place struct {
		link int
		ip   netip.Prefix
	}
	known := map[place]bool{}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		known[place{a.LinkIndex, netip.PrefixFrom(ip, bits)}] = true
	}
	add := func(l netlink.Link, ip netip.Prefix) error {
		if known[place{l.Attrs().Index, ip}] {
			return nil
		}
		return r.host.step("adding address "+ip.String()+" to "+l.Attrs().Name+" of "+r.space.name, func() error {
			return r.space.nl.AddrReplace(l, &netlink.Addr{IPNet: ipNet(ip), Flags: unix.IFA_F_NODAD})
		})
	}
	for _, a := range []netip.Addr{MetadataAddress6, ResolverAddress6} {
		if err := add(r.links["lo"], netip.PrefixFrom(a, 128)); err != nil {
			return err
		}
	}
	for _, p := range r.ports {
		if !p.has6() {
			continue
		}
		if err := add(r.links[p.link], netip.PrefixFrom(routerAddress6, 64)); err != nil {
			return err
		}
	}
	return nil
}

// routes6 are the router's routes of IPv6, uplinks aside.
func (r *router) routes6(v VPC) []netlink.Route {
	if !v.has6() {
		return nil
	}
	out := []netlink.Route{blackhole6(netip.PrefixFrom(netip.IPv6Unspecified(), 0))}
	for _, c := range family(v.CIDRs, true) {
		out = append(out, blackhole6(c.Masked()))
	}
	for _, p := range r.ports {
		index := r.links[p.link].Attrs().Index
		for _, c := range family(p.ranges(), true) {
			out = append(out, netlink.Route{LinkIndex: index, Dst: ipNet(c.Masked()), Gw: guestNext6.AsSlice(), Priority: metric6, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN})
		}
	}
	return out
}

func blackhole6(dst netip.Prefix) netlink.Route {
	return netlink.Route{Dst: ipNet(dst), Type: unix.RTN_BLACKHOLE, Priority: metric6, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
}

// configureAddresses6 makes a guest's device have the port's addresses, and no others of
// its subnet's range.
func (h *Host) configureAddresses6(sp *space, device netlink.Link, p port) error {
	if !p.subnet.CIDR6.IsValid() {
		return nil
	}
	have, err := dump("IPv6 addresses of "+p.Device+" of "+sp.name, func() ([]netlink.Addr, error) { return sp.nl.AddrList(device, netlink.FAMILY_V6) })
	if err != nil {
		return err
	}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		if !p.subnet.CIDR6.Contains(ip) || slices.Contains(p.Addresses6, ip) {
			continue
		}
		err := h.step(fmt.Sprintf("removing address %s of %s of %s", ip, p.Device, sp.name), func() error {
			return sp.nl.AddrDel(device, &netlink.Addr{IPNet: a.IPNet})
		})
		if err != nil {
			return err
		}
	}
	for _, ip := range p.Addresses6 {
		err := h.step(fmt.Sprintf("giving %s of %s address %s", p.Device, sp.name, ip), func() error {
			return sp.nl.AddrReplace(device, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(ip, 128)), Flags: unix.IFA_F_NODAD})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// guestRoute6 is a guest's default route by its device.
func guestRoute6(device netlink.Link, place int) netlink.Route {
	return netlink.Route{
		LinkIndex: device.Attrs().Index, Dst: ipNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0)), Gw: routerAddress6.AsSlice(),
		Priority: metric6 + place*metricStep, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN,
	}
}
