package ec2_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const profileARN = "arn:aws:iam::000000000000:instance-profile/eks/nodes"

func (w *world) profile() {
	w.Helper()
	w.edit(func(tx *store.Tx) {
		tx.InstanceProfiles.Put(profileARN, resource.InstanceProfile{Account: account, ARN: profileARN, Name: "nodes", ID: "AIPAX", Role: "arn:aws:iam::000000000000:role/nodes"})
		tx.InstanceProfiles.Put(profileARN+"2", resource.InstanceProfile{Account: account, ARN: profileARN + "2", Name: "roleless"})
	})
}

func (w *world) instance(id string) types.Instance {
	w.Helper()
	out := must(w.DescribeInstances(w.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{id}}))(w)
	return out.Reservations[0].Instances[0]
}

func TestRunDescribeTerminate(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	w.profile()
	in := launch(2)
	in.UserData = new(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh")))
	in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: new("nodes")}
	in.TagSpecifications = append(tagSpec("instance", "Name", "n", "karpenter.sh/nodepool", "p"), tagSpec("volume", "v", "1")...)
	in.ClientToken = new("token-1")
	in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: new("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: new(int32(50))}}}
	ran := must(w.RunInstances(ctx, in))(w)
	if len(ran.Instances) != 2 || *ran.OwnerId != account || *ran.Instances[1].AmiLaunchIndex != 1 {
		t.Fatalf("got %+v", ran)
	}
	again := must(w.RunInstances(ctx, in))(w)
	if *again.ReservationId != *ran.ReservationId || *again.Instances[0].InstanceId != *ran.Instances[0].InstanceId || len(again.Instances) != 2 {
		t.Error("a replay launched again")
	}
	in.InstanceType = types.InstanceTypeM5Large
	fails(w.RunInstances(ctx, in))(w, "IdempotentParameterMismatch", "")

	id := *ran.Instances[0].InstanceId
	i := w.instance(id)
	ip := *i.PrivateIpAddress
	n := i.NetworkInterfaces[0]
	for what, ok := range map[string]bool{
		"state":      i.State.Name == "pending" && *i.State.Code == 0,
		"DNS":        *i.PrivateDnsName == "ip-"+strings.ReplaceAll(ip, ".", "-")+".us-west-2.compute.internal",
		"placement":  strings.HasPrefix(*i.Placement.AvailabilityZone, "us-west-2") && strings.HasPrefix(*i.Placement.AvailabilityZoneId, "usw2-az") && i.Placement.Tenancy == "default",
		"profile":    *i.IamInstanceProfile.Arn == profileARN && *i.IamInstanceProfile.Id == "AIPAX",
		"disk":       *i.BlockDeviceMappings[0].DeviceName == "/dev/xvda" && strings.HasPrefix(*i.BlockDeviceMappings[0].Ebs.VolumeId, "vol-"),
		"metadata":   i.MetadataOptions.HttpTokens == "required" && *i.MetadataOptions.HttpPutResponseHopLimit == 2 && i.MetadataOptions.HttpEndpoint == "enabled",
		"interface":  *n.PrivateIpAddress == ip && *n.Attachment.DeviceIndex == 0 && *n.PrivateIpAddresses[0].Primary && n.Attachment.Status == "attaching" && n.Status == "in-use",
		"groups":     *i.SecurityGroups[0].GroupName == "default" && *n.Groups[0].GroupId == *i.SecurityGroups[0].GroupId,
		"tags":       tags(i.Tags)["Name"] == "n",
		"facts":      i.Architecture == "x86_64" && i.InstanceType == "t3.medium" && *i.ImageId == *in.ImageId && i.RootDeviceType == "ebs" && *i.ClientToken == "token-1",
		"launchtime": time.Since(*i.LaunchTime) < time.Minute,
	} {
		if !ok {
			t.Errorf("%s: %+v", what, i)
		}
	}
	for _, f := range [][]types.Filter{
		filters("private-ip-address", ip), filters("private-dns-name", *i.PrivateDnsName), filters("instance-id", id), filters("network-interface.network-interface-id", *n.NetworkInterfaceId),
		filters("network-interface.addresses.private-ip-address", ip, "instance-state-name", "pending", "tag-key", "karpenter.sh/nodepool", "vpc-id", *i.VpcId),
		filters("block-device-mapping.volume-id", *i.BlockDeviceMappings[0].Ebs.VolumeId), filters("iam-instance-profile.name", "nodes", "launch-index", "0"),
		filters("network-interface.attachment.attachment-id", *n.Attachment.AttachmentId),
	} {
		out := must(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: f}))(w).Reservations
		if len(out) != 1 || len(out[0].Instances) != 1 || *out[0].Instances[0].InstanceId != id {
			t.Errorf("%s=%s: got %d", *f[0].Name, f[0].Values[0], len(out))
		}
	}
	both := must(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: filters("reservation-id", *ran.ReservationId, "tag:Name", "n")}))(w).Reservations
	if len(both) != 1 || len(both[0].Instances) != 2 {
		t.Errorf("got %+v", both)
	}

	// The instance controller says that it runs, and the VPC's that it is plugged in.
	w.edit(func(tx *store.Tx) {
		r, _ := tx.Instances.Get(id)
		r.Status.State = resource.InstanceRunning
		tx.Instances.Put(id, r)
		e, _ := tx.Interfaces.Get(*n.NetworkInterfaceId)
		e.Status.Plugged = id
		tx.Interfaces.Put(e.ID, e)
	})
	if i := w.instance(id); *i.State.Code != 16 || i.NetworkInterfaces[0].Attachment.Status != "attached" {
		t.Errorf("got %+v", i.State)
	}
	status := must(w.DescribeInstanceStatus(ctx, &sdk.DescribeInstanceStatusInput{}))(w).InstanceStatuses
	if len(status) != 1 || *status[0].InstanceId != id || status[0].InstanceStatus.Status != "ok" {
		t.Errorf("got %+v", status)
	}
	if all := must(w.DescribeInstanceStatus(ctx, &sdk.DescribeInstanceStatusInput{IncludeAllInstances: new(true)}))(w).InstanceStatuses; len(all) != 2 {
		t.Errorf("got %+v", all)
	}

	gone := must(w.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{id}}))(w).TerminatingInstances
	if len(gone) != 1 || gone[0].PreviousState.Name != "running" || gone[0].CurrentState.Name != "shutting-down" {
		t.Errorf("got %+v", gone)
	}
	w.edit(func(tx *store.Tx) { provision.Terminated(tx, id, time.Now()) })
	i = w.instance(id)
	if i.State.Name != "terminated" || len(i.NetworkInterfaces) != 0 || i.SubnetId != nil || *i.StateReason.Code != "Client.UserInitiatedShutdown" || !strings.HasPrefix(*i.StateTransitionReason, "User initiated (20") {
		t.Errorf("got %+v", i)
	}
	fails(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*n.NetworkInterfaceId}}))(w, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+*n.NetworkInterfaceId+"' does not exist")
	w.edit(func(tx *store.Tx) {
		r, _ := tx.Instances.Get(id)
		r.Status.Ended = time.Now().Add(-61 * time.Minute)
		tx.Instances.Put(id, r)
	})
	fails(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{id}}))(w, "InvalidInstanceID.NotFound", "The instance ID '"+id+"' does not exist")
	fails(w.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{"i-x"}}))(w, "InvalidInstanceID.Malformed", `Invalid id: "i-x"`)
}

