package clusterauth

import (
	"context"

	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// apiServer is a real API server whose webhooks are w's, for c1.
func apiServer(t *testing.T, w *world) *rest.Config {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a control plane")
	}
	binary, err := filepath.Abs("../../bin/payload/kubernetes/1.35/kube")
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
	cfg := controlplane.Config{
		ID: t.Name(), Dir: filepath.Join(t.TempDir(), "plane"), Binary: binary, ClusterName: "c1", Region: "us-west-2", Listen: listen,
		Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")}, ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
		IssuerURL: "https://oidc.eks.us-west-2.amazonaws.com/id/ABC", AuthSocket: w.socket,
	}
	planes := controlplane.New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := planes.Remove(context.Background(), cfg.Dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := planes.WaitReady(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	api, err := controlplane.RESTConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// kubectl asks the API server with a token: who am I (a SelfSubjectReview), may I?
type kubectl struct {
	t    *testing.T
	api  *rest.Config
	http *http.Client
}

func as(t *testing.T, api *rest.Config, token string) kubectl {
	t.Helper()
	c := rest.CopyConfig(api)
	c.CertData, c.KeyData, c.BearerToken = nil, nil, token
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	return kubectl{t, c, h}
}

func (k kubectl) status(method, path, body string) int {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.api.Host+path, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := k.http.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// soon waits until a request answers want: API servers keep answers of the webhooks for a second.
func (k kubectl) soon(what, path string, want int) {
	k.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		got := k.status(http.MethodGet, path, "")
		if got == want {
			k.t.Logf("%s: %d after %v", what, got, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > 10*time.Second {
			k.t.Fatalf("%s: GET %s answers %d, want %d", what, path, got, want)
		}
		<-tick.C
	}
}

func TestAPIServer(t *testing.T) {
	w := newWorld(t)
	alice, aliceKey := w.user("alice")
	_, bobKey := w.user("bob")
	nodes := w.role("/", "nodes")
	w.instance("i-0123456789abcdef0", nodes, func(*resource.Instance) {})
	api := apiServer(t, w)
	token := func(c aws.Credentials) kubectl { return as(t, api, w.token(c, "c1", front)) }

	const secrets, pods = "/api/v1/secrets", "/api/v1/namespaces/default/pods"
	if got := token(w.root).status(http.MethodGet, secrets, ""); got != 200 {
		t.Errorf("the creator is answered %d", got)
	}
	if got := as(t, api, w.token(w.root, "c2", front)).status(http.MethodGet, secrets, ""); got != 401 {
		t.Errorf("a token for another cluster is answered %d", got)
	}
	bob := token(bobKey)
	bob.soon("nobody has let bob in", pods, 401)

	e := resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD"}
	w.entry(e)
	a := token(aliceKey)
	a.soon("an entry without a policy", pods, 403)
	e.Policies = []resource.AssociatedPolicy{{PolicyARN: policyARN + "AmazonEKSViewPolicy", ScopeType: "namespace", Namespaces: []string{"def*"}}}
	w.entry(e)
	a.soon("view of def*", pods, 200)
	if got := a.status(http.MethodGet, "/api/v1/namespaces/kube-system/pods", ""); got != 403 {
		t.Errorf("another namespace is answered %d", got)
	}
	if got := a.status(http.MethodGet, "/api/v1/namespaces/default/secrets", ""); got != 403 {
		t.Errorf("secrets are answered %d", got)
	}
	e.Policies = nil
	w.entry(e)
	a.soon("the policy is taken away", pods, 403)
	w.update(func(tx *store.Tx) { tx.AccessEntries.Delete(resource.AccessEntryKey(arnC1, alice.ARN)) })
	a.soon("the entry is deleted", pods, 401)

	w.entry(resource.AccessEntry{Principal: nodes.ARN, PrincipalID: nodes.ID, Type: "EC2_LINUX"})
	const self = "ip-10-0-1-2.us-west-2.compute.internal"
	n := token(w.assume(nodes, "i-0123456789abcdef0"))
	node := func(name string) string {
		return fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":%q}}`, name)
	}
	if got := n.status(http.MethodPost, "/api/v1/nodes", node(self)); got != 201 {
		t.Errorf("a node that registers itself is answered %d; %s", got, w.log)
	}
	if got := n.status(http.MethodPost, "/api/v1/nodes", node("another")); got != 403 {
		t.Errorf("a node that registers another one is answered %d", got)
	}

	// What Auto Mode's policy gives its nodes over others, and not a thing more.
	const policies, all = "/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/secrets"
	if got := n.status(http.MethodGet, policies, ""); got != 403 {
		t.Errorf("a node of EC2_LINUX that lists network policies is answered %d", got)
	}
	auto := resource.AccessEntry{Principal: nodes.ARN, PrincipalID: nodes.ID, Type: "EC2", Policies: []resource.AssociatedPolicy{
		{PolicyARN: policyARN + "AmazonEKSAutoNodePolicy", ScopeType: "cluster"},
	}}
	w.entry(auto)
	n.soon("Auto Mode's policy", policies, 200)
	if got := n.status(http.MethodGet, all, ""); got != 403 {
		t.Errorf("an Auto Mode node that lists secrets is answered %d", got)
	}
	auto.Policies = nil
	w.entry(auto)
	n.soon("Auto Mode's policy is taken away", policies, 403)
}
