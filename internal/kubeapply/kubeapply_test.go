package kubeapply

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// objects are a workload and what it needs, the workload in the middle.
func objects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for doc := range strings.SplitSeq(`
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: aws-node, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: coredns}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
`, "---") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

// A server records what Apply sends, and refuses as it is told to.
type server struct {
	mu     sync.Mutex
	paths  []string
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
	objs := objects(t)
	if err := Apply(t.Context(), c, objs, true); err != nil {
		t.Fatal(err)
	}
	if len(s.paths) != len(objs) {
		t.Errorf("%d requests for %d objects", len(s.paths), len(objs))
	}
	for i, p := range s.paths {
		if workload := strings.Contains(p, "/apis/apps/"); workload != (i >= len(objs)-2) {
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
	objs := objects(t)
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
	err := Apply(t.Context(), c, objects(t), false)
	if err == nil || !strings.Contains(err.Error(), "ConfigMap coredns") || !apierrors.IsConflict(err) {
		t.Errorf("err = %v", err)
	}
	for _, p := range s.paths {
		if strings.Contains(p, "/deployments/") {
			t.Error("the Deployment was applied though its configuration was not")
		}
	}
}

// A field's path leads to what is taken out, whatever its names and keys hold.
func TestLeave(t *testing.T) {
	const before = `
metadata: {annotations: {a.b/c: "1", d: "2"}}
data: {my.key: x, other: y}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - name: a
        image: i
        env: [{name: A.B, value: "1"}, {name: C, value: "2"}]
        ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53, protocol: TCP}]
      - {name: b, image: j}
  finalizers: [one, two]
`
	for path, want := range map[string]string{
		`.spec.replicas`:                                                 "  replicas: 2\n",
		`.data.my.key`:                                                   "my.key: x, ",
		`.metadata.annotations.d`:                                        ", d: \"2\"",
		`.metadata.annotations.a.b/c`:                                    "a.b/c: \"1\", ",
		`.spec.template.spec.containers[name="b"]`:                       "      - {name: b, image: j}\n",
		`.spec.template.spec.containers[name="a"].image`:                 "        image: i\n",
		`.spec.template.spec.containers[name="a"].env[name="A.B"].value`: ", value: \"1\"",
		`.spec.template.spec.containers[name="a"].ports[containerPort=53,protocol="TCP"]`: ", {containerPort: 53, protocol: TCP}",
		`.spec.finalizers[="two"]`:      ", two",
		`.spec.nothing[name="x"].there`: "",
	} {
		u, w := &unstructured.Unstructured{}, map[string]any{}
		if err := yaml.Unmarshal([]byte(before), &u.Object); err != nil {
			t.Fatal(err)
		}
		if strings.Count(before, want) != 1 && want != "" {
			t.Fatalf("%q is not once in the object", want)
		}
		if err := yaml.Unmarshal([]byte(strings.Replace(before, want, "", 1)), &w); err != nil {
			t.Fatal(err)
		}
		whole := u.DeepCopy()
		got := Leave([]*unstructured.Unstructured{u}, []Conflict{{Object: u, Field: path}})
		if d := cmp.Diff(w, got[0].Object); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
		if d := cmp.Diff(whole, u); d != "" {
			t.Errorf("%s changed the object itself:\n%s", path, d)
		}
	}
}
