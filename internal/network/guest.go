package network

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// deviceTables + a device's index is the routing table for packets with its address.
	deviceTables = 1000
	// deviceRules is the priority of the rules that lead there.
	deviceRules = 1000
	// metricStep separates the default routes of a guest's devices: eth0 comes first.
	metricStep = 100
)

// configureGuest sets up the guest's devices: primary address, up, default route by the
// subnet's gateway. With several, packets that carry the address of one leave by it.
// There is no rule with only one: its machine may route its pods as it likes.
func (h *Host) configureGuest(ctx context.Context, guest string, ports []port) error {
	sp, err := openSpace(h.GuestPath(guest))
	if err != nil {
		return err
	}
	defer sp.close()
	var routes []netlink.Route
	var rules []netlink.Rule
	for i, p := range ports {
		device, err := sp.nl.LinkByName(p.Device)
		if err != nil {
			return fmt.Errorf("looking for %s in %s: %w", p.Device, sp.name, err)
		}
		primary := netip.PrefixFrom(p.Addresses[0], p.subnet.CIDR.Bits())
		err = h.step(fmt.Sprintf("giving %s of %s address %s", p.Device, sp.name, primary), func() error {
			return sp.nl.AddrReplace(device, &netlink.Addr{IPNet: ipNet(primary)})
		})
		if err != nil {
			return err
		}
		err = h.step(fmt.Sprintf("taking up %s of %s", p.Device, sp.name), func() error { return sp.nl.LinkSetUp(device) })
		if err != nil {
			return err
		}
		if err := sp.awaitCarrier(ctx, device.Attrs().Index); err != nil {
			return err
		}
		if err := h.configureAddresses6(sp, device, p); err != nil {
			return err
		}
		route := netlink.Route{
			LinkIndex: device.Attrs().Index, Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Gw: p.subnet.gateway().AsSlice(),
			Priority: i * metricStep, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN,
		}
		routes = append(routes, route)
		if len(p.Addresses6) > 0 {
			routes = append(routes, guestRoute6(device, i))
		}
		if len(ports) == 1 {
			continue
		}
		route.Priority, route.Table = 0, deviceTables+device.Attrs().Index
		routes = append(routes, route)
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table, rule.Protocol = netlink.FAMILY_V4, deviceRules, route.Table, routeProtocol
		rule.Src = ipNet(netip.PrefixFrom(p.Addresses[0], 32))
		rules = append(rules, *rule)
		for _, a := range p.Addresses6 {
			route := guestRoute6(device, 0)
			route.Table = deviceTables + device.Attrs().Index
			routes = append(routes, route)
			rule := *rule
			rule.Family, rule.Src = netlink.FAMILY_V6, ipNet(netip.PrefixFrom(a, 128))
			rules = append(rules, rule)
		}
	}
	if err := h.ensureRoutes(sp, routes); err != nil {
		return err
	}
	if err := h.ensureEndpoints(sp, ports); err != nil {
		return err
	}
	return h.ensurePolicy(sp, rules)
}

// ensurePolicy makes the namespace's routing rules with our protocol those wanted.
func (h *Host) ensurePolicy(sp *space, wanted []netlink.Rule) error {
	var have []netlink.Rule
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := dump("routing rules of "+sp.name, func() ([]netlink.Rule, error) { return sp.nl.RuleList(family) })
		if err != nil {
			return err
		}
		for i := range rules {
			rules[i].Family = family
		}
		have = append(have, rules...)
	}
	key := func(r netlink.Rule) string {
		return fmt.Sprintf("family %d from %s to %s mark %#x lookup %d", r.Family, r.Src, r.Dst, r.Mark, r.Table)
	}
	missing := map[string]bool{}
	for _, rule := range wanted {
		missing[key(rule)] = true
	}
	for _, rule := range have {
		if rule.Protocol != routeProtocol {
			continue
		}
		if missing[key(rule)] {
			delete(missing, key(rule))
			continue
		}
		err := h.step("removing routing rule "+key(rule)+" of "+sp.name, func() error {
			return sp.nl.RuleDel(&rule)
		})
		if err != nil {
			return err
		}
	}
	for _, rule := range wanted {
		if !missing[key(rule)] {
			continue
		}
		if err := h.step("adding routing rule "+key(rule)+" to "+sp.name, func() error { return sp.nl.RuleAdd(&rule) }); err != nil {
			return err
		}
	}
	return nil
}
