package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/durable"
	"ekster.dev/ekster/internal/pki"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A host is a machine on which control planes run at once, unless a test says otherwise.
// It is all that the controller touches besides the store.
type host struct {
	failAt int               // the call with this number fails, once; 0: none
	calls  int               // so far
	log    []string          // of them
	broken map[string]string // binary → why its control plane does not become ready
	dies   map[string]bool   // binary → its process ends at once
	planes map[string]controlplane.Config
	open   map[string]bool // authenticators
	guests map[string]bool
	found  resource.Inspection
	blind  error
	data   int64 // bytes of the control planes' databases
	firsts int   // how often the first objects have been applied
}

var errInjected = errors.New("injected")

// call counts a call of the host, and says whether it is the one to fail.
func (h *host) call(format string, args ...any) error {
	h.calls++
	h.log = append(h.log, fmt.Sprintf(format, args...))
	if h.calls == h.failAt {
		return errInjected
	}
	return nil
}

func (h *host) Ensure(_ context.Context, c controlplane.Config) (controlplane.Status, error) {
	if err := h.call("ensure %s", filepath.Base(c.Binary)); err != nil {
		return controlplane.Status{}, err
	}
	h.planes[c.Dir] = c
	if h.dies[c.Binary] {
		return controlplane.Status{}, errors.New("its process (start 1) ended before it was ready:\npanic: etcd")
	}
	why := h.broken[c.Binary]
	return controlplane.Status{Ready: why == "", Waiting: why, CA: []byte("PEM"), JWKS: []byte("{}")}, nil
}

func (h *host) Remove(_ context.Context, dir string) error {
	if err := h.call("remove"); err != nil {
		return err
	}
	delete(h.planes, dir)
	return nil
}

func (h *host) DataSize(string) (int64, error) {
	if err := h.call("data size"); err != nil {
		return 0, err
	}
	return h.data, nil
}

func (h *host) GuestPath(guest string) string { return "/run/netns/" + guest }

func (h *host) RemoveGuest(_ context.Context, guest string) error {
	if err := h.call("remove guest"); err != nil {
		return err
	}
	delete(h.guests, guest)
	return nil
}

func (h *host) Open(cluster string) (string, error) {
	if err := h.call("open authenticator"); err != nil {
		return "", err
	}
	h.open[cluster] = true
	return "/run/auth.sock", nil
}

func (h *host) Close(cluster string) { delete(h.open, cluster) }

func (h *host) defaults(context.Context, *rest.Config, resource.Cluster, netip.AddrPort) error {
	if err := h.call("first objects"); err != nil {
		return err
	}
	h.firsts++
	return nil
}

// A world is a store with a VPC and a cluster in it that is CREATING, a host, and a clock
// that the test turns.
type world struct {
	t     *testing.T
	store *store.Store
	host  *host
	c     *Controller
	now   time.Time
}

