package test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// TestOwnNodes has an Auto Scaling group of one's own, as EKS documents it for self-managed
// nodes: its machines never join while nobody has mapped their role, and all do once aws-auth
// does, by which alone a cluster of the mode CONFIG_MAP knows anybody.
func TestOwnNodes(t *testing.T) {
	watch := newStopwatch(t)
	d, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	in := land.ClusterInput(clusterName, "")
	in.AccessConfig.AuthenticationMode = types.AuthenticationModeConfigMap
	_, err = cloud.EKS.CreateCluster(ctx, in)
	no(t, err)
	cl, err := cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	kube, err := cloud.Kube(cl)
	no(t, err)
	watch.done("cluster")

	role, template := ownNodes(t, cloud, cl)
	_, err = cloud.Groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: new("own"), MinSize: new(int32(0)), MaxSize: new(int32(2)), DesiredCapacity: new(int32(1)),
		LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateId: &template}, VPCZoneIdentifier: new(strings.Join(land.Subnets[:2], ",")),
		Tags: []astypes.Tag{{Key: new("kubernetes.io/cluster/" + clusterName), Value: new("owned"), PropagateAtLaunch: new(true)}},
	})
	no(t, err)
	var instance string
	no(t, lab.Until(ctx, lab.NodesTimeout, "a machine of the group", func(ctx context.Context) (bool, string, error) {
		out, err := cloud.Groups.DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{})
		if err != nil || len(out.AutoScalingInstances) == 0 {
			return false, "there is none", err
		}
		instance = *out.AutoScalingInstances[0].InstanceId
		return *out.AutoScalingInstances[0].LifecycleState == "InService", *out.AutoScalingInstances[0].LifecycleState, nil
	}))
	awaitLog(t, d, "Unauthorized", instance, "kubelet")
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	no(t, err)
	if len(nodes.Items) > 0 {
		t.Fatal("the node of a role that nobody has mapped has joined")
	}
	watch.done("a machine that is shut out")

	no(t, putAWSAuth(ctx, kube, map[string]string{
		"mapRoles": "- rolearn: " + role + "\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:bootstrappers, system:nodes]\n",
	}))
	awaitReady(t, kube, 1)
	watch.done("let in by aws-auth")
	_, err = cloud.Groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: new("own"), DesiredCapacity: new(int32(2))})
	no(t, err)
	awaitReady(t, kube, 2)
	watch.done("a second one")
}

// ownNodes makes what nodes of one's own take, as EKS documents it: a role with an instance
// profile, and a launch template whose user data names the cluster.
func ownNodes(t *testing.T, cloud *lab.Cloud, cl *types.Cluster) (role, template string) {
	t.Helper()
	ctx := t.Context()
	role, err := cloud.Role(ctx, "own", lab.Trust("ec2.amazonaws.com"), lab.NodePolicies...)
	no(t, err)
	_, err = cloud.IAM.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: new("own")})
	no(t, err)
	_, err = cloud.IAM.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("own"), RoleName: new("own")})
	no(t, err)
	ami, err := cloud.SSM.GetParameter(ctx, recommendedImage(version))
	no(t, err)
	nodeConfig := fmt.Sprintf("apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: {name: %s, apiServerEndpoint: %q, certificateAuthority: %s, cidr: %s}\n",
		*cl.Name, *cl.Endpoint, *cl.CertificateAuthority.Data, *cl.KubernetesNetworkConfig.ServiceIpv4Cidr)
	userData := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"B\"\n\n--B\nContent-Type: application/node.eks.aws\n\n" + nodeConfig + "--B--\n"
	out, err := cloud.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: new("own"), LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", UserData: new(base64.StdEncoding.EncodeToString([]byte(userData))),
		SecurityGroupIds:   []string{*cl.ResourcesVpcConfig.ClusterSecurityGroupId},
		IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new("own")},
		TagSpecifications: []ec2types.LaunchTemplateTagSpecificationRequest{{
			ResourceType: "instance", Tags: []ec2types.Tag{{Key: new("kubernetes.io/cluster/" + *cl.Name), Value: new("owned")}},
		}},
	}})
	no(t, err)
	return role, *out.LaunchTemplate.LaunchTemplateId
}

// awaitReady waits for n nodes, all of them Ready.
func awaitReady(t *testing.T, kube *lab.Kube, n int) {
	t.Helper()
	no(t, lab.Until(t.Context(), lab.NodesTimeout, fmt.Sprintf("%d nodes to be Ready", n), func(ctx context.Context) (bool, string, error) {
		nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		ready, last := 0, "they say nothing"
		for _, node := range nodes.Items {
			for _, c := range node.Status.Conditions {
				if c.Type == "Ready" && c.Status == "True" {
					ready++
				} else if c.Type == "Ready" {
					last = c.Message
				}
			}
		}
		return ready == n, fmt.Sprintf("%d of %d: %s", ready, len(nodes.Items), last), nil
	}))
}

// awaitLog waits for what a log is to say.
func awaitLog(t *testing.T, d *lab.Daemon, want string, words ...string) {
	t.Helper()
	no(t, lab.Until(t.Context(), lab.NodesTimeout, fmt.Sprintf("%q in the log of %v", want, words), func(ctx context.Context) (bool, string, error) {
		log, err := d.Run(ctx, append([]string{"logs", "instance"}, words...)...)
		if err != nil {
			return false, err.Error(), nil // it has not begun to write
		}
		return strings.Contains(log, want), log[max(0, len(log)-400):], nil
	}))
}
