package ec2

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxPartitions is how many partitions a group has in a zone.
const maxPartitions = 7

// CreatePlacementGroup makes a placement group.
func (s *Service) CreatePlacementGroup(ctx context.Context, call awsapi.Call, in *ec2.CreatePlacementGroupInput) (*ec2.CreatePlacementGroupOutput, error) {
	tags, err := specTags(in.TagSpecifications, "placement-group")
	if err != nil {
		return nil, err
	}
	g := resource.PlacementGroup{
		Home: homeOf(call), ID: awsid.New("pg"), Name: deref(in.GroupName), Strategy: or(deref(in.Strategy), provision.PlaceCluster), Tags: tags["placement-group"],
	}
	if g.Name == "" {
		return nil, missing("groupName")
	}
	if err := reject(ask{"The spread level " + deref(in.SpreadLevel), or(deref(in.SpreadLevel), "rack") != "rack"}); err != nil {
		return nil, err
	}
	switch {
	case g.Strategy == provision.PlacePartition:
		g.Partitions = or(deref(in.PartitionCount), 2)
		if g.Partitions < 1 || g.Partitions > maxPartitions {
			return nil, fault("InvalidParameterValue", "Value (%d) for parameter partitionCount is invalid. The value must be between 1 and %d.", g.Partitions, maxPartitions)
		}
	case in.PartitionCount != nil:
		return nil, fault("InvalidParameterCombination", "Partition count is only supported for partition placement groups.")
	case g.Strategy == provision.PlaceSpread:
		g.SpreadLevel = "rack"
	case in.SpreadLevel != nil:
		return nil, fault("InvalidParameterCombination", "Spread level is only supported for spread placement groups.")
	}
	out := &ec2.CreatePlacementGroupOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for o := range tx.PlacementGroups.Values(func(o resource.PlacementGroup) bool { return o.Home == g.Home && o.Name == g.Name }) {
			return fault("InvalidPlacementGroup.Duplicate", "The placement group '%s' already exists.", o.Name)
		}
		tx.PlacementGroups.Put(g.ID, g)
		out.PlacementGroup = new(describePlacementGroup(g))
		return nil
	})
}

// DeletePlacementGroup takes away a placement group that has no instances.
func (s *Service) DeletePlacementGroup(ctx context.Context, call awsapi.Call, in *ec2.DeletePlacementGroupInput) (*ec2.DeletePlacementGroupOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		g, err := provision.LookupPlacementGroup(tx, homeOf(call), *in.GroupName)
		if err != nil {
			return err
		}
		for range tx.Instances.Values(func(i resource.Instance) bool { return provision.InPlacementGroup(i, g.ID) }) {
			return fault("InvalidPlacementGroup.InUse", "The placement group '%s' is in use and may not be deleted.", g.Name)
		}
		tx.PlacementGroups.Delete(g.ID)
		return nil
	})
}

// DescribePlacementGroups lists placement groups.
func (s *Service) DescribePlacementGroups(ctx context.Context, call awsapi.Call, in *ec2.DescribePlacementGroupsInput) (*ec2.DescribePlacementGroupsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.PlacementGroup]{
		"group-arn":    func(g ec2.PlacementGroup) []string { return text(g.GroupArn) },
		"group-name":   func(g ec2.PlacementGroup) []string { return text(g.GroupName) },
		"spread-level": func(g ec2.PlacementGroup) []string { return text(g.SpreadLevel) },
		"state":        func(g ec2.PlacementGroup) []string { return text(g.State) },
		"strategy":     func(g ec2.PlacementGroup) []string { return text(g.Strategy) },
	}, func(g ec2.PlacementGroup) []ec2.Tag { return g.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribePlacementGroupsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		wanted := map[string]bool{}
		for _, name := range slices.Concat(in.GroupNames, in.GroupIds) {
			g, err := provision.LookupPlacementGroup(tx, homeOf(call), name)
			if err != nil {
				return err
			}
			wanted[g.ID] = true
		}
		for id, g := range tx.PlacementGroups.All() {
			if g.Home != homeOf(call) || len(wanted) > 0 && !wanted[id] {
				continue
			}
			if d := describePlacementGroup(g); match(d) {
				out.PlacementGroups = append(out.PlacementGroups, d)
			}
		}
		return nil
	})
}

func describePlacementGroup(g resource.PlacementGroup) ec2.PlacementGroup {
	out := ec2.PlacementGroup{
		GroupId: &g.ID, GroupName: &g.Name, State: new("available"), Strategy: &g.Strategy, SpreadLevel: some(g.SpreadLevel), Tags: tagSet(g.Tags),
		GroupArn: new("arn:aws:ec2:" + g.Region + ":" + g.Account + ":placement-group/" + g.Name),
		Operator: &ec2.OperatorResponse{Managed: new(false)},
	}
	if g.Partitions > 0 {
		out.PartitionCount = &g.Partitions
	}
	return out
}

// DescribeCapacityReservations lists none: capacity is not reserved here, and a launch that
// names a reservation is refused.
func (s *Service) DescribeCapacityReservations(ctx context.Context, call awsapi.Call, in *ec2.DescribeCapacityReservationsInput) (*ec2.DescribeCapacityReservationsOutput, error) {
	for _, id := range in.CapacityReservationIds {
		return nil, fault("InvalidCapacityReservationId.NotFound", "The capacity reservation '%s' does not exist", id)
	}
	return &ec2.DescribeCapacityReservationsOutput{}, s.view(ctx, call, in.DryRun, func(*store.Tx) error { return nil })
}
