package clusterauth

import (
	authorization "k8s.io/api/authorization/v1"

	"ekster.dev/ekster/internal/accesspolicy"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// authorize allows what an access policy of the user's access entry allows, and has no
// opinion about everything else: RBAC decides that.
func (a *Authenticators) authorize(cluster string, spec authorization.SubjectAccessReviewSpec) authorization.SubjectAccessReviewStatus {
	ids := spec.Extra[extraPrincipalID]
	arns := spec.Extra[extraCanonicalARN]
	if len(ids) != 1 || len(arns) != 1 {
		return authorization.SubjectAccessReviewStatus{} // not one of ours
	}
	var policies []resource.AssociatedPolicy
	err := a.cfg.Store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(cluster)
		if ok && cl.Spec.AuthenticationMode != modeConfigMap {
			policies = associated(tx, cluster, arns[0], ids[0])
		}
		return nil
	})
	if err != nil {
		a.cfg.Log.Error("reading access entries", "cluster", cluster, "err", err)
		return authorization.SubjectAccessReviewStatus{EvaluationError: "internal error"}
	}
	attributes := attributesOf(spec)
	for _, p := range policies {
		if accesspolicy.Allows(p.PolicyARN, accesspolicy.Scope{Type: p.ScopeType, Namespaces: p.Namespaces}, attributes) {
			return authorization.SubjectAccessReviewStatus{Allowed: true, Reason: "EKS access policy: allowed by " + p.PolicyARN}
		}
	}
	return authorization.SubjectAccessReviewStatus{}
}

// associated returns the policies of a principal's access entry.
func associated(tx *store.Tx, cluster, canonical, id string) []resource.AssociatedPolicy {
	if e, ok := entry(tx, cluster, canonical, id); ok {
		return e.Policies
	}
	// A role with a path: its session's ARN does not tell it.
	for _, e := range tx.AccessEntries.All() {
		if e.Cluster == cluster && e.PrincipalID == id && withoutPath(e.Principal) == canonical {
			return e.Policies
		}
	}
	return nil
}

func attributesOf(spec authorization.SubjectAccessReviewSpec) accesspolicy.Attributes {
	if n := spec.NonResourceAttributes; n != nil {
		return accesspolicy.Attributes{NonResource: true, Verb: n.Verb, Path: n.Path}
	}
	r := spec.ResourceAttributes
	if r == nil {
		return accesspolicy.Attributes{}
	}
	return accesspolicy.Attributes{
		Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Name: r.Name, Namespace: r.Namespace,
	}
}
