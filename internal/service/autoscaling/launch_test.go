package autoscaling_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What a group could not do is refused by its name, in new groups and in changes, and a refused
// call leaves no group.
func TestSettingsThatWouldBeLost(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("there", 0, 1))
	for name, change := range map[string]func(*sdk.CreateAutoScalingGroupInput){
		"DesiredCapacityType": func(in *sdk.CreateAutoScalingGroupInput) { in.DesiredCapacityType = aws.String("vcpu") },
		"AvailabilityZoneImpairmentPolicy": func(in *sdk.CreateAutoScalingGroupInput) {
			in.AvailabilityZoneImpairmentPolicy = &types.AvailabilityZoneImpairmentPolicy{ZonalShiftEnabled: aws.Bool(true), ImpairedZoneHealthCheckBehavior: "IgnoreUnhealthy"}
		},
		"CapacityReservationSpecification": func(in *sdk.CreateAutoScalingGroupInput) {
			in.CapacityReservationSpecification = &types.CapacityReservationSpecification{CapacityReservationPreference: "capacity-reservations-only"}
		},
	} {
		in := group("g", 0, 1)
		change(in)
		var e smithy.APIError
		if _, err := w.CreateAutoScalingGroup(ctx, in); !errors.As(err, &e) || e.ErrorCode() != "NotImplemented" || e.ErrorMessage() != "The parameter "+name+" of Auto Scaling groups is not supported yet." {
			t.Errorf("creating with %s: %v", name, err)
		}
		update := &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("there"), DesiredCapacityType: in.DesiredCapacityType,
			AvailabilityZoneImpairmentPolicy: in.AvailabilityZoneImpairmentPolicy, CapacityReservationSpecification: in.CapacityReservationSpecification}
		if _, err := w.UpdateAutoScalingGroup(ctx, update); !errors.As(err, &e) || e.ErrorCode() != "NotImplemented" {
			t.Errorf("updating with %s: %v", name, err)
		}
	}
	out, err := w.DescribeAutoScalingGroups(ctx, &sdk.DescribeAutoScalingGroupsInput{})
	if err != nil || len(out.AutoScalingGroups) != 1 {
		t.Errorf("%d groups, %v", len(out.AutoScalingGroups), err)
	}
}

// Overrides of types are read back as they were given, with the templates and images of their own.
func TestOverridesOfTheirOwn(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.Update(t, func(tx *store.Tx) {
		tx.LaunchTemplates.Put("lt-2", resource.LaunchTemplate{Home: home, ID: "lt-2", Name: "arm", Default: 1, Latest: 1,
			Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: []byte(`{}`)}}})
	})
	in := group("g", 0, 1)
	in.LaunchTemplate = nil
	in.AvailabilityZoneDistribution = &types.AvailabilityZoneDistribution{CapacityDistributionStrategy: "balanced-only"}
	in.MixedInstancesPolicy = &types.MixedInstancesPolicy{LaunchTemplate: &types.LaunchTemplate{
		LaunchTemplateSpecification: web(),
		Overrides: []types.LaunchTemplateOverrides{
			{InstanceType: aws.String("m6i.large")},
			{InstanceType: aws.String("m6g.large"), LaunchTemplateSpecification: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("arm"), Version: aws.String("$Latest")}},
			{InstanceType: aws.String("m7g.large"), ImageId: aws.String("ami-0123456789abcdef0")},
		},
	}}
	w.create(t, in)
	g := w.describe(t, "g")
	o := g.MixedInstancesPolicy.LaunchTemplate.Overrides
	if len(o) != 3 || o[0].LaunchTemplateSpecification != nil || *o[1].LaunchTemplateSpecification.LaunchTemplateId != "lt-2" || *o[1].LaunchTemplateSpecification.Version != "$Latest" ||
		*o[2].ImageId != "ami-0123456789abcdef0" || g.AvailabilityZoneDistribution.CapacityDistributionStrategy != "balanced-only" {
		t.Errorf("got %+v", o)
	}
	in.AutoScalingGroupName, in.MixedInstancesPolicy.LaunchTemplate.Overrides[1].LaunchTemplateSpecification.LaunchTemplateName = aws.String("h"), aws.String("gone")
	_, err := w.CreateAutoScalingGroup(ctx, in)
	fails(t, err, "ValidationError", "You must use a valid fully-formed launch template. The specified launch template, with template name gone, does not exist.")
}

func TestMetricsCollection(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 1))
	enabled := func() (out []string) {
		for _, m := range w.describe(t, "g").EnabledMetrics {
			out = append(out, *m.Metric)
		}
		return out
	}
	name, minute := aws.String("g"), aws.String("1Minute")
	for range 2 {
		if _, err := w.EnableMetricsCollection(ctx, &sdk.EnableMetricsCollectionInput{AutoScalingGroupName: name, Granularity: minute, Metrics: []string{"GroupMinSize", "GroupMaxSize"}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := enabled(); !slices.Equal(got, []string{"GroupMaxSize", "GroupMinSize"}) {
		t.Errorf("got %v", got)
	}
	if _, err := w.DisableMetricsCollection(ctx, &sdk.DisableMetricsCollectionInput{AutoScalingGroupName: name, Metrics: []string{"GroupMinSize"}}); err != nil {
		t.Fatal(err)
	}
	if got := enabled(); !slices.Equal(got, []string{"GroupMaxSize"}) {
		t.Errorf("got %v", got)
	}
	if _, err := w.DisableMetricsCollection(ctx, &sdk.DisableMetricsCollectionInput{AutoScalingGroupName: name}); err != nil || len(enabled()) != 0 {
		t.Errorf("got %v, %v", enabled(), err)
	}
	_, err := w.EnableMetricsCollection(ctx, &sdk.EnableMetricsCollectionInput{AutoScalingGroupName: name, Granularity: minute, Metrics: []string{"Weather"}})
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != "ValidationError" {
		t.Errorf("got %v", err)
	}
	out, err := w.DescribeLaunchConfigurations(ctx, &sdk.DescribeLaunchConfigurationsInput{})
	if err != nil || len(out.LaunchConfigurations) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}
