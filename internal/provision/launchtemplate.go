package provision

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
)

// TemplateVersion returns the version of a template that a caller means: a number,
// $Latest, or $Default, which is also what "" means.
func TemplateVersion(lt resource.LaunchTemplate, version string) (resource.LaunchTemplateVersion, error) {
	n := lt.Default
	switch version {
	case "", "$Default":
	case "$Latest":
		n = lt.Latest
	default:
		var err error
		if n, err = strconv.ParseInt(version, 10, 64); err != nil {
			return resource.LaunchTemplateVersion{}, fault("InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version")
		}
	}
	at := slices.IndexFunc(lt.Versions, func(v resource.LaunchTemplateVersion) bool { return v.Number == n })
	if at < 0 {
		return resource.LaunchTemplateVersion{}, fault("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", version, lt.ID)
	}
	return lt.Versions[at], nil
}

// TemplateData decodes what a version holds.
func TemplateData(v resource.LaunchTemplateVersion) (ec2.RequestLaunchTemplateData, error) {
	var d ec2.RequestLaunchTemplateData
	if err := json.Unmarshal(v.Data, &d); err != nil {
		return d, fmt.Errorf("reading version %d of a launch template: %w", v.Number, err)
	}
	return d, nil
}

// MergeTemplate fills in what a request leaves open from a version of a launch
// template. Tags are merged; a request's own win.
func MergeTemplate(lt resource.LaunchTemplate, version string, r InstanceRequest) (InstanceRequest, error) {
	v, err := TemplateVersion(lt, version)
	if err != nil {
		return r, err
	}
	d, err := TemplateData(v)
	if err != nil {
		return r, err
	}
	if err := templateOptions(d).Check(); err != nil {
		return r, err
	}
	r.LaunchTemplate, r.LaunchTemplateVersion = lt.ID, strconv.FormatInt(v.Number, 10)
	r.Type = or(r.Type, deref(d.InstanceType))
	r.Image = or(r.Image, deref(d.ImageId))
	r.KeyName = or(r.KeyName, deref(d.KeyName))
	r.ShutdownBehavior = or(r.ShutdownBehavior, deref(d.InstanceInitiatedShutdownBehavior))
	r.Protected = or(r.Protected, d.DisableApiTermination)
	r.StopProtected = or(r.StopProtected, d.DisableApiStop)
	r.EBSOptimized = or(r.EBSOptimized, d.EbsOptimized)
	if d.Monitoring != nil {
		r.Monitoring = or(r.Monitoring, d.Monitoring.Enabled)
	}
	if d.Placement != nil {
		if r.Zone == "" {
			if r.Zone, err = LaunchZone(r.Home.Region, deref(d.Placement.AvailabilityZone), deref(d.Placement.AvailabilityZoneId)); err != nil {
				return r, err
			}
		}
		r.PlacementGroup = or(r.PlacementGroup, or(deref(d.Placement.GroupName), deref(d.Placement.GroupId)))
	}
	if p := d.IamInstanceProfile; p != nil && r.ProfileARN == "" && r.ProfileName == "" {
		r.ProfileARN, r.ProfileName = deref(p.Arn), deref(p.Name)
	}
	if m := d.MetadataOptions; m != nil {
		r.HTTPTokens = or(r.HTTPTokens, deref(m.HttpTokens))
		r.HTTPEndpoint = or(r.HTTPEndpoint, deref(m.HttpEndpoint))
		r.HopLimit = or(r.HopLimit, deref(m.HttpPutResponseHopLimit))
		r.MetadataTags, r.MetadataIPv6 = or(r.MetadataTags, deref(m.InstanceMetadataTags)), or(r.MetadataIPv6, deref(m.HttpProtocolIpv6))
	}
	if o := d.PrivateDnsNameOptions; o != nil {
		if err := IPNameOnly(o.HostnameType); err != nil {
			return r, err
		}
		r.NameA, r.NameAAAA = or(r.NameA, o.EnableResourceNameDnsARecord), or(r.NameAAAA, o.EnableResourceNameDnsAAAARecord)
	}
	if o := d.InstanceMarketOptions; o != nil && or(deref(o.MarketType), Spot) != Spot {
		return r, unsupported("The market " + *o.MarketType)
	}
	if o := d.InstanceMarketOptions; o != nil && deref(o.MarketType) == Spot && r.Lifecycle == "" {
		r.Lifecycle = Spot
		if s := o.SpotOptions; s != nil {
			if err := OneTimeSpot(deref(s.SpotInstanceType), deref(s.InstanceInterruptionBehavior)); err != nil {
				return r, err
			}
			r.SpotMaxPrice = deref(s.MaxPrice)
		}
	}
	for _, b := range d.BlockDeviceMappings {
		if err := r.SetDisk(deref(b.DeviceName), b.Ebs); err != nil {
			return r, err
		}
	}
	if len(r.UserData) == 0 && d.UserData != nil {
		if r.UserData, err = UserData(*d.UserData); err != nil {
			return r, err
		}
	}
	if len(r.SecurityGroups)+len(r.SecurityGroupNames) == 0 {
		r.SecurityGroups, r.SecurityGroupNames = d.SecurityGroupIds, d.SecurityGroups
	}
	if len(r.Interfaces) == 0 {
		if r.Interfaces, err = templateInterfaces(d.NetworkInterfaces); err != nil {
			return r, err
		}
	}
	for _, s := range d.TagSpecifications {
		switch deref(s.ResourceType) {
		case "instance":
			r.Tags = tagsOf(s.Tags).With(r.Tags)
		case "volume":
			r.VolumeTags = tagsOf(s.Tags).With(r.VolumeTags)
		case "network-interface":
			r.InterfaceTags = tagsOf(s.Tags).With(r.InterfaceTags)
		case "spot-instances-request":
			r.SpotTags = tagsOf(s.Tags).With(r.SpotTags)
		}
	}
	return r, nil
}

