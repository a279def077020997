package ec2

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxListChanges is how many entries one call may add, and remove.
const maxListChanges = 100

// CreateManagedPrefixList makes a prefix list of the caller's.
func (s *Service) CreateManagedPrefixList(ctx context.Context, call awsapi.Call, in *ec2.CreateManagedPrefixListInput) (*ec2.CreateManagedPrefixListOutput, error) {
	tags, err := specTags(in.TagSpecifications, "prefix-list")
	if err != nil {
		return nil, err
	}
	entries, err := readEntries(in.Entries)
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateManagedPrefixListOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		print := fingerprint(*in, func(c *ec2.CreateManagedPrefixListInput) { c.ClientToken, c.DryRun = nil, nil })
		if token := deref(in.ClientToken); token != "" {
			for prior := range tx.PrefixLists.Values(func(l resource.PrefixList) bool { return l.Home == homeOf(call) && l.Token == token }) {
				if prior.Print != print {
					return idempotentMismatch()
				}
				out.PrefixList = new(describePrefixList(prior))
				return nil
			}
		}
		l, err := provision.PrefixList(tx, resource.PrefixList{
			Home: homeOf(call), Name: *in.PrefixListName, Family: *in.AddressFamily, MaxEntries: *in.MaxEntries,
			Token: deref(in.ClientToken), Print: print, Tags: tags["prefix-list"],
		}, entries)
		if err != nil {
			return err
		}
		out.PrefixList = new(describePrefixList(l))
		out.PrefixList.State = new(ec2.PrefixListStateCreateInProgress)
		return nil
	})
}

// ModifyManagedPrefixList changes the entries of a prefix list, or its size, and its name.
func (s *Service) ModifyManagedPrefixList(ctx context.Context, call awsapi.Call, in *ec2.ModifyManagedPrefixListInput) (*ec2.ModifyManagedPrefixListOutput, error) {
	if err := reject(ask{"A prefix list resolver of IPAM", is(in.IpamPrefixListResolverSyncEnabled)}); err != nil {
		return nil, err
	}
	changes := len(in.AddEntries)+len(in.RemoveEntries) > 0
	if changes && in.MaxEntries != nil {
		return nil, fault("InvalidParameterCombination", "You cannot modify the entries and the maximum entries for the prefix list in the same request.")
	}
	add, err := readEntries(in.AddEntries)
	if err != nil {
		return nil, err
	}
	if len(in.RemoveEntries) > maxListChanges {
		return nil, tooManyChanges("RemoveEntry")
	}
	var remove []netip.Prefix
	for _, e := range in.RemoveEntries {
		c, err := readRange(*e.Cidr, netip.Addr.IsValid)
		if err != nil {
			return nil, err
		}
		remove = append(remove, c)
	}
	out := &ec2.ModifyManagedPrefixListOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		l, err := provision.OwnPrefixList(tx, homeOf(call), *in.PrefixListId)
		if err != nil {
			return err
		}
		if in.PrefixListName != nil {
			l.Name, l.State, l.Message = *in.PrefixListName, provision.PrefixListModified, ""
			tx.PrefixLists.Put(l.ID, l)
		}
		if in.MaxEntries != nil {
			if l, err = provision.ResizePrefixList(tx, l, *in.MaxEntries); err != nil {
				return err
			}
		}
		if changes {
			if l, err = provision.ChangePrefixList(tx, l, in.CurrentVersion, add, remove); err != nil {
				return err
			}
		}
		out.PrefixList = new(describePrefixList(l))
		out.PrefixList.State, out.PrefixList.StateMessage = new(ec2.PrefixListStateModifyInProgress), nil
		return nil
	})
}

