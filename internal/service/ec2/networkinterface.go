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

// CreateNetworkInterface makes an interface that is attached to nothing.
func (s *Service) CreateNetworkInterface(ctx context.Context, call awsapi.Call, in *ec2.CreateNetworkInterfaceInput) (*ec2.CreateNetworkInterfaceOutput, error) {
	tags, err := specTags(in.TagSpecifications, "network-interface")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"The interface type " + deref(in.InterfaceType), or(deref(in.InterfaceType), "interface") != "interface"},
	); err != nil {
		return nil, err
	}
	var addresses provision.InterfaceSpec
	if err := addresses.SetAddresses(deref(in.PrivateIpAddress), in.PrivateIpAddresses); err != nil {
		return nil, err
	}
	if err := addresses.Six.Set(in.Ipv6Addresses, in.Ipv6AddressCount, in.Ipv6Prefixes, in.Ipv6PrefixCount, in.Ipv4Prefixes, in.Ipv4PrefixCount); err != nil {
		return nil, err
	}
	addresses.Six.Primary = is(in.EnablePrimaryIpv6)
	out := &ec2.CreateNetworkInterfaceOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		print := fingerprint(*in, func(c *ec2.CreateNetworkInterfaceInput) { c.ClientToken, c.DryRun = nil, nil })
		if token := deref(in.ClientToken); token != "" {
			same := func(i resource.NetworkInterface) bool { return i.Home == homeOf(call) && i.Token == token }
			for prior := range tx.Interfaces.Values(same) {
				if prior.Fingerprint != print {
					return idempotentMismatch()
				}
				out.NetworkInterface = new(describeInterface(tx, prior))
				return nil
			}
		}
		i, err := provision.Interface(tx, provision.InterfaceRequest{
			Home: homeOf(call), Subnet: *in.SubnetId, SecurityGroups: in.Groups, Description: deref(in.Description),
			Address: addresses.Address, Secondary: addresses.Secondary, SecondaryCount: int(deref(in.SecondaryPrivateIpAddressCount)), Six: addresses.Six,
			RequesterID: call.Caller.ID, Tags: tags["network-interface"], Now: call.Time,
		})
		if err != nil {
			return err
		}
		if i.Token = deref(in.ClientToken); i.Token != "" {
			i.Fingerprint = print
			tx.Interfaces.Put(i.ID, i)
		}
		out.NetworkInterface = new(describeInterface(tx, i))
		return nil
	})
}

// ownInterface is an interface that its caller may change: not one that a service of
// AWS's manages.
func ownInterface(tx *store.Tx, home resource.Home, id string) (resource.NetworkInterface, error) {
	i, err := provision.LookupInterface(tx, home, id)
	if err == nil && i.RequesterManaged {
		return i, fault("AuthFailure", "You do not have permission to access the specified resource.")
	}
	return i, err
}

// DeleteNetworkInterface takes a detached interface away.
func (s *Service) DeleteNetworkInterface(ctx context.Context, call awsapi.Call, in *ec2.DeleteNetworkInterfaceInput) (*ec2.DeleteNetworkInterfaceOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if i.Attachment != nil {
			return fault("InvalidParameterValue", "Network interface '%s' is currently in use.", i.ID)
		}
		return provision.DeleteInterface(tx, i.ID)
	})
}

// AttachNetworkInterface plugs an interface into an instance.
func (s *Service) AttachNetworkInterface(ctx context.Context, call awsapi.Call, in *ec2.AttachNetworkInterfaceInput) (*ec2.AttachNetworkInterfaceOutput, error) {
	if err := reject(ask{"A second network card", deref(in.NetworkCardIndex) != 0}); err != nil {
		return nil, err
	}
	out := &ec2.AttachNetworkInterfaceOutput{NetworkCardIndex: new(int32(0))}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := provision.Attach(tx, homeOf(call), *in.NetworkInterfaceId, *in.InstanceId, *in.DeviceIndex, call.Time)
		if err != nil {
			return err
		}
		out.AttachmentId = &i.Attachment.ID
		return nil
	})
}

// DetachNetworkInterface unplugs an interface.
func (s *Service) DetachNetworkInterface(ctx context.Context, call awsapi.Call, in *ec2.DetachNetworkInterfaceInput) (*ec2.DetachNetworkInterfaceOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.Detach(tx, homeOf(call), *in.AttachmentId)
	})
}

