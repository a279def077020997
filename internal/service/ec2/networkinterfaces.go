package ec2

import (
	"context"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DescribeNetworkInterfaces lists network interfaces.
func (s *Service) DescribeNetworkInterfaces(ctx context.Context, call awsapi.Call, in *ec2.DescribeNetworkInterfacesInput) (*ec2.DescribeNetworkInterfacesOutput, error) {
	out := &ec2.DescribeNetworkInterfacesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.NetworkInterfaces, out.NextToken, err = interfaces(tx).list(homeOf(call), query{in.NetworkInterfaceIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func interfaces(tx *store.Tx) kind[resource.NetworkInterface, ec2.NetworkInterface] {
	return kind[resource.NetworkInterface, ec2.NetworkInterface]{
		noun: provision.NetworkInterfaces, table: tx.Interfaces,
		home:     func(i resource.NetworkInterface) resource.Home { return i.Home },
		describe: func(i resource.NetworkInterface) ec2.NetworkInterface { return describeInterface(tx, i) },
		id:       func(i ec2.NetworkInterface) string { return *i.NetworkInterfaceId },
		tags:     func(i ec2.NetworkInterface) []ec2.Tag { return i.TagSet },
		fields:   interfaceFields,
	}
}

var interfaceFields = fields[ec2.NetworkInterface]{
	"addresses.association.owner-id":  ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.IpOwnerId }),
	"addresses.association.public-ip": ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.PublicIp }),
	"addresses.primary": func(i ec2.NetworkInterface) []string {
		return each(i.PrivateIpAddresses, func(a ec2.NetworkInterfacePrivateIpAddress) []string { return flag(a.Primary) })
	},
	"addresses.private-ip-address": func(i ec2.NetworkInterface) []string {
		return each(i.PrivateIpAddresses, func(a ec2.NetworkInterfacePrivateIpAddress) []string { return text(a.PrivateIpAddress) })
	},
	"association.allocation-id":   ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.AllocationId }),
	"association.association-id":  ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.AssociationId }),
	"association.ip-owner-id":     ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.IpOwnerId }),
	"association.public-dns-name": ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.PublicDnsName }),
	"association.public-ip":       ofAssociation(func(a ec2.NetworkInterfaceAssociation) *string { return a.PublicIp }),
	"attachment.attach-time": func(i ec2.NetworkInterface) []string {
		if i.Attachment == nil {
			return nil
		}
		return []string{i.Attachment.AttachTime.UTC().Format(filterTime)}
	},
	"attachment.attachment-id": attachment(func(a ec2.NetworkInterfaceAttachment) []string { return text(a.AttachmentId) }),
	"attachment.delete-on-termination": attachment(func(a ec2.NetworkInterfaceAttachment) []string {
		return flag(a.DeleteOnTermination)
	}),
	"attachment.device-index":      attachment(func(a ec2.NetworkInterfaceAttachment) []string { return integer(a.DeviceIndex) }),
	"attachment.instance-id":       attachment(func(a ec2.NetworkInterfaceAttachment) []string { return text(a.InstanceId) }),
	"attachment.instance-owner-id": attachment(func(a ec2.NetworkInterfaceAttachment) []string { return text(a.InstanceOwnerId) }),
	"attachment.status":            attachment(func(a ec2.NetworkInterfaceAttachment) []string { return text(a.Status) }),
	"availability-zone":            func(i ec2.NetworkInterface) []string { return text(i.AvailabilityZone) },
	"availability-zone-id":         func(i ec2.NetworkInterface) []string { return text(i.AvailabilityZoneId) },
	"description":                  func(i ec2.NetworkInterface) []string { return text(i.Description) },
	"group-id": func(i ec2.NetworkInterface) []string {
		return each(i.Groups, func(g ec2.GroupIdentifier) []string { return text(g.GroupId) })
	},
	"group-name": func(i ec2.NetworkInterface) []string {
		return each(i.Groups, func(g ec2.GroupIdentifier) []string { return text(g.GroupName) })
	},
	"interface-type": func(i ec2.NetworkInterface) []string { return text(i.InterfaceType) },
	"ipv6-addresses.ipv6-address": func(i ec2.NetworkInterface) []string {
		return each(i.Ipv6Addresses, func(a ec2.NetworkInterfaceIpv6Address) []string { return text(a.Ipv6Address) })
	},
	"mac-address":          func(i ec2.NetworkInterface) []string { return text(i.MacAddress) },
	"network-interface-id": func(i ec2.NetworkInterface) []string { return text(i.NetworkInterfaceId) },
	"operator.managed":     always[ec2.NetworkInterface]("false"),
	"operator.principal":   always[ec2.NetworkInterface](),
	"owner-id":             func(i ec2.NetworkInterface) []string { return text(i.OwnerId) },
	"private-dns-name":     func(i ec2.NetworkInterface) []string { return text(i.PrivateDnsName) },
	"private-ip-address":   func(i ec2.NetworkInterface) []string { return text(i.PrivateIpAddress) },
	"requester-id":         func(i ec2.NetworkInterface) []string { return text(i.RequesterId) },
	"requester-managed":    func(i ec2.NetworkInterface) []string { return flag(i.RequesterManaged) },
	"source-dest-check":    func(i ec2.NetworkInterface) []string { return flag(i.SourceDestCheck) },
	"status":               func(i ec2.NetworkInterface) []string { return text(i.Status) },
	"subnet-id":            func(i ec2.NetworkInterface) []string { return text(i.SubnetId) },
	"vpc-id":               func(i ec2.NetworkInterface) []string { return text(i.VpcId) },
}

