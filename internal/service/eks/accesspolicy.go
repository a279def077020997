package eks

import (
	"cmp"
	"context"
	"regexp"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/accesspolicy"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	adminPolicy    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	autoNodePolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy"
	scopeCluster   = "cluster"
	scopeNamespace = "namespace"
)

var policyARN = regexp.MustCompile(`^arn:aws:eks::aws:cluster-access-policy/[A-Za-z0-9]+$`)

// AssociateAccessPolicy gives an entry an access policy. Associated again, it gets the
// new scope.
func (s *Service) AssociateAccessPolicy(ctx context.Context, call awsapi.Call, in *eks.AssociateAccessPolicyInput) (*eks.AssociateAccessPolicyOutput, error) {
	sub := subject{cluster: deref(in.ClusterName)}
	policy, err := newAssociation(sub, call, in)
	if err != nil {
		return nil, err
	}
	err = s.changeEntry(ctx, call, in.ClusterName, in.PrincipalArn, func(_ resource.Cluster, e *resource.AccessEntry) error {
		if e.Type != typeStandard && (e.Type != "EC2" || policy.PolicyARN != autoNodePolicy) {
			return sub.invalidRequest("This operation can only be performed on Access Entries with a type of \"STANDARD\"")
		}
		if at := policyAt(*e, policy.PolicyARN); at >= 0 {
			policy.Associated = e.Policies[at].Associated
			e.Policies[at] = policy
		} else {
			e.Policies = append(e.Policies, policy)
		}
		e.Modified = policy.Modified
		return nil
	})
	return &eks.AssociateAccessPolicyOutput{
		ClusterName: in.ClusterName, PrincipalArn: in.PrincipalArn, AssociatedAccessPolicy: new(describeAssociation(policy)),
	}, err
}

// newAssociation is what an AssociateAccessPolicy asks for. It is pure.
func newAssociation(sub subject, call awsapi.Call, in *eks.AssociateAccessPolicyInput) (resource.AssociatedPolicy, error) {
	p := resource.AssociatedPolicy{PolicyARN: deref(in.PolicyArn), Associated: moment(call.Time), Modified: moment(call.Time)}
	if err := checkPolicy(sub, p.PolicyARN); err != nil {
		return p, err
	}
	if known, _ := accesspolicy.Get(p.PolicyARN); known.Reserved {
		return p, sub.invalidParameter("The specified policyArn can only be associated with service-linked roles")
	}
	scope := in.AccessScope
	if scope == nil {
		scope = &eks.AccessScope{}
	}
	p.ScopeType, p.Namespaces = or(scope.Type, scopeCluster), scope.Namespaces
	switch {
	case p.ScopeType == scopeNamespace && len(p.Namespaces) == 0:
		return p, sub.invalidParameter("At least 1 namespace must be provided if the type is set as namespace")
	case p.ScopeType != scopeNamespace && len(p.Namespaces) > 0:
		return p, sub.invalidParameter("accessScope should not include namespaces if the type is not set as namespace")
	}
	return p, nil
}

func checkPolicy(sub subject, arn string) error {
	if !policyARN.MatchString(arn) {
		return sub.invalidParameter("The policyArn parameter format is not valid")
	}
	if p, ok := accesspolicy.Get(arn); !ok || p.Hidden {
		return sub.invalidParameter("The specified policyArn could not be found.")
	}
	return nil
}

// DisassociateAccessPolicy takes an access policy away from an entry.
func (s *Service) DisassociateAccessPolicy(ctx context.Context, call awsapi.Call, in *eks.DisassociateAccessPolicyInput) (*eks.DisassociateAccessPolicyOutput, error) {
	sub := subject{cluster: deref(in.ClusterName)}
	if err := checkPolicy(sub, deref(in.PolicyArn)); err != nil {
		return nil, err
	}
	return &eks.DisassociateAccessPolicyOutput{}, s.changeEntry(ctx, call, in.ClusterName, in.PrincipalArn, func(_ resource.Cluster, e *resource.AccessEntry) error {
		at := policyAt(*e, deref(in.PolicyArn))
		if at < 0 {
			return sub.notFound("The specified policyArn is not associated with the access entry.")
		}
		e.Policies = slices.Delete(e.Policies, at, at+1)
		e.Modified = moment(call.Time)
		return nil
	})
}

// ListAssociatedAccessPolicies lists an entry's policies by their ARNs.
func (s *Service) ListAssociatedAccessPolicies(_ context.Context, call awsapi.Call, in *eks.ListAssociatedAccessPoliciesInput) (*eks.ListAssociatedAccessPoliciesOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListAssociatedAccessPoliciesOutput, error) {
		c, e, err := findAccessEntry(tx, call, in.ClusterName, in.PrincipalArn)
		if err != nil {
			return nil, err
		}
		all := slices.Clone(e.Policies)
		key := func(p resource.AssociatedPolicy) string { return p.PolicyARN }
		slices.SortFunc(all, func(a, b resource.AssociatedPolicy) int { return cmp.Compare(key(a), key(b)) })
		all, next, err := pageBy(all, key, cmp.Compare[string], in.NextToken, in.MaxResults)
		out := &eks.ListAssociatedAccessPoliciesOutput{
			ClusterName: new(c.Name), PrincipalArn: new(e.Principal), NextToken: next, AssociatedAccessPolicies: []eks.AssociatedAccessPolicy{},
		}
		for _, p := range all {
			out.AssociatedAccessPolicies = append(out.AssociatedAccessPolicies, describeAssociation(p))
		}
		return out, err
	})
}

// ListAccessPolicies lists the policies there are.
func (s *Service) ListAccessPolicies(_ context.Context, _ awsapi.Call, in *eks.ListAccessPoliciesInput) (*eks.ListAccessPoliciesOutput, error) {
	all, next, err := pageBy(accesspolicy.List(), func(p accesspolicy.Policy) string { return p.Name }, cmp.Compare[string], in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &eks.ListAccessPoliciesOutput{NextToken: next}
	for _, p := range all {
		out.AccessPolicies = append(out.AccessPolicies, eks.AccessPolicy{Name: new(p.Name), Arn: new(p.ARN)})
	}
	return out, nil
}

func describeAssociation(p resource.AssociatedPolicy) eks.AssociatedAccessPolicy {
	return eks.AssociatedAccessPolicy{
		PolicyArn: new(p.PolicyARN), AccessScope: &eks.AccessScope{Type: new(p.ScopeType), Namespaces: list(p.Namespaces)},
		AssociatedAt: new(p.Associated), ModifiedAt: new(p.Modified),
	}
}
