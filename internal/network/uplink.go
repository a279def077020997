package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An uplink is a veth pair from a router to another one, or to the internet: a namespace
// that all VPCs with an internet gateway share, in which OutsideAddress is.
//
//	router of vpc-a                      internet                   router of vpc-b
//	┌──────────────────┐  internet  ┌──────────────────┐          ┌─────────────────┐
//	│ 198.18.0.0/15 ───┼────────────┤ vpc-a: 198.19.…  ├──────────┤                 │
//	│                  │            │ lo: 198.18.0.2   │          │                 │
//	│ mark → table ────┼────────────┴──────────────────┴──────────┤ (pcx-…)         │
//	└──────────────────┘             pcx-…                         └─────────────────┘
//
// Neither end asks for the other's MAC address: it follows from the link's name.
type uplink struct {
	id    string // of the link, the same for both ends
	link  string // its name in the router
	other string // whose namespace the other end is in
	far   string // its name there
}

const (
	internetLink  = "internet"
	internetGuest = "internet"
)

// uplinkNext is the next hop behind every uplink; nobody has the address.
var uplinkNext = netip.AddrFrom4([4]byte{169, 254, 0, 1})

// internetSettings are the router's, without the proxy.
var internetSettings = []setting{
	{"ipv4/ip_forward", "1"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv6/conf/all/disable_ipv6", "1"},
	{"ipv6/conf/default/disable_ipv6", "1"},
}

// InternetPath is where the namespace of the internet is mounted, while a VPC with an
// internet gateway exists. Dial from there to reach public addresses.
func (h *Host) InternetPath() string { return h.path(internetGuest) }

func (v VPC) uplinks() []uplink {
	var out []uplink
	if v.Internet || len(v.EgressOnly) > 0 {
		out = append(out, uplink{id: v.ID, link: internetLink, other: internetGuest, far: linkName(v.ID)})
	}
	for _, p := range v.Peers {
		out = append(out, uplink{id: p.ID, link: linkName(p.ID), other: p.VPC, far: linkName(p.ID)})
	}
	return out
}

// connect makes the uplinks that are missing. A peer whose router is not there yet is
// left out: making that one makes the link.
func (r *router) connect(ctx context.Context) error {
	for _, u := range r.uplinks {
		if _, ok := r.links[u.link]; ok {
			continue
		}
		path := r.host.path(u.other)
		if u.other == internetGuest {
			if err := r.host.ensureInternet(); err != nil {
				return err
			}
		} else if ok, err := isNamespace(path); err != nil {
			return err
		} else if !ok {
			continue
		}
		if err := r.connectOne(ctx, u, path); err != nil {
			return err
		}
	}
	return nil
}

func (r *router) connectOne(ctx context.Context, u uplink, path string) error {
	far, err := openSpace(path)
	if err != nil {
		return err
	}
	defer far.close()
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU, veth.Flags, veth.Group = u.link, MTU, net.FlagUp, linkGroup
	veth.GSOIPv4MaxSize, veth.GROIPv4MaxSize = gsoSize, gsoSize
	veth.HardwareAddr, veth.PeerHardwareAddr = macOf(u.id, r.vpc), macOf(u.id, u.other)
	veth.PeerName, veth.PeerNamespace = u.far, netlink.NsFd(int(far.ns))
	err = r.host.step("connecting "+r.space.name+" with "+far.name, func() error {
		err := r.space.nl.LinkAdd(veth)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		// What remains of an earlier router's, which somebody holds.
		if l, err := far.nl.LinkByName(u.far); err == nil {
			if err := r.host.deleteLink(far, l); err != nil {
				return err
			}
		}
		return r.space.nl.LinkAdd(veth)
	})
	if err != nil {
		return err
	}
	end, err := far.nl.LinkByName(u.far)
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", u.far, far.name, err)
	}
	if err := r.host.enlargeLink(far, end); err != nil {
		return err
	}
	if err := r.host.step("taking up "+u.far+" of "+far.name, func() error { return far.nl.LinkSetUp(end) }); err != nil {
		return err
	}
	l, err := r.space.nl.LinkByName(u.link)
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", u.link, r.space.name, err)
	}
	r.links[u.link] = l
	// Both: an end that is not up yet would count as half made when its own router looks.
	if err := far.awaitCarrier(ctx, end.Attrs().Index); err != nil {
		return err
	}
	return r.space.awaitCarrier(ctx, l.Attrs().Index)
}

// uplinkRoutes lead what is for the internet, and what is marked for a peer, to its link.
func (r *router) uplinkRoutes(v VPC) []netlink.Route {
	var out []netlink.Route
	add := func(l netlink.Link, dst netip.Prefix, table int) {
		out = append(out, uplinkRoute(l.Attrs().Index, dst, table))
	}
	if l, ok := r.links[internetLink]; ok && v.Internet {
		add(l, InternetPrefix, unix.RT_TABLE_MAIN)
	}
	if l, ok := r.links[internetLink]; ok && r.has6 {
		add(l, InternetPrefix6, unix.RT_TABLE_MAIN)
	}
	for _, p := range v.Peers {
		if l, ok := r.links[linkName(p.ID)]; ok {
			for _, c := range p.CIDRs {
				if c.Addr().Is4() || r.has6 {
					add(l, c.Masked(), int(markOf(p.ID)))
				}
			}
		}
	}
	return out
}

