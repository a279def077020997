package eks

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxAccessEntries is the quota of a cluster.
const maxAccessEntries = 3000

// CreateAccessEntry lets a principal into a cluster. What can be checked without the
// cluster is checked first, as on EKS.
func (s *Service) CreateAccessEntry(ctx context.Context, call awsapi.Call, in *eks.CreateAccessEntryInput) (*eks.CreateAccessEntryOutput, error) {
	want, err := newAccessEntry(call, in)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.CreateAccessEntryOutput, error) {
		c, err := findActiveCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		if err := checkMode(sub, c); err != nil {
			return nil, err
		}
		key := resource.AccessEntryKey(c.ARN, want.Principal)
		if prior, ok := tx.AccessEntries.Get(key); ok {
			switch {
			case want.Token == "" || prior.Token != want.Token:
				return nil, sub.inUse("The specified access entry resource is already in use on this cluster.")
			case prior.Fingerprint != want.Fingerprint:
				return nil, sub.tokenReused()
			}
			return &eks.CreateAccessEntryOutput{AccessEntry: describeAccessEntry(c, prior)}, nil
		}
		id, kind, name, ok := principalOf(tx, want.Principal)
		if !ok {
			return nil, invalidPrincipal(sub)
		}
		if n := count(tx.AccessEntries.Values(func(e resource.AccessEntry) bool { return e.Cluster == c.ARN })); n >= maxAccessEntries {
			return nil, sub.limit("You have reached the maximum number of access entries for the cluster: %d", maxAccessEntries)
		}
		want.Cluster, want.PrincipalID, want.ARN = c.ARN, id, accessEntryARN(call, c.Name, kind, want.Principal, name)
		if want.Username == "" {
			want.Username = defaultUsername(kind, want.Principal, name)
		}
		tx.AccessEntries.Put(key, want)
		return &eks.CreateAccessEntryOutput{AccessEntry: describeAccessEntry(c, want)}, nil
	})
}

// DescribeAccessEntry describes a principal's entry.
func (s *Service) DescribeAccessEntry(_ context.Context, call awsapi.Call, in *eks.DescribeAccessEntryInput) (*eks.DescribeAccessEntryOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeAccessEntryOutput, error) {
		c, e, err := findAccessEntry(tx, call, in.ClusterName, in.PrincipalArn)
		if err != nil {
			return nil, err
		}
		return &eks.DescribeAccessEntryOutput{AccessEntry: describeAccessEntry(c, e)}, nil
	})
}

// ListAccessEntries lists principals, perhaps only those that have a policy.
func (s *Service) ListAccessEntries(_ context.Context, call awsapi.Call, in *eks.ListAccessEntriesInput) (*eks.ListAccessEntriesOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListAccessEntriesOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		if err := checkMode(subject{cluster: c.Name}, c); err != nil {
			return nil, err
		}
		var principals []string
		for e := range tx.AccessEntries.Values(func(e resource.AccessEntry) bool { return e.Cluster == c.ARN }) {
			if in.AssociatedPolicyArn == nil || policyAt(e, *in.AssociatedPolicyArn) >= 0 {
				principals = append(principals, e.Principal)
			}
		}
		slices.Sort(principals)
		principals, next, err := page(principals, in.NextToken, in.MaxResults)
		return &eks.ListAccessEntriesOutput{AccessEntries: principals, NextToken: next}, err
	})
}

// UpdateAccessEntry replaces the groups or the name of the Kubernetes user; what is not
// given stays.
func (s *Service) UpdateAccessEntry(ctx context.Context, call awsapi.Call, in *eks.UpdateAccessEntryInput) (*eks.UpdateAccessEntryOutput, error) {
	sub := subject{cluster: deref(in.ClusterName)}
	if err := checkMapping(sub, typeStandard, in.KubernetesGroups, deref(in.Username)); err != nil {
		return nil, err
	}
	var out eks.UpdateAccessEntryOutput
	err := s.changeEntry(ctx, call, in.ClusterName, in.PrincipalArn, func(c resource.Cluster, e *resource.AccessEntry) error {
		if err := checkMapping(sub, e.Type, in.KubernetesGroups, deref(in.Username)); err != nil {
			return err
		}
		if in.KubernetesGroups != nil {
			e.Groups = in.KubernetesGroups
		}
		if deref(in.Username) != "" {
			e.Username = *in.Username
		}
		e.Modified = moment(call.Time)
		out.AccessEntry = describeAccessEntry(c, *e)
		return nil
	})
	return &out, err
}

