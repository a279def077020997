package autoscaling_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	genautoscaling "ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/autoscaling"
	"ekster.dev/ekster/internal/store"
)

var home = resource.Home{Account: identitytest.Account, Region: identitytest.Region}

type world struct {
	*identitytest.Door
	*sdk.Client
}

// newWorld has two subnets in two zones, one in another VPC, and the launch template "web".
func newWorld(t *testing.T) world {
	t.Helper()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{genautoscaling.Service(autoscaling.New(d.Store))}
	})
	d.Update(t, func(tx *store.Tx) {
		for i, s := range []resource.Subnet{
			{ID: "subnet-a", VPC: "vpc-1", Zone: "us-west-2a"}, {ID: "subnet-b", VPC: "vpc-1", Zone: "us-west-2b"}, {ID: "subnet-x", VPC: "vpc-2", Zone: "us-west-2a"},
		} {
			s.Home = home
			s.ZoneID = fmt.Sprintf("usw2-az%d", i+1)
			tx.Subnets.Put(s.ID, s)
		}
		tx.LaunchTemplates.Put("lt-1", resource.LaunchTemplate{Home: home, ID: "lt-1", Name: "web", Default: 1, Latest: 2,
			Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: []byte(`{}`)}, {Number: 2, Data: []byte(`{}`)}}})
	})
	return world{d, sdk.NewFromConfig(d.AsRoot())}
}

func web() *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("web")}
}

func group(name string, low, high int32) *sdk.CreateAutoScalingGroupInput {
	return &sdk.CreateAutoScalingGroupInput{AutoScalingGroupName: &name, MinSize: &low, MaxSize: &high,
		LaunchTemplate: web(), VPCZoneIdentifier: aws.String("subnet-b,subnet-a")}
}

