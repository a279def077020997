package ec2

import (
	"cmp"
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DescribeInstanceStatus tells how running instances are; with IncludeAllInstances, all.
func (s *Service) DescribeInstanceStatus(ctx context.Context, call awsapi.Call, in *ec2.DescribeInstanceStatusInput) (*ec2.DescribeInstanceStatusOutput, error) {
	max, err := checkPage(in.MaxResults, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	match, err := matcher(in.Filters, statusFields, nil)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstanceStatusOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		records, err := instanceRecords(tx, call, in.InstanceIds)
		if err != nil {
			return err
		}
		var all []ec2.InstanceStatus
		for _, i := range records {
			if i.Current() != resource.InstanceRunning && !is(in.IncludeAllInstances) {
				continue
			}
			sub, _ := tx.Subnets.Get(i.Spec.Subnet)
			if d := describeStatus(i, sub.ZoneID); match(d) {
				all = append(all, d)
			}
		}
		key := func(s ec2.InstanceStatus) string { return *s.InstanceId }
		slices.SortFunc(all, func(a, b ec2.InstanceStatus) int { return cmp.Compare(key(a), key(b)) })
		out.InstanceStatuses, out.NextToken, err = page(all, key, max, in.NextToken, 0)
		return err
	})
}

// describeStatus: a running instance is a machine that runs, which is all that EC2's
// checks find out; of others it finds out nothing.
func describeStatus(i resource.Instance, zoneID string) ec2.InstanceStatus {
	summary := &ec2.InstanceStatusSummary{Status: new("not-applicable")}
	if i.Current() == resource.InstanceRunning {
		summary = &ec2.InstanceStatusSummary{
			Status: new("ok"), Details: []ec2.InstanceStatusDetails{{Name: new("reachability"), Status: new("passed")}},
		}
	}
	return ec2.InstanceStatus{
		InstanceId: &i.ID, AvailabilityZone: &i.Spec.Zone, AvailabilityZoneId: some(zoneID), InstanceState: instanceState(i.Current()),
		InstanceStatus: summary, SystemStatus: summary, Operator: &ec2.OperatorResponse{Managed: new(false)},
	}
}

var statusFields = fields[ec2.InstanceStatus]{
	"availability-zone":            func(s ec2.InstanceStatus) []string { return text(s.AvailabilityZone) },
	"availability-zone-id":         func(s ec2.InstanceStatus) []string { return text(s.AvailabilityZoneId) },
	"instance-state-code":          func(s ec2.InstanceStatus) []string { return integer(s.InstanceState.Code) },
	"instance-state-name":          func(s ec2.InstanceStatus) []string { return text(s.InstanceState.Name) },
	"instance-status.status":       func(s ec2.InstanceStatus) []string { return text(s.InstanceStatus.Status) },
	"instance-status.reachability": func(s ec2.InstanceStatus) []string { return reachability(s.InstanceStatus) },
	"system-status.status":         func(s ec2.InstanceStatus) []string { return text(s.SystemStatus.Status) },
	"system-status.reachability":   func(s ec2.InstanceStatus) []string { return reachability(s.SystemStatus) },
	"event.code":                   always[ec2.InstanceStatus](),
	"event.description":            always[ec2.InstanceStatus](),
	"event.instance-event-id":      always[ec2.InstanceStatus](),
	"event.not-after":              always[ec2.InstanceStatus](),
	"event.not-before":             always[ec2.InstanceStatus](),
	"event.not-before-deadline":    always[ec2.InstanceStatus](),
	"attached-ebs-status.status":   always[ec2.InstanceStatus](),
	"operator.managed":             always[ec2.InstanceStatus]("false"),
	"operator.principal":           always[ec2.InstanceStatus](),
}

func reachability(s *ec2.InstanceStatusSummary) []string {
	return each(s.Details, func(d ec2.InstanceStatusDetails) []string { return text(d.Status) })
}
