package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes and rules that are ours, in routers and guests.
const routeProtocol = 0xEE

// routerSettings: forwarding comes first since it resets others. Sources are
// checked by the rule set, which knows more than reverse paths.
var routerSettings = []setting{
	{"ipv4/ip_forward", "1"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/all/proxy_arp", "1"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv4/conf/all/accept_redirects", "0"},
	{"ipv6/conf/all/disable_ipv6", "1"},
	{"ipv6/conf/default/disable_ipv6", "1"},
}

// A router converges what netlink governs in a VPC's namespace.
type router struct {
	host    *Host
	space   *space
	vpc     string
	ports   []port
	uplinks []uplink
	links   map[string]netlink.Link // by name, as they are by now
	has6    bool                    // IPv6 is in use
}

// unplugStale reads the links and removes those that are no port's, or not as the
// port is now, or whose other end is not in the guest (any more).
func (r *router) unplugStale(ctx context.Context) error {
	links, err := r.space.links()
	if err != nil {
		return err
	}
	wanted := map[string]port{}
	for _, p := range r.ports {
		wanted[p.link] = p
	}
	uplinks := map[string]uplink{}
	for _, u := range r.uplinks {
		uplinks[u.link] = u
	}
	guests := map[string]int{}
	r.links = map[string]netlink.Link{}
	for _, l := range links {
		name := l.Attrs().Name
		if l.Type() != "veth" {
			r.links[name] = l
			continue
		}
		p, ok := wanted[name]
		if ok && !p.rewires(l.Attrs().Alias) {
			id, seen := guests[p.Guest]
			if !seen {
				if id, err = r.guestID(p.Guest); err != nil {
					return err
				}
				guests[p.Guest] = id
			}
			if id >= 0 && id == l.Attrs().NetNsID {
				r.links[name] = l
				continue
			}
		}
		if u, ok := uplinks[name]; ok && l.Attrs().OperState == netlink.OperUp {
			id, err := r.guestID(u.other)
			if err != nil {
				return err
			}
			if id >= 0 && id == l.Attrs().NetNsID {
				r.links[name] = l
				continue
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.host.deleteLink(r.space, l); err != nil {
			return err
		}
	}
	return nil
}

// guestID is the number by which the router's kernel namespace knows the guest's,
// or -1 if there is no such guest or it has no link here.
func (r *router) guestID(guest string) (int, error) {
	path := r.host.GuestPath(guest)
	ok, err := isNamespace(path)
	if err != nil || !ok {
		return -1, err
	}
	ns, err := openNamespace(path)
	if err != nil {
		return -1, err
	}
	defer ns.Close()
	id, err := r.space.nl.GetNetNsIdByFd(int(ns))
	if err != nil {
		return -1, fmt.Errorf("looking for guest %s from %s: %w", guest, r.space.name, err)
	}
	return id, nil
}

// ensureAddresses gives lo the services' addresses and the subnets' gateways.
func (r *router) ensureAddresses(v VPC) error {
	wanted := map[netip.Addr]bool{MetadataAddress: true, ResolverAddress: true, InternetAddress: true}
	for _, s := range v.Subnets {
		wanted[s.gateway()] = true
	}
	for _, e := range v.Endpoints {
		wanted[e.Address] = true
	}
	if a := v.resolver(); a.IsValid() {
		wanted[a] = true
	}
	for _, c := range v.Clusters {
		if !c.Private.IsValid() {
			wanted[c.Address] = true
		}
	}
	lo, ok := r.links["lo"]
	if !ok {
		return fmt.Errorf("%s has no lo", r.space.name)
	}
	have, err := dump("addresses of "+r.space.name, func() ([]netlink.Addr, error) {
		return r.space.nl.AddrList(lo, netlink.FAMILY_V4)
	})
	if err != nil {
		return err
	}
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if wanted[ip] {
			delete(wanted, ip)
			continue
		}
		if ip.IsLoopback() {
			continue
		}
		err := r.host.step("removing address "+ip.String()+" of "+r.space.name, func() error {
			return r.space.nl.AddrDel(lo, &netlink.Addr{IPNet: a.IPNet})
		})
		if err != nil {
			return err
		}
	}
	for ip := range wanted {
		err := r.host.step("adding address "+ip.String()+" to "+r.space.name, func() error {
			return r.space.nl.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(ip, 32))})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// plug makes the links that are missing, and has the guests' ends set up.
func (r *router) plug(ctx context.Context) error {
	unfinished := map[string]bool{}
	var guests []string
	for _, p := range r.ports {
		l, ok := r.links[p.link]
		if ok && l.Attrs().Alias == p.alias() && l.Attrs().Flags&net.FlagUp != 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !ok {
			if err := r.plugOne(ctx, p); err != nil {
				return err
			}
		} else if err := r.up(p, l); err != nil {
			return err
		}
		if !unfinished[p.Guest] {
			unfinished[p.Guest] = true
			guests = append(guests, p.Guest)
		}
	}
	for _, guest := range guests {
		if err := r.finish(ctx, guest); err != nil {
			return err
		}
	}
	return nil
}

func (r *router) up(p port, l netlink.Link) error {
	return r.host.step("taking up "+p.link+" of "+r.space.name, func() error { return r.space.nl.LinkSetUp(l) })
}

// plugOne makes the pair. Until its alias is set, in finish, it counts as half made.
func (r *router) plugOne(ctx context.Context, p port) error {
	if err := r.host.ensureGuest(ctx, p.Guest); err != nil {
		return err
	}
	guest, err := openNamespace(r.host.GuestPath(p.Guest))
	if err != nil {
		return err
	}
	defer guest.Close()
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.MTU, veth.Flags, veth.Group = p.link, MTU, net.FlagUp, linkGroup
	veth.GSOIPv4MaxSize, veth.GROIPv4MaxSize = gsoSize, gsoSize
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace = p.Device, p.MAC, netlink.NsFd(int(guest))
	err = r.host.step(fmt.Sprintf("plugging %s into %s as %s", p.ID, p.Guest, p.Device), func() error {
		err := r.space.nl.LinkAdd(veth)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		// No link of this router has that name, so it is the guest's: what remains of
		// another interface there, whose router lost its name but is still held.
		if err := r.host.removeDevice(p.Guest, p.Device); err != nil {
			return err
		}
		return r.space.nl.LinkAdd(veth)
	})
	if err != nil {
		return err
	}
	if err := r.host.enlarge(p.Guest, p.Device); err != nil {
		return err
	}
	err = r.host.step("answering ARP at once on "+p.link+" of "+r.space.name, func() error {
		// The default is a random delay of up to 0.8 s for each answer, and only the
		// first network namespace has a default to change.
		return within(r.space.path, setting{"ipv4/neigh/" + p.link + "/proxy_delay", "0"}.write)
	})
	if err != nil {
		return err
	}
	l, err := r.space.nl.LinkByName(p.link)
	if err != nil {
		return fmt.Errorf("looking for %s in %s: %w", p.link, r.space.name, err)
	}
	r.links[p.link] = l
	r.host.log.Debug("interface plugged in", "interface", p.ID, "guest", p.Guest, "device", p.Device)
	return nil
}

// finish sets up the guest's configured devices and then marks its links as done.
func (r *router) finish(ctx context.Context, guest string) error {
	var ports []port
	var configured []port
	for _, p := range r.ports {
		if p.Guest == guest {
			ports = append(ports, p)
			if p.Configure {
				configured = append(configured, p)
			}
		}
	}
	if len(configured) > 0 {
		if err := r.host.configureGuest(ctx, guest, configured); err != nil {
			return err
		}
	}
	for _, p := range ports {
		l := r.links[p.link]
		if p.Configure {
			if err := r.space.awaitCarrier(ctx, l.Attrs().Index); err != nil {
				return err
			}
		}
		if l.Attrs().Alias == p.alias() {
			continue
		}
		err := r.host.step("marking "+p.link+" of "+r.space.name+" as set up", func() error {
			return r.space.nl.LinkSetAlias(l, p.alias())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