const clusterARN = "arn:aws:eks:us-west-2:000000000000:cluster/c"

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &world{t: t, store: st, now: time.Unix(1000, 0).UTC(), host: &host{
		broken: map[string]string{}, dies: map[string]bool{}, planes: map[string]controlplane.Config{}, open: map[string]bool{}, guests: map[string]bool{},
	}}
	dir := t.TempDir()
	w.c = New(Config{
		Dir: dir, Kube: func(minor string) (string, bool) { return "/payload/" + minor, minor != "1.99" },
		Issuer:   func(c resource.Cluster) string { return "https://issuer/" + c.Spec.Hex },
		Loopback: netip.MustParsePrefix("127.70.0.0/29"), Bindable: func(netip.AddrPort) bool { return true },
		Inspect:  func(context.Context, *rest.Config) (resource.Inspection, error) { return w.host.found, w.host.blind },
		Defaults: w.host.defaults, Now: func() time.Time { return w.now }, UpgradeTimeout: time.Minute,
	}, st, w.host, w.host, w.host, slog.New(slog.DiscardHandler))
	w.c.ctx = t.Context()
	w.update(func(tx *store.Tx) error {
		tx.Accounts.Put(home.Account, resource.Account{ID: home.Account})
		if _, err := provision.EnsureRegion(tx, home, w.now); err != nil {
			return err
		}
		cl := resource.Cluster{
			Home: home, ARN: clusterARN, Name: "c", Created: w.now,
			Spec: resource.ClusterSpec{
				PublicAccess: true, PublicAccessCIDRs: []string{"0.0.0.0/0"}, Version: "1.35", Hex: "0123456789ABCDEF0123456789ABCDEF", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"), AuthenticationMode: "API",
			},
			Status: resource.ClusterStatus{State: resource.ClusterCreating},
		}
		vpc, _ := provision.DefaultVPC(tx, home)
		cl.Spec.VPC = vpc.ID
		group, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home, VPC: vpc.ID, Name: "eks-cluster-sg-c", Description: "c"})
		if err != nil {
			return err
		}
		cl.Spec.ClusterSecurityGroup = group.ID
		for id := range tx.Subnets.All() {
			eni, err := provision.Interface(tx, provision.InterfaceRequest{
				Home: home, Subnet: id, SecurityGroups: []string{group.ID}, RequesterManaged: true, Owner: cl.ARN,
				Attachment: &resource.Attachment{Guest: cl.Guest()}, Now: w.now,
			})
			if err != nil {
				return err
			}
			eni.Status.Plugged = cl.Guest() // as controller/vpc does
			tx.Interfaces.Put(eni.ID, eni)
			cl.Spec.Interfaces = append(cl.Spec.Interfaces, eni.ID)
			break
		}
		w.host.guests[cl.Guest()] = true
		tx.Clusters.Put(cl.ARN, cl)
		return nil
	})
	w.credentials(filepath.Join(dir, "0123456789abcdef"))
	return w
}

// credentials are the files that a control plane has, as far as RESTConfig reads them.
func (w *world) credentials(dir string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "pki"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"ca", "admin"} {
		for _, f := range []string{pki.CertFile(filepath.Join(dir, "pki"), name), pki.KeyFile(filepath.Join(dir, "pki"), name)} {
			if err := durable.WriteFile(f, []byte("PEM")); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cluster() (cl resource.Cluster, ok bool) {
	w.t.Helper()
	_ = w.store.View(func(tx *store.Tx) error { cl, ok = tx.Clusters.Get(clusterARN); return nil })
	return cl, ok
}

// settle reconciles until there is nothing left to do, as the queue does: an error or a
// time is a further call. The clock moves on by a second each time.
func (w *world) settle() (errs int) {
	w.t.Helper()
	for range 200 {
		again, err := w.c.Reconcile(w.t.Context(), clusterARN)
		if err != nil {
			if !errors.Is(err, errInjected) {
				w.t.Fatal(err)
			}
			errs++
		} else if again == reconcile.Never || again > time.Hour { // the next inspection
			// Writes of its own wake it: it must be at rest, or come to it.
			before, _ := w.cluster()
			if _, err := w.c.Reconcile(w.t.Context(), clusterARN); err != nil && !errors.Is(err, errInjected) {
				w.t.Fatal(err)
			} else if after, _ := w.cluster(); err == nil && reflect.DeepEqual(before.Status, after.Status) {
				return errs
			}
		}
		w.now = w.now.Add(time.Second)
	}
	cl, _ := w.cluster()
	w.t.Fatalf("never at rest: %+v", cl.Status)
	return errs
}

// ask records an update as service/eks does.
func (w *world) ask(kind, id string, f func(*resource.Cluster)) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		cl, _ := tx.Clusters.Get(clusterARN)
		cl.Spec.Version = cl.Version()
		f(&cl)
		cl.Spec.Revision++
		tx.Clusters.Put(cl.ARN, cl)
		tx.Updates.Put(id, resource.Update{ID: id, Cluster: cl.ARN, Type: kind, Revision: cl.Spec.Revision, State: resource.UpdateInProgress, Created: w.now})
		return nil
	})
}

func (w *world) updated(id string) (u resource.Update) {
	_ = w.store.View(func(tx *store.Tx) error { u, _ = tx.Updates.Get(id); return nil })
	return u
}
