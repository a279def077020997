package ec2

import (
	"context"
	"net/netip"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// AssignIpv6Addresses gives an interface IPv6 addresses, or whole ranges.
func (s *Service) AssignIpv6Addresses(ctx context.Context, call awsapi.Call, in *ec2.AssignIpv6AddressesInput) (*ec2.AssignIpv6AddressesOutput, error) {
	var want provision.Request6
	if err := want.Read(in.Ipv6Addresses, in.Ipv6AddressCount, in.Ipv6Prefixes, in.Ipv6PrefixCount, nil); err != nil {
		return nil, err
	}
	if len(want.Addresses)+want.Count+len(want.Prefixes)+want.Count6 == 0 {
		return nil, missing("ipv6AddressCount")
	}
	out := &ec2.AssignIpv6AddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		addresses, prefixes, err := provision.Assign6(tx, homeOf(call), i.ID, want)
		out.AssignedIpv6Addresses, out.AssignedIpv6Prefixes = texts(addresses), texts(prefixes)
		return err
	})
}

// UnassignIpv6Addresses takes IPv6 addresses and ranges away from an interface.
func (s *Service) UnassignIpv6Addresses(ctx context.Context, call awsapi.Call, in *ec2.UnassignIpv6AddressesInput) (*ec2.UnassignIpv6AddressesOutput, error) {
	var gone provision.Request6
	if err := gone.Read(in.Ipv6Addresses, nil, in.Ipv6Prefixes, nil, nil); err != nil {
		return nil, err
	}
	if len(gone.Addresses)+len(gone.Prefixes) == 0 {
		return nil, missing("ipv6Addresses")
	}
	out := &ec2.UnassignIpv6AddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId, UnassignedIpv6Addresses: in.Ipv6Addresses, UnassignedIpv6Prefixes: in.Ipv6Prefixes}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		return provision.Unassign6(tx, homeOf(call), i.ID, gone.Addresses, gone.Prefixes)
	})
}

func texts[T interface{ String() string }](list []T) (out []string) {
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// describeInterface6 fills in what an interface has beyond single addresses of IPv4.
func describeInterface6(out *ec2.NetworkInterface, i resource.NetworkInterface) {
	for n, a := range i.Addresses6 {
		out.Ipv6Addresses = append(out.Ipv6Addresses, ec2.NetworkInterfaceIpv6Address{Ipv6Address: new(a.String()), IsPrimaryIpv6: new(n == 0 && i.PrimaryIPv6)})
		if n == 0 {
			out.Ipv6Address = new(a.String())
		}
	}
	for _, p := range i.Prefixes {
		if p.Addr().Is6() {
			out.Ipv6Prefixes = append(out.Ipv6Prefixes, ec2.Ipv6PrefixSpecification{Ipv6Prefix: new(p.String())})
		} else {
			out.Ipv4Prefixes = append(out.Ipv4Prefixes, ec2.Ipv4PrefixSpecification{Ipv4Prefix: new(p.String())})
		}
	}
}

// describeInstance6 is the same in the form in which instances show their interfaces.
func describeInstance6(out *ec2.InstanceNetworkInterface, d ec2.NetworkInterface) {
	for _, a := range d.Ipv6Addresses {
		out.Ipv6Addresses = append(out.Ipv6Addresses, ec2.InstanceIpv6Address{Ipv6Address: a.Ipv6Address, IsPrimaryIpv6: a.IsPrimaryIpv6})
	}
	for _, p := range d.Ipv6Prefixes {
		out.Ipv6Prefixes = append(out.Ipv6Prefixes, ec2.InstanceIpv6Prefix(p))
	}
	for _, p := range d.Ipv4Prefixes {
		out.Ipv4Prefixes = append(out.Ipv4Prefixes, ec2.InstanceIpv4Prefix(p))
	}
}

// readBlock reads the block of whichever family is given.
func readBlock(v4, v6 *string) (netip.Prefix, error) {
	switch {
	case v4 != nil && v6 != nil:
		return netip.Prefix{}, fault("InvalidParameterCombination", "Only one of cidrBlock and ipv6CidrBlock may be specified")
	case v6 != nil:
		return readRange(*v6, netip.Addr.Is6)
	case v4 != nil:
		return readCIDR("cidrBlock", *v4)
	}
	return netip.Prefix{}, missing("cidrBlock")
}
