package ec2

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
)

// GetInstanceTypesFromInstanceRequirements lists the types that have what is wanted. As on EC2
// it is a preview that looks neither at capacity nor at prices.
func (s *Service) GetInstanceTypesFromInstanceRequirements(_ context.Context, _ awsapi.Call, in *ec2.GetInstanceTypesFromInstanceRequirementsInput) (*ec2.GetInstanceTypesFromInstanceRequirementsOutput, error) {
	types, err := typesFor(in.InstanceRequirements)
	if err != nil {
		return nil, err
	}
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	var all []ec2.InstanceTypeInfoFromInstanceRequirements
	for _, t := range types {
		if slices.Contains(in.ArchitectureTypes, t.Architecture()) && slices.Contains(in.VirtualizationTypes, "hvm") {
			all = append(all, ec2.InstanceTypeInfoFromInstanceRequirements{InstanceType: &t.Name})
		}
	}
	out := &ec2.GetInstanceTypesFromInstanceRequirementsOutput{}
	key := func(t ec2.InstanceTypeInfoFromInstanceRequirements) string { return *t.InstanceType }
	out.InstanceTypes, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 1000)
	return out, err
}

// typesFor are the types that have what is wanted, in the order of their names. What the table
// does not tell of types is refused by name.
func typesFor(r *ec2.InstanceRequirementsRequest) ([]instancetype.Type, error) {
	if r == nil || r.VCpuCount == nil || r.MemoryMiB == nil {
		return nil, fault("MissingParameter", "The request must contain the parameters VCpuCount and MemoryMiB of InstanceRequirements")
	}
	var q instancetype.Requirements
	if err := recast(r, &q); err != nil {
		return nil, err
	}
	if unknown := q.Unknown(); len(unknown) > 0 {
		return nil, unsupported("Choosing instance types by " + strings.Join(unknown, ", "))
	}
	if len(q.AllowedInstanceTypes) > 0 && len(q.ExcludedInstanceTypes) > 0 {
		return nil, fault("InvalidParameterCombination", "AllowedInstanceTypes and ExcludedInstanceTypes cannot be specified together.")
	}
	var out []instancetype.Type
	for t := range instancetype.All() {
		if q.Match(t) {
			out = append(out, t)
		}
	}
	return out, nil
}
