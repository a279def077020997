package vpc

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// configFor is the data plane of a VPC, and for every interface of it the guest that
// it is plugged into ("" for one that is not attached). An unknown VPC has none.
func configFor(tx *store.Tx, id string) (network.VPC, map[string]string, error) {
	want := network.VPC{ID: id}
	plugged := map[string]string{}
	v, ok := tx.VPCs.Get(id)
	if !ok {
		return want, plugged, nil
	}
	for _, a := range slices.Concat(v.CIDRs, v.CIDRs6) {
		want.CIDRs = append(want.CIDRs, a.CIDR)
	}
	for g := range tx.EgressOnlyGateways.Values(func(g resource.EgressOnlyGateway) bool { return g.VPC == id }) {
		want.EgressOnly = append(want.EgressOnly, g.ID)
	}
	for range tx.InternetGateways.Values(func(g resource.InternetGateway) bool { return g.VPC == id }) {
		want.Internet = true
	}
	want.Peers = peersOf(tx, id)
	want.Clusters = clustersFor(tx, id)
	endpointRange := endpointsOf(tx)
	for g := range tx.NATGateways.Values(func(g resource.NATGateway) bool { return g.VPC == id && works(tx, g) }) {
		want.NATGateways = append(want.NATGateways, network.NATGateway{ID: g.ID, Public: onTheInternet(g.PublicIP), Subnet: g.Subnet})
	}
	for s := range tx.Subnets.Values(func(s resource.Subnet) bool { return s.VPC == id }) {
		table := tableOf(tx, s)
		want.Subnets = append(want.Subnets, network.Subnet{
			ID: s.ID, CIDR: s.CIDR, CIDR6: s.CIDR6.CIDR, Routes: routesOf(tx, table), ACL: aclOf(tx, s), Registry: provision.LoadsImages(tx, id, table.ID),
		})
	}
	lists, named := map[string]bool{}, map[string]bool{}
	for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.VPC == id }) {
		want.SecurityGroups = append(want.SecurityGroups, groupFor(g))
		for _, r := range g.Rules {
			if r.Group != "" && !named[r.Group] {
				named[r.Group] = true
				if members, ok := peerGroup(tx, id, r.Group); ok {
					want.PeerGroups = append(want.PeerGroups, members)
				}
			}
			if r.PrefixList != "" && !lists[r.PrefixList] {
				lists[r.PrefixList] = true
				want.PrefixLists = append(want.PrefixLists, network.PrefixList{ID: r.PrefixList, CIDRs: blocksOf(tx, g.Home, r.PrefixList)})
			}
		}
	}
	endpoints := map[string]bool{}
	for e := range tx.VPCEndpoints.Values(func(e resource.VPCEndpoint) bool { return e.VPC == id }) {
		for _, eni := range e.Interfaces {
			endpoints[eni] = true
		}
	}
	for i := range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.VPC == id }) {
		if endpoints[i.ID] {
			want.Endpoints = append(want.Endpoints, network.Endpoint{ID: i.ID, Subnet: i.Subnet, Address: i.Addresses[0], SecurityGroups: i.SecurityGroups})
			continue
		}
		if !i.Attachment.Plugs() {
			plugged[i.ID] = ""
			continue
		}
		plugged[i.ID] = i.Attachment.Guest
		n, err := interfaceFor(i)
		if err != nil {
			return want, nil, err
		}
		if i.Attachment.Instance != "" {
			n.Endpoints = endpointRange
		}
		want.Interfaces = append(want.Interfaces, n)
	}
	return want, plugged, nil
}

