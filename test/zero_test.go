package test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// zero brings a group from no node to one and back by the calls that the cluster autoscaler
// makes: it finds the group by tags, what a node of it would be in its launch template and in
// EKS's description, and sets and lowers its size behind the node group's back.
func (g *groups) zero(t *testing.T) {
	ctx := t.Context()
	found, err := g.cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: []astypes.Filter{
		{Name: new("tag-key"), Values: []string{"k8s.io/cluster-autoscaler/enabled"}}, {Name: new("tag-key"), Values: []string{"k8s.io/cluster-autoscaler/" + clusterName}},
		{Name: new("tag:eks:nodegroup-name"), Values: []string{"empty"}},
	}})
	no(t, err)
	if len(found.AutoScalingGroups) != 1 {
		t.Fatalf("the tags lead to %d groups", len(found.AutoScalingGroups))
	}
	group := found.AutoScalingGroups[0]
	if *group.MinSize != 0 || *group.DesiredCapacity != 0 || len(group.Instances) != 0 {
		t.Errorf("a group of no nodes: %d of at least %d, with %d instances", *group.DesiredCapacity, *group.MinSize, len(group.Instances))
	}
	template := group.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification
	versions, err := g.cloud.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: template.LaunchTemplateName, Versions: []string{*template.Version}})
	no(t, err)
	kind := string(versions.LaunchTemplateVersions[0].LaunchTemplateData.InstanceType)
	for _, o := range group.MixedInstancesPolicy.LaunchTemplate.Overrides {
		kind = *o.InstanceType
	}
	if kind != "t3.medium" {
		t.Errorf("its instances would be %q", kind)
	}
	ng := g.describe(t, "empty")
	if ng.Labels["for"] != "pending" || len(ng.Taints) != 1 || *ng.Taints[0].Key != "batch" {
		t.Errorf("its nodes would have labels %v and taints %v", ng.Labels, ng.Taints)
	}

	pods := g.kube.CoreV1().Pods("default")
	_, err = pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pending", Labels: map[string]string{"app": "pending"}}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"for": "pending"}, Tolerations: []corev1.Toleration{{Key: "batch", Operator: corev1.TolerationOpExists}},
		Containers: []corev1.Container{{Name: "hello", Image: helloImage}},
	}}, metav1.CreateOptions{})
	no(t, err)
	_, err = g.cloud.Groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: group.AutoScalingGroupName, DesiredCapacity: new(int32(1)), HonorCooldown: new(false)})
	no(t, err)
	_, err = g.kube.AwaitPods(ctx, "default", "app=pending", 1)
	no(t, err)
	id := g.only(t, "empty")
	if ng := g.describe(t, "empty"); ng.Status != types.NodegroupStatusActive || len(ng.Health.Issues) != 0 {
		t.Errorf("with one node it is %s: %+v", ng.Status, ng.Health.Issues)
	}

	no(t, pods.Delete(ctx, "pending", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	out, err := g.cloud.Groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: new(true)})
	no(t, err)
	if out.Activity == nil || *out.Activity.AutoScalingGroupName != *group.AutoScalingGroupName {
		t.Errorf("the activity is %+v", out.Activity)
	}
	no(t, lab.Until(ctx, lab.DeleteTimeout, "the group to be empty again", func(ctx context.Context) (bool, string, error) {
		now, err := g.cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{*group.AutoScalingGroupName}})
		if err != nil {
			return false, "", err
		}
		nodes, err := g.nodes(ctx, "empty")
		a := now.AutoScalingGroups[0]
		return len(a.Instances) == 0 && *a.DesiredCapacity == 0 && len(nodes) == 0, fmt.Sprintf("%d wanted, %d instances, %d nodes", *a.DesiredCapacity, len(a.Instances), len(nodes)), err
	}))
	if ng := g.describe(t, "empty"); ng.Status != types.NodegroupStatusActive || len(ng.Health.Issues) != 0 {
		t.Errorf("empty again it is %s: %+v", ng.Status, ng.Health.Issues)
	}
}

// describe is a node group as EKS describes it.
func (g *groups) describe(t *testing.T, name string) *types.Nodegroup {
	t.Helper()
	out, err := g.cloud.EKS.DescribeNodegroup(t.Context(), &eks.DescribeNodegroupInput{ClusterName: new(clusterName), NodegroupName: &name})
	no(t, err)
	return out.Nodegroup
}
