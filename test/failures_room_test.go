package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

func recommendedImage(minor string) *ssm.GetParameterInput {
	return &ssm.GetParameterInput{Name: new("/aws/service/eks/optimized-ami/" + minor + "/amazon-linux-2023/x86_64/standard/recommended/image_id")}
}

// noAddresses fills the subnet of a node: no instance and no pod gets an address there.
func (f *failures) noAddresses(t *testing.T) {
	ctx := t.Context()
	no(t, lab.Until(ctx, lab.NodesTimeout, "the subnet to be full", func(ctx context.Context) (bool, string, error) {
		out, err := f.cloud.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{f.narrow}})
		if err != nil {
			return false, "", err
		}
		left := *out.Subnets[0].AvailableIpAddressCount
		if left == 0 {
			return true, "", nil
		}
		in := &ec2.CreateNetworkInterfaceInput{SubnetId: &f.narrow}
		if left > 1 {
			in.SecondaryPrivateIpAddressCount = new(left - 1)
		}
		_, err = f.cloud.EC2.CreateNetworkInterface(ctx, in)
		return false, fmt.Sprint(left, " are left: ", err), nil // the CNI may have taken one meanwhile
	}))

	ami, err := f.cloud.SSM.GetParameter(ctx, recommendedImage(version))
	no(t, err)
	_, err = f.cloud.EC2.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: new(int32(1)), MaxCount: new(int32(1)), SubnetId: &f.narrow,
	})
	want := "There are not enough free addresses in subnet '" + f.narrow + "' to satisfy the requested number of instances."
	if lab.Code(err) != "InsufficientFreeAddressesInSubnet" || lab.Message(err) != want {
		t.Errorf("an instance in a full subnet: %v", err)
	}
	_, err = f.cloud.EKS.UpdateNodegroupConfig(ctx, &eks.UpdateNodegroupConfigInput{
		ClusterName: new(clusterName), NodegroupName: new("opened"), ScalingConfig: &types.NodegroupScalingConfig{DesiredSize: new(int32(2))},
	})
	no(t, err)
	f.awaitActivity(t, "opened", want+" Launching EC2 instance failed.")

	// The node has some addresses ready, and gets no more.
	f.hold(t, "thirsty", 8, "opened")
	no(t, lab.Until(ctx, lab.NodesTimeout, "a pod that gets no address", func(ctx context.Context) (bool, string, error) {
		return f.event(ctx, t, "FailedCreatePodSandBox", `plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP address to container`)
	}))
	pods, err := f.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=thirsty"})
	no(t, err)
	if !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return strings.Contains(lab.Explain(p), "ContainerCreating") }) {
		t.Errorf("no pod is in ContainerCreating")
	}
}

// awaitActivity waits for a Failed activity of a node group's Auto Scaling group with this message.
func (f *failures) awaitActivity(t *testing.T, group, message string) {
	t.Helper()
	name := f.describe(t, group).Resources.AutoScalingGroups[0].Name
	no(t, lab.Until(t.Context(), lab.NodesTimeout, "a failed activity", func(ctx context.Context) (bool, string, error) {
		out, err := f.cloud.Groups.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: name})
		if err != nil {
			return false, "", err
		}
		last := ""
		for _, a := range out.Activities {
			if a.StatusCode == "Failed" && a.StatusMessage != nil {
				last = *a.StatusMessage
			}
		}
		return last == message, last, nil
	}))
}

// hold makes n pods that do nothing, on the nodes of a group.
func (f *failures) hold(t *testing.T, name string, n int, group string) {
	t.Helper()
	f.holdOn(t, name, n, map[string]string{"group": group})
}

func (f *failures) holdOn(t *testing.T, name string, n int, nodes map[string]string) {
	t.Helper()
	for i := range n {
		_, err := f.kube.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, i), Labels: map[string]string{"app": name}},
			Spec: corev1.PodSpec{
				NodeSelector: nodes, TerminationGracePeriodSeconds: new(int64(0)),
				Containers: []corev1.Container{{Name: "main", Image: "registry.ekster.internal/pause:3.10"}},
			},
		}, metav1.CreateOptions{})
		no(t, err)
	}
}