func TestRunInstancesRefuses(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	w.profile()
	other := w.vpc("10.0.0.0/16")
	foreign := w.group(other, "foreign")
	for _, c := range []struct {
		name, code, message string
		change              func(*sdk.RunInstancesInput)
	}{
		{"type", "InvalidParameterValue", "Invalid value 't99.huge' for InstanceType.", func(in *sdk.RunInstancesInput) { in.InstanceType = "t99.huge" }},
		{"image", "InvalidAMIID.NotFound", "The image id '[ami-0123456789abcdef0]' does not exist", func(in *sdk.RunInstancesInput) { in.ImageId = new("ami-0123456789abcdef0") }},
		{"image id", "InvalidAMIID.Malformed", `Invalid id: "al2023" (expecting "ami-...")`, func(in *sdk.RunInstancesInput) { in.ImageId = new("al2023") }},
		{"architecture", "InvalidParameterValue", "", func(in *sdk.RunInstancesInput) { in.ImageId = image(ami.ARM64) }},
		{"subnet", "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0123456789abcdef0' does not exist", func(in *sdk.RunInstancesInput) { in.SubnetId = new("subnet-0123456789abcdef0") }},
		{"group of another VPC", "InvalidParameter", "", func(in *sdk.RunInstancesInput) { in.SecurityGroupIds = []string{foreign} }},
		{"profile", "InvalidParameterValue", "Value (nobody) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", func(in *sdk.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: new("nobody")}
		}},
		{"profile without role", "InvalidParameterValue", "", func(in *sdk.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: new(profileARN + "2")}
		}},
		{"counts", "InvalidParameterValue", "", func(in *sdk.RunInstancesInput) { in.MinCount = new(int32(3)) }},
		{"none", "InvalidParameterValue", "", func(in *sdk.RunInstancesInput) { in.MinCount, in.MaxCount = new(int32(0)), new(int32(0)) }},
		{"too many", "InstanceLimitExceeded", "", func(in *sdk.RunInstancesInput) { in.MaxCount = new(int32(100000)) }},
		{"user data", "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.", func(in *sdk.RunInstancesInput) { in.UserData = new("%%%") }},
		{"much user data", "InvalidParameterValue", "User data is limited to 16384 bytes", func(in *sdk.RunInstancesInput) {
			in.UserData = new(base64.StdEncoding.EncodeToString(make([]byte, 16385)))
		}},
		{"disk", "InvalidBlockDeviceMapping", "", func(in *sdk.RunInstancesInput) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: new("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: new(int32(2))}}}
		}},
		{"second disk", "UnsupportedOperation", "", func(in *sdk.RunInstancesInput) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: new("/dev/xvdb"), Ebs: &types.EbsBlockDevice{VolumeSize: new(int32(20))}}}
		}},
		{"template", "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID lt-0123456789abcdef0, does not exist.", func(in *sdk.RunInstancesInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: new("lt-0123456789abcdef0")}
		}},
		{"zone", "InvalidParameterValue", "Invalid availability zone: [us-west-2x]", func(in *sdk.RunInstancesInput) { in.Placement = &types.Placement{AvailabilityZone: new("us-west-2x")} }},
		{"zone without subnet", "InvalidParameterValue", "", func(in *sdk.RunInstancesInput) { in.Placement = &types.Placement{AvailabilityZone: new("us-west-2d")} }},
		{"address", "InvalidParameterValue", "Address 9.9.9.9 does not fall within the subnet's address range", func(in *sdk.RunInstancesInput) { in.PrivateIpAddress = new("9.9.9.9") }},
		{"key", "InvalidKeyPair.NotFound", "The key pair 'mine' does not exist", func(in *sdk.RunInstancesInput) { in.KeyName = new("mine") }},
		{"dry run", "DryRunOperation", "", func(in *sdk.RunInstancesInput) { in.DryRun = new(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{T: t, Client: w.Client, store: w.store}
			in := launch(1)
			c.change(in)
			fails(w.RunInstances(ctx, in))(w, c.code, c.message)
		})
	}
	if n := len(must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{}))(w).NetworkInterfaces); n != 0 {
		t.Errorf("%d interfaces are left over", n)
	}
}

