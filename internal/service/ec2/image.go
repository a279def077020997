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
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

// deprecatedAfter is how long AWS's public images live before they are deprecated.
const deprecatedAfter = 2 * 365 * 24 * time.Hour

// DescribeImages lists EKS's images and Bottlerocket's, of the versions that are built. There
// are no others.
func (s *Service) DescribeImages(_ context.Context, call awsapi.Call, in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
	if is(in.DryRun) {
		return nil, dryRunOperation()
	}
	match, err := matcher(in.Filters, imageFields, func(i ec2.Image) []ec2.Tag { return i.Tags })
	if err != nil {
		return nil, err
	}
	list, err := s.images(call, in.ImageIds)
	if err != nil {
		return nil, err
	}
	owned := func(i ec2.Image) bool { // "self" is the caller, who owns none
		return len(in.Owners) == 0 || slices.Contains(in.Owners, *i.OwnerId) || slices.Contains(in.Owners, *i.ImageOwnerAlias)
	}
	public := len(in.ExecutableUsers) == 0 || slices.Contains(in.ExecutableUsers, "all")
	var all []ec2.Image
	for _, i := range list {
		if d := describeImage(i); public && owned(d) && match(d) {
			all = append(all, d)
		}
	}
	key := func(i ec2.Image) string { return *i.ImageId }
	slices.SortFunc(all, func(a, b ec2.Image) int { return cmp.Compare(key(a), key(b)) })
	all = slices.CompactFunc(all, func(a, b ec2.Image) bool { return key(a) == key(b) })
	out := &ec2.DescribeImagesOutput{}
	out.Images, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 0)
	return out, err
}

// images are those with the ids, or all whose machines can boot here.
func (s *Service) images(call awsapi.Call, ids []string) (list []ami.Image, err error) {
	err = s.store.View(func(tx *store.Tx) error {
		if len(ids) == 0 {
			list = slices.DeleteFunc(ami.All(call.Region), func(i ami.Image) bool { return !provision.Bootable(tx, i) })
			return nil
		}
		var gone []string
		for _, id := range ids {
			i, ok := ami.ByID(call.Region, id)
			if ok && provision.Bootable(tx, i) {
				list = append(list, i)
				continue
			}
			if err := provision.Images.Check(id); err != nil {
				return err
			}
			gone = append(gone, id)
		}
		if len(gone) > 0 {
			return provision.Images.NotFound(gone...)
		}
		return nil
	})
	return list, err
}

func describeImage(i ami.Image) ec2.Image {
	release, _, _ := strings.Cut(i.Release, "-")
	out := ec2.Image{
		ImageId: &i.ID, Name: &i.Name, ImageLocation: new("amazon/" + i.Name), OwnerId: new(ami.Owner), ImageOwnerAlias: new("amazon"),
		Description: new("EKS-optimized Kubernetes node based on Amazon Linux 2023, (k8s: " + release + ", containerd: 2.*)"),
		State:       new("available"), Public: new(true), Architecture: &i.Arch, ImageType: new("machine"), Hypervisor: new("xen"),
		VirtualizationType: new("hvm"), RootDeviceName: new(ami.RootDevice), RootDeviceType: new("ebs"), EnaSupport: new(true),
		SriovNetSupport: new("simple"), BootMode: new("uefi-preferred"), ImdsSupport: new("v2.0"), PlatformDetails: new("Linux/UNIX"),
		UsageOperation: new("RunInstances"), CreationDate: new(i.Created.Format(filterTime)),
		DeprecationTime:     new(i.Created.Add(deprecatedAfter).Format(filterTime)),
		BlockDeviceMappings: []ec2.BlockDeviceMapping{imageVolume(ami.RootDevice, i.Snapshot, ami.DefaultDiskGiB)},
	}
	if data := i.DataSnapshot(); data != "" {
		out.OwnerId, out.Description = new(ami.BottlerocketOwner), nil
		out.BlockDeviceMappings = []ec2.BlockDeviceMapping{
			imageVolume(ami.RootDevice, i.Snapshot, ami.SystemDiskGiB), imageVolume(ami.DataDevice, data, ami.DefaultDiskGiB),
		}
	}
	return out
}

