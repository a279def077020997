package identity

import (
	"fmt"
	"maps"
	"slices"

	"ekster.dev/ekster/gen/eksauth"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// podService is who assumes the roles of pods.
const podService = "pods.eks.amazonaws.com"

var eksAuthRules = rules{
	"AssumeRoleForPodIdentity": on(func(s scope, in *eksauth.AssumeRoleForPodIdentityInput) []string {
		return []string{s.arn("eks", "cluster/"+deref(in.ClusterName))}
	}),
}

// A Pod is whom EKS Auth makes a session for. Name and UID are empty where an association
// is made, which is of no certain pod.
type Pod struct {
	Cluster                   resource.Cluster
	Namespace, ServiceAccount string
	Name, UID                 string
}

// Tags are the session tags of a pod, all of them transitive.
func (p Pod) Tags() resource.Tags {
	tags := resource.Tags{
		"eks-cluster-arn": p.Cluster.ARN, "eks-cluster-name": p.Cluster.Name,
		"kubernetes-namespace": p.Namespace, "kubernetes-service-account": p.ServiceAccount,
	}
	if p.Name != "" {
		tags["kubernetes-pod-name"], tags["kubernetes-pod-uid"] = p.Name, p.UID
	}
	return tags
}

// PodsMayAssume says whether a role's trust policy lets EKS Pod Identity assume it for a
// pod, with these session tags; none are those of an association that disables them.
func (p *Policies) PodsMayAssume(tx *store.Tx, role resource.Role, pod Pod, tags resource.Tags) (bool, error) {
	trust, err := p.Compile(Trust(tx, role), authz.Trust)
	if err != nil {
		return false, fmt.Errorf("trust policy of %s: %w", role.ARN, err)
	}
	who := authz.Principal{Type: authz.Service, Provider: podService}
	keys := who.Context()
	keys["aws:SourceAccount"] = []string{pod.Cluster.Account}
	keys["aws:SourceArn"] = []string{pod.Cluster.ARN}
	g := Grant{Tags: tags, Transitive: slices.Sorted(maps.Keys(tags))}
	maps.Copy(keys, g.Keys(role))
	for _, action := range g.Actions("sts:AssumeRole") {
		d := authz.Evaluate(authz.Inputs{Resource: trust, ResourceRequired: true}, authz.Request{
			Principal: who, Action: action, Resources: []string{role.ARN}, ResourceAccount: role.Account, Context: keys,
		})
		if !d.Allowed {
			return false, nil
		}
	}
	return true, nil
}

// SessionMayAssume says whether a session of one role may assume another one, its own
// policies and the other's trust policy taken together. The grant has inherited what the
// session hands on.
func (p *Policies) SessionMayAssume(tx *store.Tx, session resource.Session, target resource.Role, g Grant, externalID string) (bool, error) {
	caller := awsapi.Principal{
		ARN: session.Principal, Account: session.Account, ID: session.PrincipalID, Type: awsapi.TypeAssumedRole, RoleARN: session.Role,
		SessionName: session.Name, SessionPolicies: session.Policies, SessionTags: session.Tags,
	}
	in, tags, err := p.Of(tx, caller)
	if err != nil {
		return false, err
	}
	if in.Resource, err = p.Compile(Trust(tx, target), authz.Trust); err != nil {
		return false, fmt.Errorf("trust policy of %s: %w", target.ARN, err)
	}
	in.ResourceRequired = true
	who := Caller(caller)
	keys := who.Context()
	maps.Copy(keys, tags)
	maps.Copy(keys, g.Keys(target))
	keys["sts:ExternalId"] = []string{externalID}
	for _, action := range g.Actions("sts:AssumeRole") {
		d := authz.Evaluate(in, authz.Request{
			Principal: who, Action: action, Resources: []string{target.ARN}, ResourceAccount: target.Account, Context: keys,
		})
		if !d.Allowed {
			return false, nil
		}
	}
	return true, nil
}
