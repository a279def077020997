package ec2

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// TerminateInstances asks instances to go, all or none of them.
func (s *Service) TerminateInstances(ctx context.Context, call awsapi.Call, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
	out := &ec2.TerminateInstancesOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		records, err := instanceRecords(tx, call, in.InstanceIds)
		if err != nil {
			return err
		}
		for _, i := range records {
			if i.Spec.TerminationProtection && !i.Terminating {
				return fault("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
			}
			previous, err := provision.Terminate(tx, homeOf(call), i.ID, call.Time)
			if err != nil {
				return err
			}
			now, _ := tx.Instances.Get(i.ID)
			out.TerminatingInstances = append(out.TerminatingInstances, ec2.InstanceStateChange{
				InstanceId: &i.ID, PreviousState: instanceState(previous), CurrentState: instanceState(now.Current()),
			})
		}
		return nil
	})
}

// instanceRecords are the instances that EC2 still shows: those with ids, or all.
func instanceRecords(tx *store.Tx, call awsapi.Call, ids []string) ([]resource.Instance, error) {
	visible := func(i resource.Instance) bool { return i.Home == homeOf(call) && provision.Visible(i, call.Time) }
	if len(ids) == 0 {
		return slices.Collect(tx.Instances.Values(visible)), nil
	}
	var out []resource.Instance
	var gone []string
	for n, id := range ids {
		if slices.Contains(ids[:n], id) {
			continue
		}
		if i, ok := tx.Instances.Get(id); ok && visible(i) {
			out = append(out, i)
			continue
		}
		if err := provision.Instances.Check(id); err != nil {
			return nil, err
		}
		gone = append(gone, id)
	}
	if len(gone) > 0 {
		return nil, provision.Instances.NotFound(gone...)
	}
	return out, nil
}

// Bounds of MaxResults, which the model does not have.
const (
	minInstances = 5
	maxInstances = 1000
)