// event looks for an event of a reason whose message has a text in it.
func (f *failures) event(ctx context.Context, t *testing.T, reason, text string) (bool, string, error) {
	t.Helper()
	list, err := f.kube.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "reason=" + reason})
	if err != nil {
		return false, "", err
	}
	last := ""
	for _, e := range list.Items {
		if last = e.Message; strings.Contains(last, text) {
			return true, "", nil
		}
	}
	return false, last, nil
}

// tooManyPods: a t3.micro has two interfaces with two addresses each, which makes four pods.
func (f *failures) tooManyPods(t *testing.T) {
	node := f.awaitNode(t, "group=small", 1)[0]
	if n := node.Status.Allocatable.Pods().Value(); n != 4 {
		t.Errorf("a t3.micro takes %d pods", n)
	}
	f.hold(t, "crowd", 4, "small")
	no(t, lab.Until(t.Context(), lab.NodesTimeout, "a pod that is too many", func(ctx context.Context) (bool, string, error) {
		list, err := f.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=crowd"})
		if err != nil {
			return false, "", err
		}
		last := ""
		for _, p := range list.Items {
			if last = lab.Explain(p); p.Status.Phase == corev1.PodPending && strings.Contains(last, "1 Too many pods") {
				return true, "", nil
			}
		}
		return false, last, nil
	}))
}

// zoneGone takes away the zone of one of two nodes, and gives it back.
func (f *failures) zoneGone(t *testing.T) {
	ctx := t.Context()
	zone := f.land.Zones[1]
	label := "group=web,topology.kubernetes.io/zone="
	f.awaitNode(t, label+zone, 1)
	no(t, createWeb(ctx, f.kube, 4, func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"group": "web"} }))
	_, err := f.kube.AwaitPods(ctx, "default", "app=web", 4)
	no(t, err)

	_, err = f.daemon.Run(ctx, "fault", "zone", zone)
	no(t, err)
	ami, err := f.cloud.SSM.GetParameter(ctx, recommendedImage(version))
	no(t, err)
	launch := &ec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: new(int32(1)), MaxCount: new(int32(1)), SubnetId: &f.land.Subnets[1],
	}
	_, err = f.cloud.EC2.RunInstances(ctx, launch)
	if lab.Code(err) != "InsufficientInstanceCapacity" || !strings.HasPrefix(lab.Message(err), "We currently do not have sufficient t3.medium capacity in the Availability Zone you requested ("+zone+").") {
		t.Errorf("a launch in a zone that is gone: %v", err)
	}
	if state := f.zoneState(t, zone); state != ec2types.AvailabilityZoneStateUnavailable {
		t.Errorf("zone %s is %s", zone, state)
	}
	f.awaitNode(t, label+f.land.Zones[0], 2)
	f.awaitNode(t, label+zone, 0)
	_, err = f.kube.AwaitPods(ctx, "default", "app=web", 4)
	no(t, err)

	_, err = f.daemon.Run(ctx, "fault", "zone", zone, "--heal")
	no(t, err)
	if _, err = f.cloud.EC2.RunInstances(ctx, launch); err != nil {
		t.Errorf("a launch in a zone that is back: %v", err)
	}
	if state := f.zoneState(t, zone); state != ec2types.AvailabilityZoneStateAvailable {
		t.Errorf("zone %s is %s", zone, state)
	}
	if list, err := f.daemon.Run(ctx, "fault", "zone"); err != nil || strings.Contains(list, zone) {
		t.Errorf("after all: %s, %v", list, err)
	}
}

func (f *failures) zoneState(t *testing.T, zone string) ec2types.AvailabilityZoneState {
	t.Helper()
	out, err := f.cloud.EC2.DescribeAvailabilityZones(t.Context(), &ec2.DescribeAvailabilityZonesInput{ZoneNames: []string{zone}})
	no(t, err)
	return out.AvailabilityZones[0].State
}
