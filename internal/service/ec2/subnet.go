package ec2

import (
	"context"
	"net/netip"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateSubnet makes a subnet in a zone; in the first one where none is named.
func (s *Service) CreateSubnet(ctx context.Context, call awsapi.Call, in *ec2.CreateSubnetInput) (*ec2.CreateSubnetOutput, error) {
	tags, err := specTags(in.TagSpecifications, "subnet")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"A subnet without IPv4", is(in.Ipv6Native)},
		ask{"IPAM", in.Ipv6IpamPoolId != nil},
		ask{"IPAM", in.Ipv4IpamPoolId != nil},
		ask{"An Outpost", in.OutpostArn != nil},
	); err != nil {
		return nil, err
	}
	if in.CidrBlock == nil {
		return nil, missing("cidrBlock")
	}
	cidr, err := readCIDR("cidrBlock", *in.CidrBlock)
	if err != nil {
		return nil, err
	}
	var six netip.Prefix
	if in.Ipv6CidrBlock != nil {
		if six, err = readRange(*in.Ipv6CidrBlock, netip.Addr.Is6); err != nil {
			return nil, err
		}
	}
	if in.AvailabilityZone != nil && in.AvailabilityZoneId != nil {
		return nil, fault("InvalidParameterCombination", "The parameters availabilityZone and availabilityZoneId cannot be used together")
	}
	out := &ec2.CreateSubnetOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		zone, err := readZone(call.Region, or(deref(in.AvailabilityZone), deref(in.AvailabilityZoneId)))
		if err != nil {
			return err
		}
		sub, err := provision.Subnet(tx, provision.SubnetRequest{Home: homeOf(call), VPC: *in.VpcId, CIDR: cidr, CIDR6: six, Zone: zone, Tags: tags["subnet"]})
		if err != nil {
			return err
		}
		out.Subnet = new(describeSubnet(sub, provision.FreeAddresses(tx, sub)))
		return nil
	})
}

// readZone is the zone of that name or id; the region's first where there is none.
func readZone(name, zone string) (region.Zone, error) {
	r, _ := region.Lookup(name) // ensureRegion has seen to it
	if zone == "" && len(r.Zones) > 0 {
		return r.Zones[0], nil
	}
	z, ok := r.Zone(zone)
	if !ok {
		return z, fault("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", zone, zoneNames(r))
	}
	return z, nil
}

// DeleteSubnet takes an empty subnet away.
func (s *Service) DeleteSubnet(ctx context.Context, call awsapi.Call, in *ec2.DeleteSubnetInput) (*ec2.DeleteSubnetOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteSubnet(tx, homeOf(call), *in.SubnetId)
	})
}

