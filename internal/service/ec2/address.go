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

// AllocateAddress makes an elastic address. It is one of the host's loopback addresses:
// the host is this internet.
func (s *Service) AllocateAddress(ctx context.Context, call awsapi.Call, in *ec2.AllocateAddressInput) (*ec2.AllocateAddressOutput, error) {
	tags, err := specTags(in.TagSpecifications, "elastic-ip")
	if err != nil {
		return nil, err
	}
	if err := reject(
		ask{"Recovering an address", in.Address != nil},
		ask{"An address pool", or(deref(in.PublicIpv4Pool), "amazon") != "amazon" || in.CustomerOwnedIpv4Pool != nil || in.IpamPoolId != nil},
		ask{"An address outside of a VPC", or(deref(in.Domain), "vpc") != "vpc"},
	); err != nil {
		return nil, err
	}
	out := &ec2.AllocateAddressOutput{Domain: new("vpc"), PublicIpv4Pool: new("amazon"), NetworkBorderGroup: &call.Region}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		a, err := provision.AllocateAddress(tx, homeOf(call), tags["elastic-ip"])
		out.AllocationId, out.PublicIp = &a.ID, new(a.IP.String())
		return err
	})
}

// ReleaseAddress gives an elastic address back.
func (s *Service) ReleaseAddress(ctx context.Context, call awsapi.Call, in *ec2.ReleaseAddressInput) (*ec2.ReleaseAddressOutput, error) {
	if in.AllocationId == nil && in.PublicIp == nil {
		return nil, missing("AllocationId")
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.ReleaseAddress(tx, homeOf(call), deref(in.AllocationId), deref(in.PublicIp))
	})
}

// AssociateAddress gives an elastic address to an interface, or to an instance's primary one.
func (s *Service) AssociateAddress(ctx context.Context, call awsapi.Call, in *ec2.AssociateAddressInput) (*ec2.AssociateAddressOutput, error) {
	switch {
	case in.AllocationId == nil && in.PublicIp == nil:
		return nil, missing("AllocationId")
	case (in.InstanceId == nil) == (in.NetworkInterfaceId == nil):
		return nil, fault("InvalidParameterCombination", "Either an instance ID or a network interface ID must be specified, and not both")
	}
	out := &ec2.AssociateAddressOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		a, err := provision.LookupAddress(tx, homeOf(call), deref(in.AllocationId), deref(in.PublicIp))
		if err != nil {
			return err
		}
		id := deref(in.NetworkInterfaceId)
		if in.InstanceId != nil {
			i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
			if err != nil {
				return err
			}
			if s := i.Current(); s == resource.InstanceTerminated || s == resource.InstanceShuttingDown || s == resource.InstancePending {
				return fault("InvalidInstanceID", "The pending instance '%s' is not in a valid state for this operation.", i.ID)
			}
			id = i.Spec.PrimaryInterface
		}
		eni, err := ownInterface(tx, homeOf(call), id)
		if err != nil {
			return err
		}
		private := eni.Addresses[0]
		if in.PrivateIpAddress != nil {
			if private, err = provision.ParseAddress(*in.PrivateIpAddress); err != nil {
				return err
			}
		}
		association, err := provision.AssociateAddress(tx, a, eni, private, in.AllowReassociation == nil && in.PublicIp != nil || is(in.AllowReassociation))
		out.AssociationId = &association
		return err
	})
}

// DisassociateAddress takes an elastic address off.
func (s *Service) DisassociateAddress(ctx context.Context, call awsapi.Call, in *ec2.DisassociateAddressInput) (*ec2.DisassociateAddressOutput, error) {
	if in.AssociationId == nil && in.PublicIp == nil {
		return nil, missing("AssociationId")
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, a := range tx.Addresses.All() {
			if a.Home == homeOf(call) && a.Association != "" && (a.Association == deref(in.AssociationId) || a.IP.String() == deref(in.PublicIp)) {
				return provision.DisassociateAddress(tx, a)
			}
		}
		return fault("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", or(deref(in.AssociationId), deref(in.PublicIp)))
	})
}

