package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/test/lab"
)

// TestBadInput asks for what EKS refuses. Each case is to be answered in EKS's words, and
// to leave everything as it was.
func TestBadInput(t *testing.T) {
	watch := newStopwatch(t)
	_, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	good := land.ClusterInput("taken", "")
	good.ClientRequestToken = new("token-1")
	_, err = cloud.EKS.CreateCluster(ctx, good)
	no(t, err)
	_, err = cloud.AwaitCluster(ctx, "taken")
	no(t, err)
	watch.done("cluster")
	r := &refusals{cloud: cloud, land: land}
	r.otherSubnets(t)
	before := r.inventory(t)
	t.Run("CreateCluster", r.clusters)
	t.Run("CreateNodegroup", r.nodegroups)
	t.Run("wire", r.wire)
	if after := r.inventory(t); !slices.Equal(before, after) {
		t.Errorf("something was half made.\nbefore: %s\nafter:  %s", before, after)
	}
	watch.done("refusals")
	t.Run("the same token again", func(t *testing.T) {
		out, err := cloud.EKS.CreateCluster(ctx, good)
		no(t, err)
		if *out.Cluster.Name != "taken" || out.Cluster.Status != types.ClusterStatusActive {
			t.Errorf("a repeated create answers %+v", out.Cluster)
		}
	})
	t.Run("deletion twice", r.deletionTwice)
	watch.done("deletion")
}

// refusals are the tests of one daemon.
type refusals struct {
	cloud         *lab.Cloud
	land          lab.Landscape
	strangeVPC    string
	strangeSubnet string // in zone b of another VPC
	full          string // a subnet of the default VPC in zone b with too few addresses
}

// otherSubnets makes a subnet in another VPC, and one that is almost full.
func (r *refusals) otherSubnets(t *testing.T) {
	ctx := t.Context()
	vpc, err := r.cloud.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: new("10.9.0.0/16")})
	no(t, err)
	r.strangeVPC = *vpc.Vpc.VpcId
	subnet := func(vpc, cidr string) string {
		out, err := r.cloud.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &vpc, CidrBlock: &cidr, AvailabilityZone: &r.land.Zones[1]})
		no(t, err)
		return *out.Subnet.SubnetId
	}
	r.strangeSubnet = subnet(r.strangeVPC, "10.9.0.0/24")
	// A /28 has 11 addresses; an instance that takes 6 of them leaves one too few.
	r.full = subnet(r.land.VPC, "172.31.240.0/28")
	ami, err := r.cloud.SSM.GetParameter(ctx, recommendedImage(version))
	no(t, err)
	_, err = r.cloud.EC2.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: new(int32(1)), MaxCount: new(int32(1)),
		NetworkInterfaces: []ec2types.InstanceNetworkInterfaceSpecification{{DeviceIndex: new(int32(0)), SubnetId: &r.full, SecondaryPrivateIpAddressCount: new(int32(5))}},
	})
	no(t, err)
	out, err := r.cloud.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{r.full}})
	no(t, err)
	if n := *out.Subnets[0].AvailableIpAddressCount; n != 5 {
		t.Fatalf("the subnet that is to be full has %d free addresses, want 5", n)
	}
}

// inventory names all that a create makes.
func (r *refusals) inventory(t *testing.T) (all []string) {
	t.Helper()
	ctx := t.Context()
	clusters, err := r.cloud.EKS.ListClusters(ctx, &eks.ListClustersInput{})
	no(t, err)
	all = append(all, clusters.Clusters...)
	for _, c := range clusters.Clusters {
		groups, err := r.cloud.EKS.ListNodegroups(ctx, &eks.ListNodegroupsInput{ClusterName: &c})
		no(t, err)
		entries, err := r.cloud.EKS.ListAccessEntries(ctx, &eks.ListAccessEntriesInput{ClusterName: &c})
		no(t, err)
		all = append(append(all, groups.Nodegroups...), entries.AccessEntries...)
	}
	groups, err := r.cloud.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{})
	no(t, err)
	for _, g := range groups.SecurityGroups {
		all = append(all, *g.GroupId)
	}
	enis, err := r.cloud.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
	no(t, err)
	for _, e := range enis.NetworkInterfaces {
		all = append(all, *e.NetworkInterfaceId)
	}
	instances, err := r.cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
	no(t, err)
	for _, res := range instances.Reservations {
		for _, i := range res.Instances {
			all = append(all, *i.InstanceId)
		}
	}
	templates, err := r.cloud.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{})
	no(t, err)
	for _, l := range templates.LaunchTemplates {
		all = append(all, *l.LaunchTemplateName)
	}
	asgs, err := r.cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
	no(t, err)
	for _, g := range asgs.AutoScalingGroups {
		all = append(all, *g.AutoScalingGroupName)
	}
	slices.Sort(all)
	return all
}