func checkPage(max *int32, ids []string) (*int32, error) {
	switch {
	case max == nil:
		return nil, nil
	case len(ids) > 0:
		return nil, fault("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	case *max < minInstances:
		return nil, fault("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *max, minInstances)
	}
	return new(min(*max, maxInstances)), nil
}

// DescribeInstances lists instances by reservation. Terminated ones are shown for an hour.
func (s *Service) DescribeInstances(ctx context.Context, call awsapi.Call, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	max, err := checkPage(in.MaxResults, in.InstanceIds)
	if err != nil {
		return nil, err
	}
	match, err := matcher(in.Filters, instanceFields, func(i foundInstance) []ec2.Tag { return i.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstancesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		records, err := instanceRecords(tx, call, in.InstanceIds)
		if err != nil {
			return err
		}
		view := newInstanceView(tx)
		var all []foundInstance
		for _, r := range records {
			if i := (foundInstance{view.describe(r), r}); match(i) {
				all = append(all, i)
			}
		}
		key := func(i foundInstance) string { return i.record.Reservation + "/" + i.record.ID }
		slices.SortFunc(all, func(a, b foundInstance) int { return cmp.Compare(key(a), key(b)) })
		all, out.NextToken, err = page(all, key, max, in.NextToken, 0)
		for _, i := range all {
			n := len(out.Reservations)
			if n == 0 || *out.Reservations[n-1].ReservationId != i.record.Reservation {
				out.Reservations = append(out.Reservations, ec2.Reservation{ReservationId: &i.record.Reservation, OwnerId: &i.record.Account})
				n++
			}
			r := &out.Reservations[n-1]
			r.Instances = append(r.Instances, i.Instance)
		}
		return err
	})
}

// A foundInstance is an instance with the record that it describes: some filters look
// at what the shape does not show.
type foundInstance struct {
	ec2.Instance
	record resource.Instance
}

// An instanceView describes instances with what else is known of them.
type instanceView struct {
	tx         *store.Tx
	interfaces map[string][]resource.NetworkInterface // by instance
}

func newInstanceView(tx *store.Tx) instanceView {
	v := instanceView{tx, map[string][]resource.NetworkInterface{}}
	for _, i := range tx.Interfaces.All() {
		if i.Attachment != nil && i.Attachment.Instance != "" {
			v.interfaces[i.Attachment.Instance] = append(v.interfaces[i.Attachment.Instance], i)
		}
	}
	for _, list := range v.interfaces {
		slices.SortFunc(list, func(a, b resource.NetworkInterface) int {
			return cmp.Compare(a.Attachment.DeviceIndex, b.Attachment.DeviceIndex)
		})
	}
	return v
}

func (v instanceView) describe(i resource.Instance) ec2.Instance {
	t, _ := instancetype.Lookup(i.Spec.Type)
	out := ec2.Instance{
		InstanceId: &i.ID, ImageId: &i.Spec.Image, InstanceType: &i.Spec.Type, LaunchTime: &i.Launched, AmiLaunchIndex: &i.Spec.AMILaunchIndex,
		State: instanceState(i.Current()), StateTransitionReason: new(transition(i)), KeyName: some(i.Spec.KeyName), ClientToken: &i.Token,
		Architecture: new(t.Architecture()), Hypervisor: new("xen"), VirtualizationType: new("hvm"), EnaSupport: new(true),
		RootDeviceName: new(ami.RootDevice), RootDeviceType: new("ebs"), EbsOptimized: &i.Spec.EBSOptimized, BootMode: new("uefi-preferred"),
		PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"), UsageOperationUpdateTime: &i.Launched,
		InstanceLifecycle: some(i.Spec.Lifecycle), SpotInstanceRequestId: some(i.Spec.SpotRequest), Tags: tagSet(i.Tags), PublicDnsName: new(""), PrivateDnsName: new(""),
		Monitoring: &ec2.Monitoring{State: new(enabled(i.Spec.Monitoring, "enabled", "disabled"))},
		Placement:  &ec2.Placement{AvailabilityZone: &i.Spec.Zone, AvailabilityZoneId: v.zoneID(i), GroupName: new(""), Tenancy: new("default")},
		MetadataOptions: &ec2.InstanceMetadataOptionsResponse{
			State: new("applied"), HttpTokens: &i.Spec.HTTPTokens, HttpEndpoint: &i.Spec.HTTPEndpoint,
			HttpPutResponseHopLimit: &i.Spec.HopLimit, HttpProtocolIpv6: new(or(i.Spec.MetadataIPv6, "disabled")), InstanceMetadataTags: &i.Spec.MetadataTags,
		},
		EnclaveOptions: &ec2.EnclaveOptions{Enabled: new(false)}, HibernationOptions: &ec2.HibernationOptions{Configured: new(false)},
		CapacityReservationSpecification: &ec2.CapacityReservationSpecificationResponse{CapacityReservationPreference: new("open")},
		MaintenanceOptions:               &ec2.InstanceMaintenanceOptions{AutoRecovery: new("default")},
		Operator:                         &ec2.OperatorResponse{Managed: new(false)},
	}
	if g, ok := v.tx.PlacementGroups.Get(i.Spec.PlacementGroup); ok {
		out.Placement.GroupName, out.Placement.GroupId = &g.Name, &g.ID
	}
	if i.Status.StateCode != "" {
		out.StateReason = &ec2.StateReason{Code: &i.Status.StateCode, Message: &i.Status.StateReason}
	}
	if arn := i.Spec.InstanceProfileARN; arn != "" {
		p, _ := v.tx.InstanceProfiles.Get(arn)
		out.IamInstanceProfile = &ec2.IamInstanceProfile{Arn: &arn, Id: some(p.ID)}
	}
	if i.Current() == resource.InstanceTerminated {
		return out // EC2 takes network and volumes off it
	}
	out.VpcId, out.SubnetId, out.PrivateIpAddress, out.PrivateDnsName = &i.Spec.VPC, &i.Spec.Subnet, &i.Spec.PrivateIP, &i.Spec.PrivateDNS
	out.PrivateDnsNameOptions = &ec2.PrivateDnsNameOptionsResponse{
		HostnameType: new(ec2.HostnameTypeIpName), EnableResourceNameDnsARecord: &i.Spec.Names.A, EnableResourceNameDnsAAAARecord: &i.Spec.Names.AAAA,
	}
	for _, d := range i.Spec.Volumes {
		out.BlockDeviceMappings = append(out.BlockDeviceMappings, ec2.InstanceBlockDeviceMapping{DeviceName: &d.Device, Ebs: &ec2.EbsInstanceBlockDevice{
			VolumeId: &d.ID, Status: new("attached"), AttachTime: &i.Launched, DeleteOnTermination: new(true),
		}})
	}
	for _, eni := range v.interfaces[i.ID] {
		out.NetworkInterfaces = append(out.NetworkInterfaces, v.describeInterface(eni))
		if eni.Attachment.DeviceIndex == 0 {
			out.SecurityGroups = groupIdentifiers(v.tx, eni.SecurityGroups)
			out.SourceDestCheck = &eni.SourceDestCheck
			if len(eni.Addresses6) > 0 {
				out.Ipv6Address = new(eni.Addresses6[0].String())
			}
			out.PublicIpAddress, out.PublicDnsName = some(eni.PublicIP), new(publicName(v.tx, eni))
		}
	}
	return out
}

func (v instanceView) zoneID(i resource.Instance) *string {
	sub, _ := v.tx.Subnets.Get(i.Spec.Subnet)
	return some(sub.ZoneID)
}

// describeInterface is an interface in the form in which instances show theirs.
func (v instanceView) describeInterface(i resource.NetworkInterface) ec2.InstanceNetworkInterface {
	d := describeInterface(v.tx, i)
	out := ec2.InstanceNetworkInterface{
		NetworkInterfaceId: d.NetworkInterfaceId, VpcId: d.VpcId, SubnetId: d.SubnetId, Description: d.Description, Groups: d.Groups,
		InterfaceType: d.InterfaceType, MacAddress: d.MacAddress, OwnerId: d.OwnerId, PrivateDnsName: d.PrivateDnsName,
		PrivateIpAddress: d.PrivateIpAddress, SourceDestCheck: d.SourceDestCheck, Status: d.Status,
		Attachment: &ec2.InstanceNetworkInterfaceAttachment{
			AttachmentId: d.Attachment.AttachmentId, AttachTime: d.Attachment.AttachTime, DeleteOnTermination: d.Attachment.DeleteOnTermination,
			DeviceIndex: d.Attachment.DeviceIndex, NetworkCardIndex: d.Attachment.NetworkCardIndex, Status: d.Attachment.Status,
		},
	}
	public := func(a *ec2.NetworkInterfaceAssociation) *ec2.InstanceNetworkInterfaceAssociation {
		if a == nil {
			return nil
		}
		return &ec2.InstanceNetworkInterfaceAssociation{IpOwnerId: a.IpOwnerId, PublicDnsName: a.PublicDnsName, PublicIp: a.PublicIp}
	}
	out.Association = public(d.Association)
	for _, a := range d.PrivateIpAddresses {
		p := ec2.InstancePrivateIpAddress{Primary: a.Primary, PrivateIpAddress: a.PrivateIpAddress, PrivateDnsName: a.PrivateDnsName, Association: public(a.Association)}
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, p)
	}
	describeInstance6(&out, d)
	return out
}

// instanceState is a state with the code that EC2 has for it.
func instanceState(name string) *ec2.InstanceState {
	code := map[string]int32{
		resource.InstancePending: 0, resource.InstanceRunning: 16, resource.InstanceShuttingDown: 32,
		resource.InstanceTerminated: 48, resource.InstanceStopping: 64, resource.InstanceStopped: 80,
	}[name]
	return &ec2.InstanceState{Code: &code, Name: &name}
}

// transition is the reason for an instance's last change of state, in EC2's words.
func transition(i resource.Instance) string {
	if strings.HasPrefix(i.Status.StateCode, "Server.Spot") {
		return i.Status.StateCode
	}
	if i.Asked.IsZero() || !strings.HasPrefix(i.Status.StateCode, "Client.User") {
		return ""
	}
	return "User initiated (" + i.Asked.UTC().Format(time.DateTime) + " GMT)"
}

func enabled(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