func interfaceFor(i resource.NetworkInterface) (network.Interface, error) {
	mac, err := net.ParseMAC(i.MAC)
	if err != nil {
		return network.Interface{}, fmt.Errorf("interface %s: %w", i.ID, err)
	}
	out := network.Interface{
		ID: i.ID, Subnet: i.Subnet, Guest: i.Attachment.Guest, Device: fmt.Sprintf("eth%d", i.Attachment.DeviceIndex), MAC: mac,
		Addresses: i.Addresses, Addresses6: i.Addresses6, Prefixes: i.Prefixes, SecurityGroups: i.SecurityGroups, SourceDestCheck: i.SourceDestCheck,
		// An instance sets up further interfaces itself (its CNI does); a control plane has
		// nobody who would.
		Configure: i.Attachment.DeviceIndex == 0 || i.Attachment.Instance == "",
	}
	for _, p := range i.SecondaryPublic {
		if out.SecondaryPublic == nil {
			out.SecondaryPublic = map[netip.Addr]netip.Addr{}
		}
		out.SecondaryPublic[p.Private] = onTheInternet(p.Public)
	}
	if i.PublicIP != "" {
		a, err := netip.ParseAddr(i.PublicIP)
		if err != nil {
			return out, fmt.Errorf("interface %s: %w", i.ID, err)
		}
		out.Public = onTheInternet(a)
	}
	return out, nil
}

// onTheInternet is the address that stands for a public one among routers. A public
// address is one of the host's loopback addresses, which are nothing to a guest: there it
// is the address of network.PublicPrefix with the same last two bytes.
func onTheInternet(public netip.Addr) netip.Addr {
	a, b := network.PublicPrefix.Addr().As4(), public.As4()
	a[2], a[3] = b[2], b[3]
	return netip.AddrFrom4(a)
}

func peersOf(tx *store.Tx, id string) (out []network.Peer) {
	for p := range tx.PeeringConnections.Values(func(p resource.PeeringConnection) bool { return p.State == resource.PeeringActive }) {
		var other string
		switch id {
		case p.Requester:
			other = p.Accepter
		case p.Accepter:
			other = p.Requester
		default:
			continue
		}
		peer := network.Peer{ID: p.ID, VPC: other}
		if v, ok := tx.VPCs.Get(other); ok {
			for _, c := range slices.Concat(v.CIDRs, v.CIDRs6) {
				peer.CIDRs = append(peer.CIDRs, c.CIDR)
			}
		}
		out = append(out, peer)
	}
	return out
}

