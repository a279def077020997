package test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// failures is one cluster whose nodes lack something, each something else.
type failures struct {
	daemon   *lab.Daemon
	cloud    *lab.Cloud
	land     lab.Landscape
	cluster  *types.Cluster
	kube     *lab.Kube
	narrow   string // a subnet with few addresses
	opened   string // the security group of the nodes that are let in later
	stranger string // the instance whose role is not mapped
}

// TestFailures has each failure that people meet on EKS happen, from the call of the API
// to the message that they read. All nodes are asked for at once: most of them never join.
func TestFailures(t *testing.T) {
	watch := newStopwatch(t)
	d, cloud := newDaemon(t)
	f := &failures{daemon: d, cloud: cloud}
	ctx := t.Context()
	var err error
	f.land, err = cloud.Landscape(ctx)
	no(t, err)
	_, err = cloud.EKS.CreateCluster(ctx, f.land.ClusterInput(clusterName, ""))
	no(t, err)
	f.narrow = f.subnet(t, "172.31.240.0/28")
	f.cluster, err = cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	f.kube, err = cloud.Kube(f.cluster)
	no(t, err)
	watch.done("cluster")

	f.group(t, "web", "t3.medium", 2, func(in *eks.CreateNodegroupInput) { in.Subnets = f.land.Subnets[:2] })
	f.group(t, "small", "t3.micro", 1, nil)
	f.group(t, "shut", "t3.medium", 1, func(in *eks.CreateNodegroupInput) { in.LaunchTemplate, _ = f.ownSecurityGroup(t, "shut") })
	f.group(t, "opened", "t3.medium", 1, func(in *eks.CreateNodegroupInput) {
		in.LaunchTemplate, f.opened = f.ownSecurityGroup(t, "opened")
		in.Subnets = []string{f.narrow}
	})
	f.group(t, "private", "t3.medium", 1, func(in *eks.CreateNodegroupInput) {
		in.Subnets = []string{f.subnet(t, "172.31.241.0/24")}
		f.noRoute(t, in.Subnets[0])
	})
	f.group(t, "poor", "t3.medium", 1, func(in *eks.CreateNodegroupInput) {
		role, err := cloud.Role(ctx, "poor", lab.Trust("ec2.amazonaws.com"), lab.NodePolicies[2:]...) // the CNI's policy, too, allows to describe instances
		no(t, err)
		in.NodeRole = &role
	})
	f.runStranger(t)

	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"443 to the cluster is opened in time", f.openedInTime},
		{"the role is not mapped", f.notMapped},
		{"the subnet runs out of addresses", f.noAddresses},
		{"more pods than the type carries", f.tooManyPods},
		{"a zone goes away", f.zoneGone},
		{"nodes never join", f.neverJoin},
		{"the role has its policy again", f.richAgain},
	} {
		t.Run(step.name, step.run)
		watch.done(step.name)
	}
}

// subnet makes a subnet in the default VPC.
func (f *failures) subnet(t *testing.T, cidr string) string {
	t.Helper()
	out, err := f.cloud.EC2.CreateSubnet(t.Context(), &ec2.CreateSubnetInput{VpcId: &f.land.VPC, CidrBlock: &cidr, AvailabilityZone: &f.land.Zones[0]})
	no(t, err)
	_, err = f.cloud.EC2.ModifySubnetAttribute(t.Context(), &ec2.ModifySubnetAttributeInput{
		SubnetId: out.Subnet.SubnetId, MapPublicIpOnLaunch: &ec2types.AttributeBooleanValue{Value: new(true)},
	})
	no(t, err)
	return *out.Subnet.SubnetId
}

// noRoute gives a subnet a route table that leads nowhere but through the VPC.
func (f *failures) noRoute(t *testing.T, subnet string) {
	t.Helper()
	table, err := f.cloud.EC2.CreateRouteTable(t.Context(), &ec2.CreateRouteTableInput{VpcId: &f.land.VPC})
	no(t, err)
	_, err = f.cloud.EC2.AssociateRouteTable(t.Context(), &ec2.AssociateRouteTableInput{SubnetId: &subnet, RouteTableId: table.RouteTable.RouteTableId})
	no(t, err)
}

// ownSecurityGroup is a launch template whose nodes have a security group of their own,
// which that of the cluster knows nothing of.
func (f *failures) ownSecurityGroup(t *testing.T, name string) (*types.LaunchTemplateSpecification, string) {
	t.Helper()
	ctx := t.Context()
	group, err := f.cloud.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &name, Description: &name, VpcId: &f.land.VPC})
	no(t, err)
	lt, err := f.cloud.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: &name, LaunchTemplateData: &ec2types.RequestLaunchTemplateData{SecurityGroupIds: []string{*group.GroupId}},
	})
	no(t, err)
	return &types.LaunchTemplateSpecification{Id: lt.LaunchTemplate.LaunchTemplateId}, *group.GroupId
}

