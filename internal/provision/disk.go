package provision

import (
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

// A Disk is what a launch says of one volume; what is left empty is the image's.
type Disk struct {
	GiB        int32
	Type       string
	IOPS       int32
	Throughput int32
	Encrypted  *bool
	KMSKey     string
	Snapshot   string
}

// What a gp3 volume has if nobody says otherwise.
const (
	defaultIOPS       = 3000
	defaultThroughput = 125
)

// SetDisk takes what a block device mapping says of a volume, unless the request has it already. There are no other volumes than the image's: rather
// than launch without them, nothing is launched. A volume goes with its instance.
func (r *InstanceRequest) SetDisk(device string, ebs *ec2.LaunchTemplateEbsBlockDeviceRequest) error {
	if ebs == nil {
		return nil
	}
	if ebs.DeleteOnTermination != nil && !*ebs.DeleteOnTermination {
		return unsupported("Keeping a volume after its instance")
	}
	to := &r.Disk
	switch device {
	case ami.RootDevice:
	case ami.DataDevice:
		to = &r.DataDisk
		to.GiB = or(to.GiB, or(deref(ebs.VolumeSize), ami.DefaultDiskGiB))
	default:
		return fault("UnsupportedOperation", "The block device %s is not supported yet: instances have their image's volumes alone.", device)
	}
	to.GiB, to.Type = or(to.GiB, deref(ebs.VolumeSize)), or(to.Type, deref(ebs.VolumeType))
	to.IOPS, to.Throughput = or(to.IOPS, deref(ebs.Iops)), or(to.Throughput, deref(ebs.Throughput))
	to.Encrypted, to.KMSKey, to.Snapshot = or(to.Encrypted, ebs.Encrypted), or(to.KMSKey, deref(ebs.KmsKeyId)), or(to.Snapshot, deref(ebs.SnapshotId))
	return nil
}

// volumes are those of a launch, the root volume first.
func volumes(r InstanceRequest, image ami.Image) ([]resource.Volume, error) {
	least, data := int32(ami.DefaultDiskGiB), image.DataSnapshot()
	if data != "" {
		least = ami.SystemDiskGiB
	} else if r.DataDisk != (Disk{}) {
		return nil, fault("UnsupportedOperation", "The block device %s is not supported yet: instances have their image's volumes alone.", ami.DataDevice)
	}
	root, err := volume(r.Disk, ami.RootDevice, image.Snapshot, least)
	if err != nil || data == "" {
		return []resource.Volume{root}, err
	}
	second, err := volume(r.DataDisk, ami.DataDevice, data, ami.DefaultDiskGiB)
	return []resource.Volume{root, second}, err
}

// volume checks what is said of one volume against its snapshot, and fills in the rest.
func volume(d Disk, device, snapshot string, least int32) (resource.Volume, error) {
	v := resource.Volume{
		ID: awsid.New("vol"), Device: device, Snapshot: snapshot, GiB: or(d.GiB, least), Type: or(d.Type, ec2.VolumeTypeGp3),
		IOPS: d.IOPS, Throughput: d.Throughput, Encrypted: is(d.Encrypted), KMSKey: d.KMSKey,
	}
	switch {
	case d.Snapshot != "" && d.Snapshot != snapshot:
		return v, fault("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", d.Snapshot)
	case v.GiB < least:
		return v, fault("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", v.GiB, snapshot, least)
	case v.KMSKey != "" && !v.Encrypted:
		return v, fault("InvalidParameterDependency", "The parameter [KmsKeyId] requires the parameter Encrypted to be set to True.")
	}
	switch v.Type {
	case ec2.VolumeTypeGp3:
		v.IOPS, v.Throughput = or(v.IOPS, defaultIOPS), or(v.Throughput, defaultThroughput)
		return v, nil
	case ec2.VolumeTypeIo1, ec2.VolumeTypeIo2:
		if v.IOPS == 0 {
			return v, fault("MissingParameter", "The request must contain the parameter iops")
		}
	case ec2.VolumeTypeGp2, ec2.VolumeTypeStandard:
		if v.IOPS != 0 {
			return v, fault("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", v.Type)
		}
		if v.Type == ec2.VolumeTypeGp2 {
			v.IOPS = min(max(100, 3*v.GiB), 16000)
		}
	default:
		return v, fault("InvalidParameterValue", "Invalid value '%s' for VolumeType of the device %s.", v.Type, device)
	}
	if v.Throughput != 0 {
		return v, fault("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", v.Type)
	}
	return v, nil
}
