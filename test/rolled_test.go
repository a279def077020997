package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ekster.dev/ekster/test/lab"
)

const templateName = "rolled"

// template makes a version of a launch template of somebody's own, the first one with it.
func (g *groups) template(t *testing.T, instanceType ec2types.InstanceType) *types.LaunchTemplateSpecification {
	t.Helper()
	data := &ec2types.RequestLaunchTemplateData{InstanceType: instanceType}
	out, err := g.cloud.EC2.CreateLaunchTemplateVersion(t.Context(), &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: new(templateName), LaunchTemplateData: data})
	if err == nil {
		return &types.LaunchTemplateSpecification{Name: new(templateName), Version: new(fmt.Sprint(*out.LaunchTemplateVersion.VersionNumber))}
	}
	_, err = g.cloud.EC2.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{LaunchTemplateName: new(templateName), LaunchTemplateData: data})
	no(t, err)
	return &types.LaunchTemplateSpecification{Name: new(templateName), Version: new("1")}
}

// rolled has a group's only node replaced while a budget keeps a pod on it: the update fails
// and names the pod, and the group is as it was. With force it succeeds, and with the
// strategy MINIMAL there is never a machine more than before.
func (g *groups) rolled(t *testing.T) {
	ctx, id := t.Context(), g.only(t, "rolled")
	labels := map[string]string{"app": "stuck"}
	_, err := g.kube.PolicyV1().PodDisruptionBudgets("default").Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "stuck"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
	}, metav1.CreateOptions{})
	no(t, err)
	_, err = g.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "stuck", Labels: labels}, Spec: corev1.PodSpec{
		NodeSelector: map[string]string{"eks.amazonaws.com/nodegroup": "rolled"}, Containers: []corev1.Container{{Name: "hello", Image: helloImage}},
	}}, metav1.CreateOptions{})
	no(t, err)
	_, err = g.kube.AwaitPods(ctx, "default", "app=stuck", 1)
	no(t, err)

	larger := g.template(t, "t3.large")
	up := g.roll(t, larger, false)
	if up.Status != types.UpdateStatusFailed || len(up.Errors) != 1 || up.Errors[0].ErrorCode != types.ErrorCodePodEvictionFailure ||
		!slices.ContainsFunc(up.Errors[0].ResourceIds, func(r string) bool { return strings.HasPrefix(r, "default/stuck") }) {
		t.Errorf("a roll that a budget forbids has ended as %s: %s", up.Status, errorsOf(up))
	}
	t.Log(errorsOf(up))
	no(t, lab.Until(ctx, lab.NodesTimeout, "the group to be as it was", func(ctx context.Context) (bool, string, error) {
		nodes, err := g.nodes(ctx, "rolled")
		n, there := nodes[id]
		return err == nil && there && len(nodes) == 1 && nodeReady(&n) && !n.Spec.Unschedulable, fmt.Sprintf("%d nodes, %s there: %t, cordoned: %t", len(nodes), id, there, n.Spec.Unschedulable), err
	}))
	_, err = g.kube.AwaitPods(ctx, "default", "app=stuck", 1)
	no(t, err)

	out, err := g.cloud.EKS.UpdateNodegroupConfig(ctx, &eks.UpdateNodegroupConfigInput{ClusterName: new(clusterName), NodegroupName: new("rolled"),
		UpdateConfig: &types.NodegroupUpdateConfig{MaxUnavailable: new(int32(1)), UpdateStrategy: types.NodegroupUpdateStrategiesMinimal}})
	no(t, err)
	succeeded(t, g.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id, NodegroupName: new("rolled")}, time.Minute)
	group := *g.describe(t, "rolled").Resources.AutoScalingGroups[0].Name
	most := int32(0)
	looker := startCaller(t, 100*time.Millisecond, func(ctx context.Context) error {
		out, err := g.cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{group}})
		if err == nil {
			most = max(most, *out.AutoScalingGroups[0].DesiredCapacity)
		}
		return err
	})
	if up := g.roll(t, larger, true); up.Status != types.UpdateStatusSuccessful {
		t.Errorf("by force it has ended as %s: %s", up.Status, errorsOf(up))
	}
	looker.end()
	if most != 1 || looker.twice > 0 {
		t.Errorf("a MINIMAL roll of one node had %d; %v", most, looker.first)
	}
	next := g.another(t, "rolled", id, false)
	nodes, err := g.nodes(ctx, "rolled")
	no(t, err)
	if kind := nodes[next].Labels["node.kubernetes.io/instance-type"]; kind != "t3.large" {
		t.Errorf("the new node is a %s", kind)
	}
}

// roll has the group's node replaced, and waits for the end of it.
func (g *groups) roll(t *testing.T, lt *types.LaunchTemplateSpecification, force bool) *types.Update {
	t.Helper()
	began := time.Now()
	out, err := g.cloud.EKS.UpdateNodegroupVersion(t.Context(), &eks.UpdateNodegroupVersionInput{ClusterName: new(clusterName), NodegroupName: new("rolled"), LaunchTemplate: lt, Force: force})
	no(t, err)
	up := ended(t, g.cloud, &eks.DescribeUpdateInput{UpdateId: out.Update.Id, NodegroupName: new("rolled")}, replaceTimeout)
	t.Logf("force %t: %s after %s", force, up.Status, time.Since(began).Round(time.Second))
	return up
}