func TestRunInstancesFillsASubnet(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	sub := w.subnet(vpc, "10.0.0.0/28", "us-west-2c") // 11 addresses
	in := launch(12)
	in.SubnetId = &sub
	fails(w.RunInstances(ctx, in))(w, "InsufficientFreeAddressesInSubnet", "")
	in.MinCount = new(int32(4))
	if out := must(w.RunInstances(ctx, in))(w); len(out.Instances) != 11 {
		t.Errorf("%d were launched", len(out.Instances))
	}
	if s := must(w.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: []string{sub}}))(w).Subnets[0]; *s.AvailableIpAddressCount != 0 {
		t.Errorf("%d addresses are left", *s.AvailableIpAddressCount)
	}
	fails(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w, "DependencyViolation", "The subnet '"+sub+"' has dependencies and cannot be deleted.")

	// Pages of instances, and of what is behind a page that was given out.
	var seen []string
	p := sdk.NewDescribeInstancesPaginator(w.Client, &sdk.DescribeInstancesInput{MaxResults: new(int32(5))})
	for p.HasMorePages() {
		page := must(p.NextPage(ctx))(w)
		n := 0
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				n++
				seen = append(seen, *i.InstanceId)
			}
		}
		if n > 5 {
			t.Errorf("a page of %d", n)
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 11 {
		t.Errorf("got %v", seen)
	}
	fails(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: new(int32(5)), InstanceIds: seen[:1]}))(w, "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	fails(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{MaxResults: new(int32(2))}))(w, "InvalidParameterValue", "")
	fails(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{NextToken: new("x")}))(w, "InvalidNextToken", "")
	fails(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{Filters: filters("colour", "red")}))(w, "InvalidParameterValue", "The filter 'colour' is invalid")
}

