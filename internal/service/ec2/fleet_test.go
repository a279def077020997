package ec2_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// fleet is what Karpenter asks for: one template, and a type and a subnet in each override.
func (w *world) fleet(capacity int32, kind types.DefaultTargetCapacityType, overrides ...types.FleetLaunchTemplateOverridesRequest) *sdk.CreateFleetInput {
	w.Helper()
	name := "fleet-" + w.Name()
	_, err := w.CreateLaunchTemplate(w.Context(), &sdk.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String("fleet"), LaunchTemplateData: &types.RequestLaunchTemplateData{
			ImageId: image(ami.X8664), TagSpecifications: []types.LaunchTemplateTagSpecificationRequest{{
				ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("from"), Value: aws.String("template")}},
			}},
		},
	})
	if err != nil {
		fails(struct{}{}, err)(w, "InvalidLaunchTemplateName.AlreadyExistsException", "")
	}
	return &sdk.CreateFleetInput{
		Type: types.FleetTypeInstant,
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: aws.String("fleet"), Version: aws.String("$Latest")},
			Overrides:                   overrides,
		}},
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: &capacity, DefaultTargetCapacityType: kind},
		TagSpecifications: append(append(tagSpec(types.ResourceTypeInstance, "Name", name), tagSpec(types.ResourceTypeFleet, "Name", name)...),
			tagSpec(types.ResourceTypeSpotInstancesRequest, "Name", name)...),
	}
}

func (w *world) defaultSubnet(zone string) string {
	w.Helper()
	out := must(w.DescribeSubnets(w.Context(), &sdk.DescribeSubnetsInput{Filters: filters("availability-zone", zone, "default-for-az", "true")}))(w)
	if len(out.Subnets) != 1 {
		w.Fatalf("%d default subnets in %s", len(out.Subnets), zone)
	}
	return *out.Subnets[0].SubnetId
}

func override(kind types.InstanceType, subnet string, priority float64) types.FleetLaunchTemplateOverridesRequest {
	return types.FleetLaunchTemplateOverridesRequest{InstanceType: kind, SubnetId: &subnet, Priority: &priority, ImageId: image(ami.X8664)}
}

// noCapacity has a drill take the capacity of a type in a zone.
func (w *world) noCapacity(kind, zone, lifecycle string) {
	w.Helper()
	w.edit(func(tx *store.Tx) {
		f := resource.CapacityFault{Type: kind, Zone: zone, Lifecycle: lifecycle}
		tx.CapacityFaults.Put(f.Key(), f)
	})
}

func TestFleet(t *testing.T) {
	w := newWorld(t)
	a, b := w.defaultSubnet("us-west-2a"), w.defaultSubnet("us-west-2b")
	in := w.fleet(1, types.DefaultTargetCapacityTypeOnDemand, override("m5.large", a, 1), override("t3.medium", b, 2))

	in.DryRun = aws.Bool(true)
	fails(w.CreateFleet(t.Context(), in))(w, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	if got := must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{}))(w); len(got.Reservations) != 0 {
		t.Fatal("a dry run has launched")
	}
	in.DryRun = nil

	out := must(w.CreateFleet(t.Context(), in))(w)
	if len(out.Instances) != 1 || len(out.Errors) != 0 {
		t.Fatalf("%d instances, errors %+v", len(out.Instances), out.Errors)
	}
	got := out.Instances[0]
	o := got.LaunchTemplateAndOverrides.Overrides
	if got.InstanceType != "t3.medium" || got.Lifecycle != types.InstanceLifecycleOnDemand || *o.SubnetId != b || *o.AvailabilityZone != "us-west-2b" || *o.ImageId != *image(ami.X8664) {
		t.Errorf("not the cheapest: %+v, %+v", got, o)
	}
	one := must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: got.InstanceIds}))(w).Reservations[0].Instances[0]
	if tags := tags(one.Tags); tags["Name"] != "fleet-TestFleet" || tags["from"] != "template" || tags["aws:ec2:fleet-id"] != *out.FleetId || one.InstanceLifecycle != "" {
		t.Errorf("lifecycle %q, tags %v", one.InstanceLifecycle, tags)
	}

	in.OnDemandOptions = &types.OnDemandOptionsRequest{AllocationStrategy: types.FleetOnDemandAllocationStrategyPrioritized}
	in.ClientToken = nil // the SDK has filled it in
	if got := must(w.CreateFleet(t.Context(), in))(w).Instances[0]; got.InstanceType != "m5.large" {
		t.Errorf("prioritized launched %s", got.InstanceType)
	}
}

