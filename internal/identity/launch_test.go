package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What a launch is asked for, on which of its resources, whether the request says it or
// its launch template.
func TestLaunchKeys(t *testing.T) {
	w := newDependents(t)
	image := ami.All("us-west-2")[0].ID
	data, err := json.Marshal(ec2.RequestLaunchTemplateData{
		ImageId: &image, InstanceType: new("m5.large"), EbsOptimized: new(true),
		MetadataOptions: &ec2.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: new("required"), HttpPutResponseHopLimit: new(int32(2))},
		Placement:       &ec2.LaunchTemplatePlacementRequest{Tenancy: new("dedicated")},
		BlockDeviceMappings: []ec2.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: new("/dev/xvda"),
			Ebs: &ec2.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: new(int32(80)), Encrypted: new(true)}}},
		NetworkInterfaces: []ec2.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{SubnetId: new("subnet-1"), AssociatePublicIpAddress: new(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	home := resource.Home{Account: account, Region: "us-west-2"}
	w.update(func(tx *store.Tx) {
		tx.LaunchTemplates.Put("lt-2", resource.LaunchTemplate{Home: home, ID: "lt-2", Name: "lt2", Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: data}}})
		tx.Subnets.Put("subnet-1", resource.Subnet{Home: home, ID: "subnet-1", VPC: "vpc-1", Zone: "us-west-2a"})
	})
	plain := func(change func(in *ec2.RunInstancesInput)) *ec2.RunInstancesInput {
		in := &ec2.RunInstancesInput{ImageId: &image, InstanceType: new("m5.large"), SubnetId: new("subnet-1")}
		if change != nil {
			change(in)
		}
		return in
	}
	template := plain(func(in *ec2.RunInstancesInput) {
		*in = ec2.RunInstancesInput{LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-2")}}
	})
	disk := func(gib int32) *ec2.RunInstancesInput {
		return plain(func(in *ec2.RunInstancesInput) {
			in.BlockDeviceMappings = []ec2.BlockDeviceMapping{{DeviceName: new("/dev/sdf"), Ebs: &ec2.EbsBlockDevice{VolumeSize: &gib, VolumeType: new("io2")}}}
		})
	}
	tokens := func(value string) *ec2.RunInstancesInput {
		return plain(func(in *ec2.RunInstancesInput) {
			in.MetadataOptions = &ec2.InstanceMetadataOptionsRequest{HttpTokens: &value, HttpPutResponseHopLimit: new(int32(1))}
		})
	}
	for _, c := range []struct {
		name, deny string // resource and condition
		in         *ec2.RunInstancesInput
		denied     string // resource; "" for allowed
	}{
		{"tokens required", `instance/* {"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`, tokens("required"), ""},
		{"tokens optional", `instance/* {"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`, tokens("optional"), "instance/*"},
		{"tokens not said", `instance/* {"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`, plain(nil), "instance/*"},
		{"tokens of the template", `instance/* {"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`, template, ""},
		{"hops", `instance/* {"NumericGreaterThan":{"ec2:MetadataHttpPutResponseHopLimit":"1"}}`, tokens("required"), ""},
		{"hops of the template", `instance/* {"NumericGreaterThan":{"ec2:MetadataHttpPutResponseHopLimit":"1"}}`, template, "instance/*"},
		{"tenancy", `instance/* {"StringNotEquals":{"ec2:Tenancy":"default"}}`, plain(nil), ""},
		{"tenancy of the template", `instance/* {"StringNotEquals":{"ec2:Tenancy":"default"}}`, template, "instance/*"},
		{"optimized", `instance/* {"Bool":{"ec2:EbsOptimized":"false"}}`, template, ""},
		{"not optimized", `instance/* {"Bool":{"ec2:EbsOptimized":"false"}}`, plain(nil), "instance/*"},
		{"zone", `instance/* {"StringEquals":{"ec2:AvailabilityZone":"us-west-2a"}}`, plain(nil), "instance/*"},
		{"the image's volume", `volume/* {"NumericGreaterThan":{"ec2:VolumeSize":"50"}}`, plain(nil), ""},
		{"a small volume", `volume/* {"NumericGreaterThan":{"ec2:VolumeSize":"50"}}`, disk(50), ""},
		{"a large volume besides the image's", `volume/* {"NumericGreaterThan":{"ec2:VolumeSize":"50"}}`, disk(51), "volume/*"},
		{"volume types", `volume/* {"StringNotEquals":{"ec2:VolumeType":"gp3"}}`, plain(nil), ""},
		{"another volume type", `volume/* {"StringNotEquals":{"ec2:VolumeType":"gp3"}}`, disk(50), "volume/*"},
		{"the template's volume over the image's", `volume/* {"NumericNotEquals":{"ec2:VolumeSize":"80"}}`, template, ""},
		{"encrypted", `volume/* {"Bool":{"ec2:Encrypted":"false"}}`, template, ""},
		{"not encrypted", `volume/* {"Bool":{"ec2:Encrypted":"false"}}`, plain(nil), "volume/*"},
		{"a public address", `network-interface/* {"Bool":{"ec2:AssociatePublicIpAddress":"true"}}`, template, "network-interface/*"},
		{"no public address asked for", `network-interface/* {"Bool":{"ec2:AssociatePublicIpAddress":"true"}}`, plain(nil), ""},
		{"the interface's VPC", `network-interface/* {"ArnEquals":{"ec2:Vpc":"` + ec2ARN + `vpc/vpc-1"}}`, plain(nil), "network-interface/*"},
		{"images of others", `image/* {"StringNotEquals":{"ec2:Owner":"amazon"}}`, plain(nil), ""},
		{"public images", `image/* {"Bool":{"ec2:Public":"true"}}`, plain(nil), "image/" + image},
		// Of other resources than instances there is no type, so that it is not this one.
		{"the type of all", `*/* {"StringNotEquals":{"ec2:InstanceType":"m5.large"}}`, plain(nil), "image/" + image},
	} {
		t.Run(c.name, func(t *testing.T) {
			what, condition, _ := strings.Cut(c.deny, " ")
			err := w.authorize(policyOf("Allow ec2:* *", "Deny ec2:RunInstances arn:aws:ec2:*:*:"+what+" "+condition), "ec2:RunInstances", c.in)
			switch {
			case c.denied == "" && err != nil:
				t.Error(err)
			case c.denied != "" && (err == nil || !strings.Contains(err.Error(), c.denied+" with an explicit deny")):
				t.Errorf("got %v\nwant a denial of %s", err, c.denied)
			}
		})
	}
}

