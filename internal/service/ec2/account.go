package ec2

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

// DescribeAccountAttributes tells the account's limits and its default VPC.
func (s *Service) DescribeAccountAttributes(ctx context.Context, call awsapi.Call, in *ec2.DescribeAccountAttributesInput) (*ec2.DescribeAccountAttributesOutput, error) {
	out := &ec2.DescribeAccountAttributesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		vpc := "none"
		if v, ok := provision.DefaultVPC(tx, homeOf(call)); ok {
			vpc = v.ID
		}
		for _, a := range [][2]string{
			{"supported-platforms", "VPC"},
			{"default-vpc", vpc},
			{"max-instances", "20"},
			{"vpc-max-security-groups-per-interface", "5"},
			{"max-elastic-ips", "5"},
			{"vpc-max-elastic-ips", "5"},
		} {
			if len(in.AttributeNames) == 0 || slices.Contains(in.AttributeNames, a[0]) {
				out.AccountAttributes = append(out.AccountAttributes, ec2.AccountAttribute{
					AttributeName: &a[0], AttributeValues: []ec2.AccountAttributeValue{{AttributeValue: &a[1]}},
				})
			}
		}
		return nil
	})
}
