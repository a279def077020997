package iam_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A cloud is the SDK as one caller.
type cloud struct {
	ec2    *ec2.Client
	eks    *eks.Client
	iam    *sdk.Client
	groups *autoscaling.Client
}

func cloudOf(cfg aws.Config) cloud {
	return cloud{ec2.NewFromConfig(cfg), eks.NewFromConfig(cfg), sdk.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)}
}

// An estate is what the calls under AWS's managed policies are about.
type estate struct {
	vpc, subnet, group, cniENI, otherENI, image string
}

func newEstate(t *testing.T, d *identitytest.Door) estate {
	t.Helper()
	root, ctx := cloudOf(d.AsRoot()), t.Context()
	subnet := must(root.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{}))(t).Subnets[0]
	eni := func(tags ...ec2types.Tag) string {
		return *must(root.ec2.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: subnet.SubnetId, TagSpecifications: specs("network-interface", tags)}))(t).NetworkInterface.NetworkInterfaceId
	}
	group := must(root.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: subnet.VpcId, GroupName: aws.String("nodes"), Description: aws.String("nodes"), TagSpecifications: specs("security-group", tag("eks:nodegroup-name", "ng")),
	}))(t)
	image, _ := ami.Recommended(identitytest.Region, "1.35", ami.X8664, ami.Standard)
	for name, tags := range map[string][]ec2types.Tag{"mine": tag("eks:eks-cluster-name", "mine"), "theirs": tag("eks:eks-cluster-name", "theirs")} {
		must(root.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
			LaunchTemplateName: &name, LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: &image.ID, InstanceType: "t3.medium"}, TagSpecifications: specs("launch-template", tags),
		}))(t)
	}
	d.Update(t, func(tx *store.Tx) {
		home := resource.Home{Account: account, Region: identitytest.Region}
		arn := "arn:aws:eks:us-west-2:" + account + ":cluster/mine"
		tx.Clusters.Put(arn, resource.Cluster{Home: home, ARN: arn, Name: "mine", Spec: resource.ClusterSpec{Version: "1.35"}, Status: resource.ClusterStatus{State: resource.ClusterActive}})
	})
	return estate{*subnet.VpcId, *subnet.SubnetId, *group.GroupId, eni(tag("eks:eni:owner", "amazon-vpc-cni")...), eni(), image.ID}
}

func tag(pairs ...string) (out []ec2types.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, ec2types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return out
}

func specs(kind ec2types.ResourceType, tags []ec2types.Tag) []ec2types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	return []ec2types.TagSpecification{{ResourceType: kind, Tags: tags}}
}

