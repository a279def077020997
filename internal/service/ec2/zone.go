package ec2

import (
	"context"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/store"
)

// DescribeAvailabilityZones lists the region's zones.
func (s *Service) DescribeAvailabilityZones(ctx context.Context, call awsapi.Call, in *ec2.DescribeAvailabilityZonesInput) (*ec2.DescribeAvailabilityZonesOutput, error) {
	none := always[ec2.AvailabilityZone]()
	match, err := matcher(in.Filters, fields[ec2.AvailabilityZone]{
		"group-name":           func(z ec2.AvailabilityZone) []string { return text(z.GroupName) },
		"group-long-name":      func(z ec2.AvailabilityZone) []string { return text(z.GroupLongName) },
		"message":              none,
		"opt-in-status":        func(z ec2.AvailabilityZone) []string { return text(z.OptInStatus) },
		"parent-zone-id":       none,
		"parent-zone-name":     none,
		"parent-zoneID":        none,
		"parent-zoneName":      none,
		"region-name":          func(z ec2.AvailabilityZone) []string { return text(z.RegionName) },
		"regionName":           func(z ec2.AvailabilityZone) []string { return text(z.RegionName) },
		"network-border-group": func(z ec2.AvailabilityZone) []string { return text(z.NetworkBorderGroup) },
		"state":                func(z ec2.AvailabilityZone) []string { return text(z.State) },
		"zone-id":              func(z ec2.AvailabilityZone) []string { return text(z.ZoneId) },
		"zoneID":               func(z ec2.AvailabilityZone) []string { return text(z.ZoneId) },
		"zone-name":            func(z ec2.AvailabilityZone) []string { return text(z.ZoneName) },
		"zoneName":             func(z ec2.AvailabilityZone) []string { return text(z.ZoneName) },
		"zone-type":            func(z ec2.AvailabilityZone) []string { return text(z.ZoneType) },
		"zoneType":             func(z ec2.AvailabilityZone) []string { return text(z.ZoneType) },
	}, nil)
	if err != nil {
		return nil, err
	}
	r, ok := region.Lookup(call.Region)
	if !ok {
		return nil, fault("InvalidParameterValue", "The region '%s' does not exist.", call.Region)
	}
	for _, name := range slices.Concat(in.ZoneNames, in.ZoneIds) {
		if _, ok := r.Zone(name); !ok {
			return nil, fault("InvalidParameterValue", "Invalid availability zone: [%s]", name)
		}
	}
	gone := map[string]bool{}
	err = s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for zone := range tx.ZoneFaults.All() {
			gone[zone] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeAvailabilityZonesOutput{}
	for _, z := range r.Zones {
		state := "available"
		if gone[z.Name] {
			state = "unavailable"
		}
		if len(in.ZoneNames) > 0 && !slices.Contains(in.ZoneNames, z.Name) || len(in.ZoneIds) > 0 && !slices.Contains(in.ZoneIds, z.ID) {
			continue
		}
		shape := ec2.AvailabilityZone{
			ZoneName: &z.Name, ZoneId: &z.ID, RegionName: &r.Name, State: &state, ZoneType: new("availability-zone"),
			GroupName: new(r.Name + "-zg-1"), GroupLongName: new(r.Geography + " 1"), NetworkBorderGroup: &r.Name, OptInStatus: new("opt-in-not-required"),
		}
		if match(shape) {
			out.AvailabilityZones = append(out.AvailabilityZones, shape)
		}
	}
	return out, nil
}

func zoneNames(r region.Region) string {
	var names []string
	for _, z := range r.Zones {
		names = append(names, z.Name)
	}
	return strings.Join(names, ", ")
}

// DescribeRegions lists the regions. All are open to every account here.
func (s *Service) DescribeRegions(_ context.Context, _ awsapi.Call, in *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	match, err := matcher(in.Filters, fields[ec2.Region]{
		"endpoint":      func(r ec2.Region) []string { return text(r.Endpoint) },
		"opt-in-status": func(r ec2.Region) []string { return text(r.OptInStatus) },
		"region-name":   func(r ec2.Region) []string { return text(r.RegionName) },
	}, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range in.RegionNames {
		if _, ok := region.Lookup(name); !ok {
			return nil, fault("InvalidParameterValue", "Invalid region name: [%s]", name)
		}
	}
	out := &ec2.DescribeRegionsOutput{}
	for _, r := range region.All() {
		status := "opt-in-not-required"
		if r.OptIn {
			status = "opted-in"
		}
		shape := ec2.Region{RegionName: &r.Name, Endpoint: new("ec2." + r.Name + ".amazonaws.com"), OptInStatus: &status}
		if (len(in.RegionNames) == 0 || slices.Contains(in.RegionNames, r.Name)) && match(shape) {
			out.Regions = append(out.Regions, shape)
		}
	}
	return out, nil
}
