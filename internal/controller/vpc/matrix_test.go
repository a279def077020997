package vpc

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A cell is one attempt: from where, to where.
type cell struct {
	protocol string // tcp, udp, icmp
	from, to string // names
	src, dst place
	address  string // to dial
	port     int32
	answer   string // of whom
}

func (c cell) String() string {
	return fmt.Sprintf("%s → %s:%d by %s", c.from, c.to, c.port, c.protocol)
}

// try connects, and says whether that went well. Waiting for what is not to come is short.
func (w *world) try(c cell, expected bool) (bool, error) {
	timeout := quiet
	if expected {
		timeout = 8 * time.Second
	}
	ctx, cancel := context.WithTimeout(w.Context(), timeout)
	defer cancel()
	path := w.host.InternetPath()
	if c.src.eni != "" {
		path = w.host.GuestPath(c.from)
	}
	got, err := w.probe(ctx, path, c)
	if err == nil && got != "" && got != c.answer {
		err = fmt.Errorf("%s answers", got)
	}
	return got != "", err
}

// matrix tries every cell and compares with what the oracle says.
func (w *world) matrix(what string, cells []cell) {
	w.Helper()
	start := time.Now()
	predicted := make([]bool, len(cells))
	if err := w.store.View(func(tx *store.Tx) error {
		for i, c := range cells {
			predicted[i] = oracle{tx, c.protocol}.connects(c.src, c.dst, c.port)
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, 80)
	open := 0
	for i, c := range cells {
		if predicted[i] {
			open++
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			got, err := w.try(c, predicted[i])
			if got != predicted[i] || err != nil {
				w.Errorf("%s: %s: %t, the records say %t (%v)", what, c, got, predicted[i], err)
			}
		})
	}
	group.Wait()
	w.Logf("%s: %d cells, %d of them open, in %v", what, len(cells), open, time.Since(start).Round(time.Millisecond))
	if open == 0 || open == len(cells) {
		w.Errorf("%s: %d of %d cells are open: that shows nothing", what, open, len(cells))
	}
}

// cells6 are the cells of IPv6: every machine and the internet to every machine, and out.
func (w *world) cells6(machines map[string]resource.NetworkInterface, ports []int32) (cells []cell) {
	outside := network.OutsideAddress6
	for _, from := range append(slices.Sorted(maps.Keys(machines)), "internet") {
		src := place{}
		if eni, inside := machines[from]; inside {
			src = place{eni.ID, eni.Addresses6[0]}
			cells = append(cells, cell{"tcp", from, "outside, by IPv6", src, place{"", outside}, outside.String(), 80, "outside"})
		}
		for to, dst := range machines {
			for _, p := range ports {
				if to != from {
					cells = append(cells, cell{"tcp", from, to + ", by IPv6", src, place{dst.ID, dst.Addresses6[0]}, dst.Addresses6[0].String(), p, to})
				}
			}
		}
	}
	return cells
}

// otherProtocols are the same attempts by UDP, on one port, and by echo requests; not those to
// what serves TCP alone.
func otherProtocols(cells []cell) (out []cell) {
	for _, c := range cells {
		if c.answer == "aws" || c.answer == "endpoint" || c.answer == "" || c.port != 80 {
			continue
		}
		for _, protocol := range []string{"udp", "icmp"} {
			c.protocol = protocol
			out = append(out, c)
		}
	}
	return out
}

// onWire is the address at which a guest finds another's public address: see onTheInternet.
func onWire(public string) string { return onTheInternet(netip.MustParseAddr(public)).String() }

// Two VPCs, four subnets, four groups, prefix lists, a network ACL, peering, a NAT gateway, an
// egress-only gateway, an interface endpoint and the internet, by both families and by TCP, UDP and
// ICMP: every source to every destination on every port, with real packets, against what the
// records say; and again after each change of the records. A third VPC has the addresses of the first.
func TestConnectivityMatrix(t *testing.T) {
	w := newWorld(t)
	ports := []int32{22, 80, 5432, 8080}
	machines := map[string]resource.NetworkInterface{}
	var nat resource.NATGateway
	var peering resource.PeeringConnection
	var acl, isolated, app, web string
	var clients, homeOfA resource.PrefixList
	var endpoint resource.NetworkInterface
	var twins []resource.NetworkInterface
	var err error
	w.edit(func(tx *store.Tx) {
		a, b := w.vpc(tx, "10.0.0.0/16"), w.vpc(tx, "10.1.0.0/16")
		igw := resource.InternetGateway{Home: home, ID: "igw-1", VPC: a.ID}
		tx.InternetGateways.Put(igw.ID, igw)
		peering = ok(provision.Peering(tx, home, a.ID, b.ID, nil, time.Now()))(w)
		ok(provision.MovePeering(tx, home, peering.ID, resource.PeeringActive, time.Now()))(w)
		all, toB := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.1.0.0/16")

		for _, v := range []*resource.VPC{&a, &b} {
			*v, _, err = provision.AssociateBlock6(tx, home, v.ID)
			ok(v, err)(w)
		}
		tx.EgressOnlyGateways.Put("eigw-1", resource.EgressOnlyGateway{Home: home, ID: "eigw-1", VPC: a.ID})
		six, toA6, toB6 := netip.MustParsePrefix("::/0"), a.CIDRs6[0].CIDR, b.CIDRs6[0].CIDR

		public := w.subnet(tx, a.ID, "10.0.0.0/24", resource.Route{Destination: all, Gateway: igw.ID}, resource.Route{Destination: toB, Peering: peering.ID},
			resource.Route{Destination: six, Gateway: igw.ID}, resource.Route{Destination: toB6, Peering: peering.ID})
		eip := ok(provision.AllocateAddress(tx, home, nil))(w)
		nat = ok(provision.NATGateway(tx, provision.NATGatewayRequest{Home: home, Subnet: public.ID, Allocation: eip.ID, Now: time.Now()}))(w)
		private := w.subnet(tx, a.ID, "10.0.1.0/24", resource.Route{Destination: all, NATGateway: nat.ID}, resource.Route{Destination: toB, Peering: peering.ID},
			resource.Route{Destination: six, EgressOnly: "eigw-1"})
		isolated = w.subnet(tx, a.ID, "10.0.2.0/24").ID
		homeOfA = w.list(tx, "home-of-a", "10.0.0.0/24", "10.0.1.0/24")
		far := w.subnet(tx, b.ID, "10.1.0.0/24", resource.Route{PrefixList: homeOfA.ID, Peering: peering.ID}, resource.Route{Destination: toA6, Peering: peering.ID})
		for i, s := range []string{public.ID, private.ID, isolated, far.ID} {
			block := toA6.Addr().As16()
			if s == far.ID {
				block = toB6.Addr().As16()
			}
			block[7] = byte(i) // a /64 of the /56
			sub := ok(provision.AssociateSubnet6(tx, home, s, netip.PrefixFrom(netip.AddrFrom16(block), 64)))(w)
			sub.AssignIPv6 = true
			tx.Subnets.Put(s, sub)
		}

		web = w.group(tx, a.ID, "web", true, rule(false, 80, "0.0.0.0/0", ""), rule(false, 80, "::/0", ""), rule(false, 22, toB6.String(), ""), rule(false, 22, "10.0.0.0/16", ""),
			by("udp", 80, 80, "10.0.0.0/16"), by("udp", 80, 80, toB6.String()), by("icmp", 8, -1, "0.0.0.0/0"), by("icmpv6", 128, 0, "::/0"))
		app = w.group(tx, a.ID, "app", true, rule(false, 80, "::/0", ""), rule(false, 8080, "", web), rule(false, 80, "10.1.0.0/16", ""),
			by("udp", 80, 80, "10.0.0.0/24"), by("udp", 0, 65535, "::/0"), by("icmp", 8, 0, "10.1.0.0/16"))
		db := w.group(tx, a.ID, "db", false, rule(false, 5432, "", app), rule(true, 80, "10.0.0.0/16", ""), rule(true, 8080, "0.0.0.0/0", ""), by("icmp", -1, -1, "10.0.0.0/16"), rule(true, 443, "10.0.1.0/24", ""))
		clients = w.list(tx, "clients", "10.0.1.0/25", "10.0.1.128/25", "10.0.1.7/32")
		other := w.group(tx, b.ID, "other", true, rule(false, 80, "10.0.0.0/24", ""), rule(false, 8080, "", web), resource.SecurityGroupRule{Protocol: "tcp", FromPort: 5432, ToPort: 5432, PrefixList: clients.ID},
			by("-1", -1, -1, "10.0.1.0/24"), by("icmp", 0, -1, "0.0.0.0/0"))

		machines["i-web"] = w.machine(tx, "i-web", public.ID, true, web)
		machines["i-bare"] = w.machine(tx, "i-bare", public.ID, false, app)
		machines["i-app"] = w.machine(tx, "i-app", private.ID, false, app)
		machines["i-db"] = w.machine(tx, "i-db", isolated, false, db)
		machines["i-far"] = w.machine(tx, "i-far", far.ID, false, other)

		https := w.group(tx, a.ID, "https", true, rule(false, 443, "", app), rule(false, 443, "10.0.2.0/24", ""), rule(false, 443, "10.1.0.0/24", ""))
		made := ok(provision.Endpoint(tx, provision.EndpointRequest{
			Home: home, VPC: a.ID, Service: "com.amazonaws.us-west-2.sts", Type: provision.EndpointInterface, Subnets: []string{private.ID}, SecurityGroups: []string{https},
			NoPrivateDNS: true, Now: time.Now(),
		}))(w)
		endpoint = ok(provision.LookupInterface(tx, home, made.Interfaces[0]))(w)

		c := w.vpc(tx, "10.0.0.0/16")
		same := w.subnet(tx, c.ID, "10.0.0.0/24")
		twin := w.group(tx, c.ID, "twin", true, rule(false, 80, machines["i-bare"].Addresses[0].String()+"/32", ""), by("icmp", -1, -1, "10.0.0.0/16"))
		for i, like := range []string{"i-web", "i-bare"} { // the very addresses
			name := []string{"i-twin", "i-twin2"}[i]
			twins = append(twins, ok(provision.Interface(tx, provision.InterfaceRequest{
				Home: home, Subnet: same.ID, SecurityGroups: []string{twin}, Address: machines[like].Addresses[0], Owner: name,
				Attachment: &resource.Attachment{Instance: name, Guest: name}, Now: time.Now(),
			}))(w))
		}
	})
	vpc := machines["i-web"].VPC
	for name := range machines {
		for _, p := range ports {
			w.serve(name, fmt.Sprintf("[::]:%d", p), name)
		}
		w.serveUDP(name, "[::]:80", name)
	}
	for _, name := range []string{"i-twin", "i-twin2"} {
		w.serve(name, "0.0.0.0:80", name)
		w.serveUDP(name, "0.0.0.0:80", name)
	}
	w.serve(vpc, endpoint.Addresses[0].String()+":443", "endpoint")
	w.serveUDP("internet", "198.18.0.2:80", "outside")
	w.serveUDP("internet", "[2001:db8::2]:80", "outside")
	w.serve(vpc, "198.18.0.1:80", "aws")
	w.serve(machines["i-far"].VPC, "198.18.0.1:80", "aws")
	w.serve("internet", "198.18.0.2:80", "outside")
	w.serve("internet", "[2001:db8::2]:80", "outside")

	var cells []cell
	names := []string{"i-web", "i-bare", "i-app", "i-db", "i-far", "internet"}
	for _, from := range names {
		src := place{}
		if eni, inside := machines[from]; inside {
			src = place{eni.ID, eni.Addresses[0]}
			for _, to := range names[:5] {
				for _, p := range ports {
					if dst := machines[to]; to != from {
						cells = append(cells, cell{"tcp", from, to, src, place{dst.ID, dst.Addresses[0]}, dst.Addresses[0].String(), p, to})
					}
				}
			}
			for name, address := range map[string]string{"aws": "198.18.0.1", "outside": "198.18.0.2"} {
				cells = append(cells, cell{"tcp", from, name, src, place{"", netip.MustParseAddr(address)}, address, 80, name})
			}
		}
		for _, p := range ports {
			if from != "i-web" {
				dst := machines["i-web"]
				cells = append(cells, cell{"tcp", from, "i-web in public", src, place{dst.ID, netip.MustParseAddr(dst.PublicIP)}, onWire(dst.PublicIP), p, "i-web"})
			}
		}
	}
	cells = append(cells, cell{"tcp", "internet", "the NAT gateway", place{}, place{nat.Interface, nat.PublicIP}, onWire(nat.PublicIP.String()), 80, ""})
	cells = append(cells, w.cells6(machines, ports)...)
	for _, name := range slices.Sorted(maps.Keys(machines)) { // the endpoint, whose subnet and groups are its own
		eni := machines[name]
		cells = append(cells, cell{"tcp", name, "the endpoint", place{eni.ID, eni.Addresses[0]}, place{endpoint.ID, endpoint.Addresses[0]}, endpoint.Addresses[0].String(), 443, "endpoint"})
	}
	cells = append(cells, otherProtocols(cells)...)
	for _, protocol := range []string{"tcp", "udp", "icmp"} { // in a VPC with the same addresses as the first
		cells = append(cells, cell{protocol, "i-twin", "i-twin2", place{twins[0].ID, twins[0].Addresses[0]}, place{twins[1].ID, twins[1].Addresses[0]}, twins[1].Addresses[0].String(), 80, "i-twin2"},
			cell{protocol, "i-twin2", "i-twin", place{twins[1].ID, twins[1].Addresses[0]}, place{twins[0].ID, twins[0].Addresses[0]}, twins[0].Addresses[0].String(), 80, "i-twin"},
			cell{protocol, "i-twin", "outside", place{twins[0].ID, twins[0].Addresses[0]}, place{"", network.OutsideAddress}, network.OutsideAddress.String(), 80, "outside"})
	}
	if len(cells) < 60 {
		t.Fatalf("only %d cells", len(cells))
	}
	w.matrix("as made", cells)

	w.edit(func(tx *store.Tx) { // the same rules and routes, with other blocks in their lists
		version := clients.Version()
		ok(provision.ChangePrefixList(tx, clients, &version, entries("10.0.0.0/24"), []netip.Prefix{netip.MustParsePrefix("10.0.1.0/25")}))(w)
		ok(provision.ChangePrefixList(tx, homeOfA, &version, nil, []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}))(w)
	})
	w.matrix("with other prefix lists", cells)

	w.edit(func(tx *store.Tx) {
		made := ok(provision.NetworkACL(tx, home, vpc, nil))(w)
		acl = made.ID
		entry := func(number int32, egress, allow bool, from, to int32, cidr string) {
			e := resource.NetworkACLEntry{Number: number, Egress: egress, Allow: allow, Protocol: "6", FromPort: from, ToPort: to, CIDR: netip.MustParsePrefix(cidr)}
			if err := provision.PutACLEntry(tx, home, acl, e, false); err != nil {
				w.Fatal(err)
			}
		}
		entry(50, false, false, 5432, 5432, "10.0.0.0/24") // the app in the public subnet no longer reaches the database
		entry(100, false, true, 5432, 5432, "10.0.0.0/16")
		entry(110, false, true, 1024, 65535, "10.0.0.0/24") // answers, from the public subnet alone
		entry(100, true, true, 0, 65535, "0.0.0.0/0")
		entry(120, false, true, 80, 5432, machines["i-app"].Addresses6[0].String()+"/128")
		entry(121, true, true, 1024, 65535, "::/0")
		for i, e := range []resource.NetworkACLEntry{ // and echo requests of the public subnet
			{Allow: true, Protocol: "1", FromPort: 8, ToPort: -1, CIDR: netip.MustParsePrefix("10.0.0.0/24")},
			{Egress: true, Allow: true, Protocol: "1", FromPort: 0, ToPort: 0, CIDR: netip.MustParsePrefix("10.0.0.0/23")},
		} {
			e.Number = int32(130 + i)
			if err := provision.PutACLEntry(tx, home, acl, e, false); err != nil {
				w.Fatal(err)
			}
		}
		_, association, _ := provision.ACLOf(tx, isolated)
		ok(provision.ReplaceACL(tx, home, association, acl))(w)
	})
	w.matrix("with a network ACL", cells)

	var publicACL string
	w.edit(func(tx *store.Tx) { // of the NAT gateway's subnet: nothing comes in from the private one
		made := ok(provision.NetworkACL(tx, home, vpc, nil))(w)
		all := netip.MustParsePrefix("0.0.0.0/0")
		for i, e := range []resource.NetworkACLEntry{
			{Allow: false, Protocol: "6", FromPort: 80, ToPort: 80, CIDR: netip.MustParsePrefix("10.0.1.0/24")},
			{Allow: true, Protocol: "-1", CIDR: all}, {Egress: true, Allow: true, Protocol: "-1", CIDR: all},
		} {
			e.Number = int32(100 + i)
			if err := provision.PutACLEntry(tx, home, made.ID, e, false); err != nil {
				w.Fatal(err)
			}
		}
		var association string
		_, association, _ = provision.ACLOf(tx, machines["i-web"].Subnet)
		publicACL = ok(provision.ReplaceACL(tx, home, association, made.ID))(w)
	})
	w.matrix("with an ACL of the NAT gateway's subnet", cells)
	w.edit(func(tx *store.Tx) {
		for a := range tx.NetworkACLs.Values(func(a resource.NetworkACL) bool { return a.VPC == vpc && a.Default }) {
			ok(provision.ReplaceACL(tx, home, publicACL, a.ID))(w)
		}
	})

	w.edit(func(tx *store.Tx) {
		if err := provision.DeleteNATGateway(tx, home, nat.ID, time.Now()); err != nil {
			w.Fatal(err)
		}
		ok(provision.MovePeering(tx, home, peering.ID, resource.PeeringDeleted, time.Now()))(w)
		ok(provision.AuthorizeRules(tx, home, app, []resource.SecurityGroupRule{rule(false, 22, "", web), rule(false, 5432, "10.0.2.0/24", "")}))(w)
	})
	w.matrix("without NAT gateway and peering", cells)
}