// wantError asserts status, code and text of an answer; "…" at the end of the text stands
// for what differs from answer to answer.
func wantError(t *testing.T, what string, err error, status int, code, message string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: it is accepted", what)
		return
	}
	got := 0
	if e, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		got = e.HTTPStatusCode()
	}
	text, open := strings.CutSuffix(message, "…")
	same := lab.Message(err) == text || open && strings.HasPrefix(lab.Message(err), text)
	if got != status || lab.Code(err) != code || !same {
		t.Errorf("%s:\n got %d %s: %s\nwant %d %s: %s", what, got, lab.Code(err), lab.Message(err), status, code, message)
	}
}

const (
	invalid = "InvalidParameterException"
	inUse   = "ResourceInUseException"
)

func (r *refusals) clusters(t *testing.T) {
	ctx := t.Context()
	role := func(name string) string { return "arn:aws:iam::000000000000:role/" + name }
	_, err := r.cloud.Role(ctx, "bare", lab.Trust("eks.amazonaws.com"))
	no(t, err)
	subnets := func(ids ...string) func(*eks.CreateClusterInput) {
		return func(in *eks.CreateClusterInput) { in.ResourcesVpcConfig.SubnetIds = ids }
	}
	a := r.land.Subnets[0]
	for _, c := range []struct {
		what          string
		change        func(*eks.CreateClusterInput)
		status        int
		code, message string
	}{
		{"unknown role", func(in *eks.CreateClusterInput) { in.RoleArn = new(role("nobody")) }, 400, invalid,
			"Role with arn: " + role("nobody") + ", could not be assumed because it does not exist or the trusted entity is not correct"},
		{"role that trusts another service", func(in *eks.CreateClusterInput) { in.RoleArn = &r.land.NodeRole }, 400, invalid,
			"Role with arn: " + r.land.NodeRole + ", could not be assumed because it does not exist or the trusted entity is not correct"},
		{"role without a policy", func(in *eks.CreateClusterInput) { in.RoleArn = new(role("bare")) }, 400, invalid,
			"The provided role doesn't have the Amazon EKS Managed Policies associated with it. Please ensure the following policy is attached: arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"},
		{"role of another account", func(in *eks.CreateClusterInput) { in.RoleArn = new("arn:aws:iam::111122223333:role/theirs") }, 403, "AccessDeniedException",
			"Cross-account pass role is not allowed."},
		{"subnets of two VPCs", subnets(a, r.strangeSubnet), 400, invalid, "Subnets specified must belong to the same VPC"},
		{"one subnet", subnets(a), 400, invalid, "Subnets specified must be in at least two different AZs"},
		{"two subnets of one zone", subnets(r.land.Subnets[1], r.full), 400, invalid, "Subnets specified must be in at least two different AZs"},
		{"a full subnet", subnets(a, r.full), 400, invalid, "Provided subnets …"},
		{"unknown subnet", subnets(a, "subnet-0123456789abcdef0"), 400, invalid,
			"The subnet ID 'subnet-0123456789abcdef0' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidSubnetID.NotFound; …"},
		{"unknown version", func(in *eks.CreateClusterInput) { in.Version = new("1.12") }, 400, invalid, "unsupported Kubernetes version 1.12"},
		{"version with a patch", func(in *eks.CreateClusterInput) { in.Version = new("1.35.4") }, 400, invalid, "unsupported Kubernetes version 1.35.4"},
		{"duplicate name", func(in *eks.CreateClusterInput) { in.Name = new("taken") }, 409, inUse, "Cluster already exists with name: taken"},
		{"duplicate name, another token", func(in *eks.CreateClusterInput) { in.Name, in.ClientRequestToken = new("taken"), new("token-2") }, 409, inUse,
			"Cluster already exists with name: taken"},
		{"the same token, another request", func(in *eks.CreateClusterInput) {
			in.Name, in.ClientRequestToken, in.Tags = new("taken"), new("token-1"), map[string]string{"other": "yes"}
		}, 400, invalid, "The clientRequestToken was already used …"},
		{"no endpoint", func(in *eks.CreateClusterInput) {
			in.ResourcesVpcConfig.EndpointPublicAccess, in.ResourcesVpcConfig.EndpointPrivateAccess = new(false), new(false)
		}, 400, invalid, "Private and public endpoint access cannot be false"},
	} {
		in := r.land.ClusterInput("fresh", "")
		c.change(in)
		_, err := r.cloud.EKS.CreateCluster(ctx, in)
		wantError(t, c.what, err, c.status, c.code, c.message)
	}
	for _, name := range []string{"has space", "-dash-first", "ünïcode", "dot.ted", strings.Repeat("a", 101)} {
		_, err := r.cloud.EKS.CreateCluster(ctx, r.land.ClusterInput(name, ""))
		if code := lab.Code(err); code != invalid || lab.Message(err) == "" {
			t.Errorf("cluster name %q: %v", name, err)
		}
	}
}

