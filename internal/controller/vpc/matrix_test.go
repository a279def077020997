package vpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

type noDoors struct{}

func (noDoors) Open(context.Context, string) error { return nil }
func (noDoors) Close(string)                       {}

// world is records, the controller, and a real kernel.
type world struct {
	*testing.T
	store *store.Store
	host  *network.Host
	*Controller
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("works on real network namespaces, which takes time")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make network namespaces")
	}
	random := make([]byte, 3)
	rand.Read(random)
	h, err := network.New("t"+hex.EncodeToString(random), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Purge(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t, st, h, New(st, h, noDoors{}, slog.New(slog.DiscardHandler))}
}

// edit changes records, and the kernel with them.
func (w *world) edit(f func(tx *store.Tx)) {
	w.Helper()
	if err := w.store.Update(w.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.Fatal(err)
	}
	var ids []string
	if err := w.store.View(func(tx *store.Tx) error {
		for id := range tx.VPCs.All() {
			ids = append(ids, id)
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	for range 2 { // peers connect when both are there
		for _, id := range ids {
			if _, err := w.Reconcile(w.Context(), id); err != nil {
				w.Fatal(err)
			}
		}
	}
}

func ok[T any](v T, err error) func(*world) T {
	return func(w *world) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

func (w *world) vpc(tx *store.Tx, cidr string) resource.VPC {
	return ok(provision.VPC(tx, provision.VPCRequest{Home: home, CIDR: netip.MustParsePrefix(cidr)}))(w)
}

// subnet makes a subnet with a route table of its own.
func (w *world) subnet(tx *store.Tx, vpc, cidr string, routes ...resource.Route) resource.Subnet {
	r, _ := region.Lookup(home.Region)
	s := ok(provision.Subnet(tx, provision.SubnetRequest{Home: home, VPC: vpc, CIDR: netip.MustParsePrefix(cidr), Zone: r.Zones[0]}))(w)
	t := resource.RouteTable{Home: home, ID: "rtb-" + s.ID, VPC: vpc, Associations: map[string]string{"rtbassoc-" + s.ID: s.ID}, Routes: routes}
	tx.RouteTables.Put(t.ID, t)
	return s
}

func (w *world) group(tx *store.Tx, vpc, name string, openEgress bool, rules ...resource.SecurityGroupRule) string {
	g := ok(provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home, VPC: vpc, Name: name, Description: name}))(w)
	if !openEgress {
		g.Rules = nil
	}
	tx.SecurityGroups.Put(g.ID, g)
	if len(rules) > 0 {
		ok(provision.AuthorizeRules(tx, home, g.ID, rules))(w)
	}
	return g.ID
}

func rule(egress bool, port int32, cidr, group string) resource.SecurityGroupRule {
	r := resource.SecurityGroupRule{Egress: egress, Protocol: "tcp", FromPort: port, ToPort: port, Group: group}
	if cidr != "" {
		r.CIDR = netip.MustParsePrefix(cidr)
	}
	return r
}

// list makes a prefix list.
func (w *world) list(tx *store.Tx, name string, cidrs ...string) resource.PrefixList {
	return ok(provision.PrefixList(tx, resource.PrefixList{Home: home, Name: name, Family: provision.FamilyIPv4, MaxEntries: 5}, entries(cidrs...)))(w)
}

func entries(cidrs ...string) (out []resource.PrefixListEntry) {
	for _, c := range cidrs {
		out = append(out, resource.PrefixListEntry{CIDR: netip.MustParsePrefix(c)})
	}
	return out
}

func (w *world) machine(tx *store.Tx, guest, subnet string, public bool, groups ...string) resource.NetworkInterface {
	return ok(provision.Interface(tx, provision.InterfaceRequest{
		Home: home, Subnet: subnet, SecurityGroups: groups, AutoPublic: public, Owner: guest,
		Attachment: &resource.Attachment{Instance: guest, Guest: guest}, Now: time.Now(),
	}))(w)
}

// serve says who it is to everybody who connects.
func (w *world) serve(guest, address, name string) {
	w.Helper()
	l := ok(w.host.Listen(w.Context(), guest, "tcp4", address))(w)
	w.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, name)
			c.Close()
		}
	}()
}

