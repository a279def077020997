package clusterauth

import (
	"testing"

	authorization "k8s.io/api/authorization/v1"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const policyARN = "arn:aws:eks::aws:cluster-access-policy/"

func TestAccessPolicies(t *testing.T) {
	w := newWorld(t)
	alice, key := w.user("alice")
	e := resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD"}
	w.entry(e)
	u := w.as(key).User
	read := authorization.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: "dev-1"}
	write := authorization.ResourceAttributes{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "dev-1"}
	elsewhere := authorization.ResourceAttributes{Verb: "list", Resource: "pods", Namespace: "kube-system"}
	everywhere := authorization.ResourceAttributes{Verb: "list", Resource: "pods"}
	nodes := authorization.ResourceAttributes{Verb: "get", Resource: "nodes", Name: "n"}
	exec := authorization.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "dev-1", Name: "p"}

	type allowed struct{ read, write, elsewhere, everywhere, nodes, exec, path bool }
	check := func(what string, want allowed) {
		t.Helper()
		got := allowed{
			w.can(u, read).Allowed, w.can(u, write).Allowed, w.can(u, elsewhere).Allowed,
			w.can(u, everywhere).Allowed, w.can(u, nodes).Allowed, w.can(u, exec).Allowed,
			w.review(u, authorization.SubjectAccessReviewSpec{NonResourceAttributes: &authorization.NonResourceAttributes{Verb: "get", Path: "/metrics"}}).Allowed,
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	give := func(p ...resource.AssociatedPolicy) {
		e.Policies = p
		w.entry(e)
	}
	check("no policy", allowed{})
	give(resource.AssociatedPolicy{PolicyARN: policyARN + "AmazonEKSViewPolicy", ScopeType: "cluster"})
	check("view", allowed{read: true, elsewhere: true, everywhere: true})
	give(resource.AssociatedPolicy{PolicyARN: policyARN + "AmazonEKSEditPolicy", ScopeType: "namespace", Namespaces: []string{"dev-*"}})
	check("edit of dev-*", allowed{read: true, write: true, exec: true})
	give(
		resource.AssociatedPolicy{PolicyARN: policyARN + "AmazonEKSEditPolicy", ScopeType: "namespace", Namespaces: []string{"dev-*"}},
		resource.AssociatedPolicy{PolicyARN: policyARN + "AmazonEKSViewPolicy", ScopeType: "cluster"})
	check("both", allowed{read: true, write: true, elsewhere: true, everywhere: true, exec: true})
	admin := resource.AssociatedPolicy{PolicyARN: policyARN + "AmazonEKSClusterAdminPolicy", ScopeType: "cluster"}
	give(admin)
	all := allowed{true, true, true, true, true, true, true}
	check("cluster admin", all)

	w.change(func(c *resource.Cluster) { c.Spec.AuthenticationMode = "CONFIG_MAP" })
	check("mode CONFIG_MAP", allowed{})
	w.change(func(c *resource.Cluster) { c.Spec.AuthenticationMode = "API" })
	check("mode API", all)

	known := u.Extra
	u.Extra = nil
	check("a user who has not come by a token", allowed{})
	u.Extra = known
	e.PrincipalID = "AIDAlater"
	w.entry(e)
	check("the entry is of somebody of the same name", allowed{})
	w.update(func(tx *store.Tx) { tx.AccessEntries.Delete(resource.AccessEntryKey(arnC1, alice.ARN)) })
	check("the entry is deleted", allowed{})
}

// Extras do not tell a role's path; its policies are found all the same, and only its own.
func TestAccessPolicyOfRoleWithPath(t *testing.T) {
	w := newWorld(t)
	plain, deep := w.role("/", "plain"), w.role("/a/b/", "deep")
	for _, r := range []resource.Role{plain, deep} {
		w.entry(resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "STANDARD", Policies: []resource.AssociatedPolicy{
			{PolicyARN: policyARN + "AmazonEKSAdminViewPolicy", ScopeType: "namespace", Namespaces: []string{r.Name}},
		}})
	}
	for _, r := range []resource.Role{plain, deep} {
		u := w.as(w.assume(r, "s")).User
		for _, ns := range []string{"plain", "deep"} {
			got := w.can(u, authorization.ResourceAttributes{Verb: "get", Resource: "secrets", Namespace: ns}).Allowed
			if got != (ns == r.Name) {
				t.Errorf("role %s in namespace %s: allowed %v", r.Name, ns, got)
			}
		}
	}
}
