package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkas "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	sdkeks "github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	sdkevents "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventstypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sdkssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// belongings makes one of everything in the first account, and says how inputs call it: by the name
// of a member, or by operation and path where that name means several things.
func belongings(t *testing.T, d *identitytest.Door) map[string]string {
	t.Helper()
	things := map[string]string{}
	ofIAM(t, d, things)
	ofEC2(t, d, things)
	ofClusters(t, d, things)
	ofEvents(t, d, things)
	return things
}

func ofEvents(t *testing.T, d *identitytest.Door, things map[string]string) {
	t.Helper()
	ctx := t.Context()
	queue := must(sdksqs.NewFromConfig(d.AsRoot()).CreateQueue(ctx, &sdksqs.CreateQueueInput{QueueName: aws.String("first-queue")}))(t)
	arn := "arn:aws:sqs:us-west-2:" + account + ":first-queue"
	c := sdkevents.NewFromConfig(d.AsRoot())
	rule := must(c.PutRule(ctx, &sdkevents.PutRuleInput{Name: aws.String("first-rule"), EventPattern: aws.String(`{"source":["x"]}`)}))(t)
	must(c.PutTargets(ctx, &sdkevents.PutTargetsInput{Rule: aws.String("first-rule"), Targets: []eventstypes.Target{{Id: aws.String("first-target"), Arn: &arn}}}))(t)
	for k, v := range map[string]string{
		"QueueUrl": *queue.QueueUrl, "GetQueueUrl.QueueOwnerAWSAccountId": account, "GetQueueUrl.QueueName": "first-queue", "CreateQueue.QueueName": "their-queue",
		"SetQueueAttributes.Attributes": "", "CreateQueue.Attributes": "", "TargetArn": arn, "PutTargets.Targets.Arn": arn, "EventPattern": `{"source":["x"]}`, "ResourceARN": *rule.RuleArn, "Rule": "first-rule",
		"DescribeRule.Name": "first-rule", "DeleteRule.Name": "first-rule", "EnableRule.Name": "first-rule", "DisableRule.Name": "first-rule", "PutRule.Name": "first-rule",
		"RemoveTargets.Ids": "first-target",
	} {
		things[k] = v
	}
}

const trustsAccount = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["eks.amazonaws.com","ec2.amazonaws.com","pods.eks.amazonaws.com"]},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

