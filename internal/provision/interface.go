package provision

import (
	"net/netip"
	"slices"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/instancetype"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// An InterfaceRequest says what network interface to make.
type InterfaceRequest struct {
	Home             resource.Home
	Subnet           string
	SecurityGroups   []string // none: the VPC's default group
	Description      string
	Address          netip.Addr   // the primary one; invalid: any
	Secondary        []netip.Addr // wanted ones
	SecondaryCount   int          // and as many of any
	NoSourceCheck    bool
	RequesterManaged bool
	RequesterID      string
	Type             string               // "" is interface
	AutoPublic       bool                 // it gets a public address
	Owner            string               // who holds it: an instance id, "cp-…"
	Attachment       *resource.Attachment // ID and Attached are filled in
	Six              Request6             // and IPv6 addresses, and ranges
	Tags             resource.Tags
	Now              time.Time
}

// Interface makes a network interface. Attached ones are made here with their
// attachment; Attach is for those that are there already.
func Interface(tx *store.Tx, r InterfaceRequest) (resource.NetworkInterface, error) {
	none := resource.NetworkInterface{}
	s, err := LookupSubnet(tx, r.Home, r.Subnet)
	if err != nil {
		return none, err
	}
	groups, err := groupsFor(tx, s, r.SecurityGroups)
	if err != nil {
		return none, err
	}
	wants := append([]netip.Addr{r.Address}, r.Secondary...)
	wants = append(wants, make([]netip.Addr, r.SecondaryCount)...)
	addresses, err := takeAddresses(tx, s, wants)
	if err != nil {
		return none, err
	}
	i := resource.NetworkInterface{
		Home: r.Home, ID: awsid.New("eni"), VPC: s.VPC, Subnet: s.ID, Zone: s.Zone, MAC: newMAC(tx),
		Description: r.Description, InterfaceType: or(r.Type, "interface"), AutoPublic: r.AutoPublic, Addresses: addresses, SecurityGroups: groups,
		SourceDestCheck: !r.NoSourceCheck, RequesterManaged: r.RequesterManaged, RequesterID: r.RequesterID,
		Owner: r.Owner, Created: r.Now, Tags: r.Tags,
	}
	if r.Attachment != nil {
		a := *r.Attachment
		a.ID, a.Attached = awsid.New("eni-attach"), r.Now
		i.Attachment = &a
	}
	if r.AutoPublic {
		ip, err := publicAddress(tx)
		if err != nil {
			return none, err
		}
		i.PublicIP = ip.String()
	}
	tx.Interfaces.Put(i.ID, i)
	if r.Six.Count == 0 && len(r.Six.Addresses) == 0 && s.AssignIPv6 && i.InterfaceType == "interface" {
		r.Six.Count = 1
	}
	if _, _, err := Assign6(tx, r.Home, i.ID, r.Six); err != nil {
		return none, err
	}
	if r.Six.Primary {
		if err := EnablePrimary6(tx, r.Home, i.ID); err != nil {
			return none, err
		}
	}
	i, _ = tx.Interfaces.Get(i.ID)
	return i, nil
}

// newMAC is an address that no other interface has: 32 random bits would repeat one
// day, and two interfaces with one address are hard to find.
func newMAC(tx *store.Tx) string {
	used := map[string]bool{}
	for _, i := range tx.Interfaces.All() {
		used[i.MAC] = true
	}
	for {
		if m := awsid.MAC(); !used[m] {
			return m
		}
	}
}

// DeleteInterface takes an interface away, attached or not; it is for its owner.
// Deleting one that is not there does nothing. Callers of EC2's API have to detach it
// first, which service/ec2 sees to.
func DeleteInterface(tx *store.Tx, id string) error {
	if eni, ok := tx.Interfaces.Get(id); ok {
		freeElastic(tx, eni)
	}
	tx.Interfaces.Delete(id)
	return nil
}

// InterfacesOf returns the interfaces attached to an instance, by device index.
func InterfacesOf(tx *store.Tx, instance string) []resource.NetworkInterface {
	var out []resource.NetworkInterface
	for _, i := range tx.Interfaces.All() {
		if i.Attachment != nil && i.Attachment.Instance == instance {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b resource.NetworkInterface) int {
		return int(a.Attachment.DeviceIndex - b.Attachment.DeviceIndex)
	})
	return out
}

// Forwards says whether a route to the interface leads anywhere: whether it is attached to
// what runs.
func Forwards(tx *store.Tx, id string) bool {
	eni, ok := tx.Interfaces.Get(id)
	if !ok || eni.Attachment == nil {
		return false
	}
	i, ok := tx.Instances.Get(eni.Attachment.Instance)
	return !ok || i.Current() == resource.InstancePending || i.Current() == resource.InstanceRunning
}

// Attach plugs an interface into an instance, within what its type takes.
func Attach(tx *store.Tx, home resource.Home, id, instance string, device int32, now time.Time) (resource.NetworkInterface, error) {
	none := resource.NetworkInterface{}
	eni, err := LookupInterface(tx, home, id)
	if err != nil {
		return none, err
	}
	i, err := LookupInstance(tx, home, instance)
	if err != nil {
		return none, err
	}
	if err := attachable(eni); err != nil {
		return none, err
	}
	switch i.Current() {
	case resource.InstanceShuttingDown, resource.InstanceTerminated:
		return none, fault("IncorrectState", "Instance '%s' is not 'running' or 'stopped'.", instance)
	}
	if eni.Zone != i.Spec.Zone {
		return none, fault("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
	}
	if eni.VPC != i.Spec.VPC {
		return none, fault("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same VPC")
	}
	have := InterfacesOf(tx, instance)
	if slices.ContainsFunc(have, func(o resource.NetworkInterface) bool { return o.Attachment.DeviceIndex == device }) {
		return none, fault("InvalidParameterValue", "Instance '%s' already has an interface attached at device index '%d'.", instance, device)
	}
	t, err := typeOf(i)
	if err != nil {
		return none, err
	}
	if len(have) >= t.MaxENIs || device < 0 {
		return none, fault("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(have)+1, t.Name)
	}
	if err := carries(t, eni); err != nil {
		return none, err
	}
	eni.Attachment = &resource.Attachment{
		ID: awsid.New("eni-attach"), Instance: instance, Guest: instance, DeviceIndex: device, Attached: now,
	}
	eni.Owner = instance
	tx.Interfaces.Put(eni.ID, eni)
	return eni, nil
}

// attachable says why an interface is none to attach to an instance.
func attachable(eni resource.NetworkInterface) error {
	if eni.RequesterManaged {
		return fault("AuthFailure", "You do not have permission to access the specified resource.")
	}
	if eni.Attachment != nil {
		return fault("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", eni.ID)
	}
	return nil
}

// carries refuses an interface with more addresses than instances of the type take.
func carries(t instancetype.Type, eni resource.NetworkInterface) error {
	if len(eni.Addresses)+count(eni.Prefixes, false) > t.IPv4PerENI || len(eni.Addresses6)+count(eni.Prefixes, true) > t.IPv4PerENI {
		return addressLimit()
	}
	return nil
}

// Detach unplugs the interface that has the attachment.
func Detach(tx *store.Tx, home resource.Home, attachment string) error {
	for _, eni := range tx.Interfaces.All() {
		if eni.Home != home || eni.Attachment == nil || eni.Attachment.ID != attachment {
			continue
		}
		switch {
		case eni.RequesterManaged || eni.Attachment.Instance == "":
			return fault("OperationNotPermitted", "You are not allowed to manage '%s' attachments.", attachment)
		case eni.Attachment.DeviceIndex == 0:
			return fault("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
		}
		eni.Attachment, eni.Owner = nil, ""
		tx.Interfaces.Put(eni.ID, eni)
		return nil
	}
	return fault("InvalidAttachmentID.NotFound", "The interface attachment '%s' does not exist.", attachment)
}

// AssignAddresses gives an interface more addresses: those wanted, and more of any. It
// returns the new ones. With reassign, wanted ones may be secondary addresses of other
// interfaces, which lose them, with their elastic addresses.
func AssignAddresses(tx *store.Tx, home resource.Home, id string, wants []netip.Addr, more int, reassign bool) ([]netip.Addr, error) {
	eni, err := LookupInterface(tx, home, id)
	if err != nil {
		return nil, err
	}
	s, err := LookupSubnet(tx, home, eni.Subnet)
	if err != nil {
		return nil, err
	}
	limit, err := addressesOf(tx, eni)
	if err != nil {
		return nil, err
	}
	if len(eni.Addresses)+len(wants)+more+count(eni.Prefixes, false) > limit {
		return nil, addressLimit()
	}
	var moved []resource.Address
	if reassign {
		if moved, err = giveUp(tx, home, eni, wants); err != nil {
			return nil, err
		}
	}
	got, err := takeAddresses(tx, s, append(slices.Clone(wants), make([]netip.Addr, more)...))
	if err != nil {
		return nil, err
	}
	eni.Addresses = append(eni.Addresses, got...)
	tx.Interfaces.Put(id, eni)
	for _, a := range moved {
		private := a.Private
		if err := DisassociateAddress(tx, a); err != nil {
			return nil, err
		}
		a, _ = tx.Addresses.Get(a.ID)
		eni, _ = tx.Interfaces.Get(id)
		if _, err := AssociateAddress(tx, a, eni, private, false); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// giveUp takes addresses away from the interfaces that have them as secondary ones, and returns
// the elastic addresses of them.
func giveUp(tx *store.Tx, home resource.Home, to resource.NetworkInterface, wants []netip.Addr) (elastic []resource.Address, err error) {
	for _, want := range wants {
		for key, other := range tx.Interfaces.All() {
			at := slices.Index(other.Addresses, want)
			if other.Subnet != to.Subnet || other.ID == to.ID || at < 0 {
				continue
			}
			if at == 0 || other.RequesterManaged || other.Home != home {
				return nil, fault("InvalidParameterValue", "The private IP address %s is the primary one of another interface and cannot be reassigned", want)
			}
			if a, ok := tx.Addresses.Get(elasticOf(other, want)); ok {
				elastic = append(elastic, a)
			}
			other, _ = tx.Interfaces.Get(key)
			other.Addresses = slices.Delete(other.Addresses, at, at+1)
			tx.Interfaces.Put(key, other)
			break
		}
	}
	return elastic, nil
}

// addressesOf is how many addresses and ranges of one family an interface may have: as
// many of IPv6 as of IPv4.
func addressesOf(tx *store.Tx, eni resource.NetworkInterface) (int, error) {
	if eni.Attachment == nil || eni.Attachment.Instance == "" {
		return maxAddresses, nil
	}
	i, ok := tx.Instances.Get(eni.Attachment.Instance)
	if !ok {
		return maxAddresses, nil // it is being launched
	}
	t, err := typeOf(i)
	return t.IPv4PerENI, err
}

// UnassignAddresses takes secondary addresses away from an interface.
func UnassignAddresses(tx *store.Tx, home resource.Home, id string, addresses []netip.Addr) error {
	eni, err := LookupInterface(tx, home, id)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		at := slices.Index(eni.Addresses, a)
		switch {
		case at == 0:
			return fault("InvalidParameterValue", "The primary private IP address %s of interface %s cannot be unassigned", a, id)
		case at < 0:
			return fault("InvalidParameterValue", "Some of %v are not assigned to interface %s", addresses, id)
		}
		if public, ok := tx.Addresses.Get(elasticOf(eni, a)); ok {
			if err := DisassociateAddress(tx, public); err != nil {
				return err
			}
			eni.SecondaryPublic = slices.DeleteFunc(eni.SecondaryPublic, func(p resource.PublicAddress) bool { return p.Private == a })
		}
		eni.Addresses = slices.Delete(eni.Addresses, at, at+1)
	}
	tx.Interfaces.Put(id, eni)
	return nil
}

// SetGroups changes an interface's security groups, and with the primary interface
// its instance's.
func SetGroups(tx *store.Tx, home resource.Home, id string, groups []string) error {
	eni, err := LookupInterface(tx, home, id)
	if err != nil {
		return err
	}
	s, err := LookupSubnet(tx, home, eni.Subnet)
	if err != nil {
		return err
	}
	if eni.SecurityGroups, err = groupsFor(tx, s, groups); err != nil {
		return err
	}
	tx.Interfaces.Put(id, eni)
	if a := eni.Attachment; a != nil && a.DeviceIndex == 0 {
		if i, ok := tx.Instances.Get(a.Instance); ok {
			i.Spec.SecurityGroups = eni.SecurityGroups
			tx.Instances.Put(i.ID, i)
		}
	}
	return nil
}

// maxAddresses is the largest number of addresses of one interface on any type.
const maxAddresses = 64

func addressLimit() error {
	return fault("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.")
}

func typeOf(i resource.Instance) (instancetype.Type, error) {
	t, ok := instancetype.Lookup(i.Spec.Type)
	if !ok {
		return t, badType(i.Spec.Type)
	}
	return t, nil
}

func badType(name string) error {
	return fault("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
}
