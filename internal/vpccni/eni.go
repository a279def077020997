package vpccni

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkWithin bounds how long an attached ENI may take to show up in the node.
const linkWithin = 20 * time.Second

// tableOf is the routing table of an ENI, by EKS's numbering.
func tableOf(device int) int {
	if device == 0 {
		return unix.RT_TABLE_MAIN
	}
	return device + 1
}

// setupENI waits for a secondary ENI's interface and gives it its address and a
// routing table of its own. The subnet must not be reachable by it in the main
// table: the node's own traffic belongs to the primary ENI.
func setupENI(ctx context.Context, e ENI, mtu int) error {
	link, err := awaitLink(ctx, e.MAC)
	if err != nil {
		return err
	}
	if link.Attrs().MTU > mtu {
		if err := netlink.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("setting the MTU of %s: %w", link.Attrs().Name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", link.Attrs().Name, err)
	}
	if err := setSysctl("net/ipv4/conf/"+link.Attrs().Name+"/rp_filter", "2"); err != nil {
		return err
	}
	if err := ensureOnlyAddress(link, e.Primary); err != nil {
		return fmt.Errorf("address of %s: %w", link.Attrs().Name, err)
	}
	gw := e.gateway().AsSlice()
	for _, r := range []netlink.Route{
		{LinkIndex: link.Attrs().Index, Dst: hostNet(e.gateway()), Scope: netlink.SCOPE_LINK, Table: tableOf(e.Device)},
		{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Gw: gw, Table: tableOf(e.Device)},
	} {
		if err := netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("route %s of %s: %w", r.Dst, link.Attrs().Name, err)
		}
	}
	return nil
}

// ensureOnlyAddress leaves a link with one address, as a /32: a wider one would
// bring its subnet into the main table.
func ensureOnlyAddress(link netlink.Link, want netip.Addr) error {
	have, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	found := false
	for _, a := range have {
		if a.IPNet.String() == hostNet(want).String() {
			found = true
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return err
		}
	}
	if found {
		return nil
	}
	return netlink.AddrAdd(link, &netlink.Addr{IPNet: hostNet(want)})
}

func awaitLink(ctx context.Context, mac string) (netlink.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, linkWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		link, err := linkByMAC(mac)
		if err == nil || !errors.Is(err, errNoLink) {
			return link, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
