package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// A Landscape is what a user makes before a cluster: roles; and what is there: subnets.
type Landscape struct {
	ClusterRole, NodeRole string   // ARNs
	VPC                   string   // the default one
	Subnets               []string // of the default VPC, by zone
	Zones                 []string // of Subnets
}

// Trust is the policy by which a service may assume a role.
func Trust(service string) *string {
	return new(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service))
}

// TrustAccount is the policy by which principals of an account may assume a role.
func TrustAccount(account string) *string {
	return new(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}]}`, account))
}

// NodePolicies are the managed policies that EKS's guide attaches to a node role.
var NodePolicies = []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"}

// Landscape makes the roles and finds the default VPC's subnets.
func (c *Cloud) Landscape(ctx context.Context) (Landscape, error) {
	var l Landscape
	var err error
	if l.ClusterRole, err = c.Role(ctx, "lab-cluster", Trust("eks.amazonaws.com"), "AmazonEKSClusterPolicy"); err != nil {
		return l, err
	}
	if l.NodeRole, err = c.Role(ctx, "lab-node", Trust("ec2.amazonaws.com"), NodePolicies...); err != nil {
		return l, err
	}
	out, err := c.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []ec2types.Filter{{Name: new("default-for-az"), Values: []string{"true"}}}})
	if err != nil {
		return l, err
	}
	slices.SortFunc(out.Subnets, func(a, b ec2types.Subnet) int { return strings.Compare(*a.AvailabilityZone, *b.AvailabilityZone) })
	for _, s := range out.Subnets {
		l.VPC, l.Subnets, l.Zones = *s.VpcId, append(l.Subnets, *s.SubnetId), append(l.Zones, *s.AvailabilityZone)
	}
	if len(l.Subnets) < 3 {
		return l, fmt.Errorf("the default VPC has %d subnets, not one in each of three zones", len(l.Subnets))
	}
	return l, nil
}

// Role makes a role with AWS's managed policies attached, and returns its ARN.
func (c *Cloud) Role(ctx context.Context, name string, trust *string, policies ...string) (string, error) {
	out, err := c.IAM.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: trust})
	if err != nil {
		return "", err
	}
	for _, p := range policies {
		if _, err := c.IAM.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: new("arn:aws:iam::aws:policy/" + p)}); err != nil {
			return "", err
		}
	}
	return *out.Role.Arn, nil
}