func (w world) create(t *testing.T, in *sdk.CreateAutoScalingGroupInput) {
	t.Helper()
	if _, err := w.CreateAutoScalingGroup(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func (w world) describe(t *testing.T, name string) types.AutoScalingGroup {
	t.Helper()
	out, err := w.DescribeAutoScalingGroups(t.Context(), &sdk.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.AutoScalingGroups) != 1 {
		t.Fatalf("%d groups are called %s", len(out.AutoScalingGroups), name)
	}
	return out.AutoScalingGroups[0]
}

// member puts an instance into a group, as the group's controller does.
func (w world) member(t *testing.T, name, instance string) {
	t.Helper()
	arn := *w.describe(t, name).AutoScalingGroupARN
	w.Update(t, func(tx *store.Tx) {
		tx.Instances.Put(instance, resource.Instance{Home: home, ID: instance, Spec: resource.InstanceSpec{
			Type: "t3.medium", Zone: "us-west-2a", LaunchTemplate: "lt-1", LaunchTemplateVersion: "1"}})
		tx.GroupInstances.Put(instance, resource.GroupInstance{Instance: instance, Group: arn, Lifecycle: "InService", Health: "Healthy"})
	})
}

func fails(t *testing.T, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %s: %s", err, code, message)
	}
	if e.ErrorCode() != code || e.ErrorMessage() != message {
		t.Fatalf("got  %s: %s\nwant %s: %s", e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

func TestGroupLife(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := group("g", 1, 3)
	in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a"), PropagateAtLaunch: aws.Bool(true)}}
	w.create(t, in)
	g := w.describe(t, "g")
	if !strings.HasPrefix(*g.AutoScalingGroupARN, "arn:aws:autoscaling:us-west-2:000000000000:autoScalingGroup:") ||
		!strings.HasSuffix(*g.AutoScalingGroupARN, ":autoScalingGroupName/g") {
		t.Errorf("ARN %s", *g.AutoScalingGroupARN)
	}
	if *g.DesiredCapacity != 1 || *g.DefaultCooldown != 300 || *g.HealthCheckType != "EC2" || *g.VPCZoneIdentifier != "subnet-b,subnet-a" ||
		!slices.Equal(g.AvailabilityZones, []string{"us-west-2a", "us-west-2b"}) || !slices.Equal(g.TerminationPolicies, []string{"Default"}) ||
		*g.LaunchTemplate.LaunchTemplateId != "lt-1" || *g.LaunchTemplate.Version != "$Default" || g.Status != nil ||
		!strings.HasSuffix(*g.ServiceLinkedRoleARN, "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling") {
		t.Errorf("got %+v", g)
	}
	if len(g.Tags) != 1 || *g.Tags[0].ResourceId != "g" || *g.Tags[0].ResourceType != "auto-scaling-group" || !*g.Tags[0].PropagateAtLaunch {
		t.Errorf("tags %+v", g.Tags)
	}
	_, err := w.CreateAutoScalingGroup(ctx, in)
	fails(t, err, "AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name g already exists")

	w.member(t, "g", "i-1")
	g = w.describe(t, "g")
	if len(g.Instances) != 1 || *g.Instances[0].InstanceType != "t3.medium" || g.Instances[0].LifecycleState != "InService" || *g.Instances[0].LaunchTemplate.Version != "1" {
		t.Errorf("instances %+v", g.Instances)
	}
	out, err := w.DescribeAutoScalingInstances(ctx, &sdk.DescribeAutoScalingInstancesInput{InstanceIds: []string{"i-1", "i-none"}})
	if err != nil || len(out.AutoScalingInstances) != 1 || *out.AutoScalingInstances[0].AutoScalingGroupName != "g" {
		t.Errorf("got %+v, %v", out, err)
	}
	remove := func(force bool) error {
		_, err := w.DeleteAutoScalingGroup(ctx, &sdk.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), ForceDelete: &force})
		return err
	}
	fails(t, remove(false), "ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	for range 2 {
		if err := remove(true); err != nil {
			t.Fatal(err)
		}
	}
	if g = w.describe(t, "g"); aws.ToString(g.Status) != "Delete in progress" {
		t.Errorf("status %v", g.Status)
	}
	_, err = w.CreateAutoScalingGroup(ctx, in)
	fails(t, err, "AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name g already exists and is pending delete")
	_, err = w.DeleteAutoScalingGroup(ctx, &sdk.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("none")})
	fails(t, err, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'none' not found")
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, error string
		change      func(in *sdk.CreateAutoScalingGroupInput)
	}{
		{"max below min", "Max bound, 1, must be greater than or equal to min bound, 2", func(in *sdk.CreateAutoScalingGroupInput) { in.MinSize, in.MaxSize = aws.Int32(2), aws.Int32(1) }},
		{"desired outside", "Desired capacity:5 must be between the specified min size:1 and max size:3", func(in *sdk.CreateAutoScalingGroupInput) { in.DesiredCapacity = aws.Int32(5) }},
		{"no place", "At least one Availability Zone or VPC Subnet is required.", func(in *sdk.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = nil }},
		{"no subnet", "The subnet ID 'subnet-none' does not exist", func(in *sdk.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = aws.String("subnet-a,subnet-none") }},
		{"two VPCs", "The subnets subnet-a,subnet-x are not all in one VPC", func(in *sdk.CreateAutoScalingGroupInput) { in.VPCZoneIdentifier = aws.String("subnet-a,subnet-x") }},
		{"no zone", "Invalid availability zones: [us-west-2z]", func(in *sdk.CreateAutoScalingGroupInput) {
			in.AvailabilityZones, in.VPCZoneIdentifier = []string{"us-west-2z"}, nil
		}},
		{"zones of other subnets", "The availability zones of the specified subnets and the Auto Scaling group do not match", func(in *sdk.CreateAutoScalingGroupInput) { in.AvailabilityZones = []string{"us-west-2c"} }},
		{"no template", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.", func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate = nil }},
		{"template of no name", "You must use a valid fully-formed launch template. The specified launch template, with template ID lt-none, does not exist.", func(in *sdk.CreateAutoScalingGroupInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-none")}
		}},
		{"template by id and name", "Valid requests must contain either launchTemplateId or LaunchTemplateName", func(in *sdk.CreateAutoScalingGroupInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), LaunchTemplateName: aws.String("web")}
		}},
		{"no such version", "You must use a valid fully-formed launch template. Could not find the specified version 9 for the launch template with ID lt-1.", func(in *sdk.CreateAutoScalingGroupInput) { in.LaunchTemplate.Version = aws.String("9") }},
		{"a weight that is none", "WeightedCapacity 0 of instance type m5.large is not valid. It must be an integer from 1 to 999.", func(in *sdk.CreateAutoScalingGroupInput) {
			in.LaunchTemplate, in.MixedInstancesPolicy = nil, &types.MixedInstancesPolicy{LaunchTemplate: &types.LaunchTemplate{
				LaunchTemplateSpecification: web(), Overrides: []types.LaunchTemplateOverrides{{InstanceType: aws.String("m5.large"), WeightedCapacity: aws.String("0")}},
			}}
		}},
		{"a lifetime of a minute", "Max instance lifetime must be equal to 0, to clear it, or between 86400 and 31536000 seconds.", func(in *sdk.CreateAutoScalingGroupInput) { in.MaxInstanceLifetime = aws.Int32(60) }},
		{"a tag twice", "Duplicate tag keys found: k", func(in *sdk.CreateAutoScalingGroupInput) {
			in.Tags = []types.Tag{{Key: aws.String("k")}, {Key: aws.String("k")}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := group("g", 1, 3)
			c.change(in)
			_, err := w.CreateAutoScalingGroup(t.Context(), in)
			fails(t, err, "ValidationError", c.error)
			out, err := w.DescribeAutoScalingGroups(t.Context(), &sdk.DescribeAutoScalingGroupsInput{})
			if err != nil || len(out.AutoScalingGroups) != 0 {
				t.Errorf("%d groups are left, %v", len(out.AutoScalingGroups), err)
			}
		})
	}
}

func TestMixedInstances(t *testing.T) {
	w := newWorld(t)
	in := group("g", 0, 3)
	in.LaunchTemplate = nil
	in.MixedInstancesPolicy = &types.MixedInstancesPolicy{
		LaunchTemplate: &types.LaunchTemplate{LaunchTemplateSpecification: web(), Overrides: []types.LaunchTemplateOverrides{
			{InstanceType: aws.String("m5.large")}, {InstanceType: aws.String("c5.large")}}},
		InstancesDistribution: &types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: aws.Int32(0), SpotAllocationStrategy: aws.String("price-capacity-optimized")},
	}
	w.create(t, in)
	g := w.describe(t, "g")
	p := g.MixedInstancesPolicy
	if g.LaunchTemplate != nil || p == nil || *p.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName != "web" || len(p.LaunchTemplate.Overrides) != 2 ||
		*p.LaunchTemplate.Overrides[0].InstanceType != "m5.large" || *p.InstancesDistribution.OnDemandPercentageAboveBaseCapacity != 0 ||
		*p.InstancesDistribution.SpotAllocationStrategy != "price-capacity-optimized" || *p.InstancesDistribution.OnDemandAllocationStrategy != "prioritized" {
		t.Errorf("got %+v", p)
	}
	// A new version of the template alone leaves the rest as it is; one template ends the mix.
	_, err := w.UpdateAutoScalingGroup(t.Context(), &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), LaunchTemplate: web()})
	if err != nil {
		t.Fatal(err)
	}
	if g = w.describe(t, "g"); g.MixedInstancesPolicy != nil || g.LaunchTemplate == nil {
		t.Errorf("got %+v", g)
	}
}

