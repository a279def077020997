package identity_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// addTemplate records a launch template of one version.
func (w *dependents) addTemplate(t *testing.T, id string, data ec2.RequestLaunchTemplateData) {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx *store.Tx) {
		tx.LaunchTemplates.Put(id, resource.LaunchTemplate{Home: resource.Home{Account: account, Region: "us-west-2"}, ID: id, Name: id, Default: 1, Latest: 1,
			Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: raw}}})
	})
}

// denied fails the test unless the call is denied for the action and resource.
func (w *dependents) denied(t *testing.T, policy, operation string, in any, what string) {
	t.Helper()
	if err := w.authorize(policy, operation, in); err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("got %v\nwant a denial of %s", err, what)
	}
}

// fleetOf is a request for a fleet of one template with overrides.
func fleetOf(template string, overrides ...ec2.FleetLaunchTemplateOverridesRequest) *ec2.CreateFleetInput {
	return &ec2.CreateFleetInput{LaunchTemplateConfigs: []ec2.FleetLaunchTemplateConfigRequest{{
		LaunchTemplateSpecification: &ec2.FleetLaunchTemplateSpecificationRequest{LaunchTemplateId: &template}, Overrides: overrides,
	}}}
}

// A profile named "" does not hide the template's, which is what gets launched.
func TestEmptyProfile(t *testing.T) {
	w := newDependents(t)
	policy := policyOf("Allow ec2:* *")
	for _, p := range []ec2.IamInstanceProfileSpecification{{Name: new("")}, {Arn: new("")}, {}} {
		w.denied(t, policy, "ec2:RunInstances", &ec2.RunInstancesInput{
			LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1")}, IamInstanceProfile: &p,
		}, "iam:PassRole on resource: "+roleARN+"node")
		w.denied(t, policy, "ec2:CreateFleet", fleetOf("lt-1", ec2.FleetLaunchTemplateOverridesRequest{
			IamInstanceProfile: &ec2.FleetIamInstanceProfileSpecificationRequest{Arn: p.Arn, Name: p.Name},
		}), "iam:PassRole on resource: "+roleARN+"node")
	}
}

