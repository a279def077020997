package internal_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// data are packages that hold tables and pure functions. They import nothing of ours,
// and everybody may use them.
var data = []string{
	"internal/accesspolicy", "internal/addon", "internal/ami", "internal/authz", "internal/awsid", "internal/eksversion", "internal/eventpattern",
	"internal/iampolicy", "internal/insight", "internal/instancetype", "internal/nodeconfig", "internal/recurrence", "internal/region",
}

// host are the packages that touch the machine. They take plain values.
var host = []string{
	"internal/controlplane", "internal/durable", "internal/image", "internal/imds", "internal/kubeapply", "internal/machine", "internal/machine/spec",
	"internal/network", "internal/pki", "internal/process", "internal/resolver",
}

// layers says which packages of this module a package may import. A name that ends
// in /* stands for each package of that folder, and * on the right for the same package.
// A package that no row names is an error: whoever adds one says here what it is.
var layers = map[string][]string{
	// Programs.
	"cmd/ekster":          {"internal/cli"},
	"cmd/machine-init":    {"internal/machine/spec", "internal/nodeconfig"},
	"cmd/machine-sshd":    {},
	"cmd/vpc-cni":         {"internal/vpccni"},
	"hack/awsgen":         {},
	"hack/build-images":   {"internal/image"},
	"hack/build-vpc-cni":  {"internal/image"},
	"images/hello":        {},
	"images/aws-identity": {}, "cmd/eks-pod-identity-agent": {},

	// The half that answers requests.
	"gen/*":                 {"internal/awsapi", "internal/awsapi/schema"},
	"internal/awsapi":       {"internal/awsapi/*"},
	"internal/awsapi/*":     {"internal/awsapi/schema"},
	"internal/service/*":    append([]string{"gen/*", "internal/awsapi", "internal/eventbus", "internal/provision", "internal/identity", "internal/resource", "internal/store"}, data...),
	"internal/identity":     append([]string{"gen/*", "internal/awsapi", "internal/resource", "internal/store"}, data...),
	"internal/provision":    append([]string{"gen/ec2", "internal/awsapi", "internal/resource", "internal/store"}, data...),
	"internal/admission":    {},
	"internal/eventbus":     {"internal/authz", "internal/awsid", "internal/eventpattern", "internal/resource", "internal/store"},
	"internal/podidentity":  {"internal/admission", "internal/resource", "internal/store"},
	"internal/zonalshift":   {"internal/admission", "internal/resource", "internal/store"},
	"internal/clusterauth":  append([]string{"internal/awsapi", "internal/identity", "internal/resource", "internal/store"}, data...),
	"internal/identity/*":   {"internal/awsapi", "internal/identity", "internal/region", "internal/resource", "internal/store"},
	"internal/accesspolicy": {}, "internal/ami": {}, "internal/authz": {}, "internal/awsid": {}, "internal/eksversion": {}, "internal/eventpattern": {}, "internal/iampolicy": {},
	"internal/insight": {}, "internal/instancetype": {}, "internal/nodeconfig": {}, "internal/recurrence": {}, "internal/region": {},

	// Where the halves meet.
	"internal/resource": {},
	"internal/store":    {"internal/resource"},

	// The half that touches the host.
	"internal/reconcile":      {"internal/store"},
	"internal/reconcile/*":    {},
	"internal/controller/*":   slices.Concat([]string{"internal/provision", "internal/reconcile", "internal/resource", "internal/store"}, host, data),
	"internal/controlplane":   {"internal/durable", "internal/pki", "internal/process"},
	"internal/controlplane/*": {"internal/pki", "internal/process"},
	"internal/kubeapply/*":    {},
	"internal/durable":        {},
	"internal/machine":        {"internal/durable", "internal/machine/spec", "internal/process"},
	"internal/machine/spec":   {"internal/durable"},
	"internal/addon":          {}, "internal/kubeapply": {}, "internal/image": {}, "internal/imds": {}, "internal/network": {}, "internal/pki": {"internal/durable"}, "internal/process": {"internal/durable"},
	"internal/resolver": {}, "internal/vpccni": {},

	"internal/lifecycle": {}, // only a test, of everything above

	// Who knows everybody.
	"internal/daemon": {"gen/...", "internal/..."},
	"internal/cli":    slices.Concat([]string{"internal/daemon"}, host, data),
}