// RestoreManagedPrefixListVersion has a prefix list hold what it held before.
func (s *Service) RestoreManagedPrefixListVersion(ctx context.Context, call awsapi.Call, in *ec2.RestoreManagedPrefixListVersionInput) (*ec2.RestoreManagedPrefixListVersionOutput, error) {
	out := &ec2.RestoreManagedPrefixListVersionOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		l, err := provision.OwnPrefixList(tx, homeOf(call), *in.PrefixListId)
		if err != nil {
			return err
		}
		if l, err = provision.RestorePrefixList(tx, l, *in.CurrentVersion, *in.PreviousVersion); err != nil {
			return err
		}
		out.PrefixList = new(describePrefixList(l))
		out.PrefixList.State = new(ec2.PrefixListStateRestoreInProgress)
		return nil
	})
}

// DeleteManagedPrefixList takes a prefix list away. EC2 answers that it is on its way; one
// that is still referred to is found to be delete-failed.
func (s *Service) DeleteManagedPrefixList(ctx context.Context, call awsapi.Call, in *ec2.DeleteManagedPrefixListInput) (*ec2.DeleteManagedPrefixListOutput, error) {
	out := &ec2.DeleteManagedPrefixListOutput{}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		l, err := provision.OwnPrefixList(tx, homeOf(call), *in.PrefixListId)
		if err != nil {
			return err
		}
		provision.DeletePrefixList(tx, l)
		out.PrefixList = new(describePrefixList(l))
		out.PrefixList.State = new(ec2.PrefixListStateDeleteInProgress)
		return nil
	})
}

// DescribeManagedPrefixLists lists the caller's prefix lists and AWS's.
func (s *Service) DescribeManagedPrefixLists(ctx context.Context, call awsapi.Call, in *ec2.DescribeManagedPrefixListsInput) (*ec2.DescribeManagedPrefixListsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.ManagedPrefixList]{
		"owner-id":         func(l ec2.ManagedPrefixList) []string { return text(l.OwnerId) },
		"prefix-list-id":   func(l ec2.ManagedPrefixList) []string { return text(l.PrefixListId) },
		"prefix-list-name": func(l ec2.ManagedPrefixList) []string { return text(l.PrefixListName) },
	}, func(l ec2.ManagedPrefixList) []ec2.Tag { return l.Tags })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeManagedPrefixListsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lists, err := prefixLists(tx, homeOf(call), in.PrefixListIds)
		if err != nil {
			return err
		}
		var all []ec2.ManagedPrefixList
		for _, l := range lists {
			if d := describePrefixList(l); match(d) {
				all = append(all, d)
			}
		}
		out.PrefixLists, out.NextToken, err = page(all, func(l ec2.ManagedPrefixList) string { return *l.PrefixListId }, in.MaxResults, in.NextToken, maxListChanges)
		return err
	})
}

// DescribePrefixLists lists the prefix lists of AWS's own services with their blocks.
func (s *Service) DescribePrefixLists(ctx context.Context, call awsapi.Call, in *ec2.DescribePrefixListsInput) (*ec2.DescribePrefixListsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.PrefixList]{
		"prefix-list-id":   func(l ec2.PrefixList) []string { return text(l.PrefixListId) },
		"prefix-list-name": func(l ec2.PrefixList) []string { return text(l.PrefixListName) },
	}, nil)
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribePrefixListsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		lists, err := prefixLists(tx, homeOf(call), in.PrefixListIds)
		if err != nil {
			return err
		}
		var all []ec2.PrefixList
		for _, l := range lists {
			d := ec2.PrefixList{PrefixListId: &l.ID, PrefixListName: &l.Name}
			for _, e := range l.Entries() {
				d.Cidrs = append(d.Cidrs, e.CIDR.String())
			}
			if l.Managed && match(d) {
				all = append(all, d)
			}
		}
		out.PrefixLists, out.NextToken, err = page(all, func(l ec2.PrefixList) string { return *l.PrefixListId }, in.MaxResults, in.NextToken, 0)
		return err
	})
}

