package addon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	catalogue "ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	clusterARN = "arn:aws:eks:us-west-2:000000000000:cluster/c1"
	within     = 60 * time.Second // bounds what others do, on a busy machine
	settle     = 2 * time.Second
)

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

// A world is a cluster with a real API server, its controllers and scheduler, and the
// controller. It has no nodes; where pods are to run, node and kubelet stand in for one.
type world struct {
	t         *testing.T
	store     *store.Store
	catalogue *catalogue.Catalogue
	kube      *kubernetes.Clientset
	dynamic   dynamic.Interface
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a control plane")
	}
	binary, err := filepath.Abs("../../../bin/payload/kubernetes/1.35/kube")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("hack/build-payload.sh 1.35 makes it: %v", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plane := controlplane.Config{
		ID: t.Name(), Dir: filepath.Join(dir, "plane"), Binary: binary, ClusterName: "c1", Region: "us-west-2", Listen: listen,
		Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}, ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
		IssuerURL: "https://oidc.eks.us-west-2.amazonaws.com/id/ABC", AuthSocket: filepath.Join(dir, "auth.sock"),
	}
	planes := controlplane.New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := planes.Remove(context.Background(), plane.Dir); err != nil {
			t.Error(err)
		}
	})
	noOpinion(t, plane.AuthSocket)
	boot, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := planes.WaitReady(boot, plane); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: newStore(t)}
	if w.catalogue, err = catalogue.Load(); err != nil {
		t.Fatal(err)
	}
	api, err := controlplane.RESTConfig(plane)
	if err != nil {
		t.Fatal(err)
	}
	api.QPS, api.Burst = -1, -1
	if w.kube, err = kubernetes.NewForConfig(api); err != nil {
		t.Fatal(err)
	}
	if w.dynamic, err = dynamic.NewForConfig(api); err != nil {
		t.Fatal(err)
	}
	w.defaults(boot, api)
	w.run(func(resource.Cluster) (*rest.Config, error) { return controlplane.RESTConfig(plane) })
	return w
}

