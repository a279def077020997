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
	id, arn, accessKey := spec.Extra[extraPrincipalID], spec.Extra[extraCanonicalARN], spec.Extra[extraAccessKeyID]
	if len(id) != 1 || len(arn) != 1 || len(accessKey) != 1 {
		return authorization.SubjectAccessReviewStatus{} // not one of ours
	}
	var policies []resource.AssociatedPolicy
	err := a.cfg.Store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(cluster)
		if ok && cl.Spec.AuthenticationMode != modeConfigMap {
			policies = associated(tx, cluster, arn[0], id[0], accessKey[0])
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

// associated returns the policies of the user's access entry.
func associated(tx *store.Tx, cluster, canonical, id, accessKey string) []resource.AssociatedPolicy {
	e, ok := entry(tx, cluster, canonical, id)
	if !ok {
		// A role with a path: nothing of the user tells the path, but its session.
		s, _ := tx.Sessions.Get(accessKey)
		e, ok = entry(tx, cluster, s.Role, id)
	}
	if !ok {
		return nil
	}
	return e.Policies
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