// templateOptions are what a template asks for that may be refused.
func templateOptions(d ec2.RequestLaunchTemplateData) LaunchOptions {
	o := LaunchOptions{
		ElasticGPU: len(d.ElasticGpuSpecifications) > 0, Accelerator: len(d.ElasticInferenceAccelerators) > 0, Licence: len(d.LicenseSpecifications) > 0,
		Hibernation: d.HibernationOptions != nil && is(d.HibernationOptions.Configured), Enclave: d.EnclaveOptions != nil && is(d.EnclaveOptions.Enabled),
		Kernel: d.KernelId != nil || d.RamDiskId != nil,
	}
	if c := d.CapacityReservationSpecification; c != nil {
		o.CapacityReservation = c.CapacityReservationTarget != nil || deref(c.CapacityReservationPreference) == ec2.CapacityReservationPreferenceCapacityReservationsOnly
	}
	if c := d.CpuOptions; c != nil {
		o.CPUs = *c != ec2.LaunchTemplateCpuOptionsRequest{}
	}
	if p := d.Placement; p != nil {
		o.DedicatedHost = p.HostId != nil || p.HostResourceGroupArn != nil || or(deref(p.Tenancy), "default") != "default"
		o.Partition = p.PartitionNumber != nil
	}
	return o
}

// LaunchZone is the name of the zone that a launch names or gives the id of, "" if neither.
func LaunchZone(in, name, id string) (string, error) {
	zone := or(name, id)
	if zone == "" {
		return "", nil
	}
	r, _ := region.Lookup(in)
	z, ok := r.Zone(zone)
	if !ok {
		return "", fault("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	return z.Name, nil
}

func templateInterfaces(in []ec2.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest) ([]InterfaceSpec, error) {
	var out []InterfaceSpec
	for _, n := range in {
		if err := CheckInterfaceType(deref(n.InterfaceType), deref(n.NetworkCardIndex)); err != nil {
			return nil, err
		}
		s := InterfaceSpec{
			ID: deref(n.NetworkInterfaceId), DeviceIndex: deref(n.DeviceIndex), Subnet: deref(n.SubnetId), SecurityGroups: n.Groups,
			Description: deref(n.Description), SecondaryCount: int(deref(n.SecondaryPrivateIpAddressCount)), DeleteOnTermination: n.DeleteOnTermination,
			Public: n.AssociatePublicIpAddress,
		}
		if err := s.SetAddresses(deref(n.PrivateIpAddress), n.PrivateIpAddresses); err != nil {
			return nil, err
		}
		var six []ec2.InstanceIpv6Address
		for _, a := range n.Ipv6Addresses {
			six = append(six, ec2.InstanceIpv6Address{Ipv6Address: a.Ipv6Address})
		}
		if err := s.Six.Set(six, n.Ipv6AddressCount, n.Ipv6Prefixes, n.Ipv6PrefixCount, n.Ipv4Prefixes, n.Ipv4PrefixCount); err != nil {
			return nil, err
		}
		s.Six.Primary = is(n.PrimaryIpv6)
		out = append(out, s)
	}
	return out, nil
}

// SetAddresses takes the addresses of an interface in the ways that EC2 lets callers
// give them: one primary address, and a list that may name the primary one instead.
func (s *InterfaceSpec) SetAddresses(primary string, list []ec2.PrivateIpAddressSpecification) error {
	var err error
	if primary != "" {
		if s.Address, err = ParseAddress(primary); err != nil {
			return err
		}
	}
	for _, a := range list {
		ip, err := ParseAddress(deref(a.PrivateIpAddress))
		if err != nil {
			return err
		}
		switch {
		case !is(a.Primary):
			s.Secondary = append(s.Secondary, ip)
		case s.Address.IsValid() && s.Address != ip:
			return fault("InvalidParameterCombination", "Only one primary private IP address can be specified.")
		default:
			s.Address = ip
		}
	}
	return nil
}

// ParseAddress reads an IPv4 address as a caller gave it.
func ParseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fault("InvalidParameterValue", "invalid value for parameter address: %s", s)
	}
	return a, nil
}

// UserData decodes user data as a request carries it.
func UserData(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fault("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	return raw, nil
}

func tagsOf(in []ec2.Tag) resource.Tags {
	out := resource.Tags{}
	for _, t := range in {
		out[deref(t.Key)] = deref(t.Value)
	}
	return out
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