// DeleteAccessEntry shuts a principal out again, with its policies.
func (s *Service) DeleteAccessEntry(ctx context.Context, call awsapi.Call, in *eks.DeleteAccessEntryInput) (*eks.DeleteAccessEntryOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.DeleteAccessEntryOutput, error) {
		c, e, err := findAccessEntry(tx, call, in.ClusterName, in.PrincipalArn)
		if err != nil {
			return nil, err
		}
		if err := checkOwner(subject{cluster: c.Name}, e.Principal); err != nil {
			return nil, err
		}
		tx.AccessEntries.Delete(resource.AccessEntryKey(e.Cluster, e.Principal))
		return &eks.DeleteAccessEntryOutput{}, nil
	})
}

// changeEntry runs f on an entry and writes what f made of it.
func (s *Service) changeEntry(ctx context.Context, call awsapi.Call, cluster, principal *string, f func(resource.Cluster, *resource.AccessEntry) error) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		c, e, err := findAccessEntry(tx, call, cluster, principal)
		if err != nil {
			return err
		}
		if err := checkOwner(subject{cluster: c.Name}, e.Principal); err != nil {
			return err
		}
		if err := f(c, &e); err != nil {
			return err
		}
		tx.AccessEntries.Put(resource.AccessEntryKey(e.Cluster, e.Principal), e)
		return nil
	})
}

func findAccessEntry(tx *store.Tx, call awsapi.Call, cluster, principal *string) (resource.Cluster, resource.AccessEntry, error) {
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return c, resource.AccessEntry{}, err
	}
	sub := subject{cluster: c.Name}
	if err := checkMode(sub, c); err != nil {
		return c, resource.AccessEntry{}, err
	}
	e, ok := tx.AccessEntries.Get(resource.AccessEntryKey(c.ARN, deref(principal)))
	if !ok {
		return c, e, sub.notFound("The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
	}
	return c, e, nil
}

// checkMode refuses what only clusters know that take access entries.
func checkMode(sub subject, c resource.Cluster) error {
	if c.Spec.AuthenticationMode == modeConfigMap {
		return sub.invalidRequest("The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
	}
	return nil
}

func describeAccessEntry(c resource.Cluster, e resource.AccessEntry) *eks.AccessEntry {
	return &eks.AccessEntry{
		ClusterName: new(c.Name), PrincipalArn: new(e.Principal), KubernetesGroups: list(e.Groups), AccessEntryArn: new(e.ARN),
		CreatedAt: new(e.Created), ModifiedAt: new(e.Modified), Tags: tagsOf(e.Tags), Username: new(e.Username), Type: new(e.Type),
	}
}

func policyAt(e resource.AccessEntry, arn string) int {
	return slices.IndexFunc(e.Policies, func(p resource.AssociatedPolicy) bool { return p.PolicyARN == arn })
}

func invalidPrincipal(sub subject) error {
	return sub.invalidParameter("The specified principalArn is invalid: invalid principal.")
}

// bannedPrefixes are kept for Kubernetes and for EKS itself.
var bannedPrefixes = []string{"system:", "eks:", "aws:", "amazon:", "iam:"}

// checkMapping checks the groups and the user name of an entry of a type.
func checkMapping(sub subject, entry string, groups []string, username string) error {
	if entry != typeStandard {
		switch {
		case len(groups) > 0:
			return sub.invalidParameter("The specified kubernetesGroups is invalid: setting kubernetesGroups is not allowed when the type is \"%s\"", entry)
		case username != "":
			return sub.invalidParameter("The specified username is invalid: setting username is not allowed when the type is \"%s\"", entry)
		}
		return nil
	}
	for _, g := range groups {
		for _, p := range bannedPrefixes {
			if strings.HasPrefix(g, p) {
				return sub.invalidParameter("The kubernetes group name %s is invalid, it cannot start with %s", g, p)
			}
		}
		if g == "" {
			return sub.invalidParameter("The kubernetes group name is invalid, it cannot be empty")
		}
	}
	for _, p := range bannedPrefixes {
		if strings.HasPrefix(username, p) {
			return sub.invalidParameter("The username must not begin with %s", p)
		}
	}
	if before, _, session := strings.Cut(username, "{{SessionName}}"); session && !strings.Contains(before, ":") {
		return sub.invalidParameter("The specified username is invalid: a colon must come before {{SessionName}}")
	}
	return nil
}