// prefixLists are AWS's lists and the caller's, or those with the ids, in their order.
func prefixLists(tx *store.Tx, home resource.Home, ids []string) ([]resource.PrefixList, error) {
	var out []resource.PrefixList
	if len(ids) == 0 {
		out = provision.AWSPrefixLists(home.Region)
		out = slices.AppendSeq(out, tx.PrefixLists.Values(func(l resource.PrefixList) bool { return l.Home == home }))
	}
	for _, id := range ids {
		l, err := provision.LookupPrefixList(tx, home, id)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b resource.PrefixList) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// GetManagedPrefixListEntries lists the entries of a prefix list, or of an earlier version.
func (s *Service) GetManagedPrefixListEntries(ctx context.Context, call awsapi.Call, in *ec2.GetManagedPrefixListEntriesInput) (*ec2.GetManagedPrefixListEntriesOutput, error) {
	out := &ec2.GetManagedPrefixListEntriesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		l, err := provision.LookupPrefixList(tx, homeOf(call), *in.PrefixListId)
		if err != nil {
			return err
		}
		entries := l.Entries()
		if v := in.TargetVersion; v != nil {
			if *v < 1 || *v > l.Version() || l.Managed {
				return fault("InvalidPrefixListVersion.NotFound", "The prefix list (%s) has no version %d.", l.ID, *v)
			}
			entries = l.Versions[*v-1]
		}
		var all []ec2.PrefixListEntry
		for _, e := range entries {
			all = append(all, ec2.PrefixListEntry{Cidr: new(e.CIDR.String()), Description: some(e.Description)})
		}
		key := func(e ec2.PrefixListEntry) string { return *e.Cidr }
		slices.SortFunc(all, func(a, b ec2.PrefixListEntry) int { return strings.Compare(key(a), key(b)) })
		out.Entries, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, maxListChanges)
		return err
	})
}

// GetManagedPrefixListAssociations lists what refers to a prefix list.
func (s *Service) GetManagedPrefixListAssociations(ctx context.Context, call awsapi.Call, in *ec2.GetManagedPrefixListAssociationsInput) (*ec2.GetManagedPrefixListAssociationsOutput, error) {
	out := &ec2.GetManagedPrefixListAssociationsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		l, err := provision.OwnPrefixList(tx, homeOf(call), *in.PrefixListId)
		if err != nil {
			return err
		}
		var all []ec2.PrefixListAssociation
		for _, id := range provision.PrefixListUsers(tx, l.ID) {
			all = append(all, ec2.PrefixListAssociation{ResourceId: &id, ResourceOwner: &call.Account})
		}
		out.PrefixListAssociations, out.NextToken, err = page(all, func(a ec2.PrefixListAssociation) string { return *a.ResourceId }, in.MaxResults, in.NextToken, 0)
		return err
	})
}

func readEntries(in []ec2.AddPrefixListEntry) ([]resource.PrefixListEntry, error) {
	if len(in) > maxListChanges {
		return nil, tooManyChanges("AddEntry")
	}
	var out []resource.PrefixListEntry
	for _, e := range in {
		c, err := readRange(*e.Cidr, netip.Addr.IsValid)
		if err != nil {
			return nil, err
		}
		out = append(out, resource.PrefixListEntry{CIDR: c, Description: deref(e.Description)})
	}
	return out, nil
}

func tooManyChanges(parameter string) error {
	return fault("InvalidParameterValue", "%s has more than %d items.", parameter, maxListChanges)
}

func describePrefixList(l resource.PrefixList) ec2.ManagedPrefixList {
	out := ec2.ManagedPrefixList{
		PrefixListId: &l.ID, PrefixListName: &l.Name, AddressFamily: &l.Family, OwnerId: &l.Account, State: &l.State, StateMessage: some(l.Message),
		PrefixListArn: new("arn:aws:ec2:" + l.Region + ":" + strings.ToLower(l.Account) + ":prefix-list/" + l.ID), Tags: tagSet(l.Tags),
	}
	if !l.Managed {
		out.MaxEntries, out.Version = &l.MaxEntries, new(l.Version())
	}
	return out
}