// peerGroup is a security group of another VPC that is joined with vpc.
func peerGroup(tx *store.Tx, vpc, id string) (network.PeerGroup, bool) {
	g, ok := tx.SecurityGroups.Get(id)
	if !ok || g.VPC == vpc || !provision.Peered(tx, vpc, g.VPC) {
		return network.PeerGroup{}, false
	}
	out := network.PeerGroup{ID: id}
	for i := range tx.Interfaces.Values(func(i resource.NetworkInterface) bool { return i.VPC == g.VPC && slices.Contains(i.SecurityGroups, id) }) {
		out.Members = append(out.Members, i.Prefixes...)
		for _, a := range slices.Concat(i.Addresses, i.Addresses6) {
			out.Members = append(out.Members, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out, true
}

// tableOf is the route table that the subnet is associated with, or else its VPC's main one.
func tableOf(tx *store.Tx, s resource.Subnet) resource.RouteTable {
	var table resource.RouteTable
	for t := range tx.RouteTables.Values(func(t resource.RouteTable) bool { return t.VPC == s.VPC }) {
		for _, subnet := range t.Associations {
			if subnet == s.ID {
				return t
			}
		}
		if t.Main {
			table = t
		}
	}
	return table
}

// routesOf are a table's routes. One whose target does not work (any more) drops.
func routesOf(tx *store.Tx, table resource.RouteTable) []network.Route {
	var out []network.Route
	for _, r := range table.Routes {
		target := network.Blackhole
		if g, ok := tx.InternetGateways.Get(r.Gateway); ok && g.VPC == table.VPC {
			target = network.Internet
		}
		if g, ok := tx.EgressOnlyGateways.Get(r.EgressOnly); ok && g.VPC == table.VPC {
			target = network.Target(g.ID)
		}
		if g, ok := tx.NATGateways.Get(r.NATGateway); ok && g.VPC == table.VPC && works(tx, g) {
			target = network.Target(g.ID)
		}
		if p, ok := tx.PeeringConnections.Get(r.Peering); ok && p.State == resource.PeeringActive && (p.Requester == table.VPC || p.Accepter == table.VPC) {
			target = network.Target(p.ID)
		}
		if eni, ok := tx.Interfaces.Get(r.Interface); ok && eni.VPC == table.VPC && eni.Attachment.Plugs() && provision.Forwards(tx, r.Interface) {
			target = network.Target(eni.ID)
		}
		if r.PrefixList == "" {
			out = append(out, network.Route{Destination: r.Destination, Target: target})
		}
		for _, c := range blocksOf(tx, table.Home, r.PrefixList) {
			// A route to the very block itself comes before one by a list.
			if !slices.ContainsFunc(table.Routes, func(o resource.Route) bool { return o.Destination == c }) {
				out = append(out, network.Route{Destination: c, Target: target})
			}
		}
	}
	return out
}

// blocksOf are the blocks of a prefix list: none of one that is not there.
func blocksOf(tx *store.Tx, home resource.Home, list string) (out []netip.Prefix) {
	if list == "" {
		return nil
	}
	l, err := provision.LookupPrefixList(tx, home, list)
	if err != nil {
		return nil // provision lets none go that is referred to
	}
	for _, e := range l.Entries() {
		out = append(out, e.CIDR)
	}
	return out
}

// works says whether a NAT gateway can pass anything on: whether its own subnet has a
// route out by an internet gateway.
func works(tx *store.Tx, g resource.NATGateway) bool {
	s, ok := tx.Subnets.Get(g.Subnet)
	if !ok || !g.Deleted.IsZero() {
		return false
	}
	table := tableOf(tx, s)
	best, gateway := -1, ""
	for _, r := range table.Routes {
		for _, c := range append(blocksOf(tx, table.Home, r.PrefixList), r.Destination) {
			if c.Contains(network.InternetAddress) && c.Bits() > best {
				best, gateway = c.Bits(), r.Gateway
			}
		}
	}
	igw, ok := tx.InternetGateways.Get(gateway)
	return ok && igw.VPC == g.VPC
}

// aclOf is what the subnet's network ACL says, nil where it says nothing of use: that
// everything passes.
func aclOf(tx *store.Tx, s resource.Subnet) *network.ACL {
	a, _, ok := provision.ACLOf(tx, s.ID)
	if !ok {
		return nil
	}
	entries := slices.Clone(a.Entries)
	slices.SortFunc(entries, func(x, y resource.NetworkACLEntry) int { return cmp.Compare(x.Number, y.Number) })
	out := &network.ACL{}
	for _, e := range entries {
		r := network.ACLRule{Allow: e.Allow, Protocol: e.Protocol, FromPort: int(e.FromPort), ToPort: int(e.ToPort), CIDR: e.CIDR}
		if e.Egress {
			out.Egress = append(out.Egress, r)
		} else {
			out.Ingress = append(out.Ingress, r)
		}
	}
	if passesAll(out.Ingress, false) && passesAll(out.Egress, false) && (!s.CIDR6.CIDR.IsValid() || passesAll(out.Ingress, true) && passesAll(out.Egress, true)) {
		return nil
	}
	return out
}

// passesAll says whether the first rule of the family lets everything through.
func passesAll(rules []network.ACLRule, v6 bool) bool {
	at := slices.IndexFunc(rules, func(r network.ACLRule) bool { return r.CIDR.Addr().Is6() == v6 })
	return at >= 0 && rules[at].Allow && rules[at].Protocol == "-1" && rules[at].CIDR.Bits() == 0
}

func groupFor(g resource.SecurityGroup) network.SecurityGroup {
	out := network.SecurityGroup{ID: g.ID}
	for _, r := range g.Rules {
		rule := network.Rule{Protocol: r.Protocol, FromPort: int(r.FromPort), ToPort: int(r.ToPort), Description: r.Description}
		switch {
		case r.CIDR.IsValid():
			rule.CIDRs = append(rule.CIDRs, r.CIDR)
		case r.Group != "":
			rule.Groups = append(rule.Groups, r.Group)
		case r.PrefixList != "":
			rule.PrefixLists = append(rule.PrefixLists, r.PrefixList)
		}
		if r.Egress {
			out.Egress = append(out.Egress, rule)
		} else {
			out.Ingress = append(out.Ingress, rule)
		}
	}
	return out
}
