package network

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ensureRoutes leads every address of a port to its link: the primary one directly,
// the others by way of the primary one, so that the guest is asked for no more than
// that. All other addresses, the VPC's too, swallow what is sent to them, as on AWS.
func (r *router) ensureRoutes(v VPC) error {
	wanted := []netlink.Route{
		{Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Type: unix.RTN_BLACKHOLE, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN},
	}
	var prefixes []netlink.Route
	for _, c := range family(v.CIDRs, false) {
		wanted = append(wanted, netlink.Route{Dst: ipNet(c.Masked()), Type: unix.RTN_BLACKHOLE, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN})
	}
	for _, p := range r.ports {
		index := r.links[p.link].Attrs().Index
		for _, c := range family(p.Prefixes, false) {
			// Last: by way of the primary address, to which the first route leads.
			prefixes = append(prefixes, netlink.Route{
				LinkIndex: index, Dst: ipNet(c.Masked()), Gw: p.Addresses[0].AsSlice(), Flags: int(netlink.FLAG_ONLINK), Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN,
			})
		}
		for i, a := range p.Addresses {
			route := netlink.Route{LinkIndex: index, Dst: ipNet(netip.PrefixFrom(a, 32)), Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
			if i == 0 {
				route.Scope = netlink.SCOPE_LINK
			} else {
				route.Gw, route.Flags = p.Addresses[0].AsSlice(), int(netlink.FLAG_ONLINK)
			}
			wanted = append(wanted, route)
		}
	}
	wanted = slices.Concat(wanted, prefixes, r.routes6(v), r.uplinkRoutes(v), r.throughRoutes(v))
	if err := r.host.ensureRoutes(r.space, wanted); err != nil {
		return err
	}
	if v.has6() {
		if err := r.ensureAddresses6(); err != nil {
			return err
		}
	}
	if err := r.ensureThrough(v); err != nil {
		return err
	}
	return r.host.ensurePolicy(r.space, slices.Concat(uplinkRules(v), answerRules(v), throughPolicy(v)))
}

// ensureNeighbours tells the router each port's MAC address, so that it never has to
// ask for it, and nobody else can answer.
func (r *router) ensureNeighbours() error {
	var wanted []neighbour
	for _, p := range r.ports {
		wanted = append(wanted, neighbour{r.links[p.link].Attrs().Index, p.Addresses[0], p.MAC})
		if p.has6() {
			wanted = append(wanted, neighbour{r.links[p.link].Attrs().Index, guestNext6, p.MAC})
		}
	}
	for _, u := range r.uplinks {
		if l, ok := r.links[u.link]; ok {
			wanted = append(wanted, neighbour{l.Attrs().Index, uplinkNext, macOf(u.id, u.other)})
			if r.has6 {
				wanted = append(wanted, neighbour{l.Attrs().Index, uplinkNext6, macOf(u.id, u.other)})
			}
		}
	}
	return r.host.ensureNeighbours(r.space, wanted)
}

// A neighbour is who has an address on a link.
type neighbour struct {
	link int
	ip   netip.Addr
	mac  net.HardwareAddr
}

func (h *Host) ensureNeighbours(sp *space, wanted []neighbour) error {
	have, err := dump("neighbours of "+sp.name, func() ([]netlink.Neigh, error) { return sp.nl.NeighList(0, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	type place struct {
		link int
		ip   netip.Addr
	}
	known := map[place]net.HardwareAddr{}
	for _, n := range have {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && n.State == netlink.NUD_PERMANENT {
			known[place{n.LinkIndex, ip.Unmap()}] = n.HardwareAddr
		}
	}
	for _, n := range wanted {
		if bytes.Equal(known[place{n.link, n.ip}], n.mac) {
			continue
		}
		err := h.step("telling "+sp.name+" the MAC address of "+n.ip.String(), func() error {
			return sp.nl.NeighSet(&netlink.Neigh{
				LinkIndex: n.link, Family: familyOf(n.ip), State: netlink.NUD_PERMANENT, IP: n.ip.AsSlice(), HardwareAddr: n.mac,
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ensureRoutes makes the namespace's routes with our protocol, in all tables, those wanted.
func (h *Host) ensureRoutes(sp *space, wanted []netlink.Route) error {
	return h.ensureRoutesOf(sp, wanted, func(netlink.Route) bool { return true })
}

// ensureRoutesOf is ensureRoutes for those of the namespace's routes that mine says are
// the caller's.
func (h *Host) ensureRoutesOf(sp *space, wanted []netlink.Route, mine func(netlink.Route) bool) error {
	have, err := dump("routes of "+sp.name, func() ([]netlink.Route, error) {
		filter := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_UNSPEC}
		return sp.nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return err
	}
	missing := map[string]netlink.Route{}
	for _, route := range wanted {
		missing[routeKey(route)] = route
	}
	for _, route := range have {
		if !mine(route) {
			continue
		}
		key := routeKey(route)
		if _, ok := missing[key]; ok {
			delete(missing, key)
			continue
		}
		if err := h.step("removing route "+key+" of "+sp.name, func() error { return sp.nl.RouteDel(&route) }); err != nil {
			return err
		}
	}
	for _, route := range wanted { // in this order: what is reached by a gateway comes after it
		key := routeKey(route)
		if _, ok := missing[key]; !ok {
			continue
		}
		if err := h.step("adding route "+key+" to "+sp.name, func() error { return sp.nl.RouteReplace(&route) }); err != nil {
			return err
		}
	}
	return nil
}

func routeKey(r netlink.Route) string {
	dst := "0.0.0.0/0"
	if r.Dst != nil {
		dst = r.Dst.String()
	}
	key := fmt.Sprintf("%s table %d metric %d link %d", dst, r.Table, r.Priority, r.LinkIndex)
	if r.Type == unix.RTN_BLACKHOLE {
		key = dst + " blackhole"
	}
	if len(r.Gw) > 0 {
		key += " via " + r.Gw.String()
	}
	return key
}

func familyOf(a netip.Addr) int {
	if a.Is6() {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