// Options of metadata that are changed are attributes, to tell from those that the instance has.
func TestMetadataOptionKeys(t *testing.T) {
	w := newDependents(t)
	w.update(func(tx *store.Tx) {
		i, _ := tx.Instances.Get("i-1")
		i.Spec.HTTPTokens, i.Spec.HopLimit = "required", 1
		tx.Instances.Put("i-1", i)
	})
	modify := func(in ec2.ModifyInstanceMetadataOptionsInput, condition string) error {
		in.InstanceId = new("i-1")
		return w.authorize(policyOf("Allow ec2:* *", "Deny ec2:ModifyInstanceMetadataOptions * "+condition), "ec2:ModifyInstanceMetadataOptions", &in)
	}
	const weak = `{"StringNotEquals":{"ec2:Attribute/HttpTokens":"required"},"Null":{"ec2:Attribute/HttpTokens":false}}`
	if err := modify(ec2.ModifyInstanceMetadataOptionsInput{HttpPutResponseHopLimit: new(int32(2))}, weak); err != nil {
		t.Error(err)
	}
	if err := modify(ec2.ModifyInstanceMetadataOptionsInput{HttpTokens: new("required")}, weak); err != nil {
		t.Error(err)
	}
	if modify(ec2.ModifyInstanceMetadataOptionsInput{HttpTokens: new("optional")}, weak) == nil {
		t.Error("tokens may be made optional")
	}
	if modify(ec2.ModifyInstanceMetadataOptionsInput{HttpTokens: new("optional")}, is("ec2:MetadataHttpTokens", "required")) == nil {
		t.Error("the options that it has are not there")
	}
	pass := "Allow iam:PassRole * " + `{"StringLike":{"iam:AssociatedResourceArn":"arn:aws:ec2:us-west-2:*:instance/*"}}`
	run := &ec2.RunInstancesInput{LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1")}}
	if err := w.authorize(policyOf("Allow ec2:* *", pass), "ec2:RunInstances", run); err != nil {
		t.Error(err)
	}
}
