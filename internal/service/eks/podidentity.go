package eks

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxAssociations is the quota of a cluster.
const maxAssociations = 5000

// CreatePodIdentityAssociation gives a role to the pods of a service account. Neither the
// account, its namespace nor the agent has to be there.
func (s *Service) CreatePodIdentityAssociation(ctx context.Context, call awsapi.Call, in *eks.CreatePodIdentityAssociationInput) (*eks.CreatePodIdentityAssociationOutput, error) {
	want, err := newPodIdentityAssociation(call, in)
	if err != nil {
		return nil, err
	}
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.CreatePodIdentityAssociationOutput, error) {
		c, err := findActiveCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		n := 0
		for prior := range tx.PodIdentityAssociations.Values(func(a resource.PodIdentityAssociation) bool { return a.Cluster == c.ARN }) {
			n++
			switch {
			case want.Token != "" && prior.Token == want.Token:
				if prior.Fingerprint != want.Fingerprint {
					return nil, sub.tokenReused()
				}
				return &eks.CreatePodIdentityAssociationOutput{Association: describePodIdentity(c, prior)}, nil
			case prior.Is(c.ARN, want.Namespace, want.ServiceAccount):
				return nil, sub.inUse("Association already exists: %s", prior.ID)
			}
		}
		if n >= maxAssociations {
			return nil, sub.limit("You have reached the maximum number of pod identity associations for the cluster: %d", maxAssociations)
		}
		want.Cluster, want.ID = c.ARN, "a-"+awsid.Lower(17)
		want.ARN = arn(call, "podidentityassociation/"+c.Name+"/"+want.ID)
		want.ExternalID = externalID(c, want)
		if err := checkPodRole(tx, policies, c, want); err != nil {
			return nil, err
		}
		tx.PodIdentityAssociations.Put(want.ARN, want)
		return &eks.CreatePodIdentityAssociationOutput{Association: describePodIdentity(c, want)}, nil
	})
}

// DescribePodIdentityAssociation describes an association.
func (s *Service) DescribePodIdentityAssociation(_ context.Context, call awsapi.Call, in *eks.DescribePodIdentityAssociationInput) (*eks.DescribePodIdentityAssociationOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribePodIdentityAssociationOutput, error) {
		c, a, err := findAssociation(tx, call, in.ClusterName, in.AssociationId)
		if err != nil {
			return nil, err
		}
		return &eks.DescribePodIdentityAssociationOutput{Association: describePodIdentity(c, a)}, nil
	})
}

// ListPodIdentityAssociations lists a cluster's associations, perhaps only those of a
// namespace or of service accounts of one name.
func (s *Service) ListPodIdentityAssociations(_ context.Context, call awsapi.Call, in *eks.ListPodIdentityAssociationsInput) (*eks.ListPodIdentityAssociationsOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListPodIdentityAssociationsOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		all := slices.Collect(tx.PodIdentityAssociations.Values(func(a resource.PodIdentityAssociation) bool {
			return a.Cluster == c.ARN && or(in.Namespace, a.Namespace) == a.Namespace && or(in.ServiceAccount, a.ServiceAccount) == a.ServiceAccount
		}))
		key := func(a resource.PodIdentityAssociation) string { return a.ID }
		slices.SortFunc(all, func(a, b resource.PodIdentityAssociation) int { return strings.Compare(key(a), key(b)) })
		all, next, err := pageBy(all, key, strings.Compare, in.NextToken, in.MaxResults)
		if err != nil {
			return nil, err
		}
		out := &eks.ListPodIdentityAssociationsOutput{Associations: []eks.PodIdentityAssociationSummary{}, NextToken: next}
		for _, a := range all {
			out.Associations = append(out.Associations, eks.PodIdentityAssociationSummary{
				ClusterName: new(c.Name), Namespace: new(a.Namespace), ServiceAccount: new(a.ServiceAccount),
				AssociationArn: new(a.ARN), AssociationId: new(a.ID), OwnerArn: optional(a.Owner),
			})
		}
		return out, nil
	})
}

