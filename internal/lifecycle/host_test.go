package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/durable"
	"ekster.dev/ekster/internal/kubeapply/kubeapplytest"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/pki"
	"ekster.dev/ekster/internal/store"
)

var (
	errTrouble = errors.New("the host has trouble")
	errDead    = errors.New("the daemon is dead")
)

// A host is the machine under a daemon: control planes, machines and networks, all of
// which are there at once unless a knob is turned. It outlives the daemon.
type host struct {
	mu       sync.Mutex
	knobs    knobs
	planes   map[string]*plane // by directory
	machines map[string]*vm    // by directory
	guests   map[string]bool   // network namespaces
	vpcs     map[string]bool
	doors    map[string]bool // of VPCs
	open     map[string]bool // authenticators, by cluster
	roles    map[string]bool // in an aws-auth, by cluster and role
	cordoned map[string]bool // nodes
}

// A plane is a control plane. Its objects outlast a change of its version.
type plane struct {
	config  controlplane.Config
	version string
	unready int // so many more questions until it is ready
	up      bool
	api     *kubeapplytest.Server
}

// A vm is the machine of an instance.
type vm struct {
	config  machine.Config
	running bool
	stopped bool
	ended   chan struct{} // closed when it ends
}

func newHost() *host {
	h := &host{
		planes: map[string]*plane{}, machines: map[string]*vm{}, guests: map[string]bool{}, vpcs: map[string]bool{}, doors: map[string]bool{},
		open: map[string]bool{}, roles: map[string]bool{}, cordoned: map[string]bool{},
	}
	h.knobs.heal()
	return h
}

func (h *host) turn(f func(*knobs)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.knobs)
}

// left is what is on the host.
func (h *host) left() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, of := range []struct {
		what string
		all  map[string]bool
	}{{"network namespace", h.guests}, {"VPC", h.vpcs}, {"door of VPC", h.doors}, {"authenticator of", h.open}, {"aws-auth role", h.roles}} {
		for name := range of.all {
			out = append(out, of.what+" "+name)
		}
	}
	for dir := range h.planes {
		out = append(out, "control plane "+dir)
	}
	for dir := range h.machines {
		out = append(out, "machine "+dir)
	}
	return out
}

// hands are how one daemon reaches the host. Those of a dead one reach nothing.
type hands struct {
	*host
	daemon *daemon
}

var errGone = errors.New("connection refused")

// ask is begin for what an API server is asked for.
func (h hands) ask(ctx context.Context) error {
	err := h.begin(ctx)
	if err == nil && h.knobs.gone {
		return errGone
	}
	return err
}

// begin is the start of every call, which it may fail; the caller unlocks.
func (h hands) begin(ctx context.Context) error {
	if d := h.daemon.life.delay; d > 0 {
		select {
		case <-time.After(rand.N(d)):
		case <-ctx.Done():
		}
	}
	h.mu.Lock()
	if h.daemon.dead.Load() {
		return errDead
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if h.knobs.failures > 0 {
		h.knobs.failures--
		return errTrouble
	}
	return nil
}

// planes are the control planes.
type planes struct{ hands }

func (h planes) Ensure(ctx context.Context, c controlplane.Config) (controlplane.Status, error) {
	served := false
	_ = h.daemon.store.View(func(tx *store.Tx) error { // the function returns no error
		cl, _ := tx.Clusters.Get(c.ID)
		served = cl.Status.DefaultsApplied
		return nil
	})
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return controlplane.Status{}, err
	}
	if !h.guests[filepath.Base(c.Netns)] {
		return controlplane.Status{}, fmt.Errorf("there is no network namespace %s", c.Netns)
	}
	p, version := h.host.planes[c.Dir], filepath.Base(c.Binary)
	if p == nil {
		p = &plane{api: kubeapplytest.New()}
		if err := credentials(c.Dir); err != nil {
			return controlplane.Status{}, err
		}
		h.host.planes[c.Dir] = p
	}
	if p.version != version || p.config.Tier != c.Tier {
		p.version, p.unready, p.up, h.knobs.slow = version, h.knobs.slow, false, 0
	}
	p.config = c
	st := controlplane.Status{CA: []byte("PEM"), JWKS: []byte("{}")}
	switch {
	case p.up:
	case h.knobs.dies[version]:
		return st, errors.New("its process (start 1) ended before it was ready:\npanic: etcd")
	case h.knobs.broken[version]:
		st.Waiting = "the API server's /readyz: poststarthook failed"
	case p.unready > 0:
		p.unready--
		st.Waiting = "etcd"
	default:
		p.up = true
	}
	st.Ready = p.up && !(h.knobs.down && served)
	if p.up && !st.Ready {
		st.Waiting = "the API server's /readyz: etcd"
	}
	return st, nil
}