func TestNetworkInterfaces(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	i := must(w.RunInstances(ctx, launch(1)))(w).Instances[0]
	create := &sdk.CreateNetworkInterfaceInput{
		SubnetId: i.SubnetId, Description: new("aws-K8S-" + *i.InstanceId), SecondaryPrivateIpAddressCount: new(int32(3)), ClientToken: new("c1"),
		TagSpecifications: tagSpec("network-interface", "node.k8s.amazonaws.com/instance_id", *i.InstanceId),
	}
	eni := must(w.CreateNetworkInterface(ctx, create))(w).NetworkInterface
	if eni.Status != "available" || len(eni.PrivateIpAddresses) != 4 || !*eni.PrivateIpAddresses[0].Primary || *eni.PrivateIpAddresses[1].Primary || eni.Attachment != nil ||
		*eni.MacAddress == "" || eni.InterfaceType != "interface" || tags(eni.TagSet)["node.k8s.amazonaws.com/instance_id"] != *i.InstanceId {
		t.Errorf("got %+v", eni)
	}
	id := eni.NetworkInterfaceId
	if again := must(w.CreateNetworkInterface(ctx, create))(w).NetworkInterface; *again.NetworkInterfaceId != *id {
		t.Error("a replay made a second interface")
	}
	create.Description = new("other")
	fails(w.CreateNetworkInterface(ctx, create))(w, "IdempotentParameterMismatch", "")
	attachment := must(w.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: id, InstanceId: i.InstanceId, DeviceIndex: new(int32(1))}))(w).AttachmentId
	must(w.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: id,
		Attachment: &types.NetworkInterfaceAttachmentChanges{AttachmentId: attachment, DeleteOnTermination: new(true)}}))(w)
	group := w.group(*i.VpcId, "pods")
	must(w.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: id, Groups: []string{group}}))(w)
	must(w.ModifyNetworkInterfaceAttribute(ctx, &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: id, SourceDestCheck: &types.AttributeBooleanValue{Value: new(false)}}))(w)
	fails(w.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: id, InstanceId: i.InstanceId, DeviceIndex: new(int32(2))}))(w, "InvalidNetworkInterface.InUse", "Interface: ["+*id+"] in use.")
	fails(w.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id}))(w, "InvalidParameterValue", "Network interface '"+*id+"' is currently in use.")

	assigned := must(w.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: new(int32(2))}))(w)
	if len(assigned.AssignedPrivateIpAddresses) != 2 {
		t.Errorf("got %+v", assigned)
	}
	fails(w.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: new(int32(1))}))(w, "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
	got := must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{Filters: filters("attachment.instance-id", *i.InstanceId, "attachment.device-index", "1", "addresses.private-ip-address", *assigned.AssignedPrivateIpAddresses[1].PrivateIpAddress)}))(w).NetworkInterfaces
	if len(got) != 1 || got[0].Status != "in-use" || len(got[0].PrivateIpAddresses) != 6 || *got[0].Groups[0].GroupName != "pods" || *got[0].SourceDestCheck || !*got[0].Attachment.DeleteOnTermination {
		t.Errorf("got %+v", got)
	}
	must(w.UnassignPrivateIpAddresses(ctx, &sdk.UnassignPrivateIpAddressesInput{NetworkInterfaceId: id, PrivateIpAddresses: []string{*assigned.AssignedPrivateIpAddresses[0].PrivateIpAddress}}))(w)
	if n := w.instance(*i.InstanceId).NetworkInterfaces; len(n) != 2 || len(n[1].PrivateIpAddresses) != 5 {
		t.Errorf("got %+v", n)
	}
	fails(w.DetachNetworkInterface(ctx, &sdk.DetachNetworkInterfaceInput{AttachmentId: new("eni-attach-0123456789abcdef0")}))(w, "InvalidAttachmentID.NotFound", "")
	must(w.DetachNetworkInterface(ctx, &sdk.DetachNetworkInterfaceInput{AttachmentId: attachment}))(w)
	available := must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{MaxResults: new(int32(5)), Filters: filters("status", "available", "tag-key", "node.k8s.amazonaws.com/*")}))(w).NetworkInterfaces
	if len(available) != 1 || *available[0].NetworkInterfaceId != *id {
		t.Errorf("got %+v", available)
	}
	must(w.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id}))(w)
	fails(w.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: id}))(w, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+*id+"' does not exist")

	// A control plane's interface is nobody's to change.
	w.edit(func(tx *store.Tx) {
		e, err := provision.Interface(tx, provision.InterfaceRequest{Home: home, Subnet: *i.SubnetId, Description: "Amazon EKS c1", RequesterManaged: true, RequesterID: "eks",
			Owner: "cp-1", Attachment: &resource.Attachment{Guest: "cp-1"}, Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		id = &e.ID
	})
	eks := must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{Filters: filters("requester-managed", "true")}))(w).NetworkInterfaces
	if len(eks) != 1 || *eks[0].Description != "Amazon EKS c1" || eks[0].Attachment.InstanceId != nil {
		t.Errorf("got %+v", eks)
	}
	fails(w.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id, SecondaryPrivateIpAddressCount: new(int32(1))}))(w, "AuthFailure", "")
	fails(w.DetachNetworkInterface(ctx, &sdk.DetachNetworkInterfaceInput{AttachmentId: eks[0].Attachment.AttachmentId}))(w, "OperationNotPermitted", "")
}