func imageVolume(device, snapshot string, gib int32) ec2.BlockDeviceMapping {
	return ec2.BlockDeviceMapping{DeviceName: &device, Ebs: &ec2.EbsBlockDevice{
		SnapshotId: &snapshot, VolumeSize: &gib, VolumeType: new("gp3"), Iops: new(int32(3000)), Throughput: new(int32(125)),
		DeleteOnTermination: new(true), Encrypted: new(false),
	}}
}

// imageVolumes is a filter on an image's volumes.
func imageVolumes(f func(ec2.BlockDeviceMapping) []string) func(ec2.Image) []string {
	return func(i ec2.Image) []string { return each(i.BlockDeviceMappings, f) }
}

var imageFields = fields[ec2.Image]{
	"architecture": func(i ec2.Image) []string { return text(i.Architecture) },
	"block-device-mapping.delete-on-termination": always[ec2.Image]("true"),
	"block-device-mapping.device-name":           imageVolumes(func(b ec2.BlockDeviceMapping) []string { return text(b.DeviceName) }),
	"block-device-mapping.snapshot-id":           imageVolumes(func(b ec2.BlockDeviceMapping) []string { return text(b.Ebs.SnapshotId) }),
	"block-device-mapping.volume-size":           imageVolumes(func(b ec2.BlockDeviceMapping) []string { return integer(b.Ebs.VolumeSize) }),
	"block-device-mapping.volume-type":           func(i ec2.Image) []string { return text(i.BlockDeviceMappings[0].Ebs.VolumeType) },
	"block-device-mapping.encrypted":             always[ec2.Image]("false"),
	"boot-mode":                                  func(i ec2.Image) []string { return text(i.BootMode) },
	"creation-date":                              func(i ec2.Image) []string { return text(i.CreationDate) },
	"description":                                func(i ec2.Image) []string { return text(i.Description) },
	"ena-support":                                func(i ec2.Image) []string { return flag(i.EnaSupport) },
	"hypervisor":                                 func(i ec2.Image) []string { return text(i.Hypervisor) },
	"image-allowed":                              always[ec2.Image](),
	"image-id":                                   func(i ec2.Image) []string { return text(i.ImageId) },
	"image-type":                                 func(i ec2.Image) []string { return text(i.ImageType) },
	"is-public":                                  func(i ec2.Image) []string { return flag(i.Public) },
	"kernel-id":                                  always[ec2.Image](),
	"manifest-location":                          func(i ec2.Image) []string { return text(i.ImageLocation) },
	"name":                                       func(i ec2.Image) []string { return text(i.Name) },
	"owner-alias":                                func(i ec2.Image) []string { return text(i.ImageOwnerAlias) },
	"owner-id":                                   func(i ec2.Image) []string { return text(i.OwnerId) },
	"platform":                                   always[ec2.Image](),
	"product-code":                               always[ec2.Image](),
	"product-code.type":                          always[ec2.Image](),
	"ramdisk-id":                                 always[ec2.Image](),
	"root-device-name":                           func(i ec2.Image) []string { return text(i.RootDeviceName) },
	"root-device-type":                           func(i ec2.Image) []string { return text(i.RootDeviceType) },
	"source-image-id":                            always[ec2.Image](),
	"source-image-region":                        always[ec2.Image](),
	"source-instance-id":                         always[ec2.Image](),
	"state":                                      func(i ec2.Image) []string { return text(i.State) },
	"state-reason-code":                          always[ec2.Image](),
	"state-reason-message":                       always[ec2.Image](),
	"sriov-net-support":                          func(i ec2.Image) []string { return text(i.SriovNetSupport) },
	"virtualization-type":                        func(i ec2.Image) []string { return text(i.VirtualizationType) },
}