// credentials are the files that a control plane has, as far as RESTConfig reads them.
func credentials(dir string) error {
	dir = filepath.Join(dir, "pki")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"ca", "admin"} {
		for _, f := range []string{pki.CertFile(dir, name), pki.KeyFile(dir, name)} {
			if err := durable.WriteFile(f, []byte("PEM")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h planes) Remove(ctx context.Context, dir string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	if p := h.host.planes[dir]; p != nil { // and with it its aws-auth
		maps.DeleteFunc(h.roles, func(role string, _ bool) bool { return strings.HasPrefix(role, p.config.ID+" ") })
	}
	delete(h.host.planes, dir)
	return os.RemoveAll(dir)
}

func (h planes) DataSize(string) (int64, error) {
	err := h.begin(context.Background())
	defer h.mu.Unlock()
	if err == nil && h.knobs.bloated {
		return controlplane.StandardDatabase + 1, nil
	}
	return 0, err
}

func (h hands) GuestPath(guest string) string { return "/run/netns/" + guest }

func (h hands) RemoveGuest(ctx context.Context, guest string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	h.daemon.removed[guest] = true
	delete(h.guests, guest)
	return nil
}

// Authenticators have no way to fail once they are open.
func (h hands) Open(cluster string) (string, error) {
	err := h.begin(context.Background())
	defer h.mu.Unlock()
	if err != nil {
		return "", err
	}
	h.open[cluster] = true
	return "/run/auth.sock", nil
}

func (h hands) Close(cluster string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.daemon.dead.Load() {
		delete(h.open, cluster)
	}
}

// networks are the data plane of VPCs. As in package network, a guest that a VPC lists is
// made with it, stays until it is removed itself, and does not come back to the daemon that
// did that.
type networks struct{ hands }

func (h networks) EnsureVPC(ctx context.Context, v network.VPC) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	h.vpcs[v.ID] = true
	for _, i := range v.Interfaces {
		if !h.daemon.removed[i.Guest] {
			h.guests[i.Guest] = true
		}
	}
	return nil
}

func (h networks) Instances() (ids []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.guests {
		if strings.HasPrefix(id, "i-") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (h networks) RemoveVPC(ctx context.Context, id string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	delete(h.vpcs, id)
	return nil
}

func (h networks) EnsureRelays(string, []network.Relay) {}

// vpcDoors are what listens in VPCs.
type vpcDoors struct{ hands }

func (h vpcDoors) Open(ctx context.Context, vpc string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	h.doors[vpc] = true
	return nil
}

func (h vpcDoors) Close(vpc string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.daemon.dead.Load() {
		delete(h.doors, vpc)
	}
}

// machines are those of instances.
type machines struct{ hands }

func (h machines) Ensure(ctx context.Context, c machine.Config) (machine.Status, error) {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return machine.Status{}, err
	}
	if !h.guests[filepath.Base(c.Netns)] {
		return machine.Status{}, fmt.Errorf("there is no network namespace %s", c.Netns)
	}
	m := h.host.machines[c.Dir]
	if m == nil || !m.running && m.config.Generation < c.Generation {
		m = &vm{config: c, running: true, ended: make(chan struct{})}
		h.host.machines[c.Dir] = m
	}
	return machine.Status{Running: m.running, Stopped: m.stopped, Generation: m.config.Generation}, nil
}

func (h machines) Stop(ctx context.Context, dir string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	if m := h.host.machines[dir]; m != nil && m.running {
		m.running, m.stopped = false, true
		close(m.ended)
	}
	return nil
}

func (h machines) Remove(ctx context.Context, dir string) error {
	err := h.begin(ctx)
	defer h.mu.Unlock()
	if err != nil {
		return err
	}
	h.host.end(dir)
	delete(h.host.machines, dir)
	return nil
}

// end ends a machine by itself, as a kernel would.
func (h *host) end(dir string) {
	if m := h.machines[dir]; m != nil && m.running {
		m.running = false
		close(m.ended)
	}
}

func (h machines) WaitExit(ctx context.Context, dir string) error {
	h.mu.Lock()
	m := h.host.machines[dir]
	h.mu.Unlock()
	if m == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ended:
		return nil
	}
}

// kill ends one of the machines that run, and says whether there was one.
func (h *host) kill() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir, m := range h.machines {
		if m.running && strings.HasPrefix(filepath.Base(dir), "i-") {
			h.end(dir)
			return true
		}
	}
	return false
}