func ofIAM(t *testing.T, d *identitytest.Door, things map[string]string) {
	t.Helper()
	ctx, c := t.Context(), sdkiam.NewFromConfig(d.AsRoot())
	role := must(c.CreateRole(ctx, &sdkiam.CreateRoleInput{RoleName: aws.String("first-role"), AssumeRolePolicyDocument: aws.String(trustsAccount)}))(t)
	for _, p := range []string{"AmazonEKSClusterPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"} {
		must(c.AttachRolePolicy(ctx, &sdkiam.AttachRolePolicyInput{RoleName: role.Role.RoleName, PolicyArn: aws.String("arn:aws:iam::aws:policy/" + p)}))(t)
	}
	must(c.CreateUser(ctx, &sdkiam.CreateUserInput{UserName: aws.String("first-user")}))(t)
	key := must(c.CreateAccessKey(ctx, &sdkiam.CreateAccessKeyInput{UserName: aws.String("first-user")}))(t)
	must(c.CreateGroup(ctx, &sdkiam.CreateGroupInput{GroupName: aws.String("first-group")}))(t)
	policy := must(c.CreatePolicy(ctx, &sdkiam.CreatePolicyInput{PolicyName: aws.String("first-policy"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}))(t)
	must(c.CreateInstanceProfile(ctx, &sdkiam.CreateInstanceProfileInput{InstanceProfileName: aws.String("first-profile")}))(t)
	must(c.AddRoleToInstanceProfile(ctx, &sdkiam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("first-profile"), RoleName: role.Role.RoleName}))(t)
	provider := must(c.CreateOpenIDConnectProvider(ctx, &sdkiam.CreateOpenIDConnectProviderInput{
		Url: aws.String("https://issuer.example"), ClientIDList: []string{"app"}, ThumbprintList: []string{"0123456789012345678901234567890123456789"}}))(t)
	for k, v := range map[string]string{
		"RoleName": "first-role", "UserName": "first-user", "GroupName": "first-group", "InstanceProfileName": "first-profile", "PolicyName": "first-policy",
		"RoleArn": *role.Role.Arn, "PolicyArn": *policy.Policy.Arn, "PolicySourceArn": *role.Role.Arn, "OpenIDConnectProviderArn": *provider.OpenIDConnectProviderArn,
		"AccessKeyId": *key.AccessKey.AccessKeyId, "VersionId": "v1", "PermissionsBoundary": *policy.Policy.Arn, "Status": "Inactive",
		"PolicyDocument":           `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		"AssumeRolePolicyDocument": trustsAccount, "RoleSessionName": "session", "CreateOpenIDConnectProvider.Url": "https://issuer.example",
		"UpdateAccessKey.Status": "Inactive", "CreateServiceLinkedRole.AWSServiceName": "eks.amazonaws.com",
		"DeleteServiceLinkedRole.RoleName": "AWSServiceRoleForAmazonEKS", "PolicyInputList": `{"Version":"2012-10-17","Statement":[]}`,
	} {
		things[k] = v
	}
}

func ofEC2(t *testing.T, d *identitytest.Door, things map[string]string) {
	t.Helper()
	ctx, c := t.Context(), sdkec2.NewFromConfig(d.AsRoot())
	vpc := must(c.DescribeVpcs(ctx, &sdkec2.DescribeVpcsInput{}))(t).Vpcs[0]
	inVPC := []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{*vpc.VpcId}}}
	subnets := must(c.DescribeSubnets(ctx, &sdkec2.DescribeSubnetsInput{Filters: inVPC}))(t).Subnets
	tables := must(c.DescribeRouteTables(ctx, &sdkec2.DescribeRouteTablesInput{Filters: inVPC}))(t).RouteTables
	groups := must(c.DescribeSecurityGroups(ctx, &sdkec2.DescribeSecurityGroupsInput{Filters: inVPC}))(t).SecurityGroups
	lists := must(c.DescribeNetworkAcls(ctx, &sdkec2.DescribeNetworkAclsInput{Filters: inVPC}))(t).NetworkAcls
	gateways := must(c.DescribeInternetGateways(ctx, &sdkec2.DescribeInternetGatewaysInput{}))(t).InternetGateways
	second := must(c.CreateVpc(ctx, &sdkec2.CreateVpcInput{CidrBlock: aws.String("10.50.0.0/16")}))(t).Vpc
	peering := must(c.CreateVpcPeeringConnection(ctx, &sdkec2.CreateVpcPeeringConnectionInput{VpcId: vpc.VpcId, PeerVpcId: second.VpcId}))(t).VpcPeeringConnection
	eni := must(c.CreateNetworkInterface(ctx, &sdkec2.CreateNetworkInterfaceInput{SubnetId: subnets[0].SubnetId}))(t).NetworkInterface
	address := must(c.AllocateAddress(ctx, &sdkec2.AllocateAddressInput{}))(t)
	nat := must(c.CreateNatGateway(ctx, &sdkec2.CreateNatGatewayInput{SubnetId: subnets[0].SubnetId, AllocationId: address.AllocationId}))(t).NatGateway
	must(c.CreateKeyPair(ctx, &sdkec2.CreateKeyPairInput{KeyName: aws.String("first-key")}))(t)
	must(c.CreatePlacementGroup(ctx, &sdkec2.CreatePlacementGroupInput{GroupName: aws.String("first-placement"), Strategy: "cluster"}))(t)
	prefixes := must(c.CreateManagedPrefixList(ctx, &sdkec2.CreateManagedPrefixListInput{
		PrefixListName: aws.String("first-list"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(5)}))(t).PrefixList
	endpoint := must(c.CreateVpcEndpoint(ctx, &sdkec2.CreateVpcEndpointInput{
		VpcId: second.VpcId, ServiceName: aws.String("com.amazonaws.us-west-2.s3"), VpcEndpointType: ec2types.VpcEndpointTypeGateway}))(t).VpcEndpoint
	image := *must(sdkssm.NewFromConfig(d.AsRoot()).GetParameter(ctx, &sdkssm.GetParameterInput{
		Name: aws.String("/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/image_id")}))(t).Parameter.Value
	template := must(c.CreateLaunchTemplate(ctx, &sdkec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("first-template"),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: &image, InstanceType: "t3.medium"}}))(t).LaunchTemplate
	instance := must(c.RunInstances(ctx, &sdkec2.RunInstancesInput{ImageId: &image, InstanceType: "t3.medium", MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: subnets[0].SubnetId}))(t).Instances[0]
	spot := must(c.RequestSpotInstances(ctx, &sdkec2.RequestSpotInstancesInput{LaunchSpecification: &ec2types.RequestSpotLaunchSpecification{
		ImageId: &image, InstanceType: "t3.medium", SubnetId: subnets[0].SubnetId}}))(t).SpotInstanceRequests[0]
	must(sdkas.NewFromConfig(d.AsRoot()).CreateAutoScalingGroup(ctx, &sdkas.CreateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String("first-asg"), MinSize: aws.Int32(0), MaxSize: aws.Int32(1), VPCZoneIdentifier: subnets[0].SubnetId,
		LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateId: template.LaunchTemplateId}}))(t)
	for k, v := range map[string]string{
		"VpcId": *vpc.VpcId, "SubnetId": *subnets[0].SubnetId, "RouteTableId": *tables[0].RouteTableId, "GroupId": *groups[0].GroupId, "SecurityGroupId": *groups[0].GroupId,
		"NetworkAclId": *lists[0].NetworkAclId, "InternetGatewayId": *gateways[0].InternetGatewayId, "VpcPeeringConnectionId": *peering.VpcPeeringConnectionId,
		"PeerVpcId": *second.VpcId, "NetworkInterfaceId": *eni.NetworkInterfaceId, "AllocationId": *address.AllocationId, "NatGatewayId": *nat.NatGatewayId,
		"PrefixListId": *prefixes.PrefixListId, "VpcEndpointId": *endpoint.VpcEndpointId, "LaunchTemplateId": *template.LaunchTemplateId, "InstanceId": *instance.InstanceId,
		"KeyName": "first-key", "DescribeKeyPairs.KeyNames": "first-key", "DeletePlacementGroup.GroupName": "first-placement", "DescribePlacementGroups.GroupNames": "first-placement",
		"AssociationId": *lists[0].Associations[0].NetworkAclAssociationId, "SpotInstanceRequestId": *spot.SpotInstanceRequestId, "DhcpOptionsId": *vpc.DhcpOptionsId,
		"AttachmentId": *instance.NetworkInterfaces[0].Attachment.AttachmentId, "Resources": *vpc.VpcId, "CidrBlock": "10.60.0.0/24",
		"DestinationCidrBlock": "10.61.0.0/16",
		"Attribute":            "instanceType", "DescribeVpcAttribute.Attribute": "enableDnsSupport", "ServiceName": "com.amazonaws.us-west-2.s3", "VolumeId": "vol-0123456789abcdef0",
		"AutoScalingGroupName": "first-asg", "LifecycleHookName": "first-hook", "ScheduledActionName": "first-action", "ImageId": image, "InstanceType": "t3.medium",
		// So that what is asked for is whole, and the answer is about whose it is.
		"CreateAutoScalingGroup.InstanceId": "", "AssociateAddress.NetworkInterfaceId": "", "CreateTags.Tags": "x", "CreateTags.Tags.Key": "k",
		"AuthorizeSecurityGroupIngress.IpProtocol": "tcp", "AuthorizeSecurityGroupIngress.FromPort": "1", "AuthorizeSecurityGroupIngress.ToPort": "1",
		"AuthorizeSecurityGroupIngress.CidrIp": "10.0.0.0/8", "AssignPrivateIpAddresses.SecondaryPrivateIpAddressCount": "1", "AssignIpv6Addresses.Ipv6AddressCount": "1",
		"ModifyVpcAttribute.EnableDnsSupport": "x", "ModifyVpcAttribute.EnableDnsSupport.Value": "true", "SimulatePrincipalPolicy.ActionNames": "s3:GetObject",
		"AssociateAccessPolicy.accessScope.type": "cluster", "UpdateClusterConfig.deletionProtection": "true",
		"UnassignPrivateIpAddresses.PrivateIpAddresses": *eni.PrivateIpAddress,
	} {
		things[k] = v
	}
	for _, table := range tables {
		for _, a := range table.Associations {
			things["DisassociateRouteTable.AssociationId"] = *a.RouteTableAssociationId
			things["ReplaceRouteTableAssociation.AssociationId"] = *a.RouteTableAssociationId
		}
	}
	things["DisassociateAddress.AssociationId"] = *nat.NatGatewayAddresses[0].AllocationId
}

func ofClusters(t *testing.T, d *identitytest.Door, things map[string]string) {
	t.Helper()
	ctx, c, name := t.Context(), sdkeks.NewFromConfig(d.AsRoot()), aws.String("first-cluster")
	subnets := must(sdkec2.NewFromConfig(d.AsRoot()).DescribeSubnets(ctx, &sdkec2.DescribeSubnetsInput{
		Filters: []ec2types.Filter{{Name: aws.String("default-for-az"), Values: []string{"true"}}}}))(t).Subnets
	ids := []string{*subnets[0].SubnetId, *subnets[1].SubnetId}
	cluster := must(c.CreateCluster(ctx, &sdkeks.CreateClusterInput{Name: name, RoleArn: aws.String(things["RoleArn"]),
		ResourcesVpcConfig: &ekstypes.VpcConfigRequest{SubnetIds: ids}, AccessConfig: &ekstypes.CreateAccessConfigRequest{AuthenticationMode: ekstypes.AuthenticationModeApi}}))(t).Cluster
	d.Update(t, func(tx *store.Tx) {
		r, _ := tx.Clusters.Get(*cluster.Arn)
		r.Status = resource.ClusterStatus{State: resource.ClusterActive, RunningVersion: r.Spec.Version, Endpoint: "https://127.7.0.2", CA: []byte("PEM"), Issuer: "https://oidc.test/id/" + r.Spec.Hex}
		tx.Clusters.Put(r.ARN, r)
	})
	must(c.CreateAccessEntry(ctx, &sdkeks.CreateAccessEntryInput{ClusterName: name, PrincipalArn: aws.String(fmt.Sprintf("arn:aws:iam::%s:user/first-user", account))}))(t)
	association := must(c.CreatePodIdentityAssociation(ctx, &sdkeks.CreatePodIdentityAssociationInput{
		ClusterName: name, Namespace: aws.String("n"), ServiceAccount: aws.String("s"), RoleArn: aws.String(things["RoleArn"])}))(t).Association
	must(c.CreateNodegroup(ctx, &sdkeks.CreateNodegroupInput{ClusterName: name, NodegroupName: aws.String("first-nodes"), NodeRole: aws.String(things["RoleArn"]), Subnets: ids}))(t)
	for _, op := range []string{"DescribeCluster", "DeleteCluster", "UpdateClusterConfig", "UpdateClusterVersion", "ListUpdates", "DescribeUpdate", "CancelUpdate"} {
		things[op+".name"] = *name
	}
	for k, v := range map[string]string{
		"ClusterName": *name, "NodegroupName": "first-nodes", "PrincipalArn": fmt.Sprintf("arn:aws:iam::%s:user/first-user", account), "ResourceArn": *cluster.Arn,
		"DescribePodIdentityAssociation.associationId": *association.AssociationId, "DeletePodIdentityAssociation.associationId": *association.AssociationId,
		"UpdatePodIdentityAssociation.associationId": *association.AssociationId, "AddonName": "coredns", "NodeRole": things["RoleArn"], "Version": "1.36",
		"AssociateAccessPolicy.policyArn":    "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
		"DisassociateAccessPolicy.policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", "UpdateId": "0",
		"Namespace": "n", "ServiceAccount": "s", "IssuerUrl": "https://issuer.example", "ListAccessEntries.associatedPolicyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
	} {
		things[k] = v
	}
}
