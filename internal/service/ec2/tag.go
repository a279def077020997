package ec2

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Limits of tags.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// tagSet is a resource's tags as EC2 shows them.
func tagSet(t resource.Tags) []ec2.Tag {
	out := make([]ec2.Tag, 0, len(t))
	for _, k := range slices.Sorted(maps.Keys(t)) {
		out = append(out, ec2.Tag{Key: &k, Value: new(t[k])})
	}
	return out
}

// readTags checks tags that a caller wants to set.
func readTags(in []ec2.Tag) (resource.Tags, error) {
	out := resource.Tags{}
	for _, t := range in {
		k, v := deref(t.Key), deref(t.Value)
		_, twice := out[k]
		switch {
		case k == "":
			return nil, fault("InvalidParameterValue", "Tag key cannot be empty")
		case utf8.RuneCountInString(k) > maxTagKey:
			return nil, fault("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
		case utf8.RuneCountInString(v) > maxTagValue:
			return nil, fault("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		case reserved(k):
			return nil, fault("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case twice:
			return nil, fault("InvalidParameterValue", "Duplicate tag key '%s' specified.", k)
		}
		out[k] = v
	}
	return out, checkTagCount(out)
}

func reserved(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }

// checkTagCount counts what the limit counts: not the reserved ones.
func checkTagCount(t resource.Tags) error {
	n := 0
	for k := range t {
		if !reserved(k) {
			n++
		}
	}
	if n > maxTags {
		return fault("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return nil
}

// specTags reads the tag specifications of a create: resource type → tags. Only the
// types named may be given.
func specTags(in []ec2.TagSpecification, types ...string) (map[string]resource.Tags, error) {
	out := map[string]resource.Tags{}
	for _, s := range in {
		typ := deref(s.ResourceType)
		if typ == "" {
			return nil, missing("ResourceType")
		}
		if !slices.Contains(types, typ) {
			return nil, fault("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", typ)
		}
		if _, twice := out[typ]; twice {
			return nil, fault("InvalidParameterValue", "The same resource type may not be specified more than once in tag specifications")
		}
		tags, err := readTags(s.Tags)
		if err != nil {
			return nil, err
		}
		out[typ] = tags
	}
	return out, nil
}

// CreateTags sets tags of any resources, all or none.
func (s *Service) CreateTags(ctx context.Context, call awsapi.Call, in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	if len(in.Tags) == 0 {
		return nil, missing("Tag")
	}
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return changeTags(tx, homeOf(call), in.Resources, func(t resource.Tags) (resource.Tags, error) {
			t = t.With(tags)
			return t, checkTagCount(t)
		})
	})
}

// DeleteTags takes tags off resources: those with the keys named, and the values too
// where values are given; without any, all that are not reserved.
func (s *Service) DeleteTags(ctx context.Context, call awsapi.Call, in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	for _, t := range in.Tags {
		if reserved(deref(t.Key)) {
			return nil, fault("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return changeTags(tx, homeOf(call), in.Resources, func(t resource.Tags) (resource.Tags, error) {
			out := t.With(nil)
			if len(in.Tags) == 0 {
				maps.DeleteFunc(out, func(k, _ string) bool { return !reserved(k) })
			}
			for _, d := range in.Tags {
				k := deref(d.Key)
				if v, ok := out[k]; ok && (d.Value == nil || *d.Value == v) {
					delete(out, k)
				}
			}
			return out, nil
		})
	})
}

// changeTags gives the tags of every one of ids to change and keeps what it returns.
func changeTags(tx *store.Tx, home resource.Home, ids []string, change func(resource.Tags) (resource.Tags, error)) error {
	for _, id := range ids {
		if err := changeTagsOf(tx, home, id, change); err != nil {
			return err
		}
	}
	return nil
}

func changeTagsOf(tx *store.Tx, home resource.Home, id string, change func(resource.Tags) (resource.Tags, error)) error {
	prefix, _, _ := strings.Cut(id, "-")
	switch prefix + "-" {
	case provision.VPCs.Prefix:
		v, err := provision.LookupVPC(tx, home, id)
		return retag(err, tx.VPCs, id, &v, &v.Tags, change)
	case provision.Subnets.Prefix:
		v, err := provision.LookupSubnet(tx, home, id)
		return retag(err, tx.Subnets, id, &v, &v.Tags, change)
	case provision.RouteTables.Prefix:
		v, err := provision.LookupRouteTable(tx, home, id)
		return retag(err, tx.RouteTables, id, &v, &v.Tags, change)
	case provision.InternetGateways.Prefix:
		v, err := provision.LookupInternetGateway(tx, home, id)
		return retag(err, tx.InternetGateways, id, &v, &v.Tags, change)
	case provision.SecurityGroups.Prefix:
		v, err := provision.LookupSecurityGroup(tx, home, id)
		return retag(err, tx.SecurityGroups, id, &v, &v.Tags, change)
	case provision.NetworkInterfaces.Prefix:
		v, err := provision.LookupInterface(tx, home, id)
		return retag(err, tx.Interfaces, id, &v, &v.Tags, change)
	case provision.Instances.Prefix:
		v, err := provision.LookupInstance(tx, home, id)
		return retag(err, tx.Instances, id, &v, &v.Tags, change)
	case provision.Addresses.Prefix:
		v, err := provision.LookupAddress(tx, home, id, "")
		return retag(err, tx.Addresses, id, &v, &v.Tags, change)
	case provision.NetworkACLs.Prefix:
		v, err := provision.LookupNetworkACL(tx, home, id)
		return retag(err, tx.NetworkACLs, id, &v, &v.Tags, change)
	case provision.Endpoints.Prefix:
		v, err := provision.LookupEndpoint(tx, home, id)
		return retag(err, tx.VPCEndpoints, id, &v, &v.Tags, change)
	case provision.EgressOnly.Prefix:
		v, err := lookupEgressOnly(tx, home, id)
		return retag(err, tx.EgressOnlyGateways, id, &v, &v.Tags, change)
	case provision.DHCPOptions.Prefix:
		v, err := provision.LookupDHCPOptions(tx, home, id)
		return retag(err, tx.DHCPOptions, id, &v, &v.Tags, change)
	case provision.PrefixLists.Prefix:
		v, err := provision.OwnPrefixList(tx, home, id)
		return retag(err, tx.PrefixLists, id, &v, &v.Tags, change)
	case provision.NATGateways.Prefix:
		v, ok := tx.NATGateways.Get(id)
		if !ok || v.Home != home {
			return provision.NATGateways.NotFound(id)
		}
		return retag(nil, tx.NATGateways, id, &v, &v.Tags, change)
	case provision.Peerings.Prefix:
		v, ok := tx.PeeringConnections.Get(id)
		if !ok || v.Home != home {
			return provision.Peerings.NotFound(id)
		}
		return retag(nil, tx.PeeringConnections, id, &v, &v.Tags, change)
	case "lt-":
		v, err := provision.LookupLaunchTemplate(tx, home, id, "")
		return retag(err, tx.LaunchTemplates, id, &v, &v.Tags, change)
	case provision.KeyPairs.Prefix:
		v, ok := tx.KeyPairs.Get(id)
		if !ok || v.Home != home {
			return provision.KeyPairs.NotFound(id)
		}
		return retag(nil, tx.KeyPairs, id, &v, &v.Tags, change)
	case provision.SecurityRules.Prefix:
		for g := range tx.SecurityGroups.Values(func(g resource.SecurityGroup) bool { return g.Home == home }) {
			at := slices.IndexFunc(g.Rules, func(r resource.SecurityGroupRule) bool { return r.ID == id })
			if at >= 0 {
				g.Rules = slices.Clone(g.Rules) // All hands out what others read
				return retag(nil, tx.SecurityGroups, g.ID, &g, &g.Rules[at].Tags, change)
			}
		}
		return provision.SecurityRules.NotFound(id)
	case provision.SpotRequests.Prefix:
		v, ok := tx.SpotRequests.Get(id)
		if !ok || v.Home != home {
			return provision.SpotRequests.NotFound(id)
		}
		return retag(nil, tx.SpotRequests, id, &v, &v.Tags, change)
	case "fleet-":
		v, ok := tx.Fleets.Get(id)
		if !ok || v.Home != home {
			return fault("InvalidFleetId.NotFound", "The fleet ID '%s' does not exist", id)
		}
		return retag(nil, tx.Fleets, id, &v, &v.Tags, change)
	case "pg-":
		v, err := provision.LookupPlacementGroup(tx, home, id)
		return retag(err, tx.PlacementGroups, id, &v, &v.Tags, change)
	case "vol-":
		has := func(v resource.Volume) bool { return v.ID == id }
		for i := range tx.Instances.Values(func(i resource.Instance) bool { return i.Home == home && slices.ContainsFunc(i.Spec.Volumes, has) }) {
			i, _ = tx.Instances.Get(i.ID) // one to change
			return retag(nil, tx.Instances, i.ID, &i, &i.Spec.Volumes[slices.IndexFunc(i.Spec.Volumes, has)].Tags, change)
		}
		return fault("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	}
	return fault("InvalidID", "The ID '%s' is not valid", id)
}

// retag changes tags, a field of v, and writes v. err is that of finding v.
func retag[T any](err error, table *store.Table[T], key string, v *T, tags *resource.Tags, change func(resource.Tags) (resource.Tags, error)) error {
	if err != nil {
		return err
	}
	if *tags, err = change(*tags); err != nil {
		return err
	}
	table.Put(key, *v)
	return nil
}

// DescribeTags lists the tags of all resources.
func (s *Service) DescribeTags(ctx context.Context, call awsapi.Call, in *ec2.DescribeTagsInput) (*ec2.DescribeTagsOutput, error) {
	match, err := matcher(in.Filters, fields[ec2.TagDescription]{
		"key":           func(t ec2.TagDescription) []string { return text(t.Key) },
		"value":         func(t ec2.TagDescription) []string { return text(t.Value) },
		"resource-id":   func(t ec2.TagDescription) []string { return text(t.ResourceId) },
		"resource-type": func(t ec2.TagDescription) []string { return text(t.ResourceType) },
	}, func(t ec2.TagDescription) []ec2.Tag { return []ec2.Tag{{Key: t.Key, Value: t.Value}} })
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeTagsOutput{}
	err = s.view(ctx, call, in.DryRun, func(tx *store.Tx) error {
		var all []ec2.TagDescription
		for r := range tagged(tx, homeOf(call)) {
			for k, v := range r.tags {
				if t := (ec2.TagDescription{Key: &k, Value: &v, ResourceId: &r.id, ResourceType: &r.typ}); match(t) {
					all = append(all, t)
				}
			}
		}
		key := func(t ec2.TagDescription) string { return *t.ResourceId + "\x00" + *t.Key }
		slices.SortFunc(all, func(a, b ec2.TagDescription) int { return cmp.Compare(key(a), key(b)) })
		out.Tags, out.NextToken, err = page(all, key, in.MaxResults, in.NextToken, 1000)
		return err
	})
	return out, err
}

type taggedResource struct {
	id, typ string
	tags    resource.Tags
}

// tagged yields all resources of home that may have tags.
func tagged(tx *store.Tx, home resource.Home) func(func(taggedResource) bool) {
	var all []taggedResource
	add := func(h resource.Home, typ, id string, t resource.Tags) {
		if h == home && len(t) > 0 {
			all = append(all, taggedResource{id, typ, t})
		}
	}
	for id, v := range tx.VPCs.All() {
		add(v.Home, "vpc", id, v.Tags)
	}
	for id, v := range tx.Subnets.All() {
		add(v.Home, "subnet", id, v.Tags)
	}
	for id, v := range tx.RouteTables.All() {
		add(v.Home, "route-table", id, v.Tags)
	}
	for id, v := range tx.InternetGateways.All() {
		add(v.Home, "internet-gateway", id, v.Tags)
	}
	for id, v := range tx.SecurityGroups.All() {
		add(v.Home, "security-group", id, v.Tags)
		for _, r := range v.Rules {
			add(v.Home, "security-group-rule", r.ID, r.Tags)
		}
	}
	for id, v := range tx.Interfaces.All() {
		add(v.Home, "network-interface", id, v.Tags)
	}
	for id, v := range tx.Instances.All() {
		add(v.Home, "instance", id, v.Tags)
		if v.Status.State == resource.InstanceTerminated {
			continue
		}
		for _, d := range v.Spec.Volumes {
			add(v.Home, "volume", d.ID, d.Tags)
		}
	}
	for id, v := range tx.LaunchTemplates.All() {
		add(v.Home, "launch-template", id, v.Tags)
	}
	for id, v := range tx.Addresses.All() {
		add(v.Home, "elastic-ip", id, v.Tags)
	}
	for id, v := range tx.NetworkACLs.All() {
		add(v.Home, "network-acl", id, v.Tags)
	}
	for id, v := range tx.VPCEndpoints.All() {
		add(v.Home, "vpc-endpoint", id, v.Tags)
	}
	for id, v := range tx.EgressOnlyGateways.All() {
		add(v.Home, "egress-only-internet-gateway", id, v.Tags)
	}
	for id, v := range tx.DHCPOptions.All() {
		add(v.Home, "dhcp-options", id, v.Tags)
	}
	for id, v := range tx.PrefixLists.All() {
		add(v.Home, "prefix-list", id, v.Tags)
	}
	for id, v := range tx.NATGateways.All() {
		add(v.Home, "natgateway", id, v.Tags)
	}
	for id, v := range tx.PeeringConnections.All() {
		add(v.Home, "vpc-peering-connection", id, v.Tags)
	}
	for id, v := range tx.SpotRequests.All() {
		add(v.Home, "spot-instances-request", id, v.Tags)
	}
	for id, v := range tx.Fleets.All() {
		add(v.Home, "fleet", id, v.Tags)
	}
	for id, v := range tx.PlacementGroups.All() {
		add(v.Home, "placement-group", id, v.Tags)
	}
	for id, v := range tx.KeyPairs.All() {
		add(v.Home, "key-pair", id, v.Tags)
	}
	return slices.Values(all)
}