// exceptions are imports that the rows above do not allow and that have a reason.
// The list may only shrink.
var exceptions = map[string]string{
	"internal/controller/nodegroup gen/ec2": "a launch template's content is kept as the shape that RunInstances merges it as",
	"internal/service/eks gen/ec2":          "it merges a launch template's content, which is kept as that shape",
}

// testsMayImport are what tests use besides: the packages under which they run the one tested.
// Every test may import its own package, gen, and package identitytest.
var testsMayImport = map[string][]string{
	"internal/awsapi/wire":                 {"internal/awsapi"},
	"internal/ami":                         {"internal/region"},
	"internal/clusterauth":                 {"internal/controlplane", "internal/process"},                                // asked by a real API server
	"internal/iampolicy":                   {"internal/authz"},                                                           // every document must parse
	"internal/machine":                     {"internal/imds"},                                                            // a machine boots from it
	"internal/controller/nodegroup":        {"internal/controller/autoscalinggroup", "internal/reconcile/reconciletest"}, // it rolls nodes through a real group
	"internal/controller/*":                {"internal/reconcile/reconciletest", "internal/kubeapply/kubeapplytest"},
	"internal/controller/autoscalinggroup": {"internal/awsapi", "internal/reconcile/reconciletest", "internal/service/autoscaling"}, // it is tried through its API
	"internal/service/iam":                 {"internal/awsapi/schema", "internal/service/*"},                                        // it walks all operations, and fills inputs by the model
	"internal/service/*":                   {"internal/service/*"},                                                                  // services are tested through the front door, together
	"internal/lifecycle":                   {"internal/..."},                                                                        // it puts everything but the host together, as internal/daemon does
}

// owners are packages that alone may import what stands for a technology.
var owners = map[string][]string{
	"go.etcd.io/etcd":                        {"internal/store"},
	"github.com/spf13/cobra":                 {"internal/cli"},
	"github.com/vishvananda":                 {"internal/network", "internal/vpccni"},
	"github.com/google/nftables":             {"internal/network", "internal/vpccni"},
	"github.com/google/go-containerregistry": {"internal/image"},
	"github.com/miekg/dns":                   {"internal/resolver"},
	"github.com/robfig/cron":                 {"internal/recurrence"},
	"k8s.io/client-go":                       {"internal/cli", "internal/controller/*", "internal/controlplane", "internal/daemon", "internal/kubeapply"},
	"github.com/aws/aws-sdk-go-v2":           {"cmd/machine-init", "internal/cli", "internal/identity/identitytest", "internal/vpccni"},
}

// off are packages of the standard library that a layer has no business with: a service
// that opens a file or a socket has stopped being testable without a host, and a
// controller that speaks HTTP has stopped being a reader of records.
var off = map[string][]string{
	"internal/service/*":    {"net", "os", "os/exec", "syscall"},
	"internal/controller/*": {"os/exec"},
	"internal/provision":    {"net", "os", "os/exec", "syscall"},
	"internal/authz":        {"net", "os", "os/exec", "syscall"},
	"internal/resource":     {"net", "os", "os/exec", "syscall"},
}

// matches says whether pkg is meant by pattern.
func matches(pattern, pkg string) bool {
	if folder, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(pkg, folder)
	}
	folder, ok := strings.CutSuffix(pattern, "*")
	if !ok {
		return pattern == pkg
	}
	rest, ok := strings.CutPrefix(pkg, folder)
	return ok && rest != "" && !strings.Contains(rest, "/")
}