// UpdatePodIdentityAssociation changes the roles and what narrows them. An empty
// targetRoleArn or policy takes it away.
func (s *Service) UpdatePodIdentityAssociation(ctx context.Context, call awsapi.Call, in *eks.UpdatePodIdentityAssociationInput) (*eks.UpdatePodIdentityAssociationOutput, error) {
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.UpdatePodIdentityAssociationOutput, error) {
		c, a, err := findAssociation(tx, call, in.ClusterName, in.AssociationId)
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		if a.Owner != "" {
			return nil, sub.invalidRequest("The pod identity association %s is owned by %s and can be updated through its add-on only", a.ID, a.Owner)
		}
		a.Role, a.TargetRole = or(in.RoleArn, a.Role), or(in.TargetRoleArn, a.TargetRole)
		a.Policy, a.DisableSessionTags = or(in.Policy, a.Policy), or(in.DisableSessionTags, a.DisableSessionTags)
		a.ExternalID, a.Modified = externalID(c, a), moment(call.Time)
		if err := checkAssociation(call, sub, a); err != nil {
			return nil, err
		}
		if err := checkPodRole(tx, policies, c, a); err != nil {
			return nil, err
		}
		tx.PodIdentityAssociations.Put(a.ARN, a)
		return &eks.UpdatePodIdentityAssociationOutput{Association: describePodIdentity(c, a)}, nil
	})
}

// DeletePodIdentityAssociation takes the role from pods to come; credentials that pods
// have last until their end.
func (s *Service) DeletePodIdentityAssociation(ctx context.Context, call awsapi.Call, in *eks.DeletePodIdentityAssociationInput) (*eks.DeletePodIdentityAssociationOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.DeletePodIdentityAssociationOutput, error) {
		c, a, err := findAssociation(tx, call, in.ClusterName, in.AssociationId)
		if err != nil {
			return nil, err
		}
		tx.PodIdentityAssociations.Delete(a.ARN)
		return &eks.DeletePodIdentityAssociationOutput{Association: describePodIdentity(c, a)}, nil
	})
}

func findAssociation(tx *store.Tx, call awsapi.Call, cluster, id *string) (resource.Cluster, resource.PodIdentityAssociation, error) {
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return c, resource.PodIdentityAssociation{}, err
	}
	a, ok := tx.PodIdentityAssociations.Get(arn(call, "podidentityassociation/"+c.Name+"/"+deref(id)))
	if !ok {
		return c, a, subject{cluster: c.Name}.notFound("No association found with id: %s", deref(id))
	}
	return c, a, nil
}

// Patterns as EKS's messages show them.
const (
	namespacePattern      = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	serviceAccountPattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
)