// A cell is one attempt: from where, to where.
type cell struct {
	from, to string // names
	src, dst place
	address  string // to dial
	port     int32
	answer   string // of whom
}

func (c cell) String() string { return fmt.Sprintf("%s → %s:%d", c.from, c.to, c.port) }

// try connects, and says whether that went well. Waiting for what is not to come is short.
func (w *world) try(c cell, expected bool) (bool, error) {
	timeout := 700 * time.Millisecond
	if expected {
		timeout = 8 * time.Second
	}
	ctx, cancel := context.WithTimeout(w.Context(), timeout)
	defer cancel()
	path := w.host.InternetPath()
	if c.src.eni != "" {
		path = w.host.GuestPath(c.from)
	}
	conn, err := w.host.Dial(ctx, path, "tcp4", fmt.Sprintf("%s:%d", c.address, c.port))
	if err != nil {
		// Only the internet itself says so of an address that nobody has.
		unknown := c.src.eni == "" && strings.Contains(err.Error(), "network is unreachable")
		if ctx.Err() == nil && !unknown && !strings.Contains(err.Error(), "timeout") {
			return false, fmt.Errorf("not silence: %w", err)
		}
		return false, nil
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil {
		return false, err
	}
	if got := string(buf[:n]); got != c.answer {
		return true, fmt.Errorf("%s answers", got)
	}
	return true, nil
}

// matrix tries every cell and compares with what the oracle says.
func (w *world) matrix(what string, cells []cell) {
	w.Helper()
	start := time.Now()
	predicted := make([]bool, len(cells))
	if err := w.store.View(func(tx *store.Tx) error {
		for i, c := range cells {
			predicted[i] = oracle{tx}.connects(c.src, c.dst, c.port)
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, 40)
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

// onWire is the address at which a guest finds another's public address: see onTheInternet.
func onWire(public string) string { return onTheInternet(netip.MustParseAddr(public)).String() }

// Two VPCs, four subnets, four groups, prefix lists, a network ACL, peering, a NAT gateway and the
// internet: every source to every destination on every port, with real packets, against
// what the records say; and again after each change of the records.
func TestConnectivityMatrix(t *testing.T) {
	w := newWorld(t)
	ports := []int32{22, 80, 5432, 8080}
	machines := map[string]resource.NetworkInterface{}
	var nat resource.NATGateway
	var peering resource.PeeringConnection
	var acl, isolated, app, web string
	var clients, homeOfA resource.PrefixList
	w.edit(func(tx *store.Tx) {
		a, b := w.vpc(tx, "10.0.0.0/16"), w.vpc(tx, "10.1.0.0/16")
		igw := resource.InternetGateway{Home: home, ID: "igw-1", VPC: a.ID}
		tx.InternetGateways.Put(igw.ID, igw)
		peering = ok(provision.Peering(tx, home, a.ID, b.ID, nil, time.Now()))(w)
		ok(provision.MovePeering(tx, home, peering.ID, resource.PeeringActive, time.Now()))(w)
		all, toB := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("10.1.0.0/16")

		public := w.subnet(tx, a.ID, "10.0.0.0/24", resource.Route{Destination: all, Gateway: igw.ID}, resource.Route{Destination: toB, Peering: peering.ID})
		eip := ok(provision.AllocateAddress(tx, home, nil))(w)
		nat = ok(provision.NATGateway(tx, provision.NATGatewayRequest{Home: home, Subnet: public.ID, Allocation: eip.ID, Now: time.Now()}))(w)
		private := w.subnet(tx, a.ID, "10.0.1.0/24", resource.Route{Destination: all, NATGateway: nat.ID}, resource.Route{Destination: toB, Peering: peering.ID})
		isolated = w.subnet(tx, a.ID, "10.0.2.0/24").ID
		homeOfA = w.list(tx, "home-of-a", "10.0.0.0/24", "10.0.1.0/24")
		far := w.subnet(tx, b.ID, "10.1.0.0/24", resource.Route{PrefixList: homeOfA.ID, Peering: peering.ID})

		web = w.group(tx, a.ID, "web", true, rule(false, 80, "0.0.0.0/0", ""), rule(false, 22, "10.0.0.0/16", ""))
		app = w.group(tx, a.ID, "app", true, rule(false, 8080, "", web), rule(false, 80, "10.1.0.0/16", ""))
		db := w.group(tx, a.ID, "db", false, rule(false, 5432, "", app), rule(true, 80, "10.0.0.0/16", ""), rule(true, 8080, "0.0.0.0/0", ""))
		clients = w.list(tx, "clients", "10.0.1.0/25", "10.0.1.128/25", "10.0.1.7/32")
		other := w.group(tx, b.ID, "other", true, rule(false, 80, "10.0.0.0/24", ""), resource.SecurityGroupRule{Protocol: "tcp", FromPort: 5432, ToPort: 5432, PrefixList: clients.ID})

		machines["i-web"] = w.machine(tx, "i-web", public.ID, true, web)
		machines["i-bare"] = w.machine(tx, "i-bare", public.ID, false, app)
		machines["i-app"] = w.machine(tx, "i-app", private.ID, false, app)
		machines["i-db"] = w.machine(tx, "i-db", isolated, false, db)
		machines["i-far"] = w.machine(tx, "i-far", far.ID, false, other)
	})
	vpc := machines["i-web"].VPC
	for name := range machines {
		for _, p := range ports {
			w.serve(name, fmt.Sprintf("0.0.0.0:%d", p), name)
		}
	}
	w.serve(vpc, "198.18.0.1:80", "aws")
	w.serve(machines["i-far"].VPC, "198.18.0.1:80", "aws")
	w.serve("internet", "198.18.0.2:80", "outside")

	var cells []cell
	names := []string{"i-web", "i-bare", "i-app", "i-db", "i-far", "internet"}
	for _, from := range names {
		src := place{}
		if eni, inside := machines[from]; inside {
			src = place{eni.ID, eni.Addresses[0]}
			for _, to := range names[:5] {
				for _, p := range ports {
					if dst := machines[to]; to != from {
						cells = append(cells, cell{from, to, src, place{dst.ID, dst.Addresses[0]}, dst.Addresses[0].String(), p, to})
					}
				}
			}
			for name, address := range map[string]string{"aws": "198.18.0.1", "outside": "198.18.0.2"} {
				cells = append(cells, cell{from, name, src, place{"", netip.MustParseAddr(address)}, address, 80, name})
			}
		}
		for _, p := range ports {
			if from != "i-web" {
				dst := machines["i-web"]
				cells = append(cells, cell{from, "i-web in public", src, place{dst.ID, netip.MustParseAddr(dst.PublicIP)}, onWire(dst.PublicIP), p, "i-web"})
			}
		}
	}
	cells = append(cells, cell{"internet", "the NAT gateway", place{}, place{nat.Interface, nat.PublicIP}, onWire(nat.PublicIP.String()), 80, ""})
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
		_, association, _ := provision.ACLOf(tx, isolated)
		ok(provision.ReplaceACL(tx, home, association, acl))(w)
	})
	w.matrix("with a network ACL", cells)

	w.edit(func(tx *store.Tx) {
		if err := provision.DeleteNATGateway(tx, home, nat.ID, time.Now()); err != nil {
			w.Fatal(err)
		}
		ok(provision.MovePeering(tx, home, peering.ID, resource.PeeringDeleted, time.Now()))(w)
		ok(provision.AuthorizeRules(tx, home, app, []resource.SecurityGroupRule{rule(false, 22, "", web), rule(false, 5432, "10.0.2.0/24", "")}))(w)
	})
	w.matrix("without NAT gateway and peering", cells)
}
