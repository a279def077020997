package addon

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the goldens")

func values() Values {
	return Values{
		ClusterName: "c1", Region: "eu-west-1", Endpoint: "https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
		DNSIP: "172.20.0.10", AWSEndpointURL: "http://198.18.0.1",
		WebhookURL: "https://127.0.0.1:23443", WebhookCA: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	}
}

func catalogue(t *testing.T) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sets are the objects of every folder, as a new cluster of Kubernetes 1.35 gets them.
func sets(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	c := catalogue(t)
	cluster, err := Cluster(values())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*unstructured.Unstructured{"cluster": cluster}
	for _, a := range c.All() {
		v, ok := a.DefaultVersion("1.35")
		if !ok {
			t.Fatalf("%s has no version for Kubernetes 1.35", a.Name)
		}
		if out[a.Name], err = c.Render(values(), Installation{Name: a.Name, Version: v.Version}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestRenderGolden(t *testing.T) {
	for name, objects := range sets(t) {
		var got bytes.Buffer
		for _, u := range objects {
			b, err := yaml.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			got.WriteString("---\n")
			got.Write(b)
		}
		golden := filepath.Join("testdata", name+".golden")
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
	all := sets(t)
	c := catalogue(t)
	for _, a := range c.All() {
		for _, v := range a.Versions {
			objects, err := c.Render(values(), Installation{Name: a.Name, Version: v.Version})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range objects {
				u.SetName(u.GetName() + "-of-" + v.Version)
			}
			all[a.Name+" "+v.Version] = objects
		}
	}
	for name, objects := range all {
		for _, u := range objects {
			b, err := u.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			id := u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
			if seen[id] {
				t.Errorf("%s is there twice", id)
			}
			seen[id] = true
			if u.GetKind() == "APIService" {
				continue // its types are another module's
			}
			if _, _, err := strict.Decode(b, nil, nil); err != nil {
				t.Errorf("%s of %s: %v", id, name, err)
			}
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	c := catalogue(t)
	dns := Installation{Name: "coredns", Version: "v1.13.2-eksbuild.1"}
	for what, change := range map[string]func(*Values){
		"no name":      func(v *Values) { v.ClusterName = "" },
		"yaml":         func(v *Values) { v.ClusterName = "a\nb: c" },
		"bad address":  func(v *Values) { v.DNSIP = "dns" },
		"bad endpoint": func(v *Values) { v.Endpoint = "host:443" },
	} {
		v := values()
		change(&v)
		if _, err := c.Render(v, dns); err == nil {
			t.Errorf("%s: rendered", what)
		}
	}
	v := values()
	v.WebhookCA = []byte("authority")
	if _, err := Cluster(v); err == nil {
		t.Error("the cluster's objects were rendered without an authority")
	}
	for _, i := range []Installation{{Name: "nothing", Version: "v1.0.0-eksbuild.1"}, {Name: "cluster"}, {Name: "coredns", Version: "v0.0.1-eksbuild.1"}} {
		if _, err := c.Render(values(), i); err == nil {
			t.Errorf("%+v was rendered", i)
		}
	}
}

// Versions of one program differ in their objects, not in their images.
func TestAnotherBuild(t *testing.T) {
	c := catalogue(t)
	for name, program := range map[string]string{"coredns": "v1.13.2", "metrics-server": "v0.9.0"} {
		render := func(build string) []*unstructured.Unstructured {
			out, err := c.Render(values(), Installation{Name: name, Version: program + build})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		before, after := render("-eksbuild.1"), render("-eksbuild.2")
		for i, u := range after {
			if u.GetKind() != "PodDisruptionBudget" {
				continue
			}
			if got := find(t, after, u.GetKind(), "spec", "unhealthyPodEvictionPolicy"); got != "AlwaysAllow" {
				t.Errorf("%s: the policy is %v", name, got)
			}
			unstructured.RemoveNestedField(after[i].Object, "spec", "unhealthyPodEvictionPolicy")
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("%s differs otherwise too (-eksbuild.1 +eksbuild.2):\n%s", name, d)
		}
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

// find digs in a rendered object's fields.
func find(t *testing.T, objects []*unstructured.Unstructured, kind string, path ...string) any {
	t.Helper()
	for _, u := range objects {
		if u.GetKind() == kind {
			v, _, err := unstructured.NestedFieldNoCopy(u.Object, path...)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return nil
}

// What a caller configures is in the objects; what they do not stays the default.
func TestConfigurationHasEffect(t *testing.T) {
	c := catalogue(t)
	corefile := ".:53 {\n    whoami # \"quoted\"\n}\n---\nx: y\n"
	got, err := c.Render(values(), Installation{Name: "coredns", Version: "v1.13.2-eksbuild.1", ServiceRole: "arn:aws:iam::000000000000:role/r", Configuration: `
replicaCount: 5
resources: {limits: {memory: 99Mi}}
podDisruptionBudget: {minAvailable: 50%}
nodeSelector: {disk: ssd}
podLabels: {team: "1"}
tolerations: [{key: mine, operator: Exists}]
corefile: "` + strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(corefile) + `"`})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		kind string
		path []string
		want any
	}{
		{"Deployment", []string{"spec", "replicas"}, int64(5)},
		{"Deployment", []string{"spec", "template", "spec", "nodeSelector"}, map[string]any{"disk": "ssd"}},
		{"Deployment", []string{"spec", "template", "metadata", "labels", "team"}, "1"},
		{"Deployment", []string{"spec", "template", "spec", "tolerations"}, []any{map[string]any{"key": "mine", "operator": "Exists"}}},
		{"PodDisruptionBudget", []string{"spec", "minAvailable"}, "50%"},
		{"PodDisruptionBudget", []string{"spec", "maxUnavailable"}, nil},
		{"ConfigMap", []string{"data", "Corefile"}, corefile},
		{"ServiceAccount", []string{"metadata", "annotations", "eks.amazonaws.com/role-arn"}, "arn:aws:iam::000000000000:role/r"},
	} {
		if d := cmp.Diff(f.want, find(t, got, f.kind, f.path...)); d != "" {
			t.Errorf("%s %v (-want +got):\n%s", f.kind, f.path, d)
		}
	}
	containers := find(t, got, "Deployment", "spec", "template", "spec", "containers").([]any)
	want := map[string]any{"limits": map[string]any{"memory": "99Mi"}, "requests": map[string]any{"cpu": "100m", "memory": "70Mi"}}
	if d := cmp.Diff(want, containers[0].(map[string]any)["resources"]); d != "" {
		t.Errorf("resources (-want +got):\n%s", d)
	}
	got, err = c.Render(values(), Installation{Name: "coredns", Version: "v1.13.2-eksbuild.1", Configuration: `{"podDisruptionBudget":{"enabled":false}}`})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(got, func(u *unstructured.Unstructured) bool { return u.GetKind() == "PodDisruptionBudget" }) {
		t.Error("a disruption budget that is not enabled is there")
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	c := catalogue(t)
	for _, f := range []struct{ addon, text, want string }{
		{"coredns", ``, ""},
		{"coredns", `{}`, ""},
		{"coredns", `{"replicaCount": 3}`, ""},
		{"coredns", "replicaCount: 3\n", ""},
		{"coredns", `{"replicaCount": "3"}`, "$.replicaCount: string found, integer expected"},
		{"coredns", `{"replicas": 3, "what": 1}`, "$.replicas: is not defined in the schema and the schema does not allow additional properties, $.what: is not defined in the schema and the schema does not allow additional properties"},
		{"coredns", `null`, "$: null found, object expected"},
		{"coredns", `{"replicaCount": -1}`, "$.replicaCount: must have a minimum value of 0"},
		{"kube-proxy", `{"mode": "ipvs"}`, "$.mode: does not have a value in the enumeration [nftables]"},
		{"vpc-cni", `{"env": {"WARM_IP_TARGET": "many"}}`, "$.env.WARM_IP_TARGET: does not match the regex pattern ^[0-9]+$"},
		{"metrics-server", `{"tolerations": [{"effect": "No"}]}`, "$.tolerations[0].effect: does not have a value in the enumeration [NoSchedule, PreferNoSchedule, NoExecute]"},
	} {
		a, ok := c.Find(f.addon)
		if !ok {
			t.Fatalf("no %s", f.addon)
		}
		got := ""
		if err := a.CheckConfiguration(f.text); err != nil {
			if _, is := errors.AsType[*ConfigurationError](err); !is {
				t.Errorf("%s %s: a %T", f.addon, f.text, err)
			}
			got = err.Error()
		}
		if got != f.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", f.addon, f.text, got, f.want)
		}
	}
	a, _ := c.Find("coredns")
	if err := a.CheckConfiguration("{a: b"); !errors.Is(err, ErrNotParseable) {
		t.Errorf("half a map: %v", err)
	}
}

// What the catalogue names is what the payload holds.
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
		minor := filepath.Base(filepath.Dir(file))
		for _, a := range catalogue(t).All() {
			v, ok := a.DefaultVersion(minor)
			if !ok {
				t.Errorf("%s has no version for Kubernetes %s", a.Name, minor)
				continue
			}
			for _, name := range a.images(v.Version) {
				if !bytes.Contains(index, []byte(`"`+name+`"`)) {
					t.Errorf("the payload has no image %s", name)
				}
			}
		}
	}
}