var (
	namespaceName      = regexp.MustCompile(namespacePattern)
	serviceAccountName = regexp.MustCompile(serviceAccountPattern)
	roleARN            = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:role/[\x21-\x7e]+$`)
)

// newPodIdentityAssociation is the association that is asked for, as far as it can be
// checked without looking at records. It is pure.
func newPodIdentityAssociation(call awsapi.Call, in *eks.CreatePodIdentityAssociationInput) (resource.PodIdentityAssociation, error) {
	sub := subject{cluster: deref(in.ClusterName)}
	a := resource.PodIdentityAssociation{
		Namespace: deref(in.Namespace), ServiceAccount: deref(in.ServiceAccount), Role: deref(in.RoleArn), TargetRole: deref(in.TargetRoleArn),
		DisableSessionTags: deref(in.DisableSessionTags), Policy: deref(in.Policy), Tags: in.Tags,
		Created: moment(call.Time), Modified: moment(call.Time), Token: deref(in.ClientRequestToken),
	}
	same := *in
	same.ClientRequestToken = nil
	var err error
	if a.Fingerprint, err = fingerprint(same); err != nil {
		return a, err
	}
	for _, f := range []struct {
		name, value, pattern string
		is                   *regexp.Regexp
		most                 int
	}{
		{"namespace", a.Namespace, namespacePattern, namespaceName, 63},
		{"serviceAccount", a.ServiceAccount, serviceAccountPattern, serviceAccountName, 253},
	} {
		if !f.is.MatchString(f.value) {
			return a, sub.invalidParameter("The parameter %s contains invalid characters. It should conform to the regular expression \"%s\"", f.name, f.pattern)
		}
		if len(f.value) > f.most {
			return a, sub.invalidParameter("The parameter %s is longer than %d characters", f.name, f.most)
		}
	}
	if err := checkAssociation(call, sub, a); err != nil {
		return a, err
	}
	return a, checkTags(sub, in.Tags)
}

// checkAssociation checks what an update may change, without looking at records.
func checkAssociation(call awsapi.Call, sub subject, a resource.PodIdentityAssociation) error {
	if !roleARN.MatchString(a.Role) {
		return sub.invalidParameter("The roleArn %s is not the ARN of a role", a.Role)
	}
	if a.TargetRole != "" && !roleARN.MatchString(a.TargetRole) {
		return sub.invalidParameter("The targetRoleArn %s is not the ARN of a role", a.TargetRole)
	}
	if err := passRole(call, a.Role); err != nil {
		return err
	}
	if a.Policy == "" {
		return nil
	}
	if !a.DisableSessionTags {
		return sub.invalidParameter("When policy is specified, disableSessionTags must be set to true")
	}
	_, err := authz.Parse([]byte(a.Policy), authz.Session)
	if m, ok := errors.AsType[*authz.MalformedError](err); ok {
		return sub.invalidParameter("The policy is malformed: %s", m.Message)
	}
	return err
}

// checkPodRole checks that the role is there and lets EKS Pod Identity have it. The target
// role may be another account's, and is found out about when it is assumed.
func checkPodRole(tx *store.Tx, policies *identity.Policies, c resource.Cluster, a resource.PodIdentityAssociation) error {
	sub := subject{cluster: c.Name}
	role, ok := tx.Roles.Get(a.Role)
	if !ok {
		return sub.invalidParameter("Role provided in the request does not exist: %s", a.Role)
	}
	pod := identity.Pod{Cluster: c, Namespace: a.Namespace, ServiceAccount: a.ServiceAccount}
	tags := pod.Tags()
	if a.DisableSessionTags {
		tags = nil
	}
	may, err := policies.PodsMayAssume(tx, role, pod, tags)
	if err == nil && !may {
		return sub.invalidParameter("Trust policy of role %s does not allow pods.eks.amazonaws.com to perform sts:AssumeRole and sts:TagSession", a.Role)
	}
	return err
}

// externalID is what a target role's trust policy can ask for.
func externalID(c resource.Cluster, a resource.PodIdentityAssociation) string {
	if a.TargetRole == "" {
		return ""
	}
	return strings.Join([]string{c.Region, c.Account, c.Name, a.Namespace, a.ServiceAccount}, "/")
}

func describePodIdentity(c resource.Cluster, a resource.PodIdentityAssociation) *eks.PodIdentityAssociation {
	return &eks.PodIdentityAssociation{
		ClusterName: new(c.Name), Namespace: new(a.Namespace), ServiceAccount: new(a.ServiceAccount), RoleArn: new(a.Role),
		AssociationArn: new(a.ARN), AssociationId: new(a.ID), Tags: tagsOf(a.Tags), CreatedAt: new(a.Created), ModifiedAt: new(a.Modified),
		OwnerArn: optional(a.Owner), DisableSessionTags: new(a.DisableSessionTags), TargetRoleArn: optional(a.TargetRole),
		ExternalId: optional(a.ExternalID), Policy: optional(a.Policy),
	}
}
