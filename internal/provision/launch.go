package provision

import (
	"errors"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func launchInterface(tx *store.Tx, r InstanceRequest, instance string, spec InterfaceSpec) (resource.NetworkInterface, error) {
	attachment := &resource.Attachment{Instance: instance, Guest: instance, DeviceIndex: spec.DeviceIndex, DeleteOnTermination: true}
	if spec.DeleteOnTermination != nil {
		attachment.DeleteOnTermination = *spec.DeleteOnTermination
	}
	if spec.ID == "" {
		s, err := LookupSubnet(tx, r.Home, spec.Subnet)
		if err != nil {
			return resource.NetworkInterface{}, err
		}
		public := spec.DeviceIndex == 0 && s.MapPublicIP
		if spec.Public != nil {
			public = *spec.Public
		}
		eni, err := Interface(tx, InterfaceRequest{
			AutoPublic: public,
			Home:       r.Home, Subnet: spec.Subnet, SecurityGroups: spec.SecurityGroups, Description: spec.Description,
			Address: spec.Address, Secondary: spec.Secondary, SecondaryCount: spec.SecondaryCount,
			Owner: instance, Attachment: attachment, Six: spec.Six, Tags: r.InterfaceTags, Now: r.Now,
		})
		if e, ok := errors.AsType[*awsapi.Error](err); ok && e.Code == noFreeAddresses {
			err = fault(noFreeAddresses, "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", spec.Subnet)
		}
		return eni, err
	}
	eni, err := LookupInterface(tx, r.Home, spec.ID)
	if err != nil {
		return eni, err
	}
	if err := attachable(eni); err != nil {
		return eni, err
	}
	if t, ok := instancetype.Lookup(r.Type); ok { // which has been checked
		if err := carries(t, eni); err != nil {
			return eni, err
		}
	}
	if spec.DeleteOnTermination == nil {
		attachment.DeleteOnTermination = false // its caller's, like any other attached later
	}
	attachment.ID, attachment.Attached = awsid.New("eni-attach"), r.Now
	eni.Attachment, eni.Owner = attachment, instance
	tx.Interfaces.Put(eni.ID, eni)
	return eni, nil
}