func uplinkRoute(link int, dst netip.Prefix, table int) netlink.Route {
	out := netlink.Route{LinkIndex: link, Dst: ipNet(dst), Gw: uplinkNext.AsSlice(), Flags: int(netlink.FLAG_ONLINK), Protocol: routeProtocol, Table: table}
	if dst.Addr().Is6() {
		out.Gw, out.Flags, out.Priority = uplinkNext6.AsSlice(), 0, metric6
	}
	return out
}

// uplinkRules have packets with a peer's mark routed by its table.
func uplinkRules(v VPC) []netlink.Rule {
	var out []netlink.Rule
	for _, p := range v.Peers {
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Mark, rule.Table, rule.Protocol = netlink.FAMILY_V4, deviceRules, markOf(p.ID), int(markOf(p.ID)), routeProtocol
		out = append(out, *rule)
		if v.has6() {
			rule := *rule
			rule.Family = netlink.FAMILY_V6
			out = append(out, rule)
		}
	}
	return out
}

// answerRules have what interface endpoints answer to peers routed as the route tables of their
// subnets say: it is the router's own, and gets no mark.
func answerRules(v VPC) (out []netlink.Rule) {
	for _, e := range v.Endpoints {
		for _, s := range v.Subnets {
			if s.ID != e.Subnet {
				continue
			}
			for _, r := range s.Routes {
				if !r.Destination.Addr().Is4() || !slices.ContainsFunc(v.Peers, func(p Peer) bool { return Target(p.ID) == r.Target }) {
					continue
				}
				rule := netlink.NewRule()
				rule.Family, rule.Priority, rule.Table, rule.Protocol = netlink.FAMILY_V4, deviceRules, int(r.Target.mark()), routeProtocol
				rule.Src, rule.Dst = ipNet(netip.PrefixFrom(e.Address, 32)), ipNet(r.Destination.Masked())
				out = append(out, *rule)
			}
		}
	}
	return out
}

func (h *Host) ensureInternet() error {
	if err := h.ensureNamespace(h.InternetPath(), setUp(internetSettings)); err != nil {
		return err
	}
	sp, err := openSpace(h.InternetPath())
	if err != nil {
		return err
	}
	defer sp.close()
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("looking for lo in %s: %w", sp.name, err)
	}
	return h.step("adding address "+OutsideAddress.String()+" to "+sp.name, func() error {
		return sp.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(OutsideAddress, 32))})
	})
}

// enableInternet6 switches IPv6 on in the internet.
func (h *Host) enableInternet6(sp *space) error {
	if err := h.enable6(sp); err != nil {
		return err
	}
	lo, err := sp.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("looking for lo in %s: %w", sp.name, err)
	}
	return h.step("adding address "+OutsideAddress6.String()+" to "+sp.name, func() error {
		return sp.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(OutsideAddress6, 128)), Flags: unix.IFA_F_NODAD})
	})
}

// announce has the internet know which public addresses are behind this router.
func (r *router) announce(v VPC) error {
	if !v.Internet && len(v.EgressOnly) == 0 {
		return nil
	}
	sp, err := openSpace(r.host.InternetPath())
	if err != nil {
		return err
	}
	defer sp.close()
	end, err := sp.nl.LinkByName(linkName(v.ID))
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", linkName(v.ID), sp.name, err)
	}
	index := end.Attrs().Index
	var wanted []netlink.Route
	route := func(a netip.Addr) {
		wanted = append(wanted, uplinkRoute(index, netip.PrefixFrom(a, 32), unix.RT_TABLE_MAIN))
	}
	for _, p := range r.ports {
		for _, a := range p.publics() {
			route(a[1])
		}
	}
	for _, g := range v.NATGateways {
		route(g.Public)
	}
	next := []neighbour{{index, uplinkNext, macOf(v.ID, v.ID)}}
	if r.has6 {
		if err := r.host.enableInternet6(sp); err != nil {
			return err
		}
		for _, c := range family(v.CIDRs, true) {
			wanted = append(wanted, uplinkRoute(index, c.Masked(), unix.RT_TABLE_MAIN))
		}
		next = append(next, neighbour{index, uplinkNext6, macOf(v.ID, v.ID)})
	}
	if err := r.host.ensureRoutesOf(sp, wanted, func(n netlink.Route) bool { return n.LinkIndex == index }); err != nil {
		return err
	}
	return r.host.ensureNeighbours(sp, next)
}

// resolver is the address at which the VPC's DNS server answers besides its link-local
// one: that of the first range + 2.
func (v VPC) resolver() netip.Addr {
	if len(v.CIDRs) == 0 {
		return netip.Addr{}
	}
	return v.CIDRs[0].Masked().Addr().Next().Next()
}