// noOpinion answers the API server's questions about access policies: there are none.
func noOpinion(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":false}}`)
	})}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		tx.Interfaces.Put("eni-1", resource.NetworkInterface{Home: home, ID: "eni-1", Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}})
		tx.Clusters.Put(clusterARN, resource.Cluster{
			Home: home, ARN: clusterARN, Name: "c1",
			Spec:   resource.ClusterSpec{Version: "1.35", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"), Interfaces: []string{"eni-1"}},
			Status: resource.ClusterStatus{State: resource.ClusterActive, Endpoint: "https://127.0.0.1"},
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// defaults puts into the cluster what a new one has, the self-managed coredns among it.
func (w *world) defaults(ctx context.Context, api *rest.Config) {
	w.t.Helper()
	values := catalogue.Values{
		ClusterName: "c1", Region: "us-west-2", Endpoint: "https://10.9.9.9:443", DNSIP: "10.100.0.10",
		WebhookURL: "https://127.0.0.1:9", WebhookCA: api.CAData,
	}
	objects, err := catalogue.Cluster(values)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := kubeapply.Apply(ctx, w.dynamic, objects, true); err != nil {
		w.t.Fatal(err)
	}
	if objects, err = w.catalogue.Render(values, catalogue.Installation{Name: "coredns", Version: w.version("coredns")}); err != nil {
		w.t.Fatal(err)
	}
	if err := kubeapply.Create(ctx, w.dynamic, objects); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run(api func(resource.Cluster) (*rest.Config, error)) {
	c := New(Config{
		Store: w.store, Catalogue: w.catalogue, API: api, AWSEndpointURL: "http://198.18.0.1", Settle: settle, UpdateTimeout: 2 * settle,
		Now: time.Now, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { cancel(); wg.Wait() })
}

func (w *world) version(name string) string {
	w.t.Helper()
	a, ok := w.catalogue.Find(name)
	if !ok {
		w.t.Fatalf("no add-on %s", name)
	}
	v, ok := a.DefaultVersion("1.35")
	if !ok {
		w.t.Fatalf("no version of %s", name)
	}
	return v.Version
}

func arnOf(name string) string { return "arn:aws:eks:us-west-2:000000000000:addon/c1/" + name + "/1" }

// create records an add-on as service/eks does.
func (w *world) create(name string, change func(*resource.AddonSpec)) {
	w.t.Helper()
	spec := resource.AddonSpec{Version: w.version(name), Namespace: "kube-system", ResolveConflicts: "NONE", Revision: 1}
	if change != nil {
		change(&spec)
	}
	w.update(func(tx *store.Tx) {
		tx.Addons.Put(arnOf(name), resource.Addon{
			Home: home, ARN: arnOf(name), Cluster: clusterARN, Name: name, Spec: spec, Status: resource.AddonStatus{State: resource.AddonCreating},
		})
	})
}

// change records an update as service/eks does, and returns its id.
func (w *world) change(name, mode, configuration string) string {
	w.t.Helper()
	return w.ask(name, func(s *resource.AddonSpec) { s.ResolveConflicts, s.Configuration = mode, configuration })
}

// move is the same to another version.
func (w *world) move(name, version string) string {
	w.t.Helper()
	return w.ask(name, func(s *resource.AddonSpec) { s.Version = version })
}

func (w *world) ask(name string, change func(*resource.AddonSpec)) string {
	w.t.Helper()
	id := ""
	w.update(func(tx *store.Tx) {
		a, _ := tx.Addons.Get(arnOf(name))
		change(&a.Spec)
		a.Spec.Revision++
		id = fmt.Sprintf("%s-%d", name, a.Spec.Revision)
		tx.Addons.Put(a.ARN, a)
		tx.Updates.Put(id, resource.Update{ID: id, Cluster: clusterARN, Addon: name, Revision: a.Spec.Revision, State: resource.UpdateInProgress})
	})
	return id
}

func (w *world) remove(name string, preserve bool) {
	w.t.Helper()
	w.update(func(tx *store.Tx) {
		a, _ := tx.Addons.Get(arnOf(name))
		a.Deleting, a.Preserve = true, preserve
		tx.Addons.Put(a.ARN, a)
	})
}

func (w *world) update(f func(*store.Tx)) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addon(name string) (a resource.Addon, ok bool) {
	w.t.Helper()
	if err := w.store.View(func(tx *store.Tx) error { a, ok = tx.Addons.Get(arnOf(name)); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return a, ok
}

// becomes waits for the add-on's state, and returns it.
func (w *world) becomes(name, state string) resource.Addon {
	w.t.Helper()
	var a resource.Addon
	w.eventually(name+" is "+state, func() bool {
		a, _ = w.addon(name)
		return a.Current() == state
	}, func() string { return fmt.Sprintf("%+v", a.Status) })
	return a
}

// ends waits for the end of an update, and returns it.
func (w *world) ends(id string) resource.Update {
	w.t.Helper()
	var u resource.Update
	w.eventually("update "+id+" ends", func() bool {
		if err := w.store.View(func(tx *store.Tx) error { u, _ = tx.Updates.Get(id); return nil }); err != nil {
			w.t.Fatal(err)
		}
		return u.State != resource.UpdateInProgress
	}, func() string { return fmt.Sprintf("%+v", u) })
	return u
}

func (w *world) eventually(what string, is func() bool, or func() string) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !is(); <-tick.C {
		if time.Since(began) > within {
			w.t.Fatalf("%s: not within %v: %s", what, within, or())
		}
	}
}

// node makes a node that is Ready for as long as its lease lasts.
func (w *world) node() {
	w.t.Helper()
	_, err := w.kube.CoreV1().Nodes().Create(w.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "n1"}},
		Status: corev1.NodeStatus{
			Capacity: quantities("8", "16Gi"), Allocatable: quantities("8", "16Gi"),
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// kubelet says of all pods that a node has what a kubelet says once they run, or are gone.
func (w *world) kubelet() {
	w.t.Helper()
	pods, err := w.kube.CoreV1().Pods("").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp != nil {
			err = w.kube.CoreV1().Pods(p.Namespace).Delete(w.t.Context(), p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		} else if p.Spec.NodeName != "" && p.Status.Phase != corev1.PodRunning {
			p.Status.Phase = corev1.PodRunning
			for _, kind := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
				p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
			}
			_, err = w.kube.CoreV1().Pods(p.Namespace).UpdateStatus(w.t.Context(), &p, metav1.UpdateOptions{})
		}
		if err != nil {
			w.t.Logf("pod %s: %v", p.Name, err) // its controller was faster
		}
	}
}
