package provision

import (
	"ekster.dev/ekster/internal/ami"
)

// SetDisk takes the size of a volume from a block device mapping, unless the request has it
// already. There are no other volumes than the image's: rather than launch without them,
// nothing is launched.
func (r *InstanceRequest) SetDisk(device string, size *int32) error {
	switch device {
	case ami.RootDevice:
		r.DiskGiB = or(r.DiskGiB, deref(size))
	case ami.DataDevice:
		r.DataDiskGiB = or(r.DataDiskGiB, or(deref(size), ami.DefaultDiskGiB))
	default:
		return fault("UnsupportedOperation", "The block device %s is not supported yet: instances have their image's volumes alone.", device)
	}
	return nil
}

// checkDisks checks the sizes asked for against the image's.
func checkDisks(r InstanceRequest, image ami.Image) error {
	least, data := int32(ami.DefaultDiskGiB), image.DataSnapshot()
	if data != "" {
		least = ami.SystemDiskGiB
		if r.DataDiskGiB != 0 && r.DataDiskGiB < ami.DefaultDiskGiB {
			return tooSmall(r.DataDiskGiB, data, ami.DefaultDiskGiB)
		}
	} else if r.DataDiskGiB != 0 {
		return fault("UnsupportedOperation", "The block device %s is not supported yet: instances have their image's volumes alone.", ami.DataDevice)
	}
	if r.DiskGiB != 0 && r.DiskGiB < least {
		return tooSmall(r.DiskGiB, image.Snapshot, least)
	}
	return nil
}

func tooSmall(size int32, snapshot string, least int32) error {
	return fault("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", size, snapshot, least)
}

// diskOf is the size of the machine's one disk. Of a Bottlerocket instance it is that of the
// data volume: the node's storage.
func diskOf(r InstanceRequest) int32 {
	if image, ok := ami.ByID(r.Home.Region, r.Image); ok && image.Variant == ami.Bottlerocket {
		return or(r.DataDiskGiB, ami.DefaultDiskGiB)
	}
	return or(r.DiskGiB, ami.DefaultDiskGiB)
}
