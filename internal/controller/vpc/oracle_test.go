package vpc

import (
	"net/netip"
	"slices"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// An oracle says from the records alone, as AWS's documentation has it, whether a connection
// of its protocol comes about, or an echo. It shares no code with the data plane.
type oracle struct {
	tx       *store.Tx
	protocol string // tcp, udp, icmp
}

// ephemeral stands for the port that a connection comes from.
const ephemeral = 40000

// The types of echo requests and answers.
const echo, echoReply, echo6, echoReply6 = 8, 0, 128, 129

// message is what a packet of a connection to port says of itself to somebody who looks at it
// alone: its protocol and port, or type.
func (o oracle) message(peer netip.Addr, port int32) (name, number string, value int32) {
	answer := port == ephemeral
	switch {
	case o.protocol != "icmp":
		return o.protocol, map[string]string{"tcp": "6", "udp": "17"}[o.protocol], port
	case peer.Is6() && answer:
		return "icmpv6", "58", echoReply6
	case peer.Is6():
		return "icmpv6", "58", echo6
	case answer:
		return "icmp", "1", echoReply
	}
	return "icmp", "1", echo
}

// covers says whether ports from one to another, or a type and a code, have the value.
func covers(protocol string, from, to, value int32) bool {
	if protocol == "icmp" || protocol == "icmpv6" || protocol == "1" || protocol == "58" {
		return from == -1 || from == value && (to == -1 || to == 0)
	}
	return from <= value && value <= to
}

// A place is where connections start or end: an interface, or the internet (eni "").
type place struct {
	eni  string
	addr netip.Addr // as it was dialled; of a source, its private address
}

func (o oracle) connects(from, to place, port int32) bool {
	src, fromInside := o.tx.Interfaces.Get(from.eni)
	if fromInside && !o.group(src, true, to.addr, port) {
		return false
	}
	if to.addr.Is6() {
		return o.connects6(src, fromInside, to, port)
	}
	if !fromInside {
		return o.arrives(to.addr, netip.Addr{}, port)
	}
	if to.eni != "" {
		dst, _ := o.tx.Interfaces.Get(to.eni)
		if to.addr == dst.Addresses[0] {
			return o.privately(src, dst, port)
		}
	}
	seen, ok := o.leaves(src, to.addr, port)
	if !ok || to.eni == "" {
		return ok
	}
	return o.arrives(to.addr, seen, port)
}

// connects6 is the same for IPv6, where every address is a public one and nothing is
// translated. The source's groups have been asked.
func (o oracle) connects6(src resource.NetworkInterface, fromInside bool, to place, port int32) bool {
	outside := netip.MustParseAddr("2001:db8::2")
	dst, toInside := o.tx.Interfaces.Get(to.eni)
	switch {
	case fromInside && toInside && src.VPC == dst.VPC, fromInside && toInside && o.route(src.Subnet, to.addr).Peering != "":
		return o.between(src, dst, src.Addresses6[0], to.addr, port)
	case fromInside:
		out := o.route(src.Subnet, to.addr)
		eigw, ok := o.tx.EgressOnlyGateways.Get(out.EgressOnly)
		if !o.attached(out.Gateway, src.VPC) && !(ok && eigw.VPC == src.VPC) || !o.acl(src.Subnet, true, to.addr, port) || !o.acl(src.Subnet, false, to.addr, ephemeral) {
			return false
		}
		if !toInside {
			return true
		}
		return o.arrives6(dst, src.Addresses6[0], port)
	}
	return o.arrives6(dst, outside, port)
}

// arrives6: from the internet. What answers by an egress-only gateway is never heard.
func (o oracle) arrives6(dst resource.NetworkInterface, from netip.Addr, port int32) bool {
	return o.attached(o.route(dst.Subnet, from).Gateway, dst.VPC) && o.acl(dst.Subnet, false, from, port) && o.acl(dst.Subnet, true, from, ephemeral) &&
		o.group(dst, false, from, port)
}

// privately: by private addresses, within a VPC or by way of a peering connection.
func (o oracle) privately(src, dst resource.NetworkInterface, port int32) bool {
	return o.between(src, dst, src.Addresses[0], dst.Addresses[0], port)
}

func (o oracle) between(src, dst resource.NetworkInterface, a, b netip.Addr, port int32) bool {
	if src.VPC != dst.VPC {
		there, back := o.route(src.Subnet, b), o.route(dst.Subnet, a)
		p, ok := o.tx.PeeringConnections.Get(there.Peering)
		if !ok || p.State != resource.PeeringActive || back.Peering != there.Peering {
			return false
		}
		if !slices.Contains([]string{p.Requester, p.Accepter}, dst.VPC) {
			return false
		}
	}
	if src.Subnet != dst.Subnet {
		if !o.acl(src.Subnet, true, b, port) || !o.acl(dst.Subnet, false, a, port) || !o.acl(dst.Subnet, true, a, ephemeral) || !o.acl(src.Subnet, false, b, ephemeral) {
			return false
		}
	}
	return o.group(dst, false, a, port)
}

// leaves: to the internet, and under which address.
func (o oracle) leaves(src resource.NetworkInterface, to netip.Addr, port int32) (netip.Addr, bool) {
	if !o.acl(src.Subnet, true, to, port) || !o.acl(src.Subnet, false, to, ephemeral) {
		return netip.Addr{}, false
	}
	r := o.route(src.Subnet, to)
	if r.NATGateway != "" {
		g, ok := o.tx.NATGateways.Get(r.NATGateway)
		if !ok || !g.Deleted.IsZero() || !o.attached(o.route(g.Subnet, to).Gateway, g.VPC) {
			return netip.Addr{}, false
		}
		// The ACL of the gateway's own subnet sees both halves of the way, there and back.
		inside, s := src.Addresses[0], g.Subnet
		if src.Subnet != s && !(o.acl(s, false, inside, port) && o.acl(s, true, inside, ephemeral)) || !o.acl(s, true, to, port) || !o.acl(s, false, to, ephemeral) {
			return netip.Addr{}, false
		}
		return g.PublicIP, true
	}
	if src.PublicIP == "" || !o.attached(r.Gateway, src.VPC) {
		return netip.Addr{}, false
	}
	return netip.MustParseAddr(src.PublicIP), true
}

// arrives: from the internet at a public address.
func (o oracle) arrives(public, from netip.Addr, port int32) bool {
	for _, dst := range o.tx.Interfaces.All() {
		if dst.PublicIP != public.String() || dst.InterfaceType != "interface" {
			continue
		}
		if !from.IsValid() {
			from = netip.MustParseAddr("203.0.113.1")
		}
		return o.attached(o.route(dst.Subnet, from).Gateway, dst.VPC) && o.acl(dst.Subnet, false, from, port) && o.acl(dst.Subnet, true, from, ephemeral) &&
			o.group(dst, false, from, port)
	}
	return false
}

func (o oracle) attached(gateway, vpc string) bool {
	g, ok := o.tx.InternetGateways.Get(gateway)
	return ok && g.VPC == vpc
}

// route is the most specific route of a subnet's table, the zero one for none.
func (o oracle) route(subnet string, to netip.Addr) (best resource.Route) {
	s, _ := o.tx.Subnets.Get(subnet)
	var table resource.RouteTable
	for _, t := range o.tx.RouteTables.All() {
		if t.VPC == s.VPC && t.Main && table.ID == "" {
			table = t
		}
	}
	for _, t := range o.tx.RouteTables.All() {
		for _, associated := range t.Associations {
			if associated == subnet {
				table = t
			}
		}
	}
	bits := -1
	for _, r := range table.Routes {
		for _, c := range append(o.list(r.PrefixList), r.Destination) {
			if c.Contains(to) && c.Bits() > bits {
				best, bits = r, c.Bits()
			}
		}
	}
	return best
}

func (o oracle) list(id string) (out []netip.Prefix) {
	l, ok := o.tx.PrefixLists.Get(id)
	if !ok {
		return nil
	}
	for _, e := range l.Versions[len(l.Versions)-1] {
		out = append(out, e.CIDR)
	}
	return out
}

// acl says what a subnet's network ACL says of a packet to port.
func (o oracle) acl(subnet string, egress bool, peer netip.Addr, port int32) bool {
	_, number, value := o.message(peer, port)
	for _, a := range o.tx.NetworkACLs.All() {
		for _, s := range a.Associations {
			if s != subnet {
				continue
			}
			decided, lowest, allow := false, int32(0), false
			for _, e := range a.Entries {
				match := e.Egress == egress && e.CIDR.Contains(peer) && (e.Protocol == "-1" || e.Protocol == number && covers(number, e.FromPort, e.ToPort, value))
				if match && (!decided || e.Number < lowest) {
					decided, lowest, allow = true, e.Number, e.Allow
				}
			}
			return decided && allow
		}
	}
	return true
}

// group says whether a rule of one of the interface's security groups allows it.
func (o oracle) group(i resource.NetworkInterface, egress bool, peer netip.Addr, port int32) bool {
	name, _, value := o.message(peer, port)
	for _, id := range i.SecurityGroups {
		g, _ := o.tx.SecurityGroups.Get(id)
		for _, r := range g.Rules {
			if r.Egress != egress || r.Protocol != "-1" && (r.Protocol != name || !covers(name, r.FromPort, r.ToPort, value)) {
				continue
			}
			if slices.ContainsFunc(append(o.list(r.PrefixList), r.CIDR), func(c netip.Prefix) bool { return c.IsValid() && c.Contains(peer) }) {
				return true
			}
			for _, other := range o.tx.Interfaces.All() {
				if r.Group != "" && slices.Contains(other.SecurityGroups, r.Group) && slices.Contains(slices.Concat(other.Addresses, other.Addresses6), peer) {
					return true
				}
			}
		}
	}
	return false
}
