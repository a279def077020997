package cluster

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func (w *world) to(version string) func(*resource.Cluster) {
	return func(cl *resource.Cluster) { cl.Spec.Version = version }
}

// binary is what the cluster's control plane runs, "" for none.
func (w *world) binary() string {
	for _, p := range w.host.planes {
		return filepath.Base(p.Binary)
	}
	return ""
}

func TestCreateThenRest(t *testing.T) {
	w := newWorld(t)
	w.settle()
	cl, _ := w.cluster()
	if cl.Current() != resource.ClusterActive || cl.Version() != "1.35" || w.binary() != "1.35" || w.host.firsts != 1 || cl.Status.Endpoint != "https://127.70.0.2" {
		t.Fatalf("%+v\nruns %s, first objects applied %d times", cl.Status, w.binary(), w.host.firsts)
	}
}

func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	w.settle()
	before, _ := w.cluster()
	w.ask("VersionUpdate", "u1", w.to("1.36"))
	if cl, _ := w.cluster(); cl.Current() != resource.ClusterUpdating || cl.Version() != "1.35" {
		t.Fatalf("asked to be upgraded it is %s at %s", cl.Current(), cl.Version())
	}
	w.settle()
	cl, _ := w.cluster()
	if cl.Current() != resource.ClusterActive || cl.Version() != "1.36" || w.binary() != "1.36" || cl.Status.UpgradedFrom != "1.35" || cl.Status.Upgraded.IsZero() {
		t.Fatalf("%+v, runs %s", cl.Status, w.binary())
	}
	if u := w.updated("u1"); u.State != resource.UpdateSuccessful || u.Ended.IsZero() || len(u.Errors) > 0 {
		t.Fatalf("%+v", u)
	}
	if cl.Status.Endpoint != before.Status.Endpoint || cl.Status.Listen != before.Status.Listen || w.host.firsts != 1 {
		t.Fatalf("the endpoint moved from %s to %s; first objects applied %d times", before.Status.Endpoint, cl.Status.Endpoint, w.host.firsts)
	}
	w.ask("VersionRollback", "u2", w.to("1.35"))
	w.settle()
	if cl, _ := w.cluster(); cl.Version() != "1.35" || w.binary() != "1.35" || cl.Status.UpgradedFrom != "" {
		t.Fatalf("rolled back: %+v", cl.Status)
	}
}

func TestVersionThatDoesNotComeUpIsGivenUp(t *testing.T) {
	for name, breakIt := range map[string]func(*host){
		"never ready": func(h *host) { h.broken["/payload/1.36"] = "kube-apiserver: etcd" },
		"dies":        func(h *host) { h.dies["/payload/1.36"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.settle()
			breakIt(w.host)
			w.ask("VersionUpdate", "u1", w.to("1.36"))
			asked := w.now
			w.settle()
			cl, _ := w.cluster()
			if cl.Current() != resource.ClusterActive || cl.Version() != "1.35" || w.binary() != "1.35" || cl.Status.UpgradedFrom != "" {
				t.Fatalf("%+v, runs %s", cl.Status, w.binary())
			}
			u := w.updated("u1")
			if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "Unknown" || !strings.Contains(u.Errors[0].Message, "etcd") {
				t.Fatalf("%+v", u)
			}
			if took := w.now.Sub(asked); took > 2*time.Minute {
				t.Errorf("given up after %s", took)
			}
			// What failed is not tried again by an update of something else…
			w.ask("LoggingUpdate", "u2", func(*resource.Cluster) {})
			w.settle()
			if u := w.updated("u2"); u.State != resource.UpdateSuccessful || w.binary() != "1.35" {
				t.Fatalf("%+v, runs %s", u, w.binary())
			}
			// … and is when it is asked for.
			w.host.broken, w.host.dies = map[string]string{}, map[string]bool{}
			w.ask("VersionUpdate", "u3", w.to("1.36"))
			w.settle()
			if u := w.updated("u3"); u.State != resource.UpdateSuccessful || w.binary() != "1.36" {
				t.Fatalf("%+v, runs %s", u, w.binary())
			}
		})
	}
}

