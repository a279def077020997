package ec2_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"ekster.dev/ekster/internal/provision"
)

func TestPlacementGroups(t *testing.T) {
	w := newWorld(t)
	spread := &sdk.CreatePlacementGroupInput{GroupName: aws.String("spread"), Strategy: types.PlacementStrategySpread, TagSpecifications: tagSpec(types.ResourceTypePlacementGroup, "a", "b")}
	g := must(w.CreatePlacementGroup(t.Context(), spread))(w).PlacementGroup
	if g.Strategy != types.PlacementStrategySpread || g.SpreadLevel != types.SpreadLevelRack || *g.GroupArn != "arn:aws:ec2:us-west-2:000000000000:placement-group/spread" || tags(g.Tags)["a"] != "b" {
		t.Errorf("%+v", g)
	}
	fails(w.CreatePlacementGroup(t.Context(), spread))(w, "InvalidPlacementGroup.Duplicate", "The placement group 'spread' already exists.")
	in := launch(7)
	in.Placement = &types.Placement{GroupName: aws.String("spread"), AvailabilityZone: aws.String("us-west-2a")}
	i := must(w.RunInstances(t.Context(), in))(w).Instances[0]
	if *i.Placement.GroupName != "spread" || *i.Placement.GroupId != *g.GroupId {
		t.Errorf("placed in %+v", i.Placement)
	}
	in = launch(1)
	in.Placement = &types.Placement{GroupName: aws.String("spread"), AvailabilityZone: aws.String("us-west-2a")}
	_, err := w.RunInstances(t.Context(), in)
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "InsufficientInstanceCapacity" {
		t.Errorf("the eighth in a zone: %v", err)
	}
	in.ClientToken, in.Placement.AvailabilityZone = nil, aws.String("us-west-2b")
	must(w.RunInstances(t.Context(), in))(w)
	in.ClientToken, in.Placement.AvailabilityZone, in.MaxCount = nil, aws.String("us-west-2c"), aws.Int32(9)
	if some := must(w.RunInstances(t.Context(), in))(w); len(some.Instances) != 7 {
		t.Errorf("%d of one to nine are launched", len(some.Instances))
	}
	in.MaxCount = aws.Int32(1)
	if found := must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{Filters: filters("placement-group-name", "spread")}))(w); len(found.Reservations) != 3 {
		t.Errorf("%d reservations in the group", len(found.Reservations))
	}
	fails(w.DeletePlacementGroup(t.Context(), &sdk.DeletePlacementGroupInput{GroupName: aws.String("spread")}))(w, "InvalidPlacementGroup.InUse", "The placement group 'spread' is in use and may not be deleted.")

	must(w.CreatePlacementGroup(t.Context(), &sdk.CreatePlacementGroupInput{GroupName: aws.String("cluster")}))(w)
	in.ClientToken, in.Placement.GroupName = nil, aws.String("cluster")
	fails(w.RunInstances(t.Context(), in))(w, "InvalidParameterCombination", "Placement groups may not be used with instances of type 't3.medium'.")
	must(w.DeletePlacementGroup(t.Context(), &sdk.DeletePlacementGroupInput{GroupName: aws.String("cluster")}))(w)
	fails(w.DescribePlacementGroups(t.Context(), &sdk.DescribePlacementGroupsInput{GroupNames: []string{"cluster"}}))(w, "InvalidPlacementGroup.Unknown", "The Placement Group 'cluster' is unknown.")
	if all := must(w.DescribePlacementGroups(t.Context(), &sdk.DescribePlacementGroupsInput{}))(w); len(all.PlacementGroups) != 1 {
		t.Errorf("%d groups", len(all.PlacementGroups))
	}
}

// The quota counts what runs, or is about to: a stopped or terminated instance is none.
func TestVCPULimit(t *testing.T) {
	w := newWorld(t)
	for _, lifecycle := range []string{provision.OnDemand, provision.Spot} {
		if err := provision.SetVCPULimit(t.Context(), w.store, lifecycle, 4); err != nil {
			t.Fatal(err)
		}
	}
	two := must(w.RunInstances(t.Context(), launch(2)))(w).Instances // of two vCPUs each
	fails(w.RunInstances(t.Context(), launch(1)))(w, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 4 allows for the instance bucket "+
		"that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.")
	other := launch(1)
	other.InstanceType = "g4dn.xlarge"
	must(w.RunInstances(t.Context(), other))(w)
	spot := spotLaunch(nil)
	spot.MinCount, spot.MaxCount = aws.Int32(3), aws.Int32(3)
	fails(w.RunInstances(t.Context(), spot))(w, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	must(w.TerminateInstances(t.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{*two[0].InstanceId}}))(w)
	must(w.RunInstances(t.Context(), launch(1)))(w)
	if err := provision.SetVCPULimit(t.Context(), w.store, provision.OnDemand, 0); err != nil {
		t.Fatal(err)
	}
	must(w.RunInstances(t.Context(), launch(1)))(w)
}
