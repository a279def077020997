package autoscaling

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// metrics are what a group can count for CloudWatch.
var metrics = []string{
	"GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity", "GroupDesiredCapacity", "GroupInServiceCapacity", "GroupInServiceInstances",
	"GroupMaxSize", "GroupMinSize", "GroupPendingCapacity", "GroupPendingInstances", "GroupStandbyCapacity", "GroupStandbyInstances",
	"GroupTerminatingCapacity", "GroupTerminatingInstances", "GroupTotalCapacity", "GroupTotalInstances", "WarmPoolDesiredCapacity",
	"WarmPoolMinSize", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity", "WarmPoolTotalCapacity", "WarmPoolWarmedCapacity",
}

// granularity is the only one there is.
const granularity = "1Minute"

// EnableMetricsCollection has a group count metrics: those given, or all. The group shows that
// it does; there is no CloudWatch here to read them from.
func (s *Service) EnableMetricsCollection(ctx context.Context, call awsapi.Call, in *autoscaling.EnableMetricsCollectionInput) (*autoscaling.EnableMetricsCollectionOutput, error) {
	names, err := metricsOf(in.Metrics)
	if err != nil {
		return nil, err
	}
	if g := deref(in.Granularity); g != granularity {
		return nil, validation("Invalid granularity: %s. The only valid value is %s.", g, granularity)
	}
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(_ *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		all := slices.Sorted(slices.Values(slices.Concat(g.Spec.EnabledMetrics, names)))
		g.Spec.EnabledMetrics = slices.Compact(all)
		return nil
	})
}

// DisableMetricsCollection has a group count no longer what is given, or anything.
func (s *Service) DisableMetricsCollection(ctx context.Context, call awsapi.Call, in *autoscaling.DisableMetricsCollectionInput) (*autoscaling.DisableMetricsCollectionOutput, error) {
	names, err := metricsOf(in.Metrics)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(_ *store.Tx, g *resource.AutoScalingGroup) error {
		g.Spec.EnabledMetrics = slices.DeleteFunc(slices.Clone(g.Spec.EnabledMetrics), func(m string) bool { return slices.Contains(names, m) })
		return nil
	})
}

func metricsOf(given []string) ([]string, error) {
	if len(given) == 0 {
		return metrics, nil
	}
	for _, m := range given {
		if !slices.Contains(metrics, m) {
			return nil, validation("Invalid metric: %s. Valid metrics are: [%s]", m, strings.Join(metrics, ", "))
		}
	}
	return given, nil
}

func describeMetrics(s resource.AutoScalingGroupSpec) []autoscaling.EnabledMetric {
	out := []autoscaling.EnabledMetric{}
	for _, m := range s.EnabledMetrics {
		out = append(out, autoscaling.EnabledMetric{Metric: new(m), Granularity: new(granularity)})
	}
	return out
}

// DescribeLaunchConfigurations lists none: groups launch from launch templates.
func (s *Service) DescribeLaunchConfigurations(context.Context, awsapi.Call, *autoscaling.DescribeLaunchConfigurationsInput) (*autoscaling.DescribeLaunchConfigurationsOutput, error) {
	return &autoscaling.DescribeLaunchConfigurationsOutput{LaunchConfigurations: []autoscaling.LaunchConfiguration{}}, nil
}