// row is the key of table that names pkg, an exact one before a folder's; "" if none does.
func row[V any](table map[string]V, pkg string) string {
	if _, ok := table[pkg]; ok {
		return pkg
	}
	for pattern := range table {
		if matches(pattern, pkg) {
			return pattern
		}
	}
	return ""
}

// mayImport says whether the row pattern → allowed lets pkg import target.
func mayImport(pattern string, allowed []string, pkg, target string) bool {
	name := strings.TrimPrefix(pkg, strings.TrimSuffix(pattern, "*"))
	return slices.ContainsFunc(allowed, func(a string) bool {
		if a == "gen/*" && strings.HasPrefix(pattern, "internal/service/") {
			a = "gen/" + name // a service has one API
		}
		return matches(a, target)
	})
}

func TestLayers(t *testing.T) {
	rows, excused := map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if f.nested || f.dir == "internal" || strings.HasPrefix(f.dir, "test/") || f.dir == "test" || f.dir == "bench" {
			continue
		}
		pattern := row(layers, f.dir)
		if pattern == "" {
			t.Errorf("%s: the table of layers does not know package %s", f.name, f.dir)
			continue
		}
		rows[pattern] = true
		for _, path := range f.imports() {
			target, ours := strings.CutPrefix(path, module)
			if !ours || mayImport(pattern, layers[pattern], f.dir, target) {
				continue
			}
			if f.test {
				extra := row(testsMayImport, f.dir)
				if target == f.dir || matches("gen/*", target) || target == "internal/identity/identitytest" ||
					matches("internal/resource", target) || mayImport(extra, testsMayImport[extra], f.dir, target) {
					continue
				}
			}
			if key := f.dir + " " + target; exceptions[key] != "" && !f.test {
				excused[key] = true
				continue
			}
			t.Errorf("%s: %s may not import %s", f.name, f.dir, target)
		}
	}
	for pattern := range layers {
		if !rows[pattern] {
			t.Errorf("the table of layers names %s, which does not exist", pattern)
		}
	}
	for key := range exceptions {
		if !excused[key] {
			t.Errorf("the exception %q is not needed any more: remove it", key)
		}
	}
}

func TestTechnologiesHaveOneOwner(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.nested || f.test {
			continue
		}
		layer := row(off, f.dir)
		for _, path := range f.imports() {
			for technology, who := range owners {
				if strings.HasPrefix(path, technology) && strings.HasPrefix(f.dir, "internal/") &&
					!slices.ContainsFunc(who, func(p string) bool { return matches(p, f.dir) }) {
					t.Errorf("%s: %s may not import %s: %v do", f.name, f.dir, path, who)
				}
			}
			if slices.Contains(off[layer], path) {
				t.Errorf("%s: %s may not import %s", f.name, f.dir, path)
			}
		}
	}
}

// The table itself keeps ARCHITECTURE's rules, whoever edits it.
func TestTableKeepsTheRules(t *testing.T) {
	never := func(from, to string) {
		t.Helper()
		for _, pattern := range slices.Sorted(maps.Keys(layers)) {
			if !matches(from, strings.Replace(pattern, "*", "x", 1)) {
				continue
			}
			for _, a := range layers[pattern] {
				if matches(to, strings.Replace(a, "*", "x", 1)) {
					t.Errorf("%s must never import %s", pattern, a)
				}
			}
		}
	}
	for _, other := range append([]string{"internal/service/*", "internal/controller/*", "internal/daemon", "internal/cli", "internal/reconcile"}, host...) {
		never("internal/service/*", other)
	}
	for _, other := range []string{"internal/service/*", "internal/controller/*", "internal/daemon", "internal/cli", "gen/*"} {
		never("internal/controller/*", other)
	}
	for _, h := range append([]string{"internal/vpccni", "internal/addon"}, host...) {
		for _, other := range []string{"internal/store", "internal/resource", "internal/awsapi", "internal/awsapi/*", "gen/*", "internal/provision", "internal/identity", "internal/daemon"} {
			never(h, other)
		}
	}
}