// A fleet is checked for what each of its overrides launches, not for what its template alone would.
func TestFleetOverrides(t *testing.T) {
	w := newDependents(t)
	image := ami.All("us-west-2")[0]
	w.update(func(tx *store.Tx) { addRole(tx, "admin", "") })
	w.addTemplate(t, "lt-plain", ec2.RequestLaunchTemplateData{ImageId: &image.ID, InstanceType: new("m5.large"),
		MetadataOptions: &ec2.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: new("required")}})
	type override = ec2.FleetLaunchTemplateOverridesRequest
	same := override{InstanceType: new("m5.large"), SubnetId: new("subnet-1")}
	admin, optional, large, required := same, same, same, override{}
	admin.IamInstanceProfile = &ec2.FleetIamInstanceProfileSpecificationRequest{Name: new("admin")}
	optional.MetadataOptions = &ec2.FleetInstanceMetadataOptionsRequest{HttpTokens: new("optional")}
	large.BlockDeviceMappings = []ec2.FleetBlockDeviceMappingRequest{{DeviceName: new("/dev/xvda"), Ebs: &ec2.FleetEbsBlockDeviceRequest{VolumeSize: new(int32(500))}}}
	required.InstanceRequirements = &ec2.InstanceRequirementsRequest{AllowedInstanceTypes: []string{"m5.*large"},
		VCpuCount: &ec2.VCpuCountRangeRequest{Min: new(int32(1))}, MemoryMiB: &ec2.MemoryMiBRequest{Min: new(int32(1))}}
	both := fleetOf("lt-plain", same)
	both.TargetCapacitySpecification = &ec2.TargetCapacitySpecificationRequest{TotalTargetCapacity: new(int32(2)), SpotTargetCapacity: new(int32(1))}
	deny := func(what, condition string) string {
		return policyOf("Allow ec2:* *", "Deny ec2:RunInstances "+ec2ARN+what+" "+condition)
	}
	for _, c := range []struct {
		name, policy string
		in           *ec2.CreateFleetInput
		denied       string
	}{
		{"profile of the second of two that are else the same", policyOf("Allow ec2:* *"), fleetOf("lt-plain", same, admin), "iam:PassRole on resource: " + roleARN + "admin"},
		{"metadata options", deny("instance/*", `{"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`), fleetOf("lt-plain", same, optional), "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"volumes", deny("volume/*", `{"NumericGreaterThan":{"ec2:VolumeSize":"100"}}`), fleetOf("lt-plain", same, large), "ec2:RunInstances on resource: " + ec2ARN + "volume/*"},
		{"types that have what is wanted", deny("instance/*", is("ec2:InstanceType", "m5.4xlarge")), fleetOf("lt-plain", required), "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"the template's type, that is not launched", deny("instance/*", `{"StringNotLike":{"ec2:InstanceType":"m5.*"}}`), fleetOf("lt-plain", required), ""},
		{"either market", deny("instance/*", is("ec2:InstanceMarketType", "on-demand")), both, "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"tags of the template", policyOf("Allow ec2:RunInstances *", "Allow ec2:CreateFleet *", "Allow iam:PassRole *"), fleetOf("lt-1", same), "ec2:CreateTags on resource: " + ec2ARN + "instance/*"},
		{"all of it", deny("instance/*", is("ec2:InstanceType", "t3.nano")), fleetOf("lt-plain", same, optional, large, required), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.denied != "" {
				w.denied(t, c.policy, "ec2:CreateFleet", c.in, c.denied)
			} else if err := w.authorize(c.policy, "ec2:CreateFleet", c.in); err != nil {
				t.Error(err)
			}
		})
	}
}

// However many subnets a request names, deciding it takes no longer than its handler allows.
func TestFleetIsBounded(t *testing.T) {
	w := newDependents(t)
	var subnets []string
	for i := range 50_000 {
		subnets = append(subnets, fmt.Sprint("subnet-", i))
	}
	in := fleetOf("lt-1", ec2.FleetLaunchTemplateOverridesRequest{SubnetId: new(strings.Join(subnets, ","))})
	start := time.Now()
	if err := w.authorize(policyOf("Allow ec2:* *", "Allow iam:PassRole *"), "ec2:CreateFleet", in); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it takes %s", took)
	}
}

// Everything that a launch uses is checked: groups by their names, the subnets and groups of each
// interface, the zone that it asks for.
func TestLaunchUses(t *testing.T) {
	w := newDependents(t)
	image := ami.All("us-west-2")[0].ID
	home := resource.Home{Account: account, Region: "us-west-2"}
	w.update(func(tx *store.Tx) {
		tx.VPCs.Put("vpc-9", resource.VPC{Home: home, ID: "vpc-9", Default: true})
		tx.SecurityGroups.Put("sg-9", resource.SecurityGroup{Home: home, ID: "sg-9", VPC: "vpc-9", Name: "web"})
	})
	w.addTemplate(t, "lt-named", ec2.RequestLaunchTemplateData{SecurityGroups: []string{"web"}})
	cards := []ec2.InstanceNetworkInterfaceSpecification{{SubnetId: new("subnet-1"), Groups: []string{"sg-1"}}, {SubnetId: new("subnet-2")}}
	spot := func(spec ec2.RequestSpotLaunchSpecification) *ec2.RequestSpotInstancesInput {
		spec.ImageId = &image
		return &ec2.RequestSpotInstancesInput{LaunchSpecification: &spec}
	}
	run := func(in ec2.RunInstancesInput) *ec2.RunInstancesInput {
		in.ImageId = &image
		return &in
	}
	zone := is("ec2:AvailabilityZone", "us-west-2b")
	for _, c := range []struct {
		name, what, condition string
		in                    any
	}{
		{"named group", "security-group/sg-9", "", run(ec2.RunInstancesInput{SecurityGroups: []string{"web"}})},
		{"named group of the template", "security-group/sg-9", "", run(ec2.RunInstancesInput{LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-named")}})},
		{"the template's for an interface without", "security-group/sg-9", "", run(ec2.RunInstancesInput{NetworkInterfaces: cards, LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-named")}})},
		{"second interface's subnet", "subnet/subnet-2", "", run(ec2.RunInstancesInput{NetworkInterfaces: cards})},
		{"zone", "instance/*", zone, run(ec2.RunInstancesInput{Placement: &ec2.Placement{AvailabilityZone: new("us-west-2b")}})},
		{"zone by its id", "volume/*", zone, run(ec2.RunInstancesInput{Placement: &ec2.Placement{AvailabilityZoneId: new("usw2-az2")}})},
		{"spot, named group", "security-group/sg-9", "", spot(ec2.RequestSpotLaunchSpecification{SecurityGroups: []string{"web"}})},
		{"spot, interface's group", "security-group/sg-1", "", spot(ec2.RequestSpotLaunchSpecification{NetworkInterfaces: cards})},
		{"spot, interface's subnet", "subnet/subnet-2", "", spot(ec2.RequestSpotLaunchSpecification{NetworkInterfaces: cards})},
		{"spot, zone", "instance/*", zone, spot(ec2.RequestSpotLaunchSpecification{Placement: &ec2.SpotPlacement{AvailabilityZone: new("us-west-2b")}})},
		{"fleet, zone", "instance/*", zone, fleetOf("lt-named", ec2.FleetLaunchTemplateOverridesRequest{AvailabilityZone: new("us-west-2b")})},
		{"fleet, named group", "security-group/sg-9", "", fleetOf("lt-named")},
	} {
		t.Run(c.name, func(t *testing.T) {
			operation := "ec2:RunInstances"
			switch c.in.(type) {
			case *ec2.RequestSpotInstancesInput:
				operation = "ec2:RequestSpotInstances"
			case *ec2.CreateFleetInput:
				operation = "ec2:CreateFleet"
			}
			statement := "Deny ec2:RunInstances " + ec2ARN + c.what
			if c.condition != "" {
				statement += " " + c.condition
			}
			if err := w.authorize(policyOf("Allow ec2:* *"), operation, c.in); err != nil {
				t.Fatal(err)
			}
			w.denied(t, policyOf("Allow ec2:* *", statement), operation, c.in, "ec2:RunInstances on resource: "+ec2ARN+c.what)
		})
	}
}
