package eks

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateAddon records an add-on with status CREATING. Package controller/addon puts its
// objects into the cluster. The cluster is looked up before anything is checked, as on EKS.
func (s *Service) CreateAddon(ctx context.Context, call awsapi.Call, in *eks.CreateAddonInput) (*eks.CreateAddonOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.CreateAddonOutput, error) {
		c, err := findActiveCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		want, entry, err := newAddon(call, c, catalogue, in)
		if err != nil {
			return nil, err
		}
		sub := addonSubject{c.Name, want.Name}
		if prior, ok := addonNamed(tx, c, want.Name); ok {
			switch {
			case want.Token == "" || prior.Token != want.Token || prior.Deleting:
				return nil, sub.inUse("Addon already exists.")
			case prior.Fingerprint != want.Fingerprint:
				return nil, sub.invalidParameter(tokenReusedText)
			}
			return &eks.CreateAddonOutput{Addon: describeAddon(tx, c, entry, prior)}, nil
		}
		if err := checkAddonRole(tx, call, sub, want.Spec.ServiceRole); err != nil {
			return nil, err
		}
		if err := associate(tx, call, policies, c, entry, want, in.PodIdentityAssociations); err != nil {
			return nil, err
		}
		tx.Addons.Put(want.ARN, want)
		return &eks.CreateAddonOutput{Addon: describeAddon(tx, c, entry, want)}, nil
	})
}

// DescribeAddon describes one add-on of a cluster.
func (s *Service) DescribeAddon(_ context.Context, call awsapi.Call, in *eks.DescribeAddonInput) (*eks.DescribeAddonOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	return view(s, func(tx *store.Tx) (*eks.DescribeAddonOutput, error) {
		c, a, entry, err := findAddon(tx, call, catalogue, in.ClusterName, in.AddonName)
		if err != nil {
			return nil, err
		}
		return &eks.DescribeAddonOutput{Addon: describeAddon(tx, c, entry, a)}, nil
	})
}

// ListAddons lists a cluster's add-ons by name; self-managed ones are none.
func (s *Service) ListAddons(_ context.Context, call awsapi.Call, in *eks.ListAddonsInput) (*eks.ListAddonsOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListAddonsOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		var names []string
		for a := range tx.Addons.Values(func(a resource.Addon) bool { return a.Cluster == c.ARN }) {
			names = append(names, a.Name)
		}
		slices.Sort(names)
		names, next, err := page(names, in.NextToken, in.MaxResults)
		return &eks.ListAddonsOutput{Addons: names, NextToken: next}, err
	})
}

// DeleteAddon asks an add-on to go, with preserve without what it has put into the cluster.
func (s *Service) DeleteAddon(ctx context.Context, call awsapi.Call, in *eks.DeleteAddonInput) (*eks.DeleteAddonOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.DeleteAddonOutput, error) {
		c, a, entry, err := findAddon(tx, call, catalogue, in.ClusterName, in.AddonName)
		if err != nil {
			return nil, err
		}
		if a.Current() == resource.AddonDeleting {
			return nil, addonSubject{c.Name, a.Name}.inUse("Addon %s cannot be deleted as it is currently in DELETING state", a.Name)
		}
		if a.Status.State == resource.AddonDeleteFailed {
			if err := a.Status.Move(resource.AddonDeleting); err != nil { // or its controller lets it rest
				return nil, err
			}
			a.Status.Issues = nil
		}
		a.Deleting, a.Preserve, a.Modified = true, deref(in.Preserve), moment(call.Time)
		if !a.Preserve {
			for _, p := range associationsOf(tx, a.ARN) {
				tx.PodIdentityAssociations.Delete(p.ARN)
			}
		}
		tx.Addons.Put(a.ARN, a)
		return &eks.DeleteAddonOutput{Addon: describeAddon(tx, c, entry, a)}, nil
	})
}

func addonNamed(tx *store.Tx, c resource.Cluster, name string) (resource.Addon, bool) {
	for arn, a := range tx.Addons.All() {
		if a.Cluster == c.ARN && a.Name == name {
			return tx.Addons.Get(arn) // one that may be changed
		}
	}
	return resource.Addon{}, false
}

// findAddon finds an add-on of a cluster, and what the catalogue says of it.
func findAddon(tx *store.Tx, call awsapi.Call, catalogue *addon.Catalogue, cluster, name *string) (resource.Cluster, resource.Addon, *addon.Addon, error) {
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return c, resource.Addon{}, nil, err
	}
	a, ok := addonNamed(tx, c, deref(name))
	entry, known := catalogue.Find(deref(name))
	if !ok || !known {
		return c, a, nil, addonSubject{c.Name, deref(name)}.notFound("No addon: %s found in cluster: %s", deref(name), c.Name)
	}
	return c, a, entry, nil
}

// shown is the add-on's Spec as callers see it: after an update that was given up, what the
// cluster has.
func shown(a resource.Addon) resource.AddonSpec {
	if a.Status.State == resource.AddonUpdateFailed && a.Status.AppliedRevision == a.Spec.Revision && a.Status.Applied.Revision > 0 {
		spec := a.Status.Applied
		spec.Tags, spec.Revision = a.Spec.Tags, a.Spec.Revision
		return spec
	}
	return a.Spec
}

func describeAddon(tx *store.Tx, c resource.Cluster, entry *addon.Addon, a resource.Addon) *eks.Addon {
	spec := shown(a)
	out := &eks.Addon{
		AddonName: new(a.Name), AddonArn: new(a.ARN), ClusterName: new(c.Name), AddonVersion: new(spec.Version), Status: new(a.Current()),
		CreatedAt: new(a.Created), ModifiedAt: new(a.Modified), Health: &eks.AddonHealth{Issues: []eks.AddonIssue{}}, Tags: tagsOf(spec.Tags),
		ServiceAccountRoleArn: optional(spec.ServiceRole), ConfigurationValues: optional(spec.Configuration),
		Publisher: new(entry.Publisher), Owner: new(entry.Owner), NamespaceConfig: &eks.AddonNamespaceConfigResponse{Namespace: new(spec.Namespace)},
	}
	for _, i := range a.Status.Issues {
		out.Health.Issues = append(out.Health.Issues, eks.AddonIssue{Code: new(i.Code), Message: new(i.Message), ResourceIds: list(i.ResourceIDs)})
	}
	for _, p := range associationsOf(tx, a.ARN) {
		out.PodIdentityAssociations = append(out.PodIdentityAssociations, p.ARN)
	}
	return out
}
