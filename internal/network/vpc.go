package network

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// EnsureVPC makes the VPC be as given: its router, the interfaces, addresses,
// routes and rules in it, and the guests that the interfaces are in. Interfaces
// that are no longer listed are unplugged; their guests stay. Rules change in one
// transaction. A repeat with the same values changes nothing; a repeat after an
// error or a crash, at any step, ends in the same state as if there had been none.
//
// New interfaces are closed until their rules are in force. Established
// connections are kept when a rule goes, if AWS would track them; every new
// connection meets the new rules. The order of rules and interfaces has no effect.
func (h *Host) EnsureVPC(ctx context.Context, v VPC) error {
	if err := v.validate(); err != nil {
		return fmt.Errorf("VPC %s: %w", v.ID, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v.Interfaces = slices.DeleteFunc(slices.Clone(v.Interfaces), func(i Interface) bool { return h.gone[i.Guest] })
	if err := h.ensureVPC(ctx, v); err != nil {
		return fmt.Errorf("VPC %s: %w", v.ID, err)
	}
	return nil
}

func (h *Host) ensureVPC(ctx context.Context, v VPC) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := h.ensureNamespace(h.RouterPath(v.ID), setUp(routerSettings)); err != nil {
		return err
	}
	sp, err := openSpace(h.RouterPath(v.ID))
	if err != nil {
		return err
	}
	defer sp.close()
	r := &router{host: h, space: sp, vpc: v.ID, ports: v.ports(), uplinks: v.uplinks(), has6: v.has6()}
	if r.has6 {
		if err := h.enable6(sp); err != nil {
			return err
		}
	}

	// What must no longer pass goes first, and rules come before what they protect.
	for _, part := range []func(context.Context) error{
		r.unplugStale,
		func(context.Context) error { return h.ensureRules(sp, compile(v)) },
		func(context.Context) error { return r.ensureAddresses(v) },
		r.connect,
		r.plug,
		func(context.Context) error { return r.ensureRoutes(v) },
		func(context.Context) error { return r.ensureNeighbours() },
		func(context.Context) error { return r.announce(v) },
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A port is an interface as the router sees it.
type port struct {
	Interface
	link   string // its name in the router
	subnet Subnet

	// Of the guest's interfaces with Configure, this is number place of peers.
	place, peers int
}

// ports are the VPC's interfaces, those of one guest in the order of their devices.
func (v VPC) ports() []port {
	subnets := map[string]Subnet{}
	for _, s := range v.Subnets {
		subnets[s.ID] = s
	}
	ports := make([]port, len(v.Interfaces))
	peers := map[string]int{}
	for i, n := range v.Interfaces {
		ports[i] = port{Interface: n, link: linkName(n.ID), subnet: subnets[n.Subnet]}
		if n.Configure {
			peers[n.Guest]++
		}
	}
	slices.SortFunc(ports, func(a, b port) int { // eth2 before eth10
		return cmp.Or(strings.Compare(a.Guest, b.Guest), cmp.Compare(len(a.Device), len(b.Device)), strings.Compare(a.Device, b.Device))
	})
	place := map[string]int{}
	for i := range ports {
		if p := &ports[i]; p.Configure {
			place[p.Guest]++
			p.place, p.peers = place[p.Guest], peers[p.Guest]
		}
	}
	return ports
}

// wiring is what cannot be changed about a link: another wiring is another link.
func (p port) wiring() string {
	return fmt.Sprintf("%s %s/%s %s %s/%d", p.ID, p.Guest, p.Device, p.MAC, p.Addresses[0], p.subnet.CIDR.Bits())
}

// alias is the alias of the router's link once its other end is set up. The kernel
// keeps up to 255 bytes; long ids are left to the link's name and a hash.
func (p port) alias() string {
	alias := p.wiring()
	if len(alias) > 200 {
		sum := sha256.Sum256([]byte(alias))
		alias = hex.EncodeToString(sum[:])
	}
	if !p.Configure {
		return alias + " plugged"
	}
	alias = fmt.Sprintf("%s configured %d/%d", alias, p.place, p.peers)
	if len(p.Addresses6) > 0 {
		sum := sha256.Sum256(fmt.Append(nil, p.Addresses6))
		alias += " IPv6 " + hex.EncodeToString(sum[:4])
	}
	return alias
}

// rewires says whether a link with this alias has to be replaced to become the port:
// all but the place among the guest's devices is fixed.
func (p port) rewires(alias string) bool {
	want, _, _ := strings.Cut(p.alias(), " configured ")
	have, _, _ := strings.Cut(alias, " configured ")
	return want != have
}

// maxLinkName is the kernel's limit, without the terminating zero.
const maxLinkName = 15

// linkName is the name of an interface's link in the router: its id if that fits,
// otherwise the end of it, which is as random as the rest.
func linkName(id string) string {
	if len(id) <= maxLinkName {
		return id
	}
	if kind, _, ok := strings.Cut(id, "-"); ok && len(kind) == 3 {
		return kind + "-" + id[len(id)-(maxLinkName-4):]
	}
	sum := sha256.Sum256([]byte(id))
	return "if-" + hex.EncodeToString(sum[:])[:maxLinkName-3]
}
