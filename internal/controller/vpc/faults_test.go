package vpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var errInjected = errors.New("injected")

// fakeHost is a data plane and the doors in it, as values.
type fakeHost struct {
	mu     sync.Mutex
	vpcs   map[string]network.VPC
	relays map[string][]network.Relay
	open   map[string]bool
	guests map[string]bool // instances' namespaces

	calls  int
	log    []string
	failAt int  // the call with this number fails, once; 0: none
	after  bool // it fails after it has had its effect
}

// call counts a call, has its effect, and says whether it fails.
func (f *fakeHost) call(what string, effect func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.log = append(f.log, what)
	if f.calls != f.failAt {
		effect()
		return nil
	}
	if f.after {
		effect()
	}
	return fmt.Errorf("%s: %w", what, errInjected)
}

func (f *fakeHost) EnsureVPC(_ context.Context, v network.VPC) error {
	return f.call("ensure "+v.ID, func() {
		f.vpcs[v.ID] = v
		for _, i := range v.Interfaces {
			f.guests[i.Guest] = true
		}
	})
}

func (f *fakeHost) Instances() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.guests)), nil
}

func (f *fakeHost) RemoveGuest(_ context.Context, guest string) error {
	return f.call("remove guest "+guest, func() { delete(f.guests, guest) })
}

func (f *fakeHost) RemoveVPC(_ context.Context, id string) error {
	return f.call("remove "+id, func() { delete(f.vpcs, id); delete(f.relays, id) })
}

func (f *fakeHost) EnsureRelays(vpc string, want []network.Relay) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.relays[vpc] = want
}

func (f *fakeHost) Open(_ context.Context, vpc string) error {
	return f.call("open "+vpc, func() { f.open[vpc] = true })
}

func (f *fakeHost) Close(vpc string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, vpc)
}

// faulty is records, a running controller and a fake host.
type faulty struct {
	*testing.T
	store *store.Store
	host  *fakeHost
	stop  func()
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &faulty{T: t, store: st, host: &fakeHost{vpcs: map[string]network.VPC{}, relays: map[string][]network.Relay{}, open: map[string]bool{}, guests: map[string]bool{}}}
	w.start()
	t.Cleanup(func() {
		w.stop()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start runs a controller that knows the records and nothing else.
func (w *faulty) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	c := New(w.store, w.host, w.host, slog.New(slog.DiscardHandler))
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			w.Error(err)
		}
	}()
	w.stop = func() { cancel(); <-done }
}

// edit changes records and waits until the host is as they say.
func (w *faulty) edit(f func(tx *store.Tx)) {
	w.Helper()
	if err := w.store.Update(w.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.Fatal(err)
	}
	w.settle()
}

func (w *faulty) settle() {
	w.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.Tick(time.Millisecond); time.Now().Before(deadline); <-tick {
		if w.end() == w.wanted() {
			return
		}
	}
	w.Fatalf("never at rest:\n%s\nthe records say\n%s", w.end(), w.wanted())
}

