package provision

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Families of prefix lists, as the API spells them.
const (
	FamilyIPv4 = "IPv4"
	FamilyIPv6 = "IPv6"
)

// States of prefix lists that stay; those "in-progress" are over before anybody can ask.
const (
	PrefixListCreated      = "create-complete"
	PrefixListModified     = "modify-complete"
	PrefixListRestored     = "restore-complete"
	PrefixListModifyFailed = "modify-failed"
	PrefixListDeleteFailed = "delete-failed"
)

// maxPrefixListEntries is EC2's quota of one list.
const maxPrefixListEntries = 1000

// ServicesAddress is where the services of AWS's are that are reached by gateway endpoints:
// what AWS-managed prefix lists hold.
var ServicesAddress = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, 1}), 32)

// AWSPrefixLists are the lists that AWS manages: one for each service with a gateway endpoint.
func AWSPrefixLists(region string) []resource.PrefixList {
	var out []resource.PrefixList
	for name, kind := range EndpointServices {
		if kind != EndpointGateway {
			continue
		}
		l := resource.PrefixList{Home: resource.Home{Account: "AWS", Region: region}, Name: "com.amazonaws." + region + "." + name, Family: FamilyIPv4, Managed: true, State: PrefixListCreated}
		h := fnv.New32a()
		h.Write([]byte(l.Name))
		l.ID = fmt.Sprintf("pl-%08x", h.Sum32())
		l.Versions = [][]resource.PrefixListEntry{{{CIDR: ServicesAddress}}}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b resource.PrefixList) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// LookupPrefixList returns a prefix list of home or of AWS's.
func LookupPrefixList(tx *store.Tx, home resource.Home, id string) (resource.PrefixList, error) {
	for _, l := range AWSPrefixLists(home.Region) {
		if l.ID == id {
			return l, nil
		}
	}
	if l, ok := tx.PrefixLists.Get(id); ok && l.Home == home {
		return l, nil
	}
	if err := PrefixLists.Check(id); err != nil {
		return resource.PrefixList{}, err
	}
	return resource.PrefixList{}, fault("InvalidPrefixListID.NotFound", "The prefix list (%s) does not exist.", id)
}

// OwnPrefixList is LookupPrefixList for one that its caller wants to change.
func OwnPrefixList(tx *store.Tx, home resource.Home, id string) (resource.PrefixList, error) {
	l, err := LookupPrefixList(tx, home, id)
	if err == nil && l.Managed {
		return l, fault("OperationNotPermitted", "The prefix list (%s) is managed by AWS and cannot be changed.", id)
	}
	return l, err
}

// PrefixList makes a prefix list of l, which has to have a name, a family, a size and
// its entries.
func PrefixList(tx *store.Tx, l resource.PrefixList, entries []resource.PrefixListEntry) (resource.PrefixList, error) {
	switch {
	case l.Name == "" || len(l.Name) > 255 || strings.HasPrefix(l.Name, "com.amazonaws"):
		return l, fault("InvalidParameterValue", "The prefix list name (%s) is invalid.", l.Name)
	case l.Family != FamilyIPv4 && l.Family != FamilyIPv6:
		return l, fault("InvalidParameterValue", "The address family (%s) is invalid. The address family must be IPv4 or IPv6.", l.Family)
	}
	if err := checkSize(l.MaxEntries, 0); err != nil {
		return l, err
	}
	entries, err := addEntries(l, nil, entries)
	if err != nil {
		return l, err
	}
	l.ID, l.State, l.Versions = awsid.New("pl"), PrefixListCreated, [][]resource.PrefixListEntry{entries}
	tx.PrefixLists.Put(l.ID, l)
	return l, nil
}

// ChangePrefixList takes entries out of a list and puts others in, which is a new version.
func ChangePrefixList(tx *store.Tx, l resource.PrefixList, version *int64, add []resource.PrefixListEntry, remove []netip.Prefix) (resource.PrefixList, error) {
	if err := checkVersion(l, version); err != nil {
		return l, err
	}
	entries := slices.Clone(l.Entries())
	for _, c := range remove {
		at := slices.IndexFunc(entries, func(e resource.PrefixListEntry) bool { return e.CIDR == c })
		if at < 0 {
			return l, fault("InvalidPrefixListModification", "An entry with the CIDR (%s) does not exist.", c)
		}
		if slices.ContainsFunc(add, func(e resource.PrefixListEntry) bool { return e.CIDR == c }) {
			return l, fault("InvalidPrefixListModification", "The CIDR (%s) cannot be added and removed in the same request.", c)
		}
		entries = slices.Delete(entries, at, at+1)
	}
	entries, err := addEntries(l, entries, add)
	if err != nil {
		return l, err
	}
	l.Versions = append(slices.Clone(l.Versions), entries)
	l.State, l.Message = PrefixListModified, ""
	tx.PrefixLists.Put(l.ID, l)
	return l, nil
}

// RestorePrefixList makes an earlier version's entries those of a new one.
func RestorePrefixList(tx *store.Tx, l resource.PrefixList, version, previous int64) (resource.PrefixList, error) {
	if err := checkVersion(l, &version); err != nil {
		return l, err
	}
	if previous < 1 || previous >= l.Version() {
		return l, fault("InvalidParameterValue", "The prefix list (%s) has no previous version %d.", l.ID, previous)
	}
	entries := l.Versions[previous-1]
	if len(entries) > int(l.MaxEntries) {
		return l, tooManyEntries(l)
	}
	l.Versions = append(slices.Clone(l.Versions), entries)
	l.State, l.Message = PrefixListRestored, ""
	tx.PrefixLists.Put(l.ID, l)
	return l, nil
}

// ResizePrefixList changes how many entries a list may have. Where a security group would
// have too many rules then, it stays as it is, and its state tells.
func ResizePrefixList(tx *store.Tx, l resource.PrefixList, size int32) (resource.PrefixList, error) {
	if err := checkSize(size, len(l.Entries())); err != nil {
		return l, err
	}
	before := l.MaxEntries
	l.MaxEntries = size
	tx.PrefixLists.Put(l.ID, l)
	var full []string
	for _, id := range PrefixListUsers(tx, l.ID) {
		if g, ok := tx.SecurityGroups.Get(id); ok && checkRuleCount(tx, g) != nil {
			full = append(full, id)
		}
	}
	l.State, l.Message = PrefixListModified, ""
	if len(full) > 0 {
		l.MaxEntries, l.State = before, PrefixListModifyFailed
		l.Message = "The following resources do not support the new maximum size: " + strings.Join(full[:min(10, len(full))], ", ")
	}
	tx.PrefixLists.Put(l.ID, l)
	return l, nil
}

// DeletePrefixList takes a list away. One that something refers to stays, and its state tells.
func DeletePrefixList(tx *store.Tx, l resource.PrefixList) {
	users := PrefixListUsers(tx, l.ID)
	if len(users) == 0 {
		tx.PrefixLists.Delete(l.ID)
		return
	}
	l.State = PrefixListDeleteFailed
	l.Message = "The prefix list is referenced by the following resources: " + strings.Join(users[:min(10, len(users))], ", ")
	tx.PrefixLists.Put(l.ID, l)
}

// PrefixListUsers are the ids of the security groups and route tables that refer to a list.
func PrefixListUsers(tx *store.Tx, id string) []string {
	var out []string
	for _, g := range tx.SecurityGroups.All() {
		if slices.ContainsFunc(g.Rules, func(r resource.SecurityGroupRule) bool { return r.PrefixList == id }) {
			out = append(out, g.ID)
		}
	}
	for _, t := range tx.RouteTables.All() {
		if slices.ContainsFunc(t.Routes, func(r resource.Route) bool { return r.PrefixList == id }) {
			out = append(out, t.ID)
		}
	}
	slices.Sort(out)
	return out
}

func checkSize(size int32, entries int) error {
	if size < 1 || size > maxPrefixListEntries || int(size) < entries {
		return fault("InvalidParameterValue", "The maximum number of entries (%d) is invalid. It must be between %d and %d.", size, max(1, entries), maxPrefixListEntries)
	}
	return nil
}

func checkVersion(l resource.PrefixList, version *int64) error {
	if version == nil {
		return fault("MissingParameter", "The request must contain the parameter CurrentVersion")
	}
	if *version != l.Version() {
		return fault("PrefixListVersionMismatch", "The prefix list has the incorrect version number.")
	}
	return nil
}

// addEntries is have and more, which has to be of the list's family and new to it.
func addEntries(l resource.PrefixList, have, more []resource.PrefixListEntry) ([]resource.PrefixListEntry, error) {
	for _, e := range more {
		if e.CIDR.Addr().Is4() != (l.Family == FamilyIPv4) {
			return nil, fault("InvalidParameterValue", "The CIDR (%s) is not of the address family %s.", e.CIDR, l.Family)
		}
		if slices.ContainsFunc(have, func(o resource.PrefixListEntry) bool { return o.CIDR == e.CIDR }) {
			return nil, fault("InvalidPrefixListModification", "An entry with the CIDR (%s) and description (%s) already exists.", e.CIDR, e.Description)
		}
		have = append(have, e)
	}
	if len(have) > int(l.MaxEntries) {
		return nil, tooManyEntries(l)
	}
	return have, nil
}

func tooManyEntries(l resource.PrefixList) error {
	return fault("PrefixListMaxEntriesExceeded", "The prefix list cannot have more than %d entries.", l.MaxEntries)
}
