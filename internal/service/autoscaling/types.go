package autoscaling

import (
	"context"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What there is to choose from.
var (
	hookTypes = []string{resource.HookLaunching, resource.HookTerminating}
	processes = []string{"AZRebalance", "AddToLoadBalancer", "AlarmNotification", "HealthCheck", "InstanceRefresh", "Launch", "ReplaceUnhealthy", "ScheduledActions", "Terminate"}
	policies  = []string{"AllocationStrategy", "ClosestToNextInstanceHour", "Default", "NewestInstance", "OldestInstance", "OldestLaunchConfiguration", "OldestLaunchTemplate"}
)

// Quotas of an account.
const (
	maxAccountGroups = 500
	maxAccountConfig = 200
)

// DescribeLifecycleHookTypes lists the transitions that hooks can hold.
func (s *Service) DescribeLifecycleHookTypes(context.Context, awsapi.Call, *autoscaling.DescribeLifecycleHookTypesInput) (*autoscaling.DescribeLifecycleHookTypesOutput, error) {
	return &autoscaling.DescribeLifecycleHookTypesOutput{LifecycleHookTypes: hookTypes}, nil
}

// DescribeScalingProcessTypes lists the processes that can be suspended.
func (s *Service) DescribeScalingProcessTypes(context.Context, awsapi.Call, *autoscaling.DescribeScalingProcessTypesInput) (*autoscaling.DescribeScalingProcessTypesOutput, error) {
	out := &autoscaling.DescribeScalingProcessTypesOutput{}
	for _, p := range processes {
		out.Processes = append(out.Processes, autoscaling.ProcessType{ProcessName: new(p)})
	}
	return out, nil
}

// DescribeTerminationPolicyTypes lists the termination policies.
func (s *Service) DescribeTerminationPolicyTypes(context.Context, awsapi.Call, *autoscaling.DescribeTerminationPolicyTypesInput) (*autoscaling.DescribeTerminationPolicyTypesOutput, error) {
	return &autoscaling.DescribeTerminationPolicyTypesOutput{TerminationPolicyTypes: policies}, nil
}

// DescribeAccountLimits tells how many groups there may be, and are.
func (s *Service) DescribeAccountLimits(_ context.Context, call awsapi.Call, _ *autoscaling.DescribeAccountLimitsInput) (*autoscaling.DescribeAccountLimitsOutput, error) {
	out := &autoscaling.DescribeAccountLimitsOutput{
		MaxNumberOfAutoScalingGroups: new(int32(maxAccountGroups)), MaxNumberOfLaunchConfigurations: new(int32(maxAccountConfig)),
		NumberOfLaunchConfigurations: new(int32(0)),
	}
	err := s.store.View(func(tx *store.Tx) error {
		out.NumberOfAutoScalingGroups = new(groupsIn(tx, home(call)))
		return nil
	})
	return out, err
}

func groupsIn(tx *store.Tx, home resource.Home) (n int32) {
	for range tx.AutoScalingGroups.Values(func(g resource.AutoScalingGroup) bool { return g.Home == home }) {
		n++
	}
	return n
}