// end is what is on the host, and what the records say of it.
func (w *faulty) end() string {
	var out []string
	w.host.mu.Lock()
	for id, v := range w.host.vpcs {
		out = append(out, fmt.Sprintf("%+v relays %v open %t", v, w.host.relays[id], w.host.open[id]))
	}
	for id := range w.host.guests {
		out = append(out, "guest "+id)
	}
	for id := range w.host.open {
		if _, ok := w.host.vpcs[id]; !ok {
			out = append(out, "open without a VPC: "+id)
		}
	}
	w.host.mu.Unlock()
	_ = w.store.View(func(tx *store.Tx) error {
		for _, i := range tx.Interfaces.All() {
			out = append(out, i.ID+" plugged into "+i.Status.Plugged)
		}
		return nil
	})
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// wanted is the end that follows from the records.
func (w *faulty) wanted() string {
	var out []string
	_ = w.store.View(func(tx *store.Tx) error {
		for id := range tx.VPCs.All() {
			v, _, err := configFor(tx, id)
			if err != nil {
				w.Error(err)
			}
			if len(v.Interfaces) > 0 {
				out = append(out, fmt.Sprintf("%+v relays %v open true", v, relaysFor(tx, v)))
			}
		}
		for _, i := range tx.Interfaces.All() {
			guest := ""
			if i.Attachment != nil {
				guest = i.Attachment.Guest
				out = append(out, "guest "+guest)
			}
			out = append(out, i.ID+" plugged into "+guest)
		}
		return nil
	})
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// addVPC writes a VPC with a subnet and an interface in it.
func addVPC(tx *store.Tx, name, cidr string) {
	block := netip.MustParsePrefix(cidr)
	tx.VPCs.Put("vpc-"+name, resource.VPC{Home: home, ID: "vpc-" + name, CIDRs: []resource.CIDRAssociation{{CIDR: block}}})
	tx.Subnets.Put("subnet-"+name, resource.Subnet{Home: home, ID: "subnet-" + name, VPC: "vpc-" + name, CIDR: block})
	tx.RouteTables.Put("rtb-"+name, resource.RouteTable{Home: home, ID: "rtb-" + name, VPC: "vpc-" + name, Main: true})
	tx.SecurityGroups.Put("sg-"+name, resource.SecurityGroup{Home: home, ID: "sg-" + name, VPC: "vpc-" + name})
	tx.Interfaces.Put("eni-"+name, resource.NetworkInterface{
		Home: home, ID: "eni-" + name, VPC: "vpc-" + name, Subnet: "subnet-" + name, MAC: "02:00:00:00:00:01",
		Addresses: []netip.Addr{block.Addr().Next().Next().Next().Next()}, SecurityGroups: []string{"sg-" + name},
		Attachment: &resource.Attachment{Instance: "i-" + name, Guest: "i-" + name},
	})
}

// lives are what a VPC goes through.
var lives = map[string]func(*faulty){
	"create": func(w *faulty) {
		w.edit(func(tx *store.Tx) { addVPC(tx, "a", "10.0.0.0/24") })
	},
	"rules and routes": func(w *faulty) {
		w.edit(func(tx *store.Tx) { addVPC(tx, "a", "10.0.0.0/24") })
		w.edit(func(tx *store.Tx) {
			g, _ := tx.SecurityGroups.Get("sg-a")
			g.Rules = append(g.Rules, rule(false, 80, "0.0.0.0/0", ""), rule(true, 443, "", "sg-a"))
			tx.SecurityGroups.Put(g.ID, g)
		})
		w.edit(func(tx *store.Tx) {
			tx.InternetGateways.Put("igw-a", resource.InternetGateway{Home: home, ID: "igw-a", VPC: "vpc-a"})
			t, _ := tx.RouteTables.Get("rtb-a")
			t.Routes = []resource.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: "igw-a"}}
			tx.RouteTables.Put(t.ID, t)
			i, _ := tx.Interfaces.Get("eni-a")
			i.PublicIP = "127.64.128.9"
			tx.Interfaces.Put(i.ID, i)
		})
		w.edit(func(tx *store.Tx) { tx.InternetGateways.Delete("igw-a") })
	},
	"peers": func(w *faulty) {
		w.edit(func(tx *store.Tx) { addVPC(tx, "a", "10.0.0.0/24") })
		w.edit(func(tx *store.Tx) {
			addVPC(tx, "b", "10.1.0.0/24")
			tx.PeeringConnections.Put("pcx-1", resource.PeeringConnection{Home: home, ID: "pcx-1", Requester: "vpc-a", Accepter: "vpc-b", State: resource.PeeringActive})
		})
		w.edit(func(tx *store.Tx) {
			v, _ := tx.VPCs.Get("vpc-b")
			v.CIDRs = append(v.CIDRs, resource.CIDRAssociation{CIDR: netip.MustParsePrefix("10.2.0.0/24")})
			tx.VPCs.Put(v.ID, v)
		})
	},
	"detach and delete": func(w *faulty) {
		w.edit(func(tx *store.Tx) { addVPC(tx, "a", "10.0.0.0/24") })
		w.edit(func(tx *store.Tx) {
			i, _ := tx.Interfaces.Get("eni-a")
			i.Attachment = nil
			tx.Interfaces.Put(i.ID, i)
		})
		w.edit(func(tx *store.Tx) {
			i, _ := tx.Interfaces.Get("eni-a")
			i.Attachment = &resource.Attachment{Instance: "i-new", Guest: "i-new"}
			tx.Interfaces.Put(i.ID, i)
		})
		w.edit(func(tx *store.Tx) { tx.Interfaces.Delete("eni-a") })
		w.edit(func(tx *store.Tx) { tx.Subnets.Delete("subnet-a"); tx.VPCs.Delete("vpc-a") })
	},
}

// Whatever fails once, before it has had its effect or after it, the end is the same.
func TestEachHostCallFailsOnce(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			well := newFaulty(t)
			live(well)
			want := well.end()
			well.stop()
			for i := range well.host.calls {
				for _, after := range []bool{false, true} {
					w := newFaulty(t)
					w.host.mu.Lock()
					w.host.failAt, w.host.after = i+1, after
					w.host.mu.Unlock()
					live(w)
					if got := w.end(); got != want {
						t.Errorf("call %d, %q, failed once: got\n%s\nwant\n%s", i+1, well.host.log[i], got, want)
					}
					w.stop()
				}
			}
		})
	}
}

// A controller that starts again knows the records and finds the host as it is.
func TestRunTwice(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFaulty(t)
			live(w)
			want := w.end()
			w.stop()
			calls, written := w.host.calls, 0
			w.store.Subscribe(func(changes []store.Change) { written += len(changes) })
			w.start()
			deadline := time.Now().Add(20 * time.Second)
			again := func() bool {
				w.host.mu.Lock()
				defer w.host.mu.Unlock()
				return w.host.calls-calls >= 2*len(w.host.vpcs)
			}
			for tick := time.Tick(time.Millisecond); !again() && time.Now().Before(deadline); <-tick {
			}
			w.settle()
			w.stop()
			if got := w.end(); got != want || written != 0 || !again() {
				t.Errorf("run twice, with %d records written: got\n%s\nwant\n%s", written, got, want)
			}
		})
	}
}
