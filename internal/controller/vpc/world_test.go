package vpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
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

// by is an ingress rule of another protocol than TCP.
func by(protocol string, from, to int32, cidr string) resource.SecurityGroupRule {
	return resource.SecurityGroupRule{Protocol: protocol, FromPort: from, ToPort: to, CIDR: netip.MustParsePrefix(cidr)}
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
	l := ok(w.host.Listen(w.Context(), guest, "tcp", address))(w)
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