// Every pool without room is named with EC2's code, and the rest goes to the others.
func TestFleetWithoutCapacity(t *testing.T) {
	w := newWorld(t)
	a, b := w.defaultSubnet("us-west-2a"), w.defaultSubnet("us-west-2b")
	w.noCapacity("m5.*", "us-west-2a", "")
	in := w.fleet(3, types.DefaultTargetCapacityTypeOnDemand, override("m5.large", a, 1), override("m5.large", b, 2))
	in.OnDemandOptions = &types.OnDemandOptionsRequest{AllocationStrategy: types.FleetOnDemandAllocationStrategyPrioritized}
	out := must(w.CreateFleet(t.Context(), in))(w)
	if len(out.Instances) != 1 || len(out.Instances[0].InstanceIds) != 3 || *out.Instances[0].LaunchTemplateAndOverrides.Overrides.SubnetId != b {
		t.Errorf("launched %+v", out.Instances)
	}
	const message = "We currently do not have sufficient m5.large capacity in the Availability Zone you requested (us-west-2a). " +
		"Our system will be working on provisioning additional capacity. You can currently get m5.large capacity by not specifying an " +
		"Availability Zone in your request or choosing us-west-2b, us-west-2c, us-west-2d."
	if len(out.Errors) != 1 || *out.Errors[0].ErrorCode != "InsufficientInstanceCapacity" || *out.Errors[0].ErrorMessage != message ||
		*out.Errors[0].LaunchTemplateAndOverrides.Overrides.SubnetId != a || out.Errors[0].LaunchTemplateAndOverrides.Overrides.InstanceType != "m5.large" {
		t.Errorf("errors %s, %+v", aws.ToString(out.Errors[0].ErrorMessage), out.Errors)
	}

	w.noCapacity("*", "us-west-2b", "spot")
	in = w.fleet(2, types.DefaultTargetCapacityTypeSpot, override("m5.large", a, 1), override("m5.large", b, 2))
	in.SpotOptions = &types.SpotOptionsRequest{AllocationStrategy: types.SpotAllocationStrategyPriceCapacityOptimized}
	out = must(w.CreateFleet(t.Context(), in))(w)
	if len(out.Instances) != 0 || len(out.Errors) != 2 {
		t.Fatalf("launched %+v, errors %+v", out.Instances, out.Errors)
	}
	for _, e := range out.Errors {
		if *e.ErrorCode != "InsufficientInstanceCapacity" || *e.ErrorMessage != "There is no Spot capacity available that matches your request." || e.Lifecycle != types.InstanceLifecycleSpot {
			t.Errorf("%s: %s", *e.ErrorCode, *e.ErrorMessage)
		}
	}
	described := must(w.DescribeFleets(t.Context(), &sdk.DescribeFleetsInput{FleetIds: []string{*out.FleetId}}))(w).Fleets[0]
	if len(described.Errors) != 2 || *described.FulfilledCapacity != 0 || described.Type != types.FleetTypeInstant || *described.TargetCapacitySpecification.TotalTargetCapacity != 2 {
		t.Errorf("described as %+v", described)
	}
	if all := must(w.DescribeFleets(t.Context(), &sdk.DescribeFleetsInput{}))(w); len(all.Fleets) != 0 {
		t.Error("instant fleets are shown without being asked for")
	}
}

// Less than the least is nothing.
func TestFleetMinimum(t *testing.T) {
	w := newWorld(t)
	a := w.defaultSubnet("us-west-2a")
	w.noCapacity("m5.large", "us-west-2a", "")
	in := w.fleet(2, types.DefaultTargetCapacityTypeOnDemand, override("m5.large", a, 1))
	in.OnDemandOptions = &types.OnDemandOptionsRequest{MinTargetCapacity: aws.Int32(1)}
	out := must(w.CreateFleet(t.Context(), in))(w)
	if len(out.Instances) != 0 || len(out.Errors) != 2 || *out.Errors[1].ErrorCode != "UnfulfillableCapacity" {
		t.Errorf("launched %+v, errors %+v", out.Instances, out.Errors)
	}
}