// An update does not wait for a control plane for ever: neither one that changes no version,
// nor one whose version before does not come back either.
func TestUpdateOfAClusterThatIsNotUp(t *testing.T) {
	for _, to := range []string{"1.35", "1.36"} {
		t.Run(to, func(t *testing.T) {
			w := newWorld(t)
			w.settle()
			w.host.broken["/payload/1.35"], w.host.broken["/payload/1.36"] = "etcd", "etcd"
			w.ask("Update", "u", w.to(to))
			asked := w.now
			for range 200 {
				if _, err := w.c.Reconcile(t.Context(), clusterARN); err != nil {
					t.Fatal(err)
				}
				w.now = w.now.Add(time.Second)
			}
			cl, _ := w.cluster()
			u := w.updated("u")
			if u.State != resource.UpdateFailed || len(u.Errors) == 0 || u.Errors[len(u.Errors)-1].Code != "ClusterUnreachable" || u.Ended.Sub(asked) > 3*time.Minute {
				t.Fatalf("asked at %s: %+v", asked, u)
			}
			if cl.Current() != resource.ClusterActive || cl.Version() != "1.35" || cl.Status.UpgradedFrom != "" {
				t.Errorf("%+v", cl.Status)
			}
			clear(w.host.broken)
			w.settle()
			w.ask("VersionUpdate", "v", w.to("1.36"))
			w.settle()
			if u := w.updated("v"); u.State != resource.UpdateSuccessful || w.binary() != "1.36" {
				t.Errorf("once it is up again: %+v, runs %s", u, w.binary())
			}
		})
	}
}

// What EKS keeps in the cluster's security group comes back with the next update.
func TestUpdateKeepsTheSecurityGroup(t *testing.T) {
	w := newWorld(t)
	w.settle()
	w.ask("LoggingUpdate", "u", func(*resource.Cluster) {})
	w.settle()
	cl, _ := w.cluster()
	_ = w.store.View(func(tx *store.Tx) error {
		g, _ := tx.SecurityGroups.Get(cl.Spec.ClusterSecurityGroup)
		if len(g.Rules) != 2 || g.Rules[1].Group != g.ID || g.Rules[1].Egress || g.Tags["kubernetes.io/cluster/c"] != "owned" || g.Tags["Name"] != g.Name {
			t.Errorf("%+v", g)
		}
		return nil
	})
	w.ask("LoggingUpdate", "v", func(*resource.Cluster) {})
	w.settle()
	_ = w.store.View(func(tx *store.Tx) error {
		if g, _ := tx.SecurityGroups.Get(cl.Spec.ClusterSecurityGroup); len(g.Rules) != 2 {
			t.Errorf("with the next one it has %+v", g.Rules)
		}
		return nil
	})
}

// lives are what a cluster goes through; each ends in a state that does not depend on what
// failed on the way.
var lives = map[string]func(*world){
	"create": func(w *world) { w.settle() },
	"upgrade": func(w *world) {
		w.settle()
		w.ask("VersionUpdate", "u", w.to("1.36"))
		w.settle()
	},
	"failed upgrade": func(w *world) {
		w.settle()
		w.host.broken["/payload/1.36"] = "etcd"
		w.ask("VersionUpdate", "u", w.to("1.36"))
		w.settle()
	},
	"another tier": func(w *world) {
		w.settle()
		w.ask(tierUpdate, "before", toTier("tier-xl"))
		w.settle()
		w.ask(tierUpdate, "u", toTier("standard"))
		w.settle()
	},
	"delete": func(w *world) {
		w.settle()
		w.update(func(tx *store.Tx) error {
			cl, _ := tx.Clusters.Get(clusterARN)
			cl.Deleting = true
			tx.Clusters.Put(cl.ARN, cl)
			return nil
		})
		w.settle()
	},
}

// end is the state that a life ends in, times aside.
func (w *world) end() string {
	cl, ok := w.cluster()
	s := cl.Status
	s.Ready, s.Upgraded, s.UpdateStarted, s.Inspection = time.Time{}, time.Time{}, time.Time{}, resource.Inspection{}
	u := w.updated("u")
	n := 0
	_ = w.store.View(func(tx *store.Tx) error {
		for _, e := range tx.Interfaces.All() {
			if e.Owner == clusterARN {
				n++
			}
		}
		return nil
	})
	return fmt.Sprintf("%v %+v\nupdate %s %+v\nruns %q, authenticators %d, guests %d, interfaces %d", ok, s, u.State, u.Errors, w.binary(), len(w.host.open), len(w.host.guests), n)
}

