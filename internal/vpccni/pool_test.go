package vpccni

import (
	"context"
	"net/netip"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// m2ctx ends with the process's first SIGTERM.
func m2ctx() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestPool(t *testing.T) {
	p := newPool(30 * time.Second)
	now := time.Unix(1000, 0)
	p.now = func() time.Time { return now }
	p.setENI(ENI{ID: "eni-1", Device: 1, Secondary: addrs("10.0.0.20")})
	p.setENI(ENI{ID: "eni-0", Device: 0, Secondary: addrs("10.0.0.10", "10.0.0.11")})

	a, ok := p.assign("v1", "ns/a")
	if !ok || a.Device != 0 || a.Address.String() != "10.0.0.10" {
		t.Fatalf("first: %+v %v", a, ok)
	}
	if again, _ := p.assign("v1", "ns/a"); again.Address != a.Address {
		t.Errorf("the same veth got %s and %s", a.Address, again.Address)
	}
	p.assign("v2", "ns/b")
	if c, _ := p.assign("v3", "ns/c"); c.Device != 1 {
		t.Errorf("third: %+v", c)
	}
	if _, ok := p.assign("v4", "ns/d"); ok {
		t.Error("an address too many")
	}
	p.release("v1")
	if _, ok := p.assign("v4", "ns/d"); ok {
		t.Error("an address was given again at once")
	}
	if c := p.count(); c != (count{Total: 3, Used: 2, Resting: 1}) {
		t.Errorf("count %+v", c)
	}
	now = now.Add(31 * time.Second)
	if got, ok := p.assign("v4", "ns/d"); !ok || got.Address != a.Address {
		t.Errorf("after its rest: %+v %v", got, ok)
	}
	p.release("v2")
	p.release("v3")
	now = now.Add(31 * time.Second)
	if _, ok := p.claimENI(2); ok {
		t.Error("an ENI was given up though its addresses are wanted")
	}
	if e, ok := p.claimENI(1); !ok || e.ID != "eni-1" {
		t.Errorf("claimENI: %+v %v", e, ok)
	}
	if eni, got := p.claimFree(5); eni != "eni-0" || len(got) != 1 || got[0].String() != "10.0.0.11" {
		t.Errorf("claimFree: %s %v", eni, got)
	}
	if p.restore(Allocation{Veth: "v9", Address: netip.MustParseAddr("10.0.0.99")}) {
		t.Error("an address that no ENI has was restored")
	}
}

func TestMergePrefixes(t *testing.T) {
	in := []netip.Prefix{}
	for _, s := range []string{"10.0.0.0/16", "10.0.1.0/24", "100.64.0.0/16", "10.0.0.0/16", "fd00::/8"} {
		in = append(in, netip.MustParsePrefix(s))
	}
	got := mergePrefixes(in)
	if len(got) != 2 || got[0].String() != "10.0.0.0/16" || got[1].String() != "100.64.0.0/16" {
		t.Errorf("got %v", got)
	}
}