// attached is a user with AWS's managed policies of these names.
func attached(t *testing.T, d *identitytest.Door, name string, policies ...string) cloud {
	t.Helper()
	root, ctx := sdk.NewFromConfig(d.AsRoot()), t.Context()
	must(root.CreateUser(ctx, &sdk.CreateUserInput{UserName: &name}))(t)
	for _, p := range policies {
		must(root.AttachUserPolicy(ctx, &sdk.AttachUserPolicyInput{UserName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/" + p)}))(t)
	}
	k := must(root.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: &name}))(t).AccessKey
	return cloudOf(d.As(*k.AccessKeyId, *k.SecretAccessKey, ""))
}

// session is a session of a role with policies, and session tags.
func session(t *testing.T, d *identitytest.Door, name string, tags resource.Tags, policies ...string) cloud {
	t.Helper()
	var s resource.Session
	d.Update(t, func(tx *store.Tx) {
		r := resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role/" + name, Name: name, Path: "/", ID: "AROA" + strings.ToUpper(name), MaxSession: 3600}
		for _, p := range policies {
			r.Attached = append(r.Attached, "arn:aws:iam::aws:policy/"+p)
		}
		tx.Roles.Put(r.ARN, r)
		s = identity.NewSession(tx, r, identity.Grant{Name: "s", Lifetime: time.Hour, Tags: tags}, time.Now())
	})
	return cloudOf(d.As(s.AccessKeyID, s.Secret, s.Token))
}

// AWS's managed policies for EKS decide through the front door as they do on AWS, conditions
// and all: what they allow is done, and what they do not is denied in AWS's words.
func TestManagedPolicies(t *testing.T) {
	d := identitytest.Open(t, everything)
	e := newEstate(t, d)
	auto := resource.Tags{"eks:eks-cluster-name": "mine"}
	who := map[string]cloud{
		"cluster": attached(t, d, "cluster", "AmazonEKSClusterPolicy"),
		"worker":  attached(t, d, "worker", "AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryReadOnly"),
		"cni":     attached(t, d, "cni", "AmazonEKS_CNI_Policy"),
		"ecr":     attached(t, d, "ecr", "AmazonEC2ContainerRegistryReadOnly"),
		"auto":    session(t, d, "auto", auto, "AmazonEKSComputePolicy", "AmazonEKSNetworkingPolicy"),
		"ngrole":  session(t, d, "ngrole", nil, "aws-service-role/AWSServiceRoleForAmazonEKSNodegroup"),
		"eksrole": session(t, d, "eksrole", nil, "aws-service-role/AmazonEKSServiceRolePolicy"),
	}
	dry := aws.Bool(true)
	pool := func(pairs ...string) []ec2types.Tag {
		return tag(append([]string{"eks:eks-cluster-name", "mine", "eks:kubernetes-node-class-name", "default", "eks:kubernetes-node-pool-name", "general"}, pairs...)...)
	}
	launch := func(template string, tags []ec2types.Tag) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.RunInstances(ctx, &ec2.RunInstancesInput{DryRun: dry, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &e.subnet,
				LaunchTemplate:    &ec2types.LaunchTemplateSpecification{LaunchTemplateName: &template},
				TagSpecifications: append(append(specs("instance", tags), specs("volume", tags)...), specs("network-interface", tags)...)})
			return err
		}
	}
	newTemplate := func(tags []ec2types.Tag) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{DryRun: dry, LaunchTemplateName: aws.String("new"),
				LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: &e.image}, TagSpecifications: specs("launch-template", tags)})
			return err
		}
	}
	newENI := func(tags ...ec2types.Tag) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: &e.subnet, TagSpecifications: specs("network-interface", tags)})
			return err
		}
	}
	deleteENI := func(id string) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{DryRun: dry, NetworkInterfaceId: &id})
			return err
		}
	}
	tagOf := func(id string, tags ...ec2types.Tag) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: tags})
			return err
		}
	}
	open := func(group string) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{DryRun: dry, GroupId: &group,
				IpPermissions: []ec2types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}}}}})
			return err
		}
	}
	instances := func(ctx context.Context, c cloud) error {
		_, err := c.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
		return err
	}
	cluster := func(ctx context.Context, c cloud) error {
		_, err := c.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: aws.String("mine")})
		return err
	}
	linked := func(service string) func(context.Context, cloud) error {
		return func(ctx context.Context, c cloud) error {
			_, err := c.iam.CreateServiceLinkedRole(ctx, &sdk.CreateServiceLinkedRoleInput{AWSServiceName: &service})
			return err
		}
	}
	const ec2ARN, iamARN = "arn:aws:ec2:us-west-2:" + account + ":", "arn:aws:iam::" + account + ":"
	for _, c := range []struct {
		who, what string
		call      func(context.Context, cloud) error
		denied    string // what is denied on what; "" for allowed
	}{
		{"cluster", "instances", instances, ""},
		{"cluster", "its cluster", cluster, "eks:DescribeCluster on resource: arn:aws:eks:us-west-2:" + account + ":cluster/mine"},
		{"cluster", "interface of the CNI", deleteENI(e.cniENI), ""},
		{"cluster", "interface of somebody else", deleteENI(e.otherENI), "ec2:DeleteNetworkInterface on resource: " + ec2ARN + "network-interface/" + e.otherENI},
		{"cluster", "tags", tagOf(e.subnet, tag("kubernetes.io/cluster/mine", "shared")...), ""},
		{"cluster", "rule", open(e.group), ""},
		{"cluster", "role of load balancers", linked("elasticloadbalancing.amazonaws.com"), ""},
		{"cluster", "role of another service", linked("spot.amazonaws.com"), "iam:CreateServiceLinkedRole on resource: " + iamARN + "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"},
		{"cluster", "instance", launch("mine", nil), "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"cluster", "new VPC", func(ctx context.Context, c cloud) error {
			_, err := c.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.0.0.0/16")})
			return err
		}, "ec2:CreateVpc on resource: " + ec2ARN + "vpc/*"},
		{"cluster", "groups", func(ctx context.Context, c cloud) error {
			_, err := c.groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
			return err
		}, ""},
		{"cluster", "group's end", func(ctx context.Context, c cloud) error {
			_, err := c.groups.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g")})
			return err
		}, "autoscaling:DeleteAutoScalingGroup on resource: arn:aws:autoscaling:us-west-2:" + account + ":autoScalingGroup:*:autoScalingGroupName/g"},

		{"worker", "its cluster", cluster, ""},
		{"worker", "instances", instances, ""},
		{"worker", "clusters", func(ctx context.Context, c cloud) error {
			_, err := c.eks.ListClusters(ctx, &eks.ListClustersInput{})
			return err
		}, "eks:ListClusters on resource: arn:aws:eks:us-west-2:" + account + ":cluster/*"},
		{"worker", "cluster's end", func(ctx context.Context, c cloud) error {
			_, err := c.eks.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: aws.String("mine")})
			return err
		}, "eks:DeleteCluster on resource: arn:aws:eks:us-west-2:" + account + ":cluster/mine"},
		{"worker", "interface", newENI(), "ec2:CreateNetworkInterface on resource: " + ec2ARN + "network-interface/*"},

		{"cni", "interface", newENI(tag("node.k8s.amazonaws.com/instance_id", "i-1")...), ""},
		{"cni", "tags of an interface", tagOf(e.otherENI, tag("cluster.k8s.amazonaws.com/name", "mine")...), ""},
		{"cni", "tags of a subnet", tagOf(e.subnet, tag("a", "b")...), "ec2:CreateTags on resource: " + ec2ARN + "subnet/" + e.subnet},
		{"cni", "interface's end", deleteENI(e.otherENI), ""},
		{"cni", "address", func(ctx context.Context, c cloud) error {
			_, err := c.ec2.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{NetworkInterfaceId: &e.cniENI, SecondaryPrivateIpAddressCount: aws.Int32(1)})
			return err
		}, ""},
		{"cni", "its cluster", cluster, "eks:DescribeCluster on resource: arn:aws:eks:us-west-2:" + account + ":cluster/mine"},
		{"cni", "rule", open(e.group), "ec2:AuthorizeSecurityGroupIngress on resource: " + ec2ARN + "security-group/" + e.group},

		{"ecr", "instances", instances, "ec2:DescribeInstances"},
		{"ecr", "its cluster", cluster, "eks:DescribeCluster on resource: arn:aws:eks:us-west-2:" + account + ":cluster/mine"},

		{"auto", "template", newTemplate(pool()), ""},
		{"auto", "template with the cluster's tag", newTemplate(pool("kubernetes.io/cluster/mine", "owned")), ""},
		{"auto", "template with another tag", newTemplate(pool("team", "a")), "ec2:CreateLaunchTemplate on resource: " + ec2ARN + "launch-template/*"},
		{"auto", "template of no pool", newTemplate(tag("eks:eks-cluster-name", "mine")), "ec2:CreateLaunchTemplate on resource: " + ec2ARN + "launch-template/*"},
		{"auto", "template of another cluster", newTemplate(tag("eks:eks-cluster-name", "theirs", "eks:kubernetes-node-class-name", "c", "eks:kubernetes-node-pool-name", "p")),
			"ec2:CreateLaunchTemplate on resource: " + ec2ARN + "launch-template/*"},
		{"auto", "instance", launch("mine", pool("kubernetes.io/cluster/mine", "owned")), ""},
		{"auto", "instance without tags", launch("mine", nil), "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"auto", "instance of another cluster's template", launch("theirs", pool()), "ec2:RunInstances on resource: " + ec2ARN + "launch-template/lt-"},
		{"auto", "interface", newENI(tag("eks:eks-cluster-name", "mine", "eks:kubernetes-cni-node-name", "n")...), ""},
		{"auto", "interface with another tag", newENI(tag("eks:eks-cluster-name", "mine", "eks:kubernetes-cni-node-name", "n", "a", "b")...), "ec2:CreateNetworkInterface on resource: " + ec2ARN + "network-interface/*"},
		{"auto", "tags afterwards", tagOf(e.otherENI, tag("eks:eks-cluster-name", "mine")...), "ec2:CreateTags on resource: " + ec2ARN + "network-interface/" + e.otherENI},

		{"ngrole", "rule of a node group's group", open(e.group), ""},
		{"ngrole", "tags of its group", tagOf(e.group, tag("kubernetes.io/cluster/mine", "owned")...), ""},
		{"ngrole", "other tags of its group", tagOf(e.group, tag("team", "a")...), "ec2:CreateTags on resource: " + ec2ARN + "security-group/" + e.group},
		{"ngrole", "instance with the cluster's tag", launch("mine", tag("kubernetes.io/cluster/mine", "owned")), ""},
		{"ngrole", "instance with another tag", launch("mine", tag("team", "a")), "ec2:CreateTags on resource: " + ec2ARN + "instance/*"},
		{"ngrole", "group of another name", func(ctx context.Context, c cloud) error {
			_, err := c.groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("eks-g"), DesiredCapacity: aws.Int32(1)})
			return err
		}, "autoscaling:SetDesiredCapacity on resource: arn:aws:autoscaling:us-west-2:" + account + ":autoScalingGroup:*:autoScalingGroupName/eks-g"},

		{"eksrole", "tags of a subnet", tagOf(e.subnet, tag("kubernetes.io/cluster/mine", "shared")...), ""},
		{"eksrole", "other tags of a subnet", tagOf(e.subnet, tag("team", "a")...), "ec2:CreateTags on resource: " + ec2ARN + "subnet/" + e.subnet},
		{"eksrole", "rule of a group that is not EKS's", open(e.group), "ec2:AuthorizeSecurityGroupIngress on resource: " + ec2ARN + "security-group/" + e.group},
		{"eksrole", "its own entry", func(ctx context.Context, c cloud) error {
			_, err := c.eks.DescribeAccessEntry(ctx, &eks.DescribeAccessEntryInput{ClusterName: aws.String("mine"), PrincipalArn: aws.String(iamARN + "role/x")})
			return err
		}, "eks:DescribeAccessEntry on resource: arn:aws:eks:us-west-2:" + account + ":access-entry/mine/*"},
	} {
		t.Run(c.who+", "+c.what, func(t *testing.T) {
			err := c.call(t.Context(), who[c.who])
			var refused smithy.APIError
			switch errors.As(err, &refused); {
			case c.denied == "" && err != nil && (refused == nil || refused.ErrorCode() != "DryRunOperation"):
				t.Error(err)
			case c.denied == "":
			case refused == nil || !strings.Contains(refused.ErrorMessage(), "is not authorized to perform: "+c.denied):
				t.Errorf("got %v\nwant a denial of %s", err, c.denied)
			case !strings.Contains(refused.ErrorMessage(), " because no identity-based policy allows the "+strings.SplitN(c.denied, " ", 2)[0]+" action"):
				t.Errorf("the reason is %s", refused.ErrorMessage())
			default:
				want := "AccessDenied"
				switch action, _, _ := strings.Cut(c.denied, ":"); action {
				case "ec2":
					want = "UnauthorizedOperation"
				case "eks":
					want = "AccessDeniedException"
				}
				if refused.ErrorCode() != want || want == "UnauthorizedOperation" && !strings.HasPrefix(refused.ErrorMessage(), "You are not authorized to perform this operation. User: arn:aws:") {
					t.Errorf("%s: %s", refused.ErrorCode(), refused.ErrorMessage())
				}
			}
		})
	}
}