func TestEachHostCallFailsOnce(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			well := newWorld(t)
			live(well)
			for i := range well.host.calls {
				if i >= 12 && name == "failed upgrade" { // the waiting is one call again and again
					break
				}
				w := newWorld(t)
				w.host.failAt = i + 1
				live(w)
				if got, want := w.end(), well.end(); got != want {
					t.Errorf("call %d, %q, failed once: got\n%s\nwant\n%s", i+1, w.host.log[i], got, want)
				}
			}
		})
	}
}

// A daemon that starts again forgets all but the records.
func TestRunTwice(t *testing.T) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			live(w)
			want := w.end()
			w.settle()
			if got := w.end(); got != want {
				t.Errorf("run twice: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestPublicEndpointIsClosed(t *testing.T) {
	w := newWorld(t)
	w.c.cfg.Own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("198.51.100.7")} }
	w.settle()
	for i, c := range []struct {
		public bool
		cidrs  []string
		listen string
	}{
		{true, []string{"203.0.113.0/24"}, "127.70.0.2:8443"},
		{true, []string{"203.0.113.0/24", "198.51.100.0/24"}, "127.70.0.2:443"},
		{false, []string{"0.0.0.0/0"}, "127.70.0.2:8443"},
		{true, []string{"0.0.0.0/0"}, "127.70.0.2:443"},
	} {
		id := fmt.Sprint("u", i)
		w.ask("EndpointAccessUpdate", id, func(cl *resource.Cluster) { cl.Spec.PublicAccess, cl.Spec.PublicAccessCIDRs = c.public, c.cidrs })
		w.settle()
		cl, _ := w.cluster()
		api, err := API(w.c.cfg.Dir, cl)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range w.host.planes {
			if p.Listen.String() != c.listen || api.Host != "https://"+c.listen || cl.Status.Endpoint != "https://127.70.0.2" {
				t.Errorf("public %t for %v: listens on %s, the daemon asks %s, the endpoint is %s", c.public, c.cidrs, p.Listen, api.Host, cl.Status.Endpoint)
			}
		}
		if u := w.updated(id); u.State != resource.UpdateSuccessful {
			t.Errorf("%+v", u)
		}
	}
}

func TestOneThatDiesIsStartedLaterAndLater(t *testing.T) {
	w := newWorld(t)
	w.host.dies["/payload/1.35"] = true
	for range 600 { // a minute, looked at ten times a second: an end wakes the key
		_, _ = w.c.Reconcile(t.Context(), clusterARN)
		w.now = w.now.Add(100 * time.Millisecond)
	}
	ensured := 0
	for _, call := range w.host.log {
		if call == "ensure 1.35" {
			ensured++
		}
	}
	if ensured > 15 {
		t.Errorf("tried %d times in a minute", ensured)
	}
	w.host.dies = map[string]bool{}
	w.settle()
	if cl, _ := w.cluster(); cl.Current() != resource.ClusterActive {
		t.Errorf("%+v", cl.Status)
	}
}

func TestInspection(t *testing.T) {
	w := newWorld(t)
	w.host.found = resource.Inspection{KubeProxy: "v1.35.4-eks-1"}
	w.settle()
	first, _ := w.cluster()
	if i := first.Status.Inspection; i.KubeProxy != "v1.35.4-eks-1" || i.Ended.IsZero() || i.Error != "" {
		t.Fatalf("%+v", i)
	}
	ask := func() resource.Inspection {
		w.now = w.now.Add(time.Minute)
		w.update(func(tx *store.Tx) error {
			cl, _ := tx.Clusters.Get(clusterARN)
			cl.Spec.Inspection++
			tx.Clusters.Put(cl.ARN, cl)
			return nil
		})
		w.settle()
		cl, _ := w.cluster()
		return cl.Status.Inspection
	}
	w.host.found, w.host.blind = resource.Inspection{}, errInjected
	if i := ask(); i.Revision != 1 || i.Error == "" || i.KubeProxy != "v1.35.4-eks-1" {
		t.Fatalf("a look that failed: %+v", i)
	}
	w.host.blind = nil
	if i := ask(); i.Revision != 2 || i.Error != "" || i.KubeProxy != "" {
		t.Fatalf("%+v", i)
	}
	again, err := w.c.Reconcile(t.Context(), clusterARN)
	if err != nil || again < 23*time.Hour || again > 24*time.Hour {
		t.Fatalf("looks again in %s, %v", again, err)
	}
}
