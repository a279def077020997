package ec2

import (
	"cmp"
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DescribeVolumes lists the volumes that instances were launched with: there are no others.
func (s *Service) DescribeVolumes(ctx context.Context, call awsapi.Call, in *ec2.DescribeVolumesInput) (*ec2.DescribeVolumesOutput, error) {
	match, err := matcher(in.Filters, volumeFields, func(v ec2.Volume) []ec2.Tag { return v.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVolumesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		all := map[string]ec2.Volume{}
		for i := range tx.Instances.Values(func(i resource.Instance) bool {
			return i.Home == homeOf(call) && i.Status.State != resource.InstanceTerminated
		}) {
			for _, v := range i.Spec.Volumes {
				all[v.ID] = describeVolume(tx, i, v)
			}
		}
		for _, id := range in.VolumeIds {
			if _, ok := all[id]; !ok {
				return fault("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
			}
		}
		var list []ec2.Volume
		for id, v := range all {
			if match(v) && (len(in.VolumeIds) == 0 || slices.Contains(in.VolumeIds, id)) {
				list = append(list, v)
			}
		}
		key := func(v ec2.Volume) string { return *v.VolumeId }
		slices.SortFunc(list, func(a, b ec2.Volume) int { return cmp.Compare(key(a), key(b)) })
		out.Volumes, out.NextToken, err = page(list, key, in.MaxResults, in.NextToken, 0)
		return err
	})
}

func describeVolume(tx *store.Tx, i resource.Instance, v resource.Volume) ec2.Volume {
	out := ec2.Volume{
		VolumeId: &v.ID, Size: &v.GiB, SnapshotId: &v.Snapshot, AvailabilityZone: &i.Spec.Zone,
		AvailabilityZoneId: newInstanceView(tx).zoneID(i), State: new(ec2.VolumeStateInUse), CreateTime: &i.Launched, VolumeType: &v.Type,
		Encrypted: &v.Encrypted, KmsKeyId: some(v.KMSKey), MultiAttachEnabled: new(false), Tags: tagSet(v.Tags),
		Attachments: []ec2.VolumeAttachment{{
			VolumeId: &v.ID, InstanceId: &i.ID, Device: &v.Device, State: new(ec2.VolumeAttachmentStateAttached),
			AttachTime: &i.Launched, DeleteOnTermination: new(true),
		}},
	}
	if v.IOPS > 0 {
		out.Iops = &v.IOPS
	}
	if v.Throughput > 0 {
		out.Throughput = &v.Throughput
	}
	return out
}

var volumeFields = fields[ec2.Volume]{
	"attachment.attach-time":           func(v ec2.Volume) []string { return []string{v.Attachments[0].AttachTime.UTC().Format(filterTime)} },
	"attachment.delete-on-termination": func(v ec2.Volume) []string { return flag(v.Attachments[0].DeleteOnTermination) },
	"attachment.device":                func(v ec2.Volume) []string { return text(v.Attachments[0].Device) },
	"attachment.instance-id":           func(v ec2.Volume) []string { return text(v.Attachments[0].InstanceId) },
	"attachment.status":                func(v ec2.Volume) []string { return text(v.Attachments[0].State) },
	"availability-zone":                func(v ec2.Volume) []string { return text(v.AvailabilityZone) },
	"availability-zone-id":             func(v ec2.Volume) []string { return text(v.AvailabilityZoneId) },
	"create-time":                      func(v ec2.Volume) []string { return []string{v.CreateTime.UTC().Format(filterTime)} },
	"encrypted":                        func(v ec2.Volume) []string { return flag(v.Encrypted) },
	"multi-attach-enabled":             func(v ec2.Volume) []string { return flag(v.MultiAttachEnabled) },
	"size":                             func(v ec2.Volume) []string { return integer(v.Size) },
	"snapshot-id":                      func(v ec2.Volume) []string { return text(v.SnapshotId) },
	"status":                           func(v ec2.Volume) []string { return text(v.State) },
	"volume-id":                        func(v ec2.Volume) []string { return text(v.VolumeId) },
	"volume-type":                      func(v ec2.Volume) []string { return text(v.VolumeType) },
}
