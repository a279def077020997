package test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"ekster.dev/ekster/test/lab"
)

// TestAutoScaling is a group of somebody's own, with real machines and no cluster: hooks hold
// them, a refresh replaces them, and nothing is left.
func TestAutoScaling(t *testing.T) {
	_, cloud := newDaemon(t)
	ctx := t.Context()
	watch := newStopwatch(t)
	image, err := cloud.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/eks/optimized-ami/" + version + "/amazon-linux-2023/x86_64/standard/recommended/image_id")})
	no(t, err)
	data := &ec2types.RequestLaunchTemplateData{ImageId: image.Parameter.Value, InstanceType: ec2types.InstanceTypeT3Small}
	_, err = cloud.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("own"), LaunchTemplateData: data})
	no(t, err)
	_, err = cloud.EC2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: aws.String("own"), LaunchTemplateData: data})
	no(t, err)
	hook := func(name, transition string) astypes.LifecycleHookSpecification {
		return astypes.LifecycleHookSpecification{LifecycleHookName: &name, LifecycleTransition: &transition, HeartbeatTimeout: aws.Int32(600)}
	}
	template := func(v string) *astypes.LaunchTemplateSpecification {
		return &astypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String("own"), Version: &v}
	}
	_, err = cloud.Groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String("own"), MinSize: aws.Int32(0), MaxSize: aws.Int32(2), DesiredCapacity: aws.Int32(1),
		LaunchTemplate: template("1"), AvailabilityZones: []string{"us-west-2a"},
		LifecycleHookSpecificationList: []astypes.LifecycleHookSpecification{hook("in", "autoscaling:EC2_INSTANCE_LAUNCHING"), hook("out", "autoscaling:EC2_INSTANCE_TERMINATING")},
	})
	no(t, err)
	members := func(want string) (out []astypes.Instance) {
		t.Helper()
		no(t, lab.Until(ctx, lab.NodesTimeout, "the members to be "+want, func(ctx context.Context) (bool, string, error) {
			groups, err := cloud.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
			if err != nil || len(groups.AutoScalingGroups) == 0 {
				return want == "gone", "gone", err
			}
			out = groups.AutoScalingGroups[0].Instances
			have := ""
			for _, i := range out {
				have += fmt.Sprint(i.LifecycleState, " ", *i.LaunchTemplate.Version, " ")
			}
			return have == want+" ", have, nil
		}))
		return out
	}
	complete := func(hook string, i astypes.Instance) {
		t.Helper()
		_, err := cloud.Groups.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
			AutoScalingGroupName: aws.String("own"), LifecycleHookName: &hook, InstanceId: i.InstanceId, LifecycleActionResult: aws.String("CONTINUE")})
		no(t, err)
	}
	state := func(i astypes.Instance) ec2types.InstanceStateName {
		t.Helper()
		out, err := cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
		no(t, err)
		return out.Reservations[0].Instances[0].State.Name
	}
	first := members("Pending:Wait 1")[0]
	watch.done("a machine that is held")
	complete("in", first)
	members("InService 1")
	_, err = cloud.Groups.DeleteLifecycleHook(ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: aws.String("own"), LifecycleHookName: aws.String("in")})
	no(t, err)
	_, err = cloud.Groups.StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("own"),
		DesiredConfiguration: &astypes.DesiredConfiguration{LaunchTemplate: template("2")},
		Preferences:          &astypes.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(200)}})
	no(t, err)
	no(t, lab.Until(ctx, lab.NodesTimeout, "the first machine to be held at its end", func(ctx context.Context) (bool, string, error) {
		out, err := cloud.Groups.DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: []string{*first.InstanceId}})
		if err != nil || len(out.AutoScalingInstances) == 0 {
			return false, "gone", err
		}
		s := *out.AutoScalingInstances[0].LifecycleState
		return s == "Terminating:Wait", s, nil
	}))
	if s := state(first); s != ec2types.InstanceStateNameRunning {
		t.Errorf("held at its end, it is %s", s)
	}
	complete("out", first)
	members("InService 2")
	if s := state(first); s != ec2types.InstanceStateNameTerminated && s != ec2types.InstanceStateNameShuttingDown {
		t.Errorf("let go, it is %s", s)
	}
	watch.done("a refresh")
	_, err = cloud.Groups.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("own"), ForceDelete: aws.Bool(true)})
	no(t, err)
	members("gone")
	watch.done("deletion")
}