// DescribeAddresses lists elastic addresses.
func (s *Service) DescribeAddresses(ctx context.Context, call awsapi.Call, in *ec2.DescribeAddressesInput) (*ec2.DescribeAddressesOutput, error) {
	out := &ec2.DescribeAddressesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		ids := in.AllocationIds
		for _, ip := range in.PublicIps {
			a, err := provision.LookupAddress(tx, homeOf(call), "", ip)
			if err != nil {
				return err
			}
			ids = append(ids[:len(ids):len(ids)], a.ID)
		}
		out.Addresses, _, err = kind[resource.Address, ec2.Address]{
			noun: provision.Addresses, table: tx.Addresses,
			home:     func(a resource.Address) resource.Home { return a.Home },
			describe: func(a resource.Address) ec2.Address { return describeAddress(tx, a) },
			id:       func(a ec2.Address) string { return *a.AllocationId },
			tags:     func(a ec2.Address) []ec2.Tag { return a.Tags },
			fields: fields[ec2.Address]{
				"allocation-id":              func(a ec2.Address) []string { return text(a.AllocationId) },
				"association-id":             func(a ec2.Address) []string { return text(a.AssociationId) },
				"domain":                     func(a ec2.Address) []string { return text(a.Domain) },
				"instance-id":                func(a ec2.Address) []string { return text(a.InstanceId) },
				"network-border-group":       func(a ec2.Address) []string { return text(a.NetworkBorderGroup) },
				"network-interface-id":       func(a ec2.Address) []string { return text(a.NetworkInterfaceId) },
				"network-interface-owner-id": func(a ec2.Address) []string { return text(a.NetworkInterfaceOwnerId) },
				"private-ip-address":         func(a ec2.Address) []string { return text(a.PrivateIpAddress) },
				"public-ip":                  func(a ec2.Address) []string { return text(a.PublicIp) },
			},
		}.list(homeOf(call), query{ids: ids, filters: in.Filters})
		return err
	})
}

// DescribeAddressesAttribute lists the reverse DNS names of elastic addresses. As on EC2 it
// leaves out those that have none, which is all of them here: there is no DNS of this
// internet that could hold such a name (ModifyAddressAttribute is not served).
func (s *Service) DescribeAddressesAttribute(ctx context.Context, call awsapi.Call, in *ec2.DescribeAddressesAttributeInput) (*ec2.DescribeAddressesAttributeOutput, error) {
	return &ec2.DescribeAddressesAttributeOutput{}, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		for _, id := range in.AllocationIds {
			if _, err := provision.LookupAddress(tx, homeOf(call), id, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

func describeAddress(tx *store.Tx, a resource.Address) ec2.Address {
	out := ec2.Address{
		AllocationId: &a.ID, PublicIp: new(a.IP.String()), Domain: new("vpc"), NetworkBorderGroup: &a.Region, PublicIpv4Pool: new("amazon"),
		AssociationId: some(a.Association), Tags: tagSet(a.Tags),
	}
	if eni, ok := tx.Interfaces.Get(a.Interface); ok {
		out.NetworkInterfaceId, out.NetworkInterfaceOwnerId, out.PrivateIpAddress = &eni.ID, &eni.Account, new(a.Private.String())
		if eni.Attachment != nil {
			out.InstanceId = some(eni.Attachment.Instance)
		}
	}
	return out
}

// association is the public address of an interface, nil where it has none.
func association(tx *store.Tx, i resource.NetworkInterface) *ec2.NetworkInterfaceAssociation {
	if i.PublicIP == "" {
		return nil
	}
	out := &ec2.NetworkInterfaceAssociation{PublicIp: &i.PublicIP, PublicDnsName: new(publicName(tx, i)), IpOwnerId: new("amazon")}
	if a, ok := tx.Addresses.Get(i.Elastic); ok {
		out.AllocationId, out.AssociationId, out.IpOwnerId = &a.ID, &a.Association, &a.Account
	}
	return out
}

// secondaryAssociation is the public address of a secondary private one, nil where it has none.
func secondaryAssociation(tx *store.Tx, i resource.NetworkInterface, private netip.Addr) *ec2.NetworkInterfaceAssociation {
	for _, p := range i.SecondaryPublic {
		if a, ok := tx.Addresses.Get(p.Elastic); ok && p.Private == private {
			as := i
			as.PublicIP, as.Elastic = a.IP.String(), a.ID
			return association(tx, as)
		}
	}
	return nil
}

// publicName is the DNS name of an interface's public address; VPCs without DNS host
// names have none.
func publicName(tx *store.Tx, i resource.NetworkInterface) string {
	if v, ok := tx.VPCs.Get(i.VPC); !ok || !v.DNSHostnames || i.PublicIP == "" {
		return ""
	}
	return provision.PublicDNS(i.Region, i.PublicIP)
}