func (f *failures) group(t *testing.T, name, instanceType string, n int32, change func(*eks.CreateNodegroupInput)) {
	t.Helper()
	in := f.land.NodegroupInput(clusterName, name, n)
	in.Subnets, in.InstanceTypes, in.Labels = f.land.Subnets[:1], []string{instanceType}, map[string]string{"group": name}
	if change != nil {
		change(in)
	}
	_, err := f.cloud.EKS.CreateNodegroup(t.Context(), in)
	no(t, err)
}

func (f *failures) describe(t *testing.T, name string) *types.Nodegroup {
	t.Helper()
	out, err := f.cloud.EKS.DescribeNodegroup(t.Context(), &eks.DescribeNodegroupInput{ClusterName: new(clusterName), NodegroupName: &name})
	no(t, err)
	return out.Nodegroup
}

// instances are the running ones of a node group.
func (f *failures) instances(t *testing.T, group string) (ids []string) {
	t.Helper()
	out, err := f.cloud.EC2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{
		{Name: new("tag:eks:nodegroup-name"), Values: []string{group}}, {Name: new("instance-state-name"), Values: []string{"running"}},
	}})
	no(t, err)
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			ids = append(ids, *i.InstanceId)
		}
	}
	return ids
}

// awaitNode waits until n nodes with a label are Ready.
func (f *failures) awaitNode(t *testing.T, label string, n int) (nodes []corev1.Node) {
	t.Helper()
	no(t, lab.Until(t.Context(), lab.NodesTimeout, fmt.Sprintf("%d Ready nodes with %s", n, label), func(ctx context.Context) (bool, string, error) {
		list, err := f.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: label})
		if err != nil {
			return false, err.Error(), nil
		}
		nodes = slices.DeleteFunc(list.Items, func(n corev1.Node) bool {
			return !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			})
		})
		return len(nodes) == n, fmt.Sprint(len(nodes)), nil
	}))
	return nodes
}

// awaitLog waits until a log of an instance says something.
func (f *failures) awaitLog(t *testing.T, want string, words ...string) {
	t.Helper()
	awaitLog(t, f.daemon, want, words...)
}

// openedInTime lets the nodes of one group in while the node group still waits for them.
func (f *failures) openedInTime(t *testing.T) {
	ctx := t.Context()
	no(t, lab.Until(ctx, lab.NodesTimeout, "the nodes that are shut out to run", func(context.Context) (bool, string, error) {
		return len(f.instances(t, "opened")) == 1 && len(f.instances(t, "shut")) == 1, "", nil
	}))
	before := f.instances(t, "opened")[0]
	f.awaitLog(t, "started kubelet", before)
	if g := f.describe(t, "opened"); g.Status != types.NodegroupStatusCreating {
		t.Errorf("the group whose nodes are shut out is %s", g.Status)
	}
	_, err := f.cloud.EC2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: f.cluster.ResourcesVpcConfig.ClusterSecurityGroupId, IpPermissions: []ec2types.IpPermission{{
			IpProtocol: new("tcp"), FromPort: new(int32(443)), ToPort: new(int32(443)), UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &f.opened}},
		}},
	})
	no(t, err)
	node := f.awaitNode(t, "group=opened", 1)[0]
	if !strings.HasSuffix(node.Spec.ProviderID, before) {
		t.Errorf("node %s is another machine than %s", node.Spec.ProviderID, before)
	}
	_, err = f.cloud.AwaitNodegroup(ctx, clusterName, "opened")
	no(t, err)
}