func TestFleetSpotAndDelete(t *testing.T) {
	w := newWorld(t)
	a, b := w.defaultSubnet("us-west-2a"), w.defaultSubnet("us-west-2b")
	in := w.fleet(4, types.DefaultTargetCapacityTypeSpot, override("m5.large", a, 1), override("m5.large", b, 2))
	in.TargetCapacitySpecification.OnDemandTargetCapacity = aws.Int32(1)
	in.SpotOptions = &types.SpotOptionsRequest{AllocationStrategy: types.SpotAllocationStrategyDiversified}
	in.ClientToken = aws.String("once")
	out := must(w.CreateFleet(t.Context(), in))(w)
	count := map[types.InstanceLifecycle]int{}
	var ids []string
	for _, i := range out.Instances {
		count[i.Lifecycle] += len(i.InstanceIds)
		ids = append(ids, i.InstanceIds...)
	}
	if count[types.InstanceLifecycleSpot] != 3 || count[types.InstanceLifecycleOnDemand] != 1 || len(out.Instances) != 3 {
		t.Errorf("launched %v in %d pools", count, len(out.Instances))
	}
	if again := must(w.CreateFleet(t.Context(), in))(w); *again.FleetId != *out.FleetId {
		t.Error("the same token has made another fleet")
	}
	requests := must(w.DescribeSpotInstanceRequests(t.Context(), &sdk.DescribeSpotInstanceRequestsInput{Filters: filters("tag:Name", "fleet-TestFleetSpotAndDelete")}))(w)
	if len(requests.SpotInstanceRequests) != 3 {
		t.Errorf("%d Spot requests", len(requests.SpotInstanceRequests))
	}
	fails(w.DeleteFleets(t.Context(), &sdk.DeleteFleetsInput{FleetIds: []string{*out.FleetId}, TerminateInstances: aws.Bool(false)}))(w, "NoTerminateInstancesNotSupported", "")
	must(w.DeleteFleets(t.Context(), &sdk.DeleteFleetsInput{FleetIds: []string{*out.FleetId}, TerminateInstances: aws.Bool(true)}))(w)
	for _, r := range must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: ids}))(w).Reservations {
		if s := r.Instances[0].State.Name; s != types.InstanceStateNameShuttingDown {
			t.Errorf("an instance of the fleet is %s", s)
		}
	}
}

func TestFleetRefusals(t *testing.T) {
	w := newWorld(t)
	a := w.defaultSubnet("us-west-2a")
	in := w.fleet(1, types.DefaultTargetCapacityTypeOnDemand, override("m5.large", a, 1))
	in.Type = types.FleetTypeMaintain
	fails(w.CreateFleet(t.Context(), in))(w, "UnsupportedOperation", "A fleet of the type maintain is not supported yet.")
	in.Type = types.FleetTypeInstant
	in.LaunchTemplateConfigs[0].LaunchTemplateSpecification.LaunchTemplateName = aws.String("gone")
	fails(w.CreateFleet(t.Context(), in))(w, "InvalidLaunchTemplateName.NotFoundException", "")
	fails(w.DescribeFleets(t.Context(), &sdk.DescribeFleetsInput{FleetIds: []string{"fleet-1"}}))(w, "InvalidFleetId.NotFound", "")
}

// A fleet has at most 300 overrides in all of their subnets: no more than that is checked.
func TestFleetBounds(t *testing.T) {
	w := newWorld(t)
	subnet := w.defaultSubnet("us-west-2a")
	many := strings.TrimSuffix(strings.Repeat(subnet+",", 301), ",")
	fails(w.CreateFleet(t.Context(), w.fleet(1, "on-demand", override("m5.large", many, 1))))(w, "InvalidParameterValue", "A request has at most 300 overrides in all of their subnets, not 301.")
}