func TestCapacity(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 1, 3))
	desire := func(n int32) error {
		_, err := w.SetDesiredCapacity(ctx, &sdk.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: &n})
		return err
	}
	fails(t, desire(4), "ValidationError", "New SetDesiredCapacity value 4 is above max value 3 for the AutoScalingGroup.")
	fails(t, desire(0), "ValidationError", "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup.")
	if err := desire(2); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		low, high *int32
		want      int32
	}{{nil, nil, 2}, {aws.Int32(3), nil, 3}, {aws.Int32(1), aws.Int32(1), 1}} {
		_, err := w.UpdateAutoScalingGroup(ctx, &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), MinSize: c.low, MaxSize: c.high})
		if err != nil {
			t.Fatal(err)
		}
		if g := w.describe(t, "g"); *g.DesiredCapacity != c.want {
			t.Errorf("desired %d, want %d", *g.DesiredCapacity, c.want)
		}
	}
	_, err := w.UpdateAutoScalingGroup(ctx, &sdk.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("g"), MinSize: aws.Int32(5)})
	fails(t, err, "ValidationError", "Max bound, 1, must be greater than or equal to min bound, 5")
}

func TestTerminateInstance(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	in := group("g", 1, 3)
	in.DesiredCapacity = aws.Int32(2)
	w.create(t, in)
	w.member(t, "g", "i-1")
	w.member(t, "g", "i-2")
	end := func(id string, decrement bool) (*types.Activity, error) {
		out, err := w.TerminateInstanceInAutoScalingGroup(ctx, &sdk.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &decrement})
		if err != nil {
			return nil, err
		}
		return out.Activity, nil
	}
	first, err := end("i-1", true)
	if err != nil {
		t.Fatal(err)
	}
	if first.StatusCode != "InProgress" || *first.Description != "Terminating EC2 instance: i-1" || !strings.HasSuffix(*first.Cause, "shrinking the capacity from 2 to 1.") {
		t.Errorf("got %+v", first)
	}
	again, err := end("i-1", true)
	if err != nil || *again.ActivityId != *first.ActivityId {
		t.Errorf("again: %+v, %v", again, err)
	}
	if g := w.describe(t, "g"); *g.DesiredCapacity != 1 {
		t.Errorf("desired %d", *g.DesiredCapacity)
	}
	_, err = end("i-2", true)
	fails(t, err, "ValidationError", "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.")
	if _, err = end("i-2", false); err != nil {
		t.Fatal(err)
	}
	_, err = end("i-none", false)
	fails(t, err, "ValidationError", "Instance Id not found - No managed instance found for instance ID: i-none")
	_ = w.Store.View(func(tx *store.Tx) error {
		for _, g := range tx.AutoScalingGroups.All() {
			if c := g.Spec.Condemned; len(c) != 2 || !c["i-1"] || c["i-2"] {
				t.Errorf("condemned %v", c)
			}
		}
		return nil
	})
}

