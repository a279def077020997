package addon

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the goldens")

var everything = append(All[:], PodIdentityAgent)

func values() Values {
	return Values{
		ClusterName: "c1", Region: "eu-west-1", Endpoint: "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
		DNSIP: "172.20.0.10", AWSEndpointURL: "http://198.18.0.1", Images: PayloadImages("v1.35.4-eks-0123abc"),
		WebhookURL: "https://127.0.0.1:23443", WebhookCA: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	}
}

func render(t *testing.T, names ...string) []*unstructured.Unstructured {
	t.Helper()
	objs, err := Render(values(), names...)
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

func TestRenderGolden(t *testing.T) {
	for _, name := range everything {
		var got bytes.Buffer
		for _, u := range render(t, name) {
			b, err := yaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("---\n")
			got.Write(b)
		}
		golden := filepath.Join("testdata", name+".golden.yaml")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", golden, d)
		}
	}
}

// Every field that the templates write exists in the Kubernetes API.
func TestObjectsAreStrictlyValid(t *testing.T) {
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	seen := map[string]bool{}
	for _, u := range render(t, everything...) {
		b, err := u.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		id := u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		if _, _, err := strict.Decode(b, nil, nil); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if r := resources[u.GroupVersionKind().GroupKind().String()]; r.namespaced != (u.GetNamespace() != "") {
			t.Errorf("%s: namespace %q", id, u.GetNamespace())
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	for what, change := range map[string]func(*Values){
		"no name":      func(v *Values) { v.ClusterName = "" },
		"yaml":         func(v *Values) { v.ClusterName = "a\nb: c" },
		"bad address":  func(v *Values) { v.DNSIP = "dns" },
		"bad endpoint": func(v *Values) { v.Endpoint = "host:443" },
		"no authority": func(v *Values) { v.WebhookCA = []byte("authority") },
	} {
		v := values()
		change(&v)
		if _, err := Render(v, everything...); err == nil {
			t.Errorf("%s: rendered", what)
		}
	}
	if _, err := Render(values(), "nothing"); err == nil {
		t.Error("an unknown add-on was rendered")
	}
}

func TestDNSAddress(t *testing.T) {
	for cidr, want := range map[string]string{"10.100.0.0/16": "10.100.0.10", "172.20.0.0/16": "172.20.0.10", "fd12::/108": "fd12::a"} {
		if got, err := DNSAddress(cidr); err != nil || got != want {
			t.Errorf("DNSAddress(%s) = %s, %v", cidr, got, err)
		}
	}
	if _, err := DNSAddress("10.0.0.0/30"); err == nil {
		t.Error("a network of four addresses has a tenth")
	}
}

// A server records what Apply sends, and refuses as it is told to.
type server struct {
	mu     sync.Mutex
	paths  []string
	bodies map[string]map[string]any
	refuse func(path string, nth int) (status int, body string)
	count  map[string]int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, _ := io.ReadAll(r.Body)
	path := r.Method + " " + r.URL.RequestURI()
	s.count[path]++
	w.Header().Set("Content-Type", "application/json")
	if s.refuse != nil {
		if status, body := s.refuse(path, s.count[path]); status != 0 {
			w.WriteHeader(status)
			io.WriteString(w, body)
			return
		}
	}
	s.paths = append(s.paths, path)
	if r.Method == http.MethodPatch {
		var obj map[string]any
		if r.Header.Get("Content-Type") != "application/apply-patch+yaml" || json.Unmarshal(b, &obj) != nil {
			w.WriteHeader(http.StatusUnsupportedMediaType)
			return
		}
		w.Write(b)
		return
	}
	io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
}

func start(t *testing.T) (*server, dynamic.Interface) {
	t.Helper()
	s := &server{count: map[string]int{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := dynamic.NewForConfig(&rest.Config{Host: h.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestApplyThenDelete(t *testing.T) {
	s, c := start(t)
	objs := render(t, everything...)
	if err := Apply(t.Context(), c, objs, true); err != nil {
		t.Fatal(err)
	}
	if len(s.paths) != len(objs) {
		t.Errorf("%d requests for %d objects", len(s.paths), len(objs))
	}
	for i, p := range s.paths {
		if workload := strings.Contains(p, "/apis/apps/"); workload != (i >= len(objs)-3) {
			t.Errorf("request %d of %d is %s: workloads come last", i+1, len(objs), p)
		}
		if !strings.HasSuffix(p, "?fieldManager=eks&force=true") {
			t.Errorf("request %s: not as eks, with force", p)
		}
	}
	if s.count["PATCH /apis/apps/v1/namespaces/kube-system/daemonsets/aws-node?fieldManager=eks&force=true"] != 1 {
		t.Errorf("no aws-node among %v", s.paths)
	}
	s.paths = nil
	s.refuse = func(p string, _ int) (int, string) {
		if strings.Contains(p, "/serviceaccounts/") {
			return 404, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"details":{"kind":"serviceaccounts"}}`
		}
		return 0, ""
	}
	if err := Delete(t.Context(), c, objs); err != nil {
		t.Fatal(err)
	}
	if len(s.paths) == 0 || !strings.Contains(s.paths[0], "DELETE /apis/apps/") {
		t.Errorf("deleted %v: workloads go first", s.paths)
	}
}

func TestApplyWaitsForTheNamespace(t *testing.T) {
	s, c := start(t)
	s.refuse = func(p string, nth int) (int, string) {
		if strings.Contains(p, "/namespaces/kube-system/") && nth < 3 {
			return 404, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"namespaces \"kube-system\" not found","reason":"NotFound","code":404,"details":{"name":"kube-system","kind":"namespaces"}}`
		}
		return 0, ""
	}
	objs := render(t, CoreDNS)
	if err := Apply(t.Context(), c, objs, false); err != nil {
		t.Fatal(err)
	}
	if len(s.paths) != len(objs) {
		t.Errorf("applied %d of %d", len(s.paths), len(objs))
	}
}

func TestApplyTellsOfConflicts(t *testing.T) {
	s, c := start(t)
	s.refuse = func(p string, _ int) (int, string) {
		if strings.Contains(p, "/configmaps/coredns") {
			return 409, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Apply failed with 1 conflict","reason":"Conflict","code":409}`
		}
		return 0, ""
	}
	err := Apply(t.Context(), c, render(t, CoreDNS), false)
	if err == nil || !strings.Contains(err.Error(), "ConfigMap coredns") || !apierrors.IsConflict(err) {
		t.Errorf("err = %v", err)
	}
	for _, p := range s.paths {
		if strings.Contains(p, "/deployments/") {
			t.Error("the Deployment was applied though its configuration was not")
		}
	}
}

// What PayloadImages names is what the payload holds.
func TestPayloadHoldsTheImages(t *testing.T) {
	const payload = "../../bin/payload"
	index, err := os.ReadFile(payload + "/images/index.json")
	versions, globErr := filepath.Glob(payload + "/kubernetes/*/version")
	if err != nil || globErr != nil || len(versions) == 0 {
		if testing.Short() {
			t.Skip("the payload is not built")
		}
		t.Fatalf("the payload is not built (hack/build-payload.sh, hack/build-images.sh): %v", err)
	}
	for _, file := range versions {
		version, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		images := PayloadImages(strings.TrimSpace(string(version)))
		for _, name := range []string{images.VPCCNI, images.KubeProxy, images.CoreDNS} {
			if !bytes.Contains(index, []byte(`"`+name+`"`)) {
				t.Errorf("the payload has no image %s", name)
			}
		}
	}
}
