package ec2

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxLaunch bounds one request: every instance of it is in one transaction.
const maxLaunch = 1000

// RunInstances launches MaxCount instances or, where there are not that many free addresses or
// not that much capacity, as many as can be if they are MinCount or more.
func (s *Service) RunInstances(ctx context.Context, call awsapi.Call, in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
	least, most := *in.MinCount, *in.MaxCount
	switch {
	case least < 1:
		return nil, fault("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. The value must be greater than 0", least)
	case most < least:
		return nil, fault("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. The value must be less than or equal to maxCount", least)
	case most > maxLaunch:
		return nil, fault("InstanceLimitExceeded", "You have requested more instances (%d) than your current instance limit of %d allows for the specified instance type.", most, maxLaunch)
	}
	request, err := launchRequest(call, in)
	if err != nil {
		return nil, err
	}
	for {
		out, launched, err := s.run(ctx, call, in, request, most)
		var e *awsapi.Error
		if errors.As(err, &e) && (e.Code == "InsufficientFreeAddressesInSubnet" || e.Code == "InsufficientInstanceCapacity") && launched >= least {
			most = launched
			continue
		}
		return out, err
	}
}

// run launches count instances in one transaction. launched is how many went well.
func (s *Service) run(ctx context.Context, call awsapi.Call, in *ec2.RunInstancesInput, request provision.InstanceRequest, count int32) (out *ec2.RunInstancesOutput, launched int32, err error) {
	err = s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		instances, err := replayed(tx, request)
		if err != nil {
			return err
		}
		if instances == nil {
			if err := mergeTemplate(tx, call, in.LaunchTemplate, &request); err != nil {
				return err
			}
			if len(request.Interfaces) > 0 && (in.SubnetId != nil || in.PrivateIpAddress != nil) {
				return fault("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
			}
			request.Reservation = awsid.New("r")
			for i := range count {
				request.LaunchIndex = i
				instance, err := provision.Instance(tx, request)
				if err != nil {
					return err
				}
				launched++
				instances = append(instances, instance)
			}
		}
		out = &ec2.RunInstancesOutput{ReservationId: &instances[0].Reservation, OwnerId: &call.Account}
		view := newInstanceView(tx)
		for _, i := range instances {
			out.Instances = append(out.Instances, view.describe(i))
		}
		return nil
	})
	return out, launched, err
}

// replayed are the instances of an earlier request with the same client token.
func replayed(tx *store.Tx, r provision.InstanceRequest) ([]resource.Instance, error) {
	if r.Token == "" {
		return nil, nil
	}
	out := slices.Collect(tx.Instances.Values(func(i resource.Instance) bool {
		return i.Home == r.Home && i.Token == r.Token && i.Spec.Fingerprint != "" && provision.Visible(i, r.Now)
	}))
	if len(out) > 0 && out[0].Spec.Fingerprint != r.Fingerprint {
		return nil, idempotentMismatch()
	}
	slices.SortFunc(out, func(a, b resource.Instance) int { return cmp.Compare(a.Spec.AMILaunchIndex, b.Spec.AMILaunchIndex) })
	return out, nil
}

func mergeTemplate(tx *store.Tx, call awsapi.Call, spec *ec2.LaunchTemplateSpecification, request *provision.InstanceRequest) error {
	if spec == nil {
		return nil
	}
	lt, err := oneTemplate(tx, call, spec.LaunchTemplateId, spec.LaunchTemplateName)
	if err != nil {
		return err
	}
	*request, err = provision.MergeTemplate(lt, deref(spec.Version), *request)
	return err
}

