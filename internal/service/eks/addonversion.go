package eks

import (
	"cmp"
	"context"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
)

// DescribeAddonVersions lists the add-ons of the catalogue and the versions of each, newest
// first, for the Kubernetes versions that can be had here.
func (s *Service) DescribeAddonVersions(_ context.Context, _ awsapi.Call, in *eks.DescribeAddonVersionsInput) (*eks.DescribeAddonVersionsOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	one := func(filter []string, value string) bool { return len(filter) == 0 || slices.Contains(filter, value) }
	var all []eks.AddonInfo
	for _, a := range catalogue.All() {
		versions := s.versionsOf(a, in.KubernetesVersion)
		if or(in.AddonName, a.Name) != a.Name || !one(in.Types, a.Type) || !one(in.Publishers, a.Publisher) || !one(in.Owners, a.Owner) || len(versions) == 0 {
			continue
		}
		all = append(all, eks.AddonInfo{
			AddonName: new(a.Name), Type: new(a.Type), Publisher: new(a.Publisher), Owner: new(a.Owner), DefaultNamespace: new(a.Namespace), AddonVersions: versions,
		})
	}
	all, next, err := pageBy(all, func(i eks.AddonInfo) string { return *i.AddonName }, cmp.Compare[string], in.NextToken, in.MaxResults)
	return &eks.DescribeAddonVersionsOutput{Addons: all, NextToken: next}, err
}

// versionsOf are the versions of an add-on that run on some Kubernetes version that can be
// had here, or on the one asked for.
func (s *Service) versionsOf(a *addon.Addon, minor *string) []eks.AddonVersionInfo {
	var out []eks.AddonVersionInfo
	for _, v := range a.Versions {
		info := eks.AddonVersionInfo{
			AddonVersion: new(v.Version), Architecture: a.Architectures, ComputeTypes: a.ComputeTypes,
			RequiresConfiguration: new(a.RequiresConfiguration), RequiresIamPermissions: new(a.RequiresIAMPermissions),
		}
		// A version that is the default of something is there because that Kubernetes is: the
		// image of a kube-proxy comes with its Kubernetes.
		if len(v.Default) > 0 && !slices.ContainsFunc(v.Default, s.payload) {
			continue
		}
		for _, k := range v.Kubernetes {
			if or(minor, k) == k && s.payload(k) {
				info.Compatibilities = append(info.Compatibilities, eks.Compatibility{
					ClusterVersion: new(k), PlatformVersions: []string{"*"}, DefaultVersion: new(slices.Contains(v.Default, k)),
				})
			}
		}
		if len(info.Compatibilities) > 0 {
			out = append(out, info)
		}
	}
	return out
}

// DescribeAddonConfiguration shows the JSON schema of a version's configurationValues, and
// the managed policies that EKS recommends for its service accounts.
func (s *Service) DescribeAddonConfiguration(_ context.Context, _ awsapi.Call, in *eks.DescribeAddonConfigurationInput) (*eks.DescribeAddonConfigurationOutput, error) {
	catalogue, err := s.addons()
	if err != nil {
		return nil, err
	}
	sub := addonSubject{addon: deref(in.AddonName)}
	a, ok := catalogue.Find(deref(in.AddonName))
	if !ok {
		return nil, sub.notFound("No addon found with name: %s", deref(in.AddonName))
	}
	if _, ok := a.Version(deref(in.AddonVersion)); !ok {
		return nil, sub.notFound("Addon version specified is not supported")
	}
	out := &eks.DescribeAddonConfigurationOutput{AddonName: new(a.Name), AddonVersion: in.AddonVersion, ConfigurationSchema: new(a.Schema)}
	for _, account := range a.ServiceAccounts {
		if len(account.ManagedPolicies) > 0 {
			out.PodIdentityConfiguration = append(out.PodIdentityConfiguration, eks.AddonPodIdentityConfiguration{
				ServiceAccount: new(account.Name), RecommendedManagedPolicies: account.ManagedPolicies,
			})
		}
	}
	return out, nil
}
