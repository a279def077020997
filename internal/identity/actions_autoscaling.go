package identity

import "ekster.dev/ekster/gen/autoscaling"

// groupWith is the ARN of the group that an instance is in.
func (s scope) groupWith(instance *string) []string {
	if m, ok := s.tx.GroupInstances.Get(deref(instance)); ok {
		return []string{m.Group}
	}
	return nil
}

var autoscalingRules = rules{
	"AttachInstances": on(func(s scope, in *autoscaling.AttachInstancesInput) []string { return s.group(in.AutoScalingGroupName) }),
	"BatchDeleteScheduledAction": on(func(s scope, in *autoscaling.BatchDeleteScheduledActionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"BatchPutScheduledUpdateGroupAction": on(func(s scope, in *autoscaling.BatchPutScheduledUpdateGroupActionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"CancelInstanceRefresh": on(func(s scope, in *autoscaling.CancelInstanceRefreshInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"CompleteLifecycleAction": on(func(s scope, in *autoscaling.CompleteLifecycleActionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"CreateAutoScalingGroup": needs(with(on(func(s scope, in *autoscaling.CreateAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}), func(in *autoscaling.CreateAutoScalingGroupInput) map[string][]string { return groupTags(in.Tags) }),
		func(s scope, in *autoscaling.CreateAutoScalingGroupInput) []check {
			checks := s.groupLaunch(in.LaunchTemplate, in.MixedInstancesPolicy)
			if in.ServiceLinkedRoleARN == nil {
				return append(checks, s.linked("autoscaling.amazonaws.com")...)
			}
			return append(checks, s.pass(in.ServiceLinkedRoleARN, "autoscaling.amazonaws.com")...)
		}),
	"CreateOrUpdateTags": with(on(func(s scope, in *autoscaling.CreateOrUpdateTagsInput) []string { return s.groupsOf(in.Tags) }),
		func(in *autoscaling.CreateOrUpdateTagsInput) map[string][]string { return groupTags(in.Tags) }),
	"DeleteAutoScalingGroup": on(func(s scope, in *autoscaling.DeleteAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"DeleteLifecycleHook": on(func(s scope, in *autoscaling.DeleteLifecycleHookInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"DeleteScheduledAction": on(func(s scope, in *autoscaling.DeleteScheduledActionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"DeleteTags": with(on(func(s scope, in *autoscaling.DeleteTagsInput) []string { return s.groupsOf(in.Tags) }),
		func(in *autoscaling.DeleteTagsInput) map[string][]string {
			return map[string][]string{"aws:TagKeys": groupTags(in.Tags)["aws:TagKeys"]}
		}),
	"DescribeAccountLimits":          anything,
	"DescribeAutoScalingGroups":      anything,
	"DescribeAutoScalingInstances":   anything,
	"DescribeInstanceRefreshes":      anything,
	"DescribeLaunchConfigurations":   anything,
	"DescribeLifecycleHookTypes":     anything,
	"DescribeLifecycleHooks":         anything,
	"DescribeScalingActivities":      anything,
	"DescribeScalingProcessTypes":    anything,
	"DescribeScheduledActions":       anything,
	"DescribeTags":                   anything,
	"DescribeTerminationPolicyTypes": anything,
	"DetachInstances":                on(func(s scope, in *autoscaling.DetachInstancesInput) []string { return s.group(in.AutoScalingGroupName) }),
	"DisableMetricsCollection": on(func(s scope, in *autoscaling.DisableMetricsCollectionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"EnableMetricsCollection": on(func(s scope, in *autoscaling.EnableMetricsCollectionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"EnterStandby":     on(func(s scope, in *autoscaling.EnterStandbyInput) []string { return s.group(in.AutoScalingGroupName) }),
	"ExitStandby":      on(func(s scope, in *autoscaling.ExitStandbyInput) []string { return s.group(in.AutoScalingGroupName) }),
	"PutLifecycleHook": on(func(s scope, in *autoscaling.PutLifecycleHookInput) []string { return s.group(in.AutoScalingGroupName) }),
	"PutScheduledUpdateGroupAction": on(func(s scope, in *autoscaling.PutScheduledUpdateGroupActionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"RecordLifecycleActionHeartbeat": on(func(s scope, in *autoscaling.RecordLifecycleActionHeartbeatInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"ResumeProcesses": on(func(s scope, in *autoscaling.ResumeProcessesInput) []string { return s.group(in.AutoScalingGroupName) }),
	"RollbackInstanceRefresh": on(func(s scope, in *autoscaling.RollbackInstanceRefreshInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"SetDesiredCapacity": on(func(s scope, in *autoscaling.SetDesiredCapacityInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"SetInstanceHealth": on(func(s scope, in *autoscaling.SetInstanceHealthInput) []string { return s.groupWith(in.InstanceId) }),
	"SetInstanceProtection": on(func(s scope, in *autoscaling.SetInstanceProtectionInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"StartInstanceRefresh": needs(on(func(s scope, in *autoscaling.StartInstanceRefreshInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
		func(s scope, in *autoscaling.StartInstanceRefreshInput) []check {
			if in.DesiredConfiguration == nil {
				return nil
			}
			return s.groupLaunch(in.DesiredConfiguration.LaunchTemplate, in.DesiredConfiguration.MixedInstancesPolicy)
		}),
	"SuspendProcesses": on(func(s scope, in *autoscaling.SuspendProcessesInput) []string { return s.group(in.AutoScalingGroupName) }),
	"TerminateInstanceInAutoScalingGroup": on(func(s scope, in *autoscaling.TerminateInstanceInAutoScalingGroupInput) []string {
		return s.groupWith(in.InstanceId)
	}),
	"UpdateAutoScalingGroup": needs(on(func(s scope, in *autoscaling.UpdateAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}), func(s scope, in *autoscaling.UpdateAutoScalingGroupInput) []check {
		return append(s.groupLaunch(in.LaunchTemplate, in.MixedInstancesPolicy), s.pass(in.ServiceLinkedRoleARN, "autoscaling.amazonaws.com")...)
	}),
}
