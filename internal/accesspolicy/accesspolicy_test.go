package accesspolicy

import (
	"slices"
	"strings"
	"testing"
)

func arn(short string) string { return arnPrefix + "AmazonEKS" + short + "Policy" }

func TestAllows(t *testing.T) {
	cluster := Scope{Type: "cluster"}
	in := func(ns ...string) Scope { return Scope{Type: "namespace", Namespaces: ns} }
	// A resource is written group/resource:subresource, with the core group left out.
	ask := func(verb, resource, ns string, name ...string) Attributes {
		a := Attributes{Verb: verb, Namespace: ns}
		if g, r, ok := strings.Cut(resource, "/"); ok {
			a.Group, resource = g, r
		}
		a.Resource, a.Subresource, _ = strings.Cut(resource, ":")
		if len(name) > 0 {
			a.Name = name[0]
		}
		return a
	}
	path := func(verb, p string) Attributes { return Attributes{Verb: verb, Path: p, NonResource: true} }
	const rbac = "rbac.authorization.k8s.io/"
	for _, c := range []struct {
		name   string
		policy string
		scope  Scope
		a      Attributes
		want   bool
	}{
		{"cluster admin, anything", "ClusterAdmin", cluster, ask("delete", "nodes", "", "n"), true},
		{"cluster admin, custom resource", "ClusterAdmin", cluster, ask("create", "example.com/things", "a"), true},
		{"cluster admin, subresource", "ClusterAdmin", cluster, ask("create", "pods:exec", "a", "p"), true},
		{"cluster admin, path", "ClusterAdmin", cluster, path("get", "/metrics"), true},
		{"cluster admin of a namespace", "ClusterAdmin", in("a"), ask("create", rbac+"roles", "a"), true},
		{"cluster admin of a namespace, another", "ClusterAdmin", in("a"), ask("get", "pods", "b", "p"), false},
		{"cluster admin of a namespace, nodes", "ClusterAdmin", in("a"), ask("list", "nodes", ""), false},
		{"cluster admin of a namespace, all namespaces", "ClusterAdmin", in("*"), ask("list", "pods", ""), false},
		{"cluster admin of a namespace, path", "ClusterAdmin", in("*"), path("get", "/healthz"), false},

		{"admin, roles", "Admin", in("a"), ask("create", rbac+"rolebindings", "a"), true},
		{"admin, no role escalation", "Admin", in("a"), ask("bind", rbac+"roles", "a"), false},
		{"admin, cluster roles", "Admin", cluster, ask("get", rbac+"clusterroles", ""), false},
		{"admin, secrets", "Admin", in("a"), ask("get", "secrets", "a", "s"), true},
		{"admin, exec", "Admin", in("a"), ask("create", "pods:exec", "a", "p"), true},
		{"admin, review", "Admin", in("a"), ask("create", "authorization.k8s.io/localsubjectaccessreviews", "a"), true},
		{"admin, own namespace object", "Admin", in("a"), ask("get", "namespaces", "a", "a"), true},
		{"admin, no namespace deletion", "Admin", in("a"), ask("delete", "namespaces", "a", "a"), false},
		{"admin, quotas are read", "Admin", in("a"), ask("get", "resourcequotas", "a", "q"), true},
		{"admin, quotas are not written", "Admin", in("a"), ask("update", "resourcequotas", "a", "q"), false},
		{"admin, no nodes", "Admin", cluster, ask("list", "nodes", ""), false},
		{"admin, no path", "Admin", cluster, path("get", "/metrics"), false},

		{"edit, deployments", "Edit", in("a"), ask("patch", "apps/deployments", "a", "d"), true},
		{"edit, scale", "Edit", in("a"), ask("update", "apps/deployments:scale", "a", "d"), true},
		{"edit, secrets", "Edit", in("a"), ask("create", "secrets", "a"), true},
		{"edit, impersonates service accounts", "Edit", in("a"), ask("impersonate", "serviceaccounts", "a", "s"), true},
		{"edit, no roles", "Edit", in("a"), ask("get", rbac+"roles", "a", "r"), false},
		{"edit, wrong group", "Edit", in("a"), ask("create", "deployments", "a"), false},
		{"edit, no status", "Edit", in("a"), ask("update", "apps/deployments:status", "a", "d"), false},
		{"edit, no eviction", "Edit", in("a"), ask("create", "pods:eviction", "a", "p"), false},

		{"view, pods", "View", in("a"), ask("list", "pods", "a"), true},
		{"view, log", "View", in("a"), ask("get", "pods:log", "a", "p"), true},
		{"view, everywhere", "View", cluster, ask("list", "pods", ""), true},
		{"view, no secrets", "View", cluster, ask("get", "secrets", "a", "s"), false},
		{"view, no exec", "View", cluster, ask("create", "pods:exec", "a", "p"), false},
		{"view, no exec by get", "View", cluster, ask("get", "pods:exec", "a", "p"), false},
		{"view, no roles", "View", cluster, ask("list", rbac+"roles", "a"), false},
		{"view, no change", "View", cluster, ask("delete", "pods", "a", "p"), false},

		{"admin view, secrets", "AdminView", cluster, ask("get", "secrets", "a", "s"), true},
		{"admin view, nodes", "AdminView", cluster, ask("list", "nodes", ""), true},
		{"admin view, custom resources", "AdminView", cluster, ask("watch", "example.com/things", "a"), true},
		{"admin view, no change", "AdminView", cluster, ask("patch", "nodes", "", "n"), false},
		{"admin view, no path", "AdminView", cluster, path("get", "/metrics"), false},

		{"secret reader", "SecretReader", in("a"), ask("get", "secrets", "a", "s"), true},
		{"secret reader, no change", "SecretReader", in("a"), ask("delete", "secrets", "a", "s"), false},
		{"secret reader, nothing else", "SecretReader", in("a"), ask("get", "configmaps", "a", "s"), false},
		{"secret admin", "SecretAdmin", in("a"), ask("delete", "secrets", "a", "s"), true},

		{"hybrid", "Hybrid", cluster, ask("list", "nodes", ""), true},
		{"hybrid, no get", "Hybrid", cluster, ask("get", "nodes", "", "n"), false},
		{"auto node, services", "AutoNode", cluster, ask("watch", "services", ""), true},
		{"auto node, no secrets", "AutoNode", cluster, ask("get", "secrets", "a", "s"), false},
		{"compute cluster, eviction", "ComputeCluster", cluster, ask("create", "pods:eviction", "a", "p"), true},
		{"compute cluster, its own CRD", "ComputeCluster", cluster, ask("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "nodepools.karpenter.sh"), true},
		{"compute cluster, another CRD", "ComputeCluster", cluster, ask("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "things.example.com"), false},
		{"compute, leases", "Compute", in("kube-system"), ask("update", "coordination.k8s.io/leases", "kube-system", "l"), true},
		{"compute, leases elsewhere", "Compute", in("kube-system"), ask("update", "coordination.k8s.io/leases", "a", "l"), false},

		{"wildcard namespace", "View", in("dev-*"), ask("list", "pods", "dev-1"), true},
		{"wildcard namespace, another", "View", in("dev-*"), ask("list", "pods", "prod-1"), false},
		{"wildcard in the middle", "View", in("a-*-z"), ask("list", "pods", "a-b-c-z"), true},
		{"wildcard overlap", "View", in("ab*ba"), ask("list", "pods", "aba"), false},
		{"two wildcards", "View", in("*-x-*"), ask("list", "pods", "a-x-b"), true},
		{"second namespace", "View", in("a", "b"), ask("list", "pods", "b"), true},
		{"no namespaces", "View", in(), ask("list", "pods", "a"), false},
		{"unknown scope", "ClusterAdmin", Scope{Type: "world"}, ask("list", "pods", "a"), false},
		{"unknown policy", "Nope", cluster, ask("list", "pods", "a"), false},
		{"unpublished policy", "PodIdentity", cluster, ask("list", "pods", "a"), false},
		{"ACK, a service's resources", "ACK", cluster, ask("patch", "s3.services.k8s.aws/buckets", "a", "b"), true},
		{"ACK, its own", "ACK", cluster, ask("create", "services.k8s.aws/fieldexports", "a"), true},
		{"ACK, a group that ends alike", "ACK", cluster, ask("patch", "s3-services.k8s.aws/buckets", "a", "b"), false},
		{"ACK, no secrets", "ACK", cluster, ask("get", "secrets", "a", "s"), false},
		{"ACK, no pods", "ACK", cluster, ask("list", "pods", "a"), false},
		{"Argo CD, applications", "ArgoCD", in("argocd"), ask("update", "argoproj.io/applications", "argocd", "x"), true},
		{"Argo CD, applications elsewhere", "ArgoCD", in("argocd"), ask("update", "argoproj.io/applications", "a", "x"), false},
		{"Argo CD, no deployments", "ArgoCD", in("argocd"), ask("create", "apps/deployments", "argocd"), false},
		{"Argo CD cluster, its own CRD", "ArgoCDCluster", cluster, ask("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "appprojects.argoproj.io"), true},
		{"Argo CD cluster, another CRD", "ArgoCDCluster", cluster, ask("patch", "apiextensions.k8s.io/customresourcedefinitions", "", "things.example.com"), false},
		{"Argo CD cluster, discovery", "ArgoCDCluster", cluster, path("get", "/apis/apps/v1"), true},
		{"Argo CD cluster, no read of everything", "ArgoCDCluster", cluster, ask("list", "pods", ""), false},
		{"kro, status of definitions", "KRO", cluster, ask("update", "kro.run/resourcegraphdefinitions:status", "", "x"), true},
		{"kro, instances", "KRO", cluster, ask("create", "kro.run/webapps", "a"), true},
		{"kro, any CRD", "KRO", cluster, ask("update", "apiextensions.k8s.io/customresourcedefinitions", "", "webapps.kro.run"), true},
		{"kro, no deployments", "KRO", cluster, ask("create", "apps/deployments", "a"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Allows(arn(c.policy), c.scope, c.a); got != c.want {
				t.Errorf("%s %+v: %v", c.policy, c.a, got)
			}
		})
	}
}

func TestRuleMatching(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		a    Attributes
		want bool
	}{
		{"any resource's subresource", rule("*", "*/scale", "*"), Attributes{Verb: "get", Resource: "x", Subresource: "scale"}, true},
		{"any resource's subresource, another", rule("*", "*/scale", "*"), Attributes{Verb: "get", Resource: "x", Subresource: "status"}, false},
		{"any resource's subresource, the resource", rule("*", "*/scale", "*"), Attributes{Verb: "get", Resource: "x"}, false},
		{"a subresource star is text", rule("*", "pods/*", "*"), Attributes{Verb: "get", Resource: "pods", Subresource: "log"}, false},
		{"path prefix", paths("/healthz/*", "get"), Attributes{Verb: "get", Path: "/healthz/etcd", NonResource: true}, true},
		{"path prefix, without the slash", paths("/healthz/*", "get"), Attributes{Verb: "get", Path: "/healthz", NonResource: true}, false},
		{"resources are no paths", rule("*", "*", "*"), Attributes{Verb: "get", Path: "/healthz", NonResource: true}, false},
		{"names, and a request without one", named("", "pods", "a", "list"), Attributes{Verb: "list", Resource: "pods"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.rule.allows(&c.a); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestList(t *testing.T) {
	list := List()
	if len(list) != 33 {
		t.Errorf("%d policies, EKS lists 33", len(list))
	}
	if !slices.IsSortedFunc(list, func(a, b Policy) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not in order")
	}
	for _, p := range list {
		got, ok := Get(p.ARN)
		if !ok || got.Name != p.Name || p.ARN != arnPrefix+p.Name {
			t.Errorf("%s is not found by %s", p.Name, p.ARN)
		}
		if p.Unpublished != (len(p.Rules) == 0) || p.Unpublished && p.Reserved {
			t.Errorf("%s has %d rules, unpublished=%v", p.Name, len(p.Rules), p.Unpublished)
		}
	}
	if p, ok := Get(arn("ClusterInsights")); !ok || !p.Hidden || slices.ContainsFunc(list, func(q Policy) bool { return q.Name == p.Name }) {
		t.Error("AmazonEKSClusterInsightsPolicy exists, and is not listed")
	}
}