func TestRunInstancesWithInterfaces(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	sub, group := w.subnet(vpc, "10.0.0.0/24", "us-west-2a"), w.group(vpc, "nodes")
	in := launch(1)
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{
		{DeviceIndex: new(int32(0)), SubnetId: &sub, Groups: []string{group}, PrivateIpAddress: new("10.0.0.10"), SecondaryPrivateIpAddressCount: new(int32(2)), DeleteOnTermination: new(true)},
		{DeviceIndex: new(int32(1)), SubnetId: &sub, Description: new("second")},
	}
	i := must(w.RunInstances(ctx, in))(w).Instances[0]
	if len(i.NetworkInterfaces) != 2 || *i.PrivateIpAddress != "10.0.0.10" || len(i.NetworkInterfaces[0].PrivateIpAddresses) != 3 || *i.NetworkInterfaces[1].Description != "second" {
		t.Errorf("got %+v", i.NetworkInterfaces)
	}
	in.ClientToken = nil // the SDK has filled it in
	fails(w.RunInstances(ctx, in))(w, "InvalidIPAddress.InUse", "Address 10.0.0.10 is in use.")
	in.SecurityGroupIds = []string{group}
	fails(w.RunInstances(ctx, in))(w, "InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	in.SecurityGroupIds, in.SubnetId = nil, &sub
	fails(w.RunInstances(ctx, in))(w, "InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
}

func TestTerminationProtection(t *testing.T) {
	w := newWorld(t)
	in := launch(1)
	in.DisableApiTermination = new(true)
	id := *must(w.RunInstances(w.Context(), in))(w).Instances[0].InstanceId
	fails(w.TerminateInstances(w.Context(), &sdk.TerminateInstancesInput{InstanceIds: []string{id}}))(w, "OperationNotPermitted",
		fmt.Sprintf("The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", id))
}

// A Bottlerocket image has a volume for the system and one for containers, which is the
// node's storage.
func TestBottlerocketDisks(t *testing.T) {
	w := newWorld(t)
	rocket, _ := ami.Recommended("us-west-2", "1.35", ami.X8664, ami.Bottlerocket)
	i := must(w.DescribeImages(t.Context(), &sdk.DescribeImagesInput{Owners: []string{"amazon"}, Filters: filters("name", "bottlerocket-aws-k8s-1.35-x86_64-*")}))(w).Images
	if len(i) != 1 || *i[0].ImageId != rocket.ID || *i[0].OwnerId != ami.BottlerocketOwner || len(i[0].BlockDeviceMappings) != 2 || *i[0].BlockDeviceMappings[1].DeviceName != "/dev/xvdb" {
		t.Fatalf("%+v", i)
	}
	disk := func(device string, gib int32) types.BlockDeviceMapping {
		return types.BlockDeviceMapping{DeviceName: &device, Ebs: &types.EbsBlockDevice{VolumeSize: &gib}}
	}
	in := launch(1)
	in.ImageId, in.BlockDeviceMappings = &rocket.ID, []types.BlockDeviceMapping{disk("/dev/xvda", 4), disk("/dev/xvdb", 50)}
	id := *must(w.RunInstances(t.Context(), in))(w).Instances[0].InstanceId
	w.edit(func(tx *store.Tx) {
		if i, _ := tx.Instances.Get(id); i.Spec.DiskGiB != 50 {
			t.Errorf("a disk of %d GiB", i.Spec.DiskGiB)
		}
	})
	got := must(w.DescribeInstances(t.Context(), &sdk.DescribeInstancesInput{InstanceIds: []string{id}}))(w).Reservations[0].Instances[0].BlockDeviceMappings
	volumes := must(w.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: filters("attachment.instance-id", id)}))(w).Volumes
	sizes := map[string]int32{}
	for _, v := range volumes {
		sizes[*v.Attachments[0].Device] = *v.Size
	}
	if len(got) != 2 || *got[1].DeviceName != "/dev/xvdb" || len(sizes) != 2 || sizes["/dev/xvda"] != 4 || sizes["/dev/xvdb"] != 50 {
		t.Errorf("got %+v, of the sizes %v", got, sizes)
	}
	must(w.CreateTags(t.Context(), &sdk.CreateTagsInput{Resources: []string{*got[1].Ebs.VolumeId}, Tags: []types.Tag{{Key: new("k"), Value: new("v")}}}))(w)
	if one := must(w.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: filters("tag:k", "v")}))(w).Volumes; len(one) != 1 || *one[0].VolumeId != *got[1].Ebs.VolumeId {
		t.Errorf("tagged: %+v", one)
	}
	in.ClientToken, in.BlockDeviceMappings = nil, []types.BlockDeviceMapping{disk("/dev/xvdb", 5)}
	fails(w.RunInstances(t.Context(), in))(w, "InvalidBlockDeviceMapping", "")
	in.ImageId, in.BlockDeviceMappings = image(ami.X8664), []types.BlockDeviceMapping{disk("/dev/xvdb", 50)}
	fails(w.RunInstances(t.Context(), in))(w, "UnsupportedOperation", "The block device /dev/xvdb is not supported yet: instances have their image's volumes alone.")
}