// launchRequest reads a request, before any template is merged in.
func launchRequest(call awsapi.Call, in *ec2.RunInstancesInput) (provision.InstanceRequest, error) {
	r := provision.InstanceRequest{
		Home: homeOf(call), Type: deref(in.InstanceType), Image: deref(in.ImageId), Subnet: deref(in.SubnetId),
		SecurityGroups: in.SecurityGroupIds, SecurityGroupNames: in.SecurityGroups, KeyName: deref(in.KeyName), EBSOptimized: in.EbsOptimized,
		Protected: in.DisableApiTermination, StopProtected: in.DisableApiStop, ShutdownBehavior: deref(in.InstanceInitiatedShutdownBehavior), Token: deref(in.ClientToken),
		Fingerprint: fingerprint(*in, func(c *ec2.RunInstancesInput) { c.ClientToken, c.DryRun = nil, nil }), Now: call.Time,
	}
	if err := rejectLaunch(in); err != nil {
		return r, err
	}
	tags, err := specTags(in.TagSpecifications, "instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu")
	if err != nil {
		return r, err
	}
	r.Tags, r.VolumeTags, r.InterfaceTags, r.SpotTags = tags["instance"], tags["volume"], tags["network-interface"], tags["spot-instances-request"]
	if r.UserData, err = provision.UserData(deref(in.UserData)); err != nil {
		return r, err
	}
	if err := r.Six.Set(in.Ipv6Addresses, in.Ipv6AddressCount, nil, nil, nil, nil); err != nil {
		return r, err
	}
	r.Six.Primary = is(in.EnablePrimaryIpv6)
	if in.PrivateIpAddress != nil {
		if r.PrivateIP, err = provision.ParseAddress(*in.PrivateIpAddress); err != nil {
			return r, err
		}
		if *in.MaxCount > 1 {
			return r, fault("InvalidParameterCombination", "A private IP address may not be specified when launching multiple instances")
		}
	}
	if in.Monitoring != nil {
		r.Monitoring = in.Monitoring.Enabled
	}
	if p := in.IamInstanceProfile; p != nil {
		r.ProfileARN, r.ProfileName = deref(p.Arn), deref(p.Name)
		if r.ProfileARN != "" && r.ProfileName != "" {
			return r, fault("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
		}
	}
	if m := in.MetadataOptions; m != nil {
		r.HTTPTokens, r.HTTPEndpoint = deref(m.HttpTokens), deref(m.HttpEndpoint)
		r.HopLimit, r.MetadataTags, r.MetadataIPv6 = deref(m.HttpPutResponseHopLimit), deref(m.InstanceMetadataTags), deref(m.HttpProtocolIpv6)
	}
	if o := in.PrivateDnsNameOptions; o != nil {
		if err := provision.IPNameOnly(o.HostnameType); err != nil {
			return r, err
		}
		r.NameA, r.NameAAAA = o.EnableResourceNameDnsARecord, o.EnableResourceNameDnsAAAARecord
	}
	if err := marketOptions(in.InstanceMarketOptions, &r); err != nil {
		return r, err
	}
	if p := in.Placement; p != nil {
		if r.Zone, err = launchZone(call.Region, p); err != nil {
			return r, err
		}
		r.PlacementGroup = or(deref(p.GroupName), deref(p.GroupId))
	}
	for _, b := range in.BlockDeviceMappings {
		if err := r.SetDisk(deref(b.DeviceName), templateDisk(b.Ebs)); err != nil {
			return r, err
		}
	}
	r.Interfaces, err = launchInterfaces(in)
	return r, err
}

// templateDisk is a volume of a request as a template has it.
func templateDisk(e *ec2.EbsBlockDevice) *ec2.LaunchTemplateEbsBlockDeviceRequest {
	if e == nil {
		return nil
	}
	return &ec2.LaunchTemplateEbsBlockDeviceRequest{
		Encrypted: e.Encrypted, DeleteOnTermination: e.DeleteOnTermination, Iops: e.Iops, KmsKeyId: e.KmsKeyId, SnapshotId: e.SnapshotId,
		VolumeSize: e.VolumeSize, VolumeType: e.VolumeType, Throughput: e.Throughput,
	}
}

func marketOptions(o *ec2.InstanceMarketOptionsRequest, r *provision.InstanceRequest) error {
	if o == nil || deref(o.MarketType) == "" {
		return nil
	}
	if *o.MarketType != ec2.MarketTypeSpot {
		return unsupported("The market " + *o.MarketType)
	}
	r.Lifecycle = provision.Spot
	s := o.SpotOptions
	if s == nil {
		return nil
	}
	if s.BlockDurationMinutes != nil {
		return fault("InvalidParameterCombination", "BlockDurationMinutes is not supported for new Spot Instance requests.")
	}
	if s.ValidUntil != nil && deref(s.SpotInstanceType) != ec2.SpotInstanceTypePersistent {
		return fault("InvalidParameterCombination", "ValidUntil is only supported for persistent Spot Instance requests.")
	}
	r.SpotMaxPrice = deref(s.MaxPrice)
	return provision.OneTimeSpot(deref(s.SpotInstanceType), deref(s.InstanceInterruptionBehavior))
}

func launchZone(name string, p *ec2.Placement) (string, error) {
	return provision.LaunchZone(name, deref(p.AvailabilityZone), deref(p.AvailabilityZoneId))
}

func launchInterfaces(in *ec2.RunInstancesInput) ([]provision.InterfaceSpec, error) {
	if len(in.NetworkInterfaces) > 0 && len(in.SecurityGroupIds)+len(in.SecurityGroups) > 0 {
		return nil, fault("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	}
	var out []provision.InterfaceSpec
	for _, n := range in.NetworkInterfaces {
		if n.DeviceIndex == nil {
			return nil, fault("MissingParameter", "The request must contain the parameter deviceIndex")
		}
		if err := provision.CheckInterfaceType(deref(n.InterfaceType), deref(n.NetworkCardIndex)); err != nil {
			return nil, err
		}
		s := provision.InterfaceSpec{
			ID: deref(n.NetworkInterfaceId), DeviceIndex: *n.DeviceIndex, Subnet: deref(n.SubnetId), SecurityGroups: n.Groups,
			Description: deref(n.Description), SecondaryCount: int(deref(n.SecondaryPrivateIpAddressCount)), DeleteOnTermination: n.DeleteOnTermination,
			Public: n.AssociatePublicIpAddress,
		}
		if err := s.SetAddresses(deref(n.PrivateIpAddress), n.PrivateIpAddresses); err != nil {
			return nil, err
		}
		if err := s.Six.Set(n.Ipv6Addresses, n.Ipv6AddressCount, n.Ipv6Prefixes, n.Ipv6PrefixCount, n.Ipv4Prefixes, n.Ipv4PrefixCount); err != nil {
			return nil, err
		}
		s.Six.Primary = is(n.PrimaryIpv6)
		out = append(out, s)
	}
	return out, nil
}

// rejectLaunch refuses what would make another machine than the one that is made.
func rejectLaunch(in *ec2.RunInstancesInput) error {
	if err := reject(
		ask{"An instance's IPv6 address beside network interfaces", (deref(in.Ipv6AddressCount) > 0 || len(in.Ipv6Addresses) > 0 || is(in.EnablePrimaryIpv6)) && len(in.NetworkInterfaces) > 0},
		ask{"A secondary interface", len(in.SecondaryInterfaces) > 0},
	); err != nil {
		return err
	}
	o := provision.LaunchOptions{
		ElasticGPU: len(in.ElasticGpuSpecification) > 0, Accelerator: len(in.ElasticInferenceAccelerators) > 0, Licence: len(in.LicenseSpecifications) > 0,
		Hibernation: in.HibernationOptions != nil && is(in.HibernationOptions.Configured), Enclave: in.EnclaveOptions != nil && is(in.EnclaveOptions.Enabled),
		Kernel: in.KernelId != nil || in.RamdiskId != nil,
	}
	if c := in.CapacityReservationSpecification; c != nil {
		o.CapacityReservation = c.CapacityReservationTarget != nil || deref(c.CapacityReservationPreference) == ec2.CapacityReservationPreferenceCapacityReservationsOnly
	}
	if c := in.CpuOptions; c != nil {
		o.CPUs = *c != ec2.CpuOptionsRequest{}
	}
	placed(in.Placement, &o)
	return o.Check()
}

// placed adds what a placement asks for.
func placed(p *ec2.Placement, o *provision.LaunchOptions) {
	if p == nil {
		return
	}
	o.DedicatedHost = p.HostId != nil || p.HostResourceGroupArn != nil || or(deref(p.Tenancy), "default") != "default"
	o.Partition = p.PartitionNumber != nil
}

func rejectPlacement(p *ec2.Placement) error {
	var o provision.LaunchOptions
	placed(p, &o)
	return o.Check()
}