// filterTime is how filters write a time.
const filterTime = "2006-01-02T15:04:05.000Z"

func ofAssociation(f func(ec2.NetworkInterfaceAssociation) *string) func(ec2.NetworkInterface) []string {
	return func(i ec2.NetworkInterface) []string {
		if i.Association == nil {
			return nil
		}
		return text(f(*i.Association))
	}
}

func attachment(f func(ec2.NetworkInterfaceAttachment) []string) func(ec2.NetworkInterface) []string {
	return func(i ec2.NetworkInterface) []string {
		if i.Attachment == nil {
			return nil
		}
		return f(*i.Attachment)
	}
}

func describeInterface(tx *store.Tx, i resource.NetworkInterface) ec2.NetworkInterface {
	sub, _ := tx.Subnets.Get(i.Subnet)
	out := ec2.NetworkInterface{
		NetworkInterfaceId: &i.ID, VpcId: &i.VPC, SubnetId: &i.Subnet, AvailabilityZone: &i.Zone, AvailabilityZoneId: some(sub.ZoneID),
		Description: &i.Description, InterfaceType: &i.InterfaceType, MacAddress: &i.MAC, OwnerId: &i.Account, RequesterId: some(i.RequesterID),
		RequesterManaged: &i.RequesterManaged, SourceDestCheck: &i.SourceDestCheck, Groups: groupIdentifiers(tx, i.SecurityGroups),
		Status: new(interfaceStatus(i)), TagSet: tagSet(i.Tags), Association: association(tx, i),
	}
	for n, a := range i.Addresses {
		ip, name := a.String(), provision.PrivateDNS(i.Region, a)
		if n == 0 {
			out.PrivateIpAddress, out.PrivateDnsName = &ip, &name
		}
		out.PrivateIpAddresses = append(out.PrivateIpAddresses, ec2.NetworkInterfacePrivateIpAddress{
			Primary: new(n == 0), PrivateIpAddress: &ip, PrivateDnsName: &name,
		})
		if n == 0 {
			out.PrivateIpAddresses[0].Association = out.Association
		} else {
			out.PrivateIpAddresses[n].Association = secondaryAssociation(tx, i, a)
		}
	}
	describeInterface6(&out, i)
	if a := i.Attachment; a != nil {
		out.Attachment = &ec2.NetworkInterfaceAttachment{
			AttachmentId: &a.ID, AttachTime: &a.Attached, DeleteOnTermination: &a.DeleteOnTermination, DeviceIndex: &a.DeviceIndex,
			NetworkCardIndex: new(int32(0)), InstanceId: some(a.Instance), InstanceOwnerId: &i.Account, Status: new(attachmentStatus(i)),
		}
		if a.Instance == "" { // a control plane's: an instance of AWS's own
			out.Attachment.InstanceOwnerId = new("amazon-aws")
		}
	}
	return out
}

// interfaceStatus is what EC2 says of an interface: "detaching" while the host still
// has it plugged in somewhere.
func interfaceStatus(i resource.NetworkInterface) string {
	switch {
	case i.Attachment != nil, i.InterfaceType != "interface":
		return ec2.NetworkInterfaceStatusInUse
	case i.Status.Plugged != "":
		return ec2.NetworkInterfaceStatusDetaching
	}
	return ec2.NetworkInterfaceStatusAvailable
}

// attachmentStatus is "attached" once the host has plugged it in.
func attachmentStatus(i resource.NetworkInterface) string {
	if i.Status.Plugged == i.Attachment.Guest {
		return ec2.AttachmentStatusAttached
	}
	return ec2.AttachmentStatusAttaching
}
