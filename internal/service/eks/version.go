package eks

import (
	"cmp"
	"context"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eksversion"
)

// oldStatus is the older spelling of a version's phase, by the newer one.
var oldStatus = map[eksversion.Support]string{
	eksversion.Standard: "standard-support", eksversion.Extended: "extended-support", eksversion.Unsupported: "unsupported",
}

// DescribeClusterVersions lists the Kubernetes versions that can be had here, newest
// first: those that EKS publishes and that have a payload. Unsupported ones show if they are asked for.
func (s *Service) DescribeClusterVersions(_ context.Context, call awsapi.Call, in *eks.DescribeClusterVersionsInput) (*eks.DescribeClusterVersionsOutput, error) {
	preferred, _ := eksversion.Default(s.payload)
	var all []eksversion.Version
	for _, v := range eksversion.Available(s.payload) {
		support := v.Support(call.Time)
		named := slices.Contains(in.ClusterVersions, v.Minor)
		asked := in.Status != nil || in.VersionStatus != nil || named || deref(in.IncludeAll)
		switch {
		case or(in.ClusterType, "eks") != "eks",
			len(in.ClusterVersions) > 0 && !named,
			deref(in.DefaultOnly) && v.Minor != preferred.Minor,
			in.Status != nil && *in.Status != oldStatus[support],
			in.VersionStatus != nil && *in.VersionStatus != string(support),
			support == eksversion.Unsupported && !asked:
			continue
		}
		all = append(all, v)
	}
	// 1.9 came before 1.10, but there is nothing below 1.30: names are in their order.
	descending := func(a, b string) int { return cmp.Compare(b, a) }
	all, next, err := pageBy(all, func(v eksversion.Version) string { return v.Minor }, descending, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	out := &eks.DescribeClusterVersionsOutput{NextToken: next, ClusterVersions: []eks.ClusterVersionInformation{}}
	for _, v := range all {
		support := v.Support(call.Time)
		out.ClusterVersions = append(out.ClusterVersions, eks.ClusterVersionInformation{
			ClusterVersion: new(v.Minor), ClusterType: new("eks"), DefaultPlatformVersion: new(v.Platform), DefaultVersion: new(v.Minor == preferred.Minor),
			ReleaseDate: new(v.Released), EndOfStandardSupportDate: new(v.StandardEnd), EndOfExtendedSupportDate: new(v.ExtendedEnd),
			Status: new(oldStatus[support]), VersionStatus: new(string(support)), KubernetesPatchVersion: new(v.Patch),
		})
	}
	return out, nil
}
