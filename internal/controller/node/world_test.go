package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	arn    = "arn:aws:eks:us-west-2:000000000000:cluster/c1"
	within = 15 * time.Second // bounds what others do, on a busy machine
)

var home = resource.Home{Account: "000000000000", Region: "us-west-2"}

// A world is a cluster with a real API server, an instance and the controller.
type world struct {
	t     *testing.T
	store *store.Store
	nodes *Controller
	plane controlplane.Config
	run   *controlplane.Planes
	api   *rest.Config
	http  *http.Client

	launched *int
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
		tx.Clusters.Put(arn, resource.Cluster{
			Home: home, ARN: arn, Name: "c1", Spec: resource.ClusterSpec{VPC: "vpc-1"}, Status: resource.ClusterStatus{State: resource.ClusterActive},
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func putInstance(t *testing.T, st *store.Store, id, ip, state string) {
	t.Helper()
	err := st.Update(t.Context(), func(tx *store.Tx) error {
		tx.Interfaces.Put("eni-"+id, resource.NetworkInterface{
			Home: home, ID: "eni-" + id, VPC: "vpc-1", Owner: id, Addresses: []netip.Addr{netip.MustParseAddr(ip), secondary},
		})
		tx.Instances.Put(id, resource.Instance{Home: home, ID: id, Spec: resource.InstanceSpec{
			Type: "t3.medium", VPC: "vpc-1", Zone: "us-west-2b", PrimaryInterface: "eni-" + id, PrivateIP: ip, PrivateDNS: dns(ip),
		}, Status: resource.InstanceStatus{State: state}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// secondary is a second address that every instance has, for its pods.
var secondary = netip.MustParseAddr("10.0.9.9")

func dns(ip string) string {
	return "ip-" + strings.ReplaceAll(ip, ".", "-") + ".us-west-2.compute.internal"
}

// address is the one in a private DNS name.
func address(name string) string {
	ip, _, _ := strings.Cut(strings.TrimPrefix(name, "ip-"), ".")
	return strings.ReplaceAll(ip, "-", ".")
}

// launch makes a running instance, and returns its id and its private DNS name.
func (w *world) launch() (id, name string) {
	w.t.Helper()
	*w.launched++
	id, ip := fmt.Sprintf("i-0123456789abcde%02x", *w.launched), fmt.Sprintf("10.0.1.%d", *w.launched)
	putInstance(w.t, w.store, id, ip, "running")
	return id, dns(ip)
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
	w := &world{t: t, store: newStore(t), launched: new(int), run: controlplane.New(slog.New(slog.DiscardHandler)), plane: controlplane.Config{
		ID: t.Name(), Dir: filepath.Join(dir, "plane"), Binary: binary, ClusterName: "c1", Region: "us-west-2", Listen: listen,
		Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}, ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
		IssuerURL: "https://oidc.eks.us-west-2.amazonaws.com/id/ABC", AuthSocket: filepath.Join(dir, "auth.sock"),
	}}
	t.Cleanup(func() {
		if err := w.run.Remove(context.Background(), w.plane.Dir); err != nil {
			t.Error(err)
		}
	})
	w.boot()
	if w.api, err = controlplane.RESTConfig(w.plane); err != nil {
		t.Fatal(err)
	}
	if w.http, err = rest.HTTPClientFor(w.api); err != nil {
		t.Fatal(err)
	}
	w.nodes = New(Config{
		Store: w.store, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		API: func(resource.Cluster) (*rest.Config, error) { return controlplane.RESTConfig(w.plane) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.nodes.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func (w *world) boot() controlplane.Status {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	st, err := w.run.WaitReady(ctx, w.plane)
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

// object is a Kubernetes object, or a part of one.
type object = map[string]any

// try sends a request as somebody, "" being the administrator, and decodes the answer.
func (w *world) try(user, method, path string, body any) (int, object) {
	w.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.api.Host+path, strings.NewReader(string(data)))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	if user != "" {
		r.Header["Impersonate-User"] = []string{user}
		r.Header["Impersonate-Group"] = []string{"system:nodes", "system:authenticated"}
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := object{}
	if err := json.Unmarshal(raw, &out); err != nil {
		w.t.Fatalf("%s %s: %s", method, path, raw)
	}
	return res.StatusCode, out
}

// do is try, and the request must succeed.
func (w *world) do(method, path string, body any) object {
	w.t.Helper()
	code, out := w.try("", method, path, body)
	if code > 299 {
		w.t.Fatalf("%s %s answers %d %v", method, path, code, out["message"])
	}
	return out
}

func (w *world) get(path string) object {
	w.t.Helper()
	return w.do(http.MethodGet, path, nil)
}

func (w *world) absent(path string) bool {
	w.t.Helper()
	code, _ := w.try("", http.MethodGet, path, nil)
	return code == http.StatusNotFound
}

// field digs in an object; nil if it is not there.
func field(o any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := o.(object)
			o = m[p]
		case int:
			l, _ := o.([]any)
			if p >= len(l) {
				return nil
			}
			o = l[p]
		}
	}
	return o
}

// eventually waits until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !is(); <-tick.C {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// record is the node's record in the store.
func (w *world) record(name string) (n resource.Node, ok bool) {
	w.t.Helper()
	err := w.store.View(func(tx *store.Tx) error { n, ok = tx.Nodes.Get(resource.NodeKey(arn, name)); return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return n, ok
}

// join makes a Node as a kubelet with an external cloud provider does.
func (w *world) join(name, id string) {
	w.t.Helper()
	w.do(http.MethodPost, "/api/v1/nodes", object{
		"metadata": object{"name": name, "labels": object{"kubernetes.io/os": "linux"}},
		"spec": object{"providerID": "aws:///us-west-2b/" + id, "taints": []object{
			{"key": "mine", "effect": "NoSchedule"},
			{"key": uninitializedTaint, "value": "true", "effect": "NoSchedule"},
		}},
	})
}

// beat sets the node's condition Ready.
func (w *world) beat(name, status, reason string) {
	w.t.Helper()
	w.do(http.MethodPatch, "/api/v1/nodes/"+name+"/status", object{"status": object{
		"nodeInfo": object{
			"kubeletVersion": "v1.35.4-eks-0000000", "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
			"containerRuntimeVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
		},
		"conditions": []object{{
			"type": "Ready", "status": status, "reason": reason, "message": "message of " + reason,
			"lastHeartbeatTime": time.Now().UTC().Format(time.RFC3339), "lastTransitionTime": "2026-08-01T12:00:00Z",
		}},
	}})
}
