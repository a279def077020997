package addon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	catalogue "ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/kubeapply/kubeapplytest"
	"ekster.dev/ekster/internal/reconcile/reconciletest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A played is a cluster whose API server is played, and the controller, called by hand.
type played struct {
	*world
	calls reconciletest.Calls
	api   *kubeapplytest.Server
	c     *Controller
	now   time.Time
	away  bool // the API server does not answer
	deny  bool // an admission policy denies workloads
	lose  bool // a request for a workload is lost
}

// A line to the API server, which may be broken.
type line struct {
	to *played
	http.RoundTripper
}

func (l line) RoundTrip(q *http.Request) (*http.Response, error) {
	if l.to.away {
		return nil, errAway
	}
	if workload := q.Method == http.MethodPatch && strings.HasPrefix(q.URL.Path, "/apis/apps/"); workload && l.to.lose {
		return nil, errAway
	} else if workload && l.to.deny {
		const status = `{"apiVersion":"v1","kind":"Status","status":"Failure","code":403,"reason":"Forbidden","message":"ValidatingAdmissionPolicy 'p' denied request"}`
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(status)), Request: q}, nil
	}
	return l.RoundTripper.RoundTrip(q)
}

var errAway = errors.New("connection refused")

// loaded is the catalogue, which takes a while to read.
var loaded = sync.OnceValues(catalogue.Load)

func newPlayed(t *testing.T) *played {
	t.Helper()
	p := &played{world: &world{t: t, store: newStore(t)}, api: kubeapplytest.New(), now: time.Unix(1000, 0)}
	var err error
	if p.catalogue, err = loaded(); err != nil {
		t.Fatal(err)
	}
	p.restart()
	return p
}

// restart is a daemon that begins: it knows the records.
func (p *played) restart() {
	api := line{p, p.calls.Transport(p.api)}
	p.c = New(Config{
		Store: p.store, Catalogue: p.catalogue, Settle: time.Minute, UpdateTimeout: 2 * time.Minute, Log: slog.New(slog.DiscardHandler),
		API: func(resource.Cluster) (*rest.Config, error) {
			return &rest.Config{Host: "http://plane", Transport: api}, nil
		},
		Now: func() time.Time { return p.now },
	})
}