// DescribeSubnets lists subnets.
func (s *Service) DescribeSubnets(ctx context.Context, call awsapi.Call, in *ec2.DescribeSubnetsInput) (*ec2.DescribeSubnetsOutput, error) {
	out := &ec2.DescribeSubnetsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.Subnets, out.NextToken, err = subnets(tx).list(homeOf(call), query{in.SubnetIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func subnets(tx *store.Tx) kind[resource.Subnet, ec2.Subnet] {
	zone := func(s ec2.Subnet) []string { return text(s.AvailabilityZone) }
	zoneID := func(s ec2.Subnet) []string { return text(s.AvailabilityZoneId) }
	cidr := func(s ec2.Subnet) []string { return text(s.CidrBlock) }
	forZone := func(s ec2.Subnet) []string { return flag(s.DefaultForAz) }
	six := func(f func(ec2.SubnetIpv6CidrBlockAssociation) *string) func(ec2.Subnet) []string {
		return func(s ec2.Subnet) []string {
			return each(s.Ipv6CidrBlockAssociationSet, func(a ec2.SubnetIpv6CidrBlockAssociation) []string { return text(f(a)) })
		}
	}
	no := always[ec2.Subnet]("false")
	free := provision.FreeAddressesBySubnet(tx)
	return kind[resource.Subnet, ec2.Subnet]{
		noun: provision.Subnets, table: tx.Subnets,
		home:     func(s resource.Subnet) resource.Home { return s.Home },
		describe: func(s resource.Subnet) ec2.Subnet { return describeSubnet(s, free[s.ID]) },
		id:       func(s ec2.Subnet) string { return *s.SubnetId },
		tags:     func(s ec2.Subnet) []ec2.Tag { return s.Tags },
		fields: fields[ec2.Subnet]{
			"availability-zone":          zone,
			"availabilityZone":           zone,
			"availability-zone-id":       zoneID,
			"availabilityZoneId":         zoneID,
			"available-ip-address-count": func(s ec2.Subnet) []string { return integer(s.AvailableIpAddressCount) },
			"cidr":                       cidr,
			"cidr-block":                 cidr,
			"cidrBlock":                  cidr,
			"default-for-az":             forZone,
			"defaultForAz":               forZone,
			"map-public-ip-on-launch":    func(s ec2.Subnet) []string { return flag(s.MapPublicIpOnLaunch) },
			"owner-id":                   func(s ec2.Subnet) []string { return text(s.OwnerId) },
			"state":                      func(s ec2.Subnet) []string { return text(s.State) },
			"subnet-arn":                 func(s ec2.Subnet) []string { return text(s.SubnetArn) },
			"subnet-id":                  func(s ec2.Subnet) []string { return text(s.SubnetId) },
			"vpc-id":                     func(s ec2.Subnet) []string { return text(s.VpcId) },
			"private-dns-name-options-on-launch.hostname-type":                     always[ec2.Subnet]("ip-name"),
			"private-dns-name-options-on-launch.enable-resource-name-dns-a-record": func(s ec2.Subnet) []string { return flag(s.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord) },
			"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": func(s ec2.Subnet) []string {
				return flag(s.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord)
			},
			"enable-dns64":                                no,
			"ipv6-native":                                 no,
			"map-customer-owned-ip-on-launch":             no,
			"customer-owned-ipv4-pool":                    always[ec2.Subnet](),
			"enable-lni-at-device-index":                  always[ec2.Subnet](),
			"ipv6-cidr-block-association.association-id":  six(func(a ec2.SubnetIpv6CidrBlockAssociation) *string { return a.AssociationId }),
			"ipv6-cidr-block-association.ipv6-cidr-block": six(func(a ec2.SubnetIpv6CidrBlockAssociation) *string { return a.Ipv6CidrBlock }),
			"ipv6-cidr-block-association.state":           six(func(a ec2.SubnetIpv6CidrBlockAssociation) *string { return a.Ipv6CidrBlockState.State }),
			"outpost-arn":                                 always[ec2.Subnet](),
		},
	}
}

func describeSubnet(s resource.Subnet, free int) ec2.Subnet {
	out := ec2.Subnet{
		SubnetId: &s.ID, VpcId: &s.VPC, OwnerId: &s.Account, State: new("available"), CidrBlock: new(s.CIDR.String()),
		AvailabilityZone: &s.Zone, AvailabilityZoneId: &s.ZoneID, AvailableIpAddressCount: new(int32(free)),
		DefaultForAz: &s.Default, MapPublicIpOnLaunch: &s.MapPublicIP, AssignIpv6AddressOnCreation: &s.AssignIPv6,
		MapCustomerOwnedIpOnLaunch: new(false), EnableDns64: new(false), Ipv6Native: new(false),
		SubnetArn: new("arn:aws:ec2:" + s.Region + ":" + s.Account + ":subnet/" + s.ID), Tags: tagSet(s.Tags),
		PrivateDnsNameOptionsOnLaunch: &ec2.PrivateDnsNameOptionsOnLaunch{
			HostnameType: new(ec2.HostnameTypeIpName), EnableResourceNameDnsARecord: &s.Names.A, EnableResourceNameDnsAAAARecord: &s.Names.AAAA,
		},
		BlockPublicAccessStates: &ec2.BlockPublicAccessStates{InternetGatewayBlockMode: new("off")},
	}
	if s.CIDR6.CIDR.IsValid() {
		out.Ipv6CidrBlockAssociationSet = append(out.Ipv6CidrBlockAssociationSet, *describeSubnet6(s.CIDR6, "associated"))
	}
	return out
}

// ModifySubnetAttribute changes one attribute of a subnet.
func (s *Service) ModifySubnetAttribute(ctx context.Context, call awsapi.Call, in *ec2.ModifySubnetAttributeInput) (*ec2.ModifySubnetAttributeOutput, error) {
	on := func(a *ec2.AttributeBooleanValue) bool { return a != nil && is(a.Value) }
	if err := reject(
		ask{"MapCustomerOwnedIpOnLaunch", on(in.MapCustomerOwnedIpOnLaunch) || in.CustomerOwnedIpv4Pool != nil},
		ask{"EnableDns64", on(in.EnableDns64)},
		ask{"EnableLniAtDeviceIndex", in.EnableLniAtDeviceIndex != nil},
	); err != nil {
		return nil, err
	}
	if err := provision.IPNameOnly(in.PrivateDnsHostnameTypeOnLaunch); err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, nil, func(tx *store.Tx) error {
		sub, err := provision.LookupSubnet(tx, homeOf(call), *in.SubnetId)
		if err != nil {
			return err
		}
		if in.MapPublicIpOnLaunch != nil {
			sub.MapPublicIP = is(in.MapPublicIpOnLaunch.Value)
		}
		if on(in.AssignIpv6AddressOnCreation) && !sub.CIDR6.CIDR.IsValid() {
			return fault("InvalidParameterValue", "Invalid value 'true' for assignIpv6AddressOnCreation. The subnet '%s' does not have an IPv6 CIDR block associated.", sub.ID)
		}
		if in.AssignIpv6AddressOnCreation != nil {
			sub.AssignIPv6 = on(in.AssignIpv6AddressOnCreation)
		}
		if in.EnableResourceNameDnsARecordOnLaunch != nil {
			sub.Names.A = on(in.EnableResourceNameDnsARecordOnLaunch)
		}
		if in.EnableResourceNameDnsAAAARecordOnLaunch != nil {
			sub.Names.AAAA = on(in.EnableResourceNameDnsAAAARecordOnLaunch)
		}
		tx.Subnets.Put(sub.ID, sub)
		return nil
	})
}
