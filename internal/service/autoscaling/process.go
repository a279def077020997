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

// SuspendProcesses has a group leave processes undone: those given, or all.
func (s *Service) SuspendProcesses(ctx context.Context, call awsapi.Call, in *autoscaling.SuspendProcessesInput) (*autoscaling.SuspendProcessesOutput, error) {
	names, err := processesOf(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(_ *store.Tx, g *resource.AutoScalingGroup) error {
		if g.Deleting {
			return pendingDelete(g)
		}
		for _, p := range names {
			if !g.Spec.Suspended(p) {
				g.Spec.SuspendedProcesses = append(slices.Clone(g.Spec.SuspendedProcesses), resource.SuspendedProcess{Name: p, Since: call.Time.UTC()})
			}
		}
		return nil
	})
}

// ResumeProcesses has a group do again what was suspended: the processes given, or all.
func (s *Service) ResumeProcesses(ctx context.Context, call awsapi.Call, in *autoscaling.ResumeProcessesInput) (*autoscaling.ResumeProcessesOutput, error) {
	names, err := processesOf(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, call, in.AutoScalingGroupName, func(_ *store.Tx, g *resource.AutoScalingGroup) error {
		g.Spec.SuspendedProcesses = slices.DeleteFunc(slices.Clone(g.Spec.SuspendedProcesses), func(p resource.SuspendedProcess) bool { return slices.Contains(names, p.Name) })
		return nil
	})
}

func processesOf(given []string) ([]string, error) {
	if len(given) == 0 {
		return processes, nil
	}
	for _, p := range given {
		if !slices.Contains(processes, p) {
			return nil, validation("Invalid scaling process name(s): %s. Valid scaling process names are: [%s]", p, strings.Join(processes, ", "))
		}
	}
	return given, nil
}
