package provision

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestMergeTemplate(t *testing.T) {
	data := func(typ string) []byte {
		raw, err := json.Marshal(ec2.RequestLaunchTemplateData{
			InstanceType: &typ, ImageId: new("ami-1"), UserData: new("aGVsbG8="), SecurityGroupIds: []string{"sg-1"},
			IamInstanceProfile:  &ec2.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new("nodes")},
			MetadataOptions:     &ec2.LaunchTemplateInstanceMetadataOptionsRequest{HttpPutResponseHopLimit: new(int32(3))},
			BlockDeviceMappings: []ec2.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: new("/dev/xvda"), Ebs: &ec2.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: new(int32(50))}}},
			TagSpecifications:   []ec2.LaunchTemplateTagSpecificationRequest{{ResourceType: new("instance"), Tags: []ec2.Tag{{Key: new("a"), Value: new("template")}, {Key: new("b"), Value: new("template")}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	lt := resource.LaunchTemplate{ID: "lt-1", Default: 1, Latest: 2, Versions: []resource.LaunchTemplateVersion{
		{Number: 1, Data: data("m5.large")}, {Number: 2, Data: data("m5.xlarge")},
	}}
	for version, want := range map[string]string{"": "m5.large", "$Default": "m5.large", "$Latest": "m5.xlarge", "2": "m5.xlarge"} {
		r, err := MergeTemplate(lt, version, InstanceRequest{Tags: resource.Tags{"a": "own"}, HTTPTokens: "optional"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Type != want || r.Image != "ami-1" || string(r.UserData) != "hello" || r.SecurityGroups[0] != "sg-1" || r.ProfileName != "nodes" ||
			r.HopLimit != 3 || r.HTTPTokens != "optional" || r.Disk.GiB != 50 || r.Tags["a"] != "own" || r.Tags["b"] != "template" || r.LaunchTemplate != "lt-1" {
			t.Errorf("%q: got %+v", version, r)
		}
	}
	r, err := MergeTemplate(lt, "1", InstanceRequest{Type: "t3.medium", ProfileARN: "arn"})
	if err != nil || r.Type != "t3.medium" || r.ProfileName != "" || r.LaunchTemplateVersion != "1" {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, version := range []string{"3", "x", "$latest"} {
		var e *awsapi.Error
		if _, err := MergeTemplate(lt, version, InstanceRequest{}); !errors.As(err, &e) || e.Code != "InvalidLaunchTemplateId.VersionNotFound" {
			t.Errorf("%q: got %v", version, err)
		}
	}
}

// Auto Scaling says in which of its subnets, a template's interface with which groups.
func TestSubnetOfTheRequestWins(t *testing.T) {
	w := newWorld(t)
	s := w.subnet("172.31.48.0/24")
	w.do("", func(tx *store.Tx) error {
		v, _ := DefaultVPC(tx, home)
		g, err := SecurityGroup(tx, SecurityGroupRequest{Home: home, VPC: v.ID, Name: "nodes", Description: "nodes"})
		if err != nil {
			return err
		}
		r := launch()
		r.Subnet, r.Interfaces = s.ID, []InterfaceSpec{{Subnet: "subnet-of-the-template", SecurityGroups: []string{g.ID}}}
		i, err := Instance(tx, r)
		if err == nil && (i.Spec.Subnet != s.ID || i.Spec.SecurityGroups[0] != g.ID || i.Spec.Zone != "us-west-2a") {
			t.Errorf("got %+v", i.Spec)
		}
		return err
	})
}

// What RunInstances refuses, it refuses of launch templates too: no machine is launched that is
// another one than was asked for.
func TestTemplatesOfOtherMachines(t *testing.T) {
	for want, d := range map[string]ec2.RequestLaunchTemplateData{
		"Changing an instance type's CPUs": {CpuOptions: &ec2.LaunchTemplateCpuOptionsRequest{CoreCount: new(int32(1))}},
		"Hibernation":                      {HibernationOptions: &ec2.LaunchTemplateHibernationOptionsRequest{Configured: new(true)}},
		"An enclave":                       {EnclaveOptions: &ec2.LaunchTemplateEnclaveOptionsRequest{Enabled: new(true)}},
		"A dedicated host":                 {Placement: &ec2.LaunchTemplatePlacementRequest{Tenancy: new("dedicated")}},
		"A partition of a placement group": {Placement: &ec2.LaunchTemplatePlacementRequest{PartitionNumber: new(int32(1))}},
		"A second network card":            {NetworkInterfaces: []ec2.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{NetworkCardIndex: new(int32(1))}}},
		"The interface type efa":           {NetworkInterfaces: []ec2.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{InterfaceType: new("efa")}}},
		"A licence configuration":          {LicenseSpecifications: []ec2.LaunchTemplateLicenseConfigurationRequest{{LicenseConfigurationArn: new("arn")}}},
		"A kernel or RAM disk":             {KernelId: new("aki-1")},
		"A capacity reservation":           {CapacityReservationSpecification: &ec2.LaunchTemplateCapacityReservationSpecificationRequest{CapacityReservationPreference: new("capacity-reservations-only")}},
		"The market capacity-block":        {InstanceMarketOptions: &ec2.LaunchTemplateInstanceMarketOptionsRequest{MarketType: new("capacity-block")}},
	} {
		raw, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		lt := resource.LaunchTemplate{Home: home, ID: "lt-1", Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: raw}}}
		_, err = MergeTemplate(lt, "", InstanceRequest{Home: home})
		if code, text, _ := Refusal(err); code != "UnsupportedOperation" || text != want+" is not supported yet." {
			t.Errorf("%s: got %v", want, err)
		}
	}
	lt := resource.LaunchTemplate{Home: home, ID: "lt-1", Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1,
		Data: []byte(`{"CpuOptions":{},"EnclaveOptions":{"Enabled":false},"Placement":{"Tenancy":"default","AvailabilityZoneId":"usw2-az1"},"NetworkInterfaces":[{"InterfaceType":"interface","NetworkCardIndex":0}]}`)}}}
	r, err := MergeTemplate(lt, "", InstanceRequest{Home: home})
	if err != nil || !strings.HasPrefix(r.Zone, "us-west-2") {
		t.Errorf("what changes nothing: %+v, %v", r, err)
	}
}

// Images of versions that are not built are not there, until they are.
func TestImagesThatAreNotBuilt(t *testing.T) {
	w := newWorld(t)
	ask := func(minor string) InstanceRequest {
		i, _ := ami.Recommended(home.Region, minor, ami.X8664, ami.Standard)
		return InstanceRequest{Home: home, Image: i.ID, Type: "t3.medium", Now: now}
	}
	launch := func(minor string) func(tx *store.Tx) error {
		return func(tx *store.Tx) error { _, err := Instance(tx, ask(minor)); return err }
	}
	built := map[string]bool{"1.35": true}
	set := func() {
		t.Helper()
		if err := SetPayload(t.Context(), w.store, func(minor string) bool { return built[minor] }); err != nil {
			t.Fatal(err)
		}
	}
	set()
	w.do("", launch("1.35"))
	w.do("InvalidAMIID.NotFound", launch("1.34"))
	built["1.34"] = true
	set()
	w.do("", launch("1.34"))
}