// runStranger launches a self-managed node whose role the cluster does not know.
func (f *failures) runStranger(t *testing.T) {
	ctx := t.Context()
	_, err := f.cloud.Role(ctx, "stranger", lab.Trust("ec2.amazonaws.com"), lab.NodePolicies...)
	no(t, err)
	_, err = f.cloud.IAM.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("stranger")})
	no(t, err)
	_, err = f.cloud.IAM.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("stranger"), RoleName: new("stranger")})
	no(t, err)
	ami, err := f.cloud.SSM.GetParameter(ctx, recommendedImage(version))
	no(t, err)
	enis, err := f.cloud.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
		{Name: new("description"), Values: []string{"Amazon EKS " + clusterName}},
	}})
	no(t, err)
	userData := fmt.Sprintf(`MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="B"

--B
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: %s
    apiServerEndpoint: https://%s
    certificateAuthority: %s
    cidr: %s
  kubelet:
    flags: [--node-labels=group=stranger]
--B--
`, clusterName, *enis.NetworkInterfaces[0].PrivateIpAddress, *f.cluster.CertificateAuthority.Data, *f.cluster.KubernetesNetworkConfig.ServiceIpv4Cidr)
	out, err := f.cloud.EC2.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: new(int32(1)), MaxCount: new(int32(1)), SubnetId: &f.land.Subnets[0],
		SecurityGroupIds: []string{*f.cluster.ResourcesVpcConfig.ClusterSecurityGroupId}, UserData: new(base64.StdEncoding.EncodeToString([]byte(userData))),
		IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: new("stranger")},
		TagSpecifications:  []ec2types.TagSpecification{{ResourceType: "instance", Tags: []ec2types.Tag{{Key: new("kubernetes.io/cluster/" + clusterName), Value: new("owned")}}}},
	})
	no(t, err)
	f.stranger = *out.Instances[0].InstanceId
}

// notMapped: the API server does not know the node's role, until an access entry says so.
func (f *failures) notMapped(t *testing.T) {
	ctx := t.Context()
	f.awaitLog(t, "Unauthorized", f.stranger, "kubelet")
	nodes, err := f.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "group=stranger"})
	no(t, err)
	if len(nodes.Items) > 0 {
		t.Fatal("the node of a role that is not mapped has joined")
	}
	account, err := f.cloud.Account(ctx)
	no(t, err)
	_, err = f.cloud.EKS.CreateAccessEntry(ctx, &eks.CreateAccessEntryInput{
		ClusterName: new(clusterName), PrincipalArn: new("arn:aws:iam::" + account + ":role/stranger"), Type: new("EC2_LINUX"),
	})
	no(t, err)
	f.awaitNode(t, "group=stranger", 1)
}

// neverJoin shortens how long node groups wait, and reads what they then say.
func (f *failures) neverJoin(t *testing.T) {
	ctx := t.Context()
	f.awaitLog(t, "UnauthorizedOperation", f.instances(t, "poor")[0], "nodeadm")
	f.awaitLog(t, "i/o timeout", f.instances(t, "private")[0], "nodeadm")
	st, err := f.daemon.Status(ctx)
	no(t, err)
	kill(t, st.PID)
	f.daemon.Flags = []string{"--join-timeout", "1s"}
	no(t, f.daemon.Up(ctx))
	for _, name := range []string{"shut", "private", "poor"} {
		f.awaitIssue(t, name, types.NodegroupStatusCreateFailed, types.NodegroupIssueCodeNodeCreationFailure, "Instances failed to join the kubernetes cluster")
		ran := f.instances(t, name)
		if ids := f.describe(t, name).Health.Issues[0].ResourceIds; len(ran) != 1 || !slices.Equal(ids, ran) {
			t.Errorf("%s: the issue is about %v, and what runs are %v", name, ids, ran)
		}
	}
	f.awaitIssue(t, "opened", types.NodegroupStatusDegraded, types.NodegroupIssueCodeInsufficientFreeAddresses,
		"One or more of the subnets associated with your managed node group does not have enough available IP addresses for new nodes.")
}

func (f *failures) awaitIssue(t *testing.T, group string, status types.NodegroupStatus, code types.NodegroupIssueCode, message string) {
	t.Helper()
	no(t, lab.Until(t.Context(), 30*time.Second, fmt.Sprintf("node group %s to be %s", group, status), func(context.Context) (bool, string, error) {
		g := f.describe(t, group)
		return g.Status == status, string(g.Status), nil
	}))
	if issues := f.describe(t, group).Health.Issues; len(issues) != 1 || issues[0].Code != code || *issues[0].Message != message {
		t.Errorf("%s: issues %+v, want %s: %s", group, issues, code, message)
	}
}

// richAgain: a node that could not learn its name joins once its role may describe instances,
// for three minutes after its boot; the node group has given up before.
func (f *failures) richAgain(t *testing.T) {
	ctx := t.Context()
	for _, policy := range lab.NodePolicies[:2] {
		_, err := f.cloud.IAM.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new("poor"), PolicyArn: new("arn:aws:iam::aws:policy/" + policy)})
		no(t, err)
	}
	f.awaitNode(t, "group=poor", 1)
	if g := f.describe(t, "poor"); g.Status != types.NodegroupStatusCreateFailed {
		t.Errorf("a node group that has failed is %s", g.Status)
	}
}