// Volumes are described as they were asked for, and what they cannot be is refused.
func TestVolumesAsAskedFor(t *testing.T) {
	w := newWorld(t)
	root := func(e types.EbsBlockDevice) *sdk.RunInstancesInput {
		in := launch(1)
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: new("/dev/xvda"), Ebs: &e}}
		return in
	}
	id := *must(w.RunInstances(t.Context(), root(types.EbsBlockDevice{VolumeSize: new(int32(100)), VolumeType: "gp2", Encrypted: new(true), KmsKeyId: new("alias/aws/ebs")})))(w).Instances[0].InstanceId
	v := must(w.DescribeVolumes(t.Context(), &sdk.DescribeVolumesInput{Filters: filters("attachment.instance-id", id)}))(w).Volumes[0]
	if *v.Size != 100 || v.VolumeType != "gp2" || !*v.Encrypted || *v.KmsKeyId != "alias/aws/ebs" || *v.Iops != 300 || v.Throughput != nil {
		t.Errorf("got %+v", v)
	}
	for _, c := range []struct {
		e    types.EbsBlockDevice
		code string
	}{
		{types.EbsBlockDevice{DeleteOnTermination: new(false)}, "UnsupportedOperation"},
		{types.EbsBlockDevice{VolumeType: "io2"}, "MissingParameter"},
		{types.EbsBlockDevice{VolumeType: "gp2", Iops: new(int32(500))}, "InvalidParameterCombination"},
		{types.EbsBlockDevice{VolumeType: "sc1"}, "InvalidParameterValue"},
		{types.EbsBlockDevice{KmsKeyId: new("k")}, "InvalidParameterDependency"},
		{types.EbsBlockDevice{SnapshotId: new("snap-0123456789abcdef0")}, "InvalidSnapshot.NotFound"},
	} {
		fails(w.RunInstances(t.Context(), root(c.e)))(w, c.code, "")
	}
}
