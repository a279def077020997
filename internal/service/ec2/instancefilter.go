package ec2

import (
	"strings"

	"ekster.dev/ekster/gen/ec2"
)

// instanceFields are the filters of DescribeInstances.
var instanceFields = fields[foundInstance]{
	"affinity":             always[foundInstance](),
	"architecture":         func(i foundInstance) []string { return text(i.Architecture) },
	"availability-zone":    func(i foundInstance) []string { return text(i.Placement.AvailabilityZone) },
	"availability-zone-id": func(i foundInstance) []string { return text(i.Placement.AvailabilityZoneId) },
	"block-device-mapping.attach-time": func(i foundInstance) []string {
		return each(i.BlockDeviceMappings, func(b ec2.InstanceBlockDeviceMapping) []string {
			return []string{b.Ebs.AttachTime.UTC().Format(filterTime)}
		})
	},
	"block-device-mapping.delete-on-termination": func(i foundInstance) []string {
		return each(i.BlockDeviceMappings, func(b ec2.InstanceBlockDeviceMapping) []string { return flag(b.Ebs.DeleteOnTermination) })
	},
	"block-device-mapping.device-name": func(i foundInstance) []string {
		return each(i.BlockDeviceMappings, func(b ec2.InstanceBlockDeviceMapping) []string { return text(b.DeviceName) })
	},
	"block-device-mapping.status": func(i foundInstance) []string {
		return each(i.BlockDeviceMappings, func(b ec2.InstanceBlockDeviceMapping) []string { return text(b.Ebs.Status) })
	},
	"block-device-mapping.volume-id": func(i foundInstance) []string {
		return each(i.BlockDeviceMappings, func(b ec2.InstanceBlockDeviceMapping) []string { return text(b.Ebs.VolumeId) })
	},
	"boot-mode":                      func(i foundInstance) []string { return text(i.BootMode) },
	"capacity-reservation-id":        always[foundInstance](),
	"client-token":                   func(i foundInstance) []string { return text(i.ClientToken) },
	"current-instance-boot-mode":     always[foundInstance](),
	"dns-name":                       func(i foundInstance) []string { return text(i.PublicDnsName) },
	"ebs-optimized":                  func(i foundInstance) []string { return flag(i.EbsOptimized) },
	"ena-support":                    func(i foundInstance) []string { return flag(i.EnaSupport) },
	"enclave-options.enabled":        always[foundInstance]("false"),
	"hibernation-options.configured": always[foundInstance]("false"),
	"host-id":                        always[foundInstance](),
	"hypervisor":                     func(i foundInstance) []string { return text(i.Hypervisor) },
	"iam-instance-profile.arn":       profile(func(p ec2.IamInstanceProfile) []string { return text(p.Arn) }),
	"iam-instance-profile.id":        profile(func(p ec2.IamInstanceProfile) []string { return text(p.Id) }),
	"iam-instance-profile.name": profile(func(p ec2.IamInstanceProfile) []string {
		return []string{(*p.Arn)[strings.LastIndexByte(*p.Arn, '/')+1:]}
	}),
	"image-id":                            func(i foundInstance) []string { return text(i.ImageId) },
	"instance-id":                         func(i foundInstance) []string { return text(i.InstanceId) },
	"instance-lifecycle":                  func(i foundInstance) []string { return text(i.InstanceLifecycle) },
	"instance-state-code":                 func(i foundInstance) []string { return integer(i.State.Code) },
	"instance-state-name":                 func(i foundInstance) []string { return text(i.State.Name) },
	"instance-type":                       func(i foundInstance) []string { return text(i.InstanceType) },
	"instance.group-id":                   func(i foundInstance) []string { return each(i.SecurityGroups, groupIDs) },
	"instance.group-name":                 func(i foundInstance) []string { return each(i.SecurityGroups, groupNames) },
	"ip-address":                          func(i foundInstance) []string { return text(i.PublicIpAddress) },
	"ipv6-address":                        func(i foundInstance) []string { return text(i.Ipv6Address) },
	"kernel-id":                           always[foundInstance](),
	"key-name":                            func(i foundInstance) []string { return text(i.KeyName) },
	"launch-index":                        func(i foundInstance) []string { return integer(i.AmiLaunchIndex) },
	"launch-time":                         func(i foundInstance) []string { return []string{i.LaunchTime.UTC().Format(filterTime)} },
	"maintenance-options.auto-recovery":   func(i foundInstance) []string { return text(i.MaintenanceOptions.AutoRecovery) },
	"metadata-options.http-endpoint":      func(i foundInstance) []string { return text(i.MetadataOptions.HttpEndpoint) },
	"metadata-options.http-tokens":        func(i foundInstance) []string { return text(i.MetadataOptions.HttpTokens) },
	"metadata-options.http-protocol-ipv4": always[foundInstance]("enabled"),
	"metadata-options.http-protocol-ipv6": always[foundInstance]("disabled"),
	"metadata-options.http-put-response-hop-limit": func(i foundInstance) []string {
		return integer(i.MetadataOptions.HttpPutResponseHopLimit)
	},
	"metadata-options.instance-metadata-tags": func(i foundInstance) []string { return text(i.MetadataOptions.InstanceMetadataTags) },
	"monitoring-state":                        func(i foundInstance) []string { return text(i.Monitoring.State) },
	"network-interface.addresses.primary": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		return each(n.PrivateIpAddresses, func(a ec2.InstancePrivateIpAddress) []string { return flag(a.Primary) })
	}),
	"network-interface.addresses.private-ip-address": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		return each(n.PrivateIpAddresses, func(a ec2.InstancePrivateIpAddress) []string { return text(a.PrivateIpAddress) })
	}),
	"network-interface.addresses.association.public-ip": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		if n.Association == nil {
			return nil
		}
		return text(n.Association.PublicIp)
	}),
	"network-interface.addresses.association.ip-owner-id": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		if n.Association == nil {
			return nil
		}
		return text(n.Association.IpOwnerId)
	}),
	"network-interface.association.public-ip": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		if n.Association == nil {
			return nil
		}
		return text(n.Association.PublicIp)
	}),
	"network-interface.association.ip-owner-id": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		if n.Association == nil {
			return nil
		}
		return text(n.Association.IpOwnerId)
	}),
	"network-interface.attachment.attachment-id": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.Attachment.AttachmentId) }),
	"network-interface.attachment.delete-on-termination": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		return flag(n.Attachment.DeleteOnTermination)
	}),
	"network-interface.attachment.device-index": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return integer(n.Attachment.DeviceIndex) }),
	"network-interface.attachment.instance-id":  func(i foundInstance) []string { return text(i.InstanceId) },
	"network-interface.attachment.status":       ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.Attachment.Status) }),
	"network-interface.availability-zone":       func(i foundInstance) []string { return text(i.Placement.AvailabilityZone) },
	"network-interface.description":             ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.Description) }),
	"network-interface.group-id":                ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return each(n.Groups, groupIDs) }),
	"network-interface.group-name":              ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return each(n.Groups, groupNames) }),
	"network-interface.ipv6-addresses.ipv6-address": ofInterfaces(func(n ec2.InstanceNetworkInterface) []string {
		return each(n.Ipv6Addresses, func(a ec2.InstanceIpv6Address) []string { return text(a.Ipv6Address) })
	}),
	"network-interface.mac-address":                                 ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.MacAddress) }),
	"network-interface.network-interface-id":                        ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.NetworkInterfaceId) }),
	"network-interface.owner-id":                                    ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.OwnerId) }),
	"network-interface.private-dns-name":                            ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.PrivateDnsName) }),
	"network-interface.private-ip-address":                          ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.PrivateIpAddress) }),
	"network-interface.requester-id":                                always[foundInstance](),
	"network-interface.requester-managed":                           always[foundInstance]("false"),
	"network-interface.source-dest-check":                           ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return flag(n.SourceDestCheck) }),
	"network-interface.status":                                      ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.Status) }),
	"network-interface.subnet-id":                                   ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.SubnetId) }),
	"network-interface.vpc-id":                                      ofInterfaces(func(n ec2.InstanceNetworkInterface) []string { return text(n.VpcId) }),
	"operator.managed":                                              always[foundInstance]("false"),
	"operator.principal":                                            always[foundInstance](),
	"outpost-arn":                                                   always[foundInstance](),
	"owner-id":                                                      func(i foundInstance) []string { return []string{i.record.Account} },
	"placement-group-name":                                          func(i foundInstance) []string { return text(i.Placement.GroupName) },
	"placement-partition-number":                                    always[foundInstance](),
	"platform":                                                      always[foundInstance](),
	"platform-details":                                              func(i foundInstance) []string { return text(i.PlatformDetails) },
	"private-dns-name":                                              func(i foundInstance) []string { return text(i.PrivateDnsName) },
	"private-dns-name-options.hostname-type":                        always[foundInstance]("ip-name"),
	"private-dns-name-options.enable-resource-name-dns-a-record":    always[foundInstance]("false"),
	"private-dns-name-options.enable-resource-name-dns-aaaa-record": always[foundInstance]("false"),
	"private-ip-address":                                            func(i foundInstance) []string { return text(i.PrivateIpAddress) },
	"product-code":                                                  always[foundInstance](),
	"product-code.type":                                             always[foundInstance](),
	"ramdisk-id":                                                    always[foundInstance](),
	"reason":                                                        func(i foundInstance) []string { return text(i.StateTransitionReason) },
	"requester-id":                                                  always[foundInstance](),
	"reservation-id":                                                func(i foundInstance) []string { return []string{i.record.Reservation} },
	"root-device-name":                                              func(i foundInstance) []string { return text(i.RootDeviceName) },
	"root-device-type":                                              func(i foundInstance) []string { return text(i.RootDeviceType) },
	"source-dest-check":                                             func(i foundInstance) []string { return flag(i.SourceDestCheck) },
	"spot-instance-request-id":                                      func(i foundInstance) []string { return text(i.SpotInstanceRequestId) },
	"state-reason-code": func(i foundInstance) []string {
		if i.StateReason == nil {
			return nil
		}
		return text(i.StateReason.Code)
	},
	"state-reason-message": func(i foundInstance) []string {
		if i.StateReason == nil {
			return nil
		}
		return text(i.StateReason.Message)
	},
	"subnet-id":                   func(i foundInstance) []string { return text(i.SubnetId) },
	"tenancy":                     func(i foundInstance) []string { return text(i.Placement.Tenancy) },
	"tpm-support":                 always[foundInstance](),
	"usage-operation":             func(i foundInstance) []string { return text(i.UsageOperation) },
	"usage-operation-update-time": func(i foundInstance) []string { return []string{i.UsageOperationUpdateTime.UTC().Format(filterTime)} },
	"virtualization-type":         func(i foundInstance) []string { return text(i.VirtualizationType) },
	"vpc-id":                      func(i foundInstance) []string { return text(i.VpcId) },
}

func groupIDs(g ec2.GroupIdentifier) []string   { return text(g.GroupId) }
func groupNames(g ec2.GroupIdentifier) []string { return text(g.GroupName) }

func ofInterfaces(f func(ec2.InstanceNetworkInterface) []string) func(foundInstance) []string {
	return func(i foundInstance) []string { return each(i.NetworkInterfaces, f) }
}

func profile(f func(ec2.IamInstanceProfile) []string) func(foundInstance) []string {
	return func(i foundInstance) []string {
		if i.IamInstanceProfile == nil {
			return nil
		}
		return f(*i.IamInstanceProfile)
	}
}