func (r *refusals) nodegroups(t *testing.T) {
	ctx := t.Context()
	sizes := func(low, desired, high int32) func(*eks.CreateNodegroupInput) {
		return func(in *eks.CreateNodegroupInput) {
			in.ScalingConfig = &types.NodegroupScalingConfig{MinSize: &low, DesiredSize: &desired, MaxSize: &high}
		}
	}
	for _, c := range []struct {
		what          string
		change        func(*eks.CreateNodegroupInput)
		status        int
		code, message string
	}{
		{"no such cluster", func(in *eks.CreateNodegroupInput) { in.ClusterName = new("nowhere") }, 404, "ResourceNotFoundException", "No cluster found for name: nowhere."},
		{"min > desired", sizes(3, 2, 4), 400, invalid, "minSize can't be greater than desiredSize"},
		{"min > max", sizes(5, 5, 4), 400, invalid, "desiredSize can't be greater than maxSize"},
		{"unknown instance type", func(in *eks.CreateNodegroupInput) { in.InstanceTypes = []string{"t3.gigantic"} }, 400, invalid,
			"The following supplied instance types do not exist: [t3.gigantic]"},
		{"another architecture", func(in *eks.CreateNodegroupInput) {
			in.InstanceTypes, in.AmiType = []string{"t4g.medium"}, types.AMITypesAl2023X8664Standard
		}, 400, invalid, "[t4g.medium] is not a valid instance type for requested amiType AL2023_x86_64_STANDARD"},
		{"subnet of another VPC", func(in *eks.CreateNodegroupInput) { in.Subnets = []string{r.strangeSubnet} }, 400, invalid,
			"Subnets specified must belong to the VPC: " + r.land.VPC},
		{"role that trusts another service", func(in *eks.CreateNodegroupInput) { in.NodeRole = &r.land.ClusterRole }, 400, invalid,
			"Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole " + r.land.ClusterRole},
		{"long name", func(in *eks.CreateNodegroupInput) { in.NodegroupName = new(strings.Repeat("n", 64)) }, 400, invalid,
			"nodeGroupName can't be longer than 63 characters!"},
		{"bad name", func(in *eks.CreateNodegroupInput) { in.NodegroupName = new("no dots.") }, 400, invalid,
			"The nodegroup name parameter contains invalid characters"},
		{"reserved label", func(in *eks.CreateNodegroupInput) { in.Labels = map[string]string{"kubernetes.io/x": "y"} }, 400, invalid,
			"Label cannot start with reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]"},
		{"newer than its cluster", func(in *eks.CreateNodegroupInput) { in.Version = new("1.99") }, 400, invalid, "Cluster Kubernetes version …"},
	} {
		in := r.land.NodegroupInput("taken", "fresh", 1)
		c.change(in)
		_, err := r.cloud.EKS.CreateNodegroup(ctx, in)
		wantError(t, c.what, err, c.status, c.code, c.message)
	}
}

func (r *refusals) deletionTwice(t *testing.T) {
	ctx := t.Context()
	_, err := r.cloud.EKS.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: new("taken"), NodegroupName: new("none")})
	wantError(t, "deleting a node group that is not there", err, 404, "ResourceNotFoundException", "No node group found for name: none.")
	_, err = r.cloud.EKS.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: new("taken")})
	no(t, err)
	// Whichever of the two the cluster's end makes it: never an acceptance, never a crash.
	_, err = r.cloud.EKS.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: new("taken")})
	if code := lab.Code(err); code != inUse && code != "ResourceNotFoundException" {
		t.Errorf("deleting a cluster twice answers %v", err)
	}
	no(t, lab.Until(ctx, lab.DeleteTimeout, "the cluster to be gone", func(ctx context.Context) (bool, string, error) {
		_, err := r.cloud.Cluster(ctx, "taken")
		return lab.Code(err) == "ResourceNotFoundException", fmt.Sprint(err), nil
	}))
	_, err = r.cloud.EKS.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: new("taken")})
	wantError(t, "deleting a cluster that is gone", err, 404, "ResourceNotFoundException", "No cluster found for name: taken.")
}