// ModifyNetworkInterfaceAttribute changes what of an interface can be changed.
func (s *Service) ModifyNetworkInterfaceAttribute(ctx context.Context, call awsapi.Call, in *ec2.ModifyNetworkInterfaceAttributeInput) (*ec2.ModifyNetworkInterfaceAttributeOutput, error) {
	if err := reject(
		ask{"A public address", is(in.AssociatePublicIpAddress)},
		ask{"An associated subnet", len(in.AssociatedSubnetIds) > 0},
	); err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if in.Description != nil {
			i.Description = deref(in.Description.Value)
		}
		if in.SourceDestCheck != nil {
			i.SourceDestCheck = is(in.SourceDestCheck.Value)
		}
		if p := in.EnablePrimaryIpv6; p != nil && !*p && i.PrimaryIPv6 {
			return fault("OperationNotPermitted", "The primary IPv6 address of interface %s cannot be disabled", i.ID)
		}
		if a := in.Attachment; a != nil {
			if i.Attachment == nil || i.Attachment.ID != deref(a.AttachmentId) {
				return fault("InvalidAttachmentID.NotFound", "The interface attachment '%s' does not exist.", deref(a.AttachmentId))
			}
			if a.DeleteOnTermination != nil {
				i.Attachment.DeleteOnTermination = *a.DeleteOnTermination
			}
		}
		tx.Interfaces.Put(i.ID, i)
		if is(in.EnablePrimaryIpv6) {
			if err := provision.EnablePrimary6(tx, homeOf(call), i.ID); err != nil {
				return err
			}
		}
		if len(in.Groups) > 0 {
			return provision.SetGroups(tx, homeOf(call), i.ID, in.Groups)
		}
		return nil
	})
}

// AssignPrivateIpAddresses gives an interface more addresses.
func (s *Service) AssignPrivateIpAddresses(ctx context.Context, call awsapi.Call, in *ec2.AssignPrivateIpAddressesInput) (*ec2.AssignPrivateIpAddressesOutput, error) {
	wants, err := readAddresses(in.PrivateIpAddresses)
	if err != nil {
		return nil, err
	}
	var ranges provision.Request6
	if err := ranges.Read(nil, nil, in.Ipv4Prefixes, nil, in.Ipv4PrefixCount); err != nil {
		return nil, err
	}
	count := int(deref(in.SecondaryPrivateIpAddressCount))
	given := 0
	for _, is := range []bool{len(wants) > 0, count > 0, len(ranges.Prefixes) > 0, ranges.Count4 > 0} {
		if is {
			given++
		}
	}
	if given != 1 || count < 0 {
		return nil, fault("InvalidParameterCombination", "Exactly one of privateIpAddresses and secondaryPrivateIpAddressCount must be specified")
	}
	out := &ec2.AssignPrivateIpAddressesOutput{NetworkInterfaceId: in.NetworkInterfaceId}
	return out, s.update(ctx, call, nil, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if _, got, err := provision.Assign6(tx, homeOf(call), i.ID, ranges); err != nil || len(got) > 0 {
			for _, p := range got {
				out.AssignedIpv4Prefixes = append(out.AssignedIpv4Prefixes, ec2.Ipv4PrefixSpecification{Ipv4Prefix: new(p.String())})
			}
			return err
		}
		got, err := provision.AssignAddresses(tx, homeOf(call), i.ID, wants, count, is(in.AllowReassignment))
		for _, a := range got {
			out.AssignedPrivateIpAddresses = append(out.AssignedPrivateIpAddresses, ec2.AssignedPrivateIpAddress{PrivateIpAddress: new(a.String())})
		}
		return err
	})
}

// UnassignPrivateIpAddresses takes secondary addresses away from an interface.
func (s *Service) UnassignPrivateIpAddresses(ctx context.Context, call awsapi.Call, in *ec2.UnassignPrivateIpAddressesInput) (*ec2.UnassignPrivateIpAddressesOutput, error) {
	var ranges provision.Request6
	if err := ranges.Read(nil, nil, in.Ipv4Prefixes, nil, nil); err != nil {
		return nil, err
	}
	addresses, err := readAddresses(in.PrivateIpAddresses)
	if err != nil {
		return nil, err
	}
	if len(addresses)+len(ranges.Prefixes) == 0 {
		return nil, missing("privateIpAddress")
	}
	return nil, s.update(ctx, call, nil, func(tx *store.Tx) error {
		i, err := ownInterface(tx, homeOf(call), *in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if err := provision.Unassign6(tx, homeOf(call), i.ID, nil, ranges.Prefixes); err != nil {
			return err
		}
		return provision.UnassignAddresses(tx, homeOf(call), i.ID, addresses)
	})
}

func readAddresses(in []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range in {
		a, err := provision.ParseAddress(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}