func TestActivitiesNewestFirst(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	w.create(t, group("g", 0, 1))
	w.create(t, group("h", 0, 1))
	g, h := w.describe(t, "g"), w.describe(t, "h")
	now := time.Now().UTC().Truncate(time.Second)
	w.Update(t, func(tx *store.Tx) {
		for i := range 5 {
			a := resource.ScalingActivity{Home: home, ID: fmt.Sprintf("a%d", i), Group: *g.AutoScalingGroupARN, GroupName: "g", Status: "Successful",
				Started: now.Add(time.Duration((i*3)%5) * time.Minute), Ended: now}
			tx.ScalingActivities.Put(a.ID, a)
		}
		tx.ScalingActivities.Put("b", resource.ScalingActivity{Home: home, ID: "b", Group: *h.AutoScalingGroupARN, GroupName: "h", Status: "InProgress", Started: now})
	})
	var ids []string
	p := sdk.NewDescribeScalingActivitiesPaginator(w.Client, &sdk.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("g"), MaxRecords: aws.Int32(2)})
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Activities {
			ids = append(ids, *a.ActivityId)
		}
	}
	if want := []string{"a3", "a1", "a4", "a2", "a0"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	_, err := w.DescribeScalingActivities(ctx, &sdk.DescribeScalingActivitiesInput{AutoScalingGroupName: aws.String("none")})
	fails(t, err, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'none' not found")
	_, err = w.SetDesiredCapacity(ctx, &sdk.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("h"), DesiredCapacity: aws.Int32(1), HonorCooldown: aws.Bool(true)})
	fails(t, err, "ScalingActivityInProgress", "Scaling activity b is in progress and blocks this action")
}

func TestTagsAndFilters(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	for _, n := range []string{"g1", "g2", "g3"} {
		w.create(t, group(n, 0, 1))
	}
	tag := func(g, k, v string) types.Tag {
		return types.Tag{ResourceId: &g, ResourceType: aws.String("auto-scaling-group"), Key: &k, Value: &v, PropagateAtLaunch: aws.Bool(false)}
	}
	_, err := w.CreateOrUpdateTags(ctx, &sdk.CreateOrUpdateTagsInput{Tags: []types.Tag{tag("g1", "on", "true"), tag("g2", "on", "false"), tag("g1", "c", "owned"), tag("g3", "on", "x")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.CreateOrUpdateTags(ctx, &sdk.CreateOrUpdateTagsInput{Tags: []types.Tag{tag("g2", "on", "true")}}); err != nil {
		t.Fatal(err)
	}
	if _, err = w.DeleteTags(ctx, &sdk.DeleteTagsInput{Tags: []types.Tag{tag("g3", "on", "x"), tag("g3", "none", "")}}); err != nil {
		t.Fatal(err)
	}
	filter := func(name string, values ...string) types.Filter { return types.Filter{Name: &name, Values: values} }
	for _, c := range []struct {
		filters []types.Filter
		want    []string
	}{
		{nil, []string{"g1", "g2", "g3"}},
		{[]types.Filter{filter("tag-key", "on")}, []string{"g1", "g2"}},
		{[]types.Filter{filter("tag:on", "true", "x")}, []string{"g1", "g2"}},
		{[]types.Filter{filter("tag:on", "true"), filter("tag-key", "c", "d")}, []string{"g1"}},
		{[]types.Filter{filter("tag-value", "owned")}, []string{"g1"}},
		{[]types.Filter{filter("tag-key", "none")}, nil},
	} {
		var got []string
		p := sdk.NewDescribeAutoScalingGroupsPaginator(w.Client, &sdk.DescribeAutoScalingGroupsInput{Filters: c.filters, MaxRecords: aws.Int32(1)})
		for p.HasMorePages() {
			out, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range out.AutoScalingGroups {
				got = append(got, *g.AutoScalingGroupName)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.filters, got, c.want)
		}
	}
	tags, err := w.DescribeTags(ctx, &sdk.DescribeTagsInput{Filters: []types.Filter{filter("auto-scaling-group", "g1", "g2"), filter("key", "on")}})
	if err != nil || len(tags.Tags) != 2 || *tags.Tags[1].ResourceId != "g2" || *tags.Tags[1].Value != "true" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	_, err = w.CreateOrUpdateTags(ctx, &sdk.CreateOrUpdateTagsInput{Tags: []types.Tag{tag("none", "a", "b")}})
	fails(t, err, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'none' not found")
}
