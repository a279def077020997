package ec2

import (
	"context"
	"net/netip"
	"strings"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateDhcpOptions makes a set of options that no VPC has yet.
func (s *Service) CreateDhcpOptions(ctx context.Context, call awsapi.Call, in *ec2.CreateDhcpOptionsInput) (*ec2.CreateDhcpOptionsOutput, error) {
	tags, err := specTags(in.TagSpecifications, "dhcp-options")
	if err != nil {
		return nil, err
	}
	o := resource.DHCPOptions{Home: homeOf(call), ID: awsid.New("dopt"), Tags: tags["dhcp-options"]}
	if err := readOptions(in.DhcpConfigurations, &o); err != nil {
		return nil, err
	}
	out := &ec2.CreateDhcpOptionsOutput{DhcpOptions: new(describeOptions(o))}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		tx.DHCPOptions.Put(o.ID, o)
		return nil
	})
}

// optionValues is how many values an option with addresses takes.
const optionValues = 4

func readOptions(in []ec2.NewDhcpConfiguration, o *resource.DHCPOptions) error {
	if len(in) == 0 {
		return missing("dhcpConfiguration")
	}
	seen := map[string]bool{}
	for _, c := range in {
		key := deref(c.Key)
		if seen[key] || len(c.Values) == 0 {
			return fault("InvalidParameterValue", "Value (%s) for parameter key is invalid. It is given twice or has no value.", key)
		}
		seen[key] = true
		switch key {
		case "domain-name":
			if len(c.Values) > 1 {
				return fault("InvalidParameterValue", "Value (%s) for parameter domain-name is invalid. Only one value may be given.", strings.Join(c.Values, ", "))
			}
			o.Domain = c.Values[0]
		case "domain-name-servers":
			o.NameServers = c.Values
		case "ntp-servers":
			o.NTPServers = c.Values
		case "netbios-name-servers", "netbios-node-type", "ipv6-address-preferred-lease-time":
			return unsupported("The DHCP option " + key)
		default:
			return fault("InvalidParameterValue", "Value (%s) for parameter key is invalid. Unknown DHCP option.", key)
		}
	}
	for option, values := range map[string][]string{"domain-name-servers": o.NameServers, "ntp-servers": o.NTPServers} {
		if len(values) > optionValues {
			return fault("InvalidParameterValue", "Value (%s) for parameter %s is invalid. At most %d values may be given.", strings.Join(values, ", "), option, optionValues)
		}
		for i, v := range values {
			if option == "domain-name-servers" && strings.EqualFold(v, resource.AmazonDNS) {
				values[i] = resource.AmazonDNS
			} else if _, err := netip.ParseAddr(v); err != nil {
				return fault("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not an IP address.", v, option)
			}
		}
	}
	return nil
}

// AssociateDhcpOptions gives a VPC another set of options, or none. Its machines follow when
// they boot the next time.
func (s *Service) AssociateDhcpOptions(ctx context.Context, call awsapi.Call, in *ec2.AssociateDhcpOptionsInput) (*ec2.AssociateDhcpOptionsOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		if *in.DhcpOptionsId != resource.NoDHCPOptions {
			if _, err := provision.LookupDHCPOptions(tx, homeOf(call), *in.DhcpOptionsId); err != nil {
				return err
			}
		}
		v.DHCPOptions = *in.DhcpOptionsId
		tx.VPCs.Put(v.ID, v)
		return nil
	})
}

// DeleteDhcpOptions takes a set of options away that no VPC has.
func (s *Service) DeleteDhcpOptions(ctx context.Context, call awsapi.Call, in *ec2.DeleteDhcpOptionsInput) (*ec2.DeleteDhcpOptionsOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		return provision.DeleteDHCPOptions(tx, homeOf(call), *in.DhcpOptionsId)
	})
}

// DescribeDhcpOptions lists sets of options.
func (s *Service) DescribeDhcpOptions(ctx context.Context, call awsapi.Call, in *ec2.DescribeDhcpOptionsInput) (*ec2.DescribeDhcpOptionsOutput, error) {
	option := func(f func(ec2.DhcpConfiguration) []string) func(ec2.DhcpOptions) []string {
		return func(o ec2.DhcpOptions) []string { return each(o.DhcpConfigurations, f) }
	}
	out := &ec2.DescribeDhcpOptionsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.DhcpOptions, out.NextToken, err = kind[resource.DHCPOptions, ec2.DhcpOptions]{
			noun: provision.DHCPOptions, table: tx.DHCPOptions,
			home:     func(o resource.DHCPOptions) resource.Home { return o.Home },
			describe: describeOptions,
			id:       func(o ec2.DhcpOptions) string { return *o.DhcpOptionsId },
			tags:     func(o ec2.DhcpOptions) []ec2.Tag { return o.Tags },
			fields: fields[ec2.DhcpOptions]{
				"dhcp-options-id": func(o ec2.DhcpOptions) []string { return text(o.DhcpOptionsId) },
				"key":             option(func(c ec2.DhcpConfiguration) []string { return text(c.Key) }),
				"owner-id":        func(o ec2.DhcpOptions) []string { return text(o.OwnerId) },
				"value": option(func(c ec2.DhcpConfiguration) []string {
					return each(c.Values, func(v ec2.AttributeValue) []string { return text(v.Value) })
				}),
			},
		}.list(homeOf(call), query{in.DhcpOptionsIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func describeOptions(o resource.DHCPOptions) ec2.DhcpOptions {
	out := ec2.DhcpOptions{DhcpOptionsId: &o.ID, OwnerId: &o.Account, Tags: tagSet(o.Tags)}
	add := func(key string, values ...string) {
		c := ec2.DhcpConfiguration{Key: &key}
		for _, v := range values {
			if v != "" {
				c.Values = append(c.Values, ec2.AttributeValue{Value: &v})
			}
		}
		if len(c.Values) > 0 {
			out.DhcpConfigurations = append(out.DhcpConfigurations, c)
		}
	}
	add("domain-name", o.Domain)
	add("domain-name-servers", o.NameServers...)
	add("ntp-servers", o.NTPServers...)
	return out
}