// rest reconciles as the queue does, and lets the clock run, until nothing changes.
func (p *played) rest(name string) {
	p.t.Helper()
	quiet := 0
	for range 500 {
		before, _ := p.addon(name)
		again, err := p.c.Reconcile(p.t.Context(), arnOf(name))
		if err != nil && !errors.Is(err, reconciletest.ErrInjected) && !errors.Is(err, errAway) {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(max(again, time.Second))
		quiet++
		if after, _ := p.addon(name); err != nil || fmt.Sprintf("%+v", after.Status) != fmt.Sprintf("%+v", before.Status) {
			quiet = 0
		}
		if quiet > 2 {
			return
		}
	}
	a, _ := p.addon(name)
	p.t.Fatalf("never at rest: %+v", a.Status)
}

// end is how a life ends, times aside.
func (p *played) end(name string) string {
	p.t.Helper()
	a, ok := p.addon(name)
	a.Status.Changed = time.Time{}
	// The message names every object that was refused, and of one whose request failed why.
	for i := range a.Status.Issues {
		a.Status.Issues[i].Message = ""
	}
	var updates []string
	if err := p.store.View(func(tx *store.Tx) error {
		for id, u := range tx.Updates.All() {
			updates = append(updates, fmt.Sprintf("%s %s with %d errors", id, u.State, len(u.Errors)))
		}
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("%v %s %+v\n%v\n%s", ok, a.Current(), a.Status, updates, strings.Join(p.api.Paths(), "\n"))
}

// lives are what an add-on goes through; each ends in a state that does not depend on what
// failed on the way.
var lives = map[string]func(*played){
	"create": func(p *played) { p.create("kube-proxy", nil); p.rest("kube-proxy") },
	"take over": func(p *played) {
		p.api.Turn(func(k *kubeapplytest.Knobs) { k.Touched = true })
		p.create("kube-proxy", func(s *resource.AddonSpec) { s.ResolveConflicts = overwrite })
		p.rest("kube-proxy")
	},
	"conflict": func(p *played) {
		p.api.Turn(func(k *kubeapplytest.Knobs) { k.Touched = true })
		p.create("kube-proxy", nil)
		p.rest("kube-proxy")
	},
	"update": func(p *played) {
		p.create("kube-proxy", nil)
		p.rest("kube-proxy")
		p.world.change("kube-proxy", preserve, "")
		p.rest("kube-proxy")
	},
	"update that fails": func(p *played) {
		p.create("kube-proxy", nil)
		p.rest("kube-proxy")
		p.api.Turn(func(k *kubeapplytest.Knobs) { k.Denied = true })
		p.world.change("kube-proxy", overwrite, "")
		p.rest("kube-proxy")
	},
	"another version": func(p *played) {
		p.create("kube-proxy", func(s *resource.AddonSpec) { s.Version = "v1.34.4-eksbuild.1" })
		p.rest("kube-proxy")
		p.move("kube-proxy", "v1.35.4-eksbuild.1")
		p.rest("kube-proxy")
	},
	"delete": func(p *played) {
		p.create("kube-proxy", nil)
		p.rest("kube-proxy")
		p.remove("kube-proxy", false)
		p.rest("kube-proxy")
	},
	"delete and preserve": func(p *played) {
		p.create("kube-proxy", nil)
		p.rest("kube-proxy")
		p.remove("kube-proxy", true)
		p.rest("kube-proxy")
	},
}

func (p *played) Host() *reconciletest.Calls { return &p.calls }
func (p *played) End() string                { return p.end("kube-proxy") }
func (p *played) Again()                     { p.restart(); p.rest("kube-proxy") }

func TestEachHostCallFailsOnce(t *testing.T) { reconciletest.EachCallFailsOnce(t, lives, newPlayed) }
func TestRunTwice(t *testing.T)              { reconciletest.RunTwice(t, lives, newPlayed) }

// fails lets an add-on come to rest in a failed state, with one issue.
func (p *played) fails(state, code string) {
	p.t.Helper()
	began := p.now
	p.rest("kube-proxy")
	a, _ := p.addon("kube-proxy")
	if a.Current() != state || len(a.Status.Issues) != 1 || a.Status.Issues[0].Code != code {
		p.t.Fatalf("%s, not %s with %s: %+v", a.Current(), state, code, a.Status)
	}
	if took := p.now.Sub(began); took < 2*time.Minute || took > 4*time.Minute {
		p.t.Errorf("it took %s", took)
	}
}

// What an API server does not do that stays away has failed; an update, or another delete,
// is how one gets out of it.
func TestClusterThatStaysAway(t *testing.T) {
	p := newPlayed(t)
	p.away = true
	p.create("kube-proxy", nil)
	p.fails(resource.AddonCreateFailed, "ClusterUnreachable")

	p.away = false
	p.world.change("kube-proxy", overwrite, "")
	p.rest("kube-proxy")
	if a, _ := p.addon("kube-proxy"); a.Current() != resource.AddonActive || len(a.Status.Issues) > 0 {
		t.Fatalf("once it is back: %+v", a.Status)
	}

	p.away = true
	id := p.world.change("kube-proxy", overwrite, "")
	p.fails(resource.AddonUpdateFailed, "ClusterUnreachable")
	if u := p.ends(id); u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "ClusterUnreachable" {
		t.Errorf("%+v", u)
	}

	p.remove("kube-proxy", false)
	p.fails(resource.AddonDeleteFailed, "ClusterUnreachable")
	p.away = false
	p.rest("kube-proxy")
	if a, _ := p.addon("kube-proxy"); a.Current() != resource.AddonDeleteFailed {
		t.Errorf("by itself it becomes %s", a.Current())
	}
	if err := p.store.Update(t.Context(), func(tx *store.Tx) error { // as DeleteAddon does
		return tx.Addons.Edit(arnOf("kube-proxy"), func(a *resource.Addon) error { return a.Status.Move(resource.AddonDeleting) })
	}); err != nil {
		t.Fatal(err)
	}
	p.rest("kube-proxy")
	if _, ok := p.addon("kube-proxy"); ok || len(p.api.Paths()) > 0 {
		t.Errorf("left: %v", p.api.Paths())
	}
}

// What a create has applied until it failed or broke off goes with the add-on, or with what
// an update has no more.
func TestCreateThatIsNotCompleted(t *testing.T) {
	const small = `{"podDisruptionBudget":{"enabled":false}}`
	denied := func(t *testing.T) *played {
		p := newPlayed(t)
		p.deny = true
		p.create("coredns", func(s *resource.AddonSpec) { s.ResolveConflicts = overwrite })
		p.rest("coredns")
		a, _ := p.addon("coredns")
		if a.Current() != resource.AddonCreateFailed || len(a.Status.Issues) != 1 || a.Status.Issues[0].Code != "AdmissionRequestDenied" || !p.budget() {
			t.Fatalf("%s with %+v, objects %v", a.Current(), a.Status.Issues, p.api.Paths())
		}
		return p
	}
	gone := func(p *played) {
		p.t.Helper()
		p.remove("coredns", false)
		p.rest("coredns")
		if _, ok := p.addon("coredns"); ok || len(p.api.Paths()) > 0 {
			p.t.Errorf("left: %v", p.api.Paths())
		}
	}
	t.Run("deleted", func(t *testing.T) { gone(denied(t)) })
	t.Run("broken off", func(t *testing.T) {
		p := newPlayed(t)
		p.lose = true
		p.create("coredns", func(s *resource.AddonSpec) { s.ResolveConflicts = overwrite })
		if _, err := p.c.Reconcile(t.Context(), arnOf("coredns")); !errors.Is(err, errAway) || !p.budget() {
			t.Fatalf("%v, objects %v", err, p.api.Paths())
		}
		p.restart()
		gone(p)
	})
	t.Run("updated", func(t *testing.T) {
		p := denied(t)
		p.deny = false
		p.world.change("coredns", overwrite, small)
		p.rest("coredns")
		if a, _ := p.addon("coredns"); a.Current() != resource.AddonActive || p.budget() {
			t.Errorf("%s, objects %v", a.Current(), p.api.Paths())
		}
	})
	t.Run("updated in vain and deleted", func(t *testing.T) {
		p := denied(t)
		p.world.change("coredns", overwrite, small)
		p.rest("coredns")
		if a, _ := p.addon("coredns"); a.Current() != resource.AddonUpdateFailed || p.budget() {
			t.Errorf("%s, objects %v", a.Current(), p.api.Paths())
		}
		gone(p)
	})
	t.Run("refused for conflicts", func(t *testing.T) {
		p := newPlayed(t)
		p.create("coredns", nil)
		p.rest("coredns")
		p.remove("coredns", true)
		p.rest("coredns")
		others := p.api.Paths()
		p.api.Turn(func(k *kubeapplytest.Knobs) { k.Touched = true })
		p.create("coredns", nil)
		p.rest("coredns")
		if a, _ := p.addon("coredns"); a.Current() != resource.AddonCreateFailed || a.Status.Issues[0].Code != "ConfigurationConflict" {
			t.Fatalf("%+v", a.Status)
		}
		p.remove("coredns", false)
		p.rest("coredns")
		if _, ok := p.addon("coredns"); ok || !slices.Equal(p.api.Paths(), others) {
			t.Errorf("left: %v\nof: %v", p.api.Paths(), others)
		}
	})
}

// budget says whether the cluster has a disruption budget.
func (p *played) budget() bool {
	return slices.ContainsFunc(p.api.Paths(), func(path string) bool { return strings.Contains(path, "/poddisruptionbudgets/") })
}
