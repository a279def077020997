package vpccni

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// podGateway is the next hop that every pod has; a permanent neighbour entry
// stands for it, nobody owns it.
var podGateway = netip.AddrFrom4([4]byte{169, 254, 1, 1})

// gsoSize is how much of a connection passes as one packet: as much as on the VPC's own
// links (package network), which a pod's packets go on by.
const gsoSize = 192 << 10

// vethName is the node's end of a pod's interface.
func vethName(container, ifName string) string {
	sum := sha1.Sum([]byte(container + "/" + ifName)) // a name, not a secret
	return vethPrefix + hex.EncodeToString(sum[:])[:11]
}

// A wire is what connects one pod.
type wire struct {
	Netns   string
	IfName  string
	Veth    string
	Address netip.Addr
	Device  int
	MTU     int
}

// connect makes the pod's interface and the node's way to it. On an error the
// caller disconnects.
func connect(w wire) (podMAC, nodeMAC net.HardwareAddr, err error) {
	ns, err := netns.GetFromPath(w.Netns)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the pod's namespace: %w", err)
	}
	defer ns.Close()
	if err := deleteLink(w.Veth); err != nil { // of an ADD that was cut short
		return nil, nil, err
	}
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: w.Veth, MTU: w.MTU, GSOIPv4MaxSize: gsoSize, GROIPv4MaxSize: gsoSize},
		PeerName:  w.IfName, PeerNamespace: netlink.NsFd(int(ns)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("making %s: %w", w.Veth, err)
	}
	node, err := netlink.LinkByName(w.Veth)
	if err != nil {
		return nil, nil, fmt.Errorf("making %s: %w", w.Veth, err)
	}
	if err := netlink.LinkSetUp(node); err != nil {
		return nil, nil, fmt.Errorf("setting %s up: %w", w.Veth, err)
	}
	nodeMAC = node.Attrs().HardwareAddr
	if podMAC, err = setupPodSide(ns, w, nodeMAC); err != nil {
		return nil, nil, fmt.Errorf("%s of the pod: %w", w.IfName, err)
	}
	if err := removePodRules(w.Address); err != nil { // of an earlier pod with this address
		return nil, nil, err
	}
	route := &netlink.Route{LinkIndex: node.Attrs().Index, Dst: hostNet(w.Address), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(route); err != nil {
		return nil, nil, fmt.Errorf("route to %s: %w", w.Address, err)
	}
	if err := addPodRules(w.Address, w.Device); err != nil {
		return nil, nil, err
	}
	return podMAC, nodeMAC, nil
}

func setupPodSide(ns netns.NsHandle, w wire, nodeMAC net.HardwareAddr) (net.HardwareAddr, error) {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if lo, err := h.LinkByName("lo"); err == nil {
		if err := h.LinkSetUp(lo); err != nil {
			return nil, fmt.Errorf("setting lo up: %w", err)
		}
	}
	link, err := h.LinkByName(w.IfName)
	if err != nil {
		return nil, err
	}
	index := link.Attrs().Index
	if err := errors.Join(h.LinkSetGSOIPv4MaxSize(link, gsoSize), h.LinkSetGROIPv4MaxSize(link, gsoSize)); err != nil {
		return nil, fmt.Errorf("enlarging its packets: %w", err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("setting it up: %w", err)
	}
	if err := h.AddrAdd(link, &netlink.Addr{IPNet: hostNet(w.Address)}); err != nil {
		return nil, fmt.Errorf("address %s: %w", w.Address, err)
	}
	err = h.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT,
		IP: podGateway.AsSlice(), HardwareAddr: nodeMAC,
	})
	if err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", podGateway, err)
	}
	for _, r := range []*netlink.Route{
		{LinkIndex: index, Dst: hostNet(podGateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Gw: podGateway.AsSlice()},
	} {
		if err := h.RouteAdd(r); err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Dst, err)
		}
	}
	return link.Attrs().HardwareAddr, nil
}

// addPodRules: everybody's way to the pod is in the main table; the pod's own
// way out is its ENI's table.
func addPodRules(a netip.Addr, device int) error {
	to := netlink.NewRule()
	to.Family, to.Priority, to.Table, to.Dst = unix.AF_INET, toPodPriority, unix.RT_TABLE_MAIN, hostNet(a)
	if err := ensureRule(to); err != nil {
		return fmt.Errorf("rule to %s: %w", a, err)
	}
	if device == 0 {
		return nil
	}
	from := netlink.NewRule()
	from.Family, from.Priority, from.Table, from.Src = unix.AF_INET, fromPodPriority, tableOf(device), hostNet(a)
	if err := ensureRule(from); err != nil {
		return fmt.Errorf("rule from %s: %w", a, err)
	}
	return nil
}

// removePodRules removes the rules of a pod address, whatever ENI it was on.
func removePodRules(a netip.Addr) error {
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing rules: %w", err)
	}
	want := hostNet(a).String()
	for _, r := range rules {
		to := r.Priority == toPodPriority && r.Dst != nil && r.Dst.String() == want
		from := r.Priority == fromPodPriority && r.Src != nil && r.Src.String() == want
		if !to && !from {
			continue
		}
		r.Family = unix.AF_INET
		if err := netlink.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing rule of %s: %w", a, err)
		}
	}
	return nil
}

// disconnect undoes connect. All of it may be gone already. An invalid address
// means that nobody knows it any more; then its rules are the agent's affair.
func disconnect(veth string, a netip.Addr) error {
	if err := deleteLink(veth); err != nil {
		return err
	}
	if !a.IsValid() {
		return nil
	}
	return removePodRules(a)
}

func deleteLink(name string) error {
	l, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

// podVeths lists the pods that are connected, by the routes to them.
func podVeths() (map[string]netip.Addr, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, vethPrefix) {
			names[l.Attrs().Index] = l.Attrs().Name
		}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	out := map[string]netip.Addr{}
	for _, r := range routes {
		name, ok := names[r.LinkIndex]
		if !ok || r.Dst == nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			out[name] = a
		}
	}
	return out, nil
}

// verify is CNI's CHECK: is the pod still connected as connect did it?
func verify(w wire) error {
	live, err := podVeths()
	if err != nil {
		return err
	}
	if got, ok := live[w.Veth]; !ok || got != w.Address {
		return fmt.Errorf("the node has no route to %s by %s", w.Address, w.Veth)
	}
	ns, err := netns.GetFromPath(w.Netns)
	if err != nil {
		return fmt.Errorf("opening the pod's namespace: %w", err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(w.IfName)
	if err != nil {
		return fmt.Errorf("the pod's %s: %w", w.IfName, err)
	}
	addrs, err := h.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("the pod's %s: %w", w.IfName, err)
	}
	for _, a := range addrs {
		if a.IPNet.String() == hostNet(w.Address).String() {
			return nil
		}
	}
	return fmt.Errorf("the pod's %s has not the address %s", w.IfName, w.Address)
}
