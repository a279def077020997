package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestDHCPOptions(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	of := func() string {
		t.Helper()
		return *must(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{VpcIds: []string{vpc}}))(w).Vpcs[0].DhcpOptionsId
	}
	first := of()
	values := func(id string) (out []string) {
		t.Helper()
		o := must(w.DescribeDhcpOptions(ctx, &sdk.DescribeDhcpOptionsInput{DhcpOptionsIds: []string{id}}))(w).DhcpOptions[0]
		for _, c := range o.DhcpConfigurations {
			for _, v := range c.Values {
				out = append(out, *c.Key+"="+*v.Value)
			}
		}
		return out
	}
	w.same(values(first), "domain-name=us-west-2.compute.internal", "domain-name-servers=AmazonProvidedDNS")
	if other := *must(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{VpcIds: []string{w.vpc("10.1.0.0/16")}}))(w).Vpcs[0].DhcpOptionsId; other != first {
		t.Errorf("another VPC has the options %s, want %s", other, first)
	}

	create := func(key string, values ...string) (*sdk.CreateDhcpOptionsOutput, error) {
		return w.CreateDhcpOptions(ctx, &sdk.CreateDhcpOptionsInput{
			DhcpConfigurations: []types.NewDhcpConfiguration{{Key: &key, Values: values}}, TagSpecifications: tagSpec("dhcp-options", "Name", "own"),
		})
	}
	own := *must(w.CreateDhcpOptions(ctx, &sdk.CreateDhcpOptionsInput{DhcpConfigurations: []types.NewDhcpConfiguration{
		{Key: aws.String("domain-name"), Values: []string{"corp.example"}}, {Key: aws.String("domain-name-servers"), Values: []string{"10.0.0.5", "amazonprovideddns"}},
		{Key: aws.String("ntp-servers"), Values: []string{"169.254.169.123"}},
	}}))(w).DhcpOptions.DhcpOptionsId
	w.same(values(own), "domain-name=corp.example", "domain-name-servers=10.0.0.5", "domain-name-servers=AmazonProvidedDNS", "ntp-servers=169.254.169.123")
	for _, bad := range [][]string{{"domain-name-servers", "nobody"}, {"domain-name-servers", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}, {"domain-name", "a", "b"}, {"colour", "red"}, {"ntp-servers"}} {
		fails(create(bad[0], bad[1:]...))(w, "InvalidParameterValue", "")
	}
	fails(create("netbios-node-type", "2"))(w, "UnsupportedOperation", "")

	const none = "dopt-0123456789abcdef0"
	fails(w.AssociateDhcpOptions(ctx, &sdk.AssociateDhcpOptionsInput{DhcpOptionsId: aws.String(none), VpcId: &vpc}))(w, "InvalidDhcpOptionID.NotFound", "The dhcpOption ID '"+none+"' does not exist")
	must(w.AssociateDhcpOptions(ctx, &sdk.AssociateDhcpOptionsInput{DhcpOptionsId: &own, VpcId: &vpc}))(w)
	if got := of(); got != own {
		t.Errorf("associated: %s, want %s", got, own)
	}
	fails(w.DeleteDhcpOptions(ctx, &sdk.DeleteDhcpOptionsInput{DhcpOptionsId: &own}))(w, "DependencyViolation", "The dhcpOptions '"+own+"' has dependencies and cannot be deleted.")
	must(w.AssociateDhcpOptions(ctx, &sdk.AssociateDhcpOptionsInput{DhcpOptionsId: aws.String("default"), VpcId: &vpc}))(w)
	if got := of(); got != "default" {
		t.Errorf("without options: %s", got)
	}
	must(w.DeleteDhcpOptions(ctx, &sdk.DeleteDhcpOptionsInput{DhcpOptionsId: &own}))(w)
	fails(w.DescribeDhcpOptions(ctx, &sdk.DescribeDhcpOptionsInput{DhcpOptionsIds: []string{own}}))(w, "InvalidDhcpOptionID.NotFound", "")
	tagged := must(create("domain-name", "x.example"))(w).DhcpOptions
	found := must(w.DescribeDhcpOptions(ctx, &sdk.DescribeDhcpOptionsInput{Filters: filters("tag:Name", "own", "value", "x.example")}))(w).DhcpOptions
	if len(found) != 1 || *found[0].DhcpOptionsId != *tagged.DhcpOptionsId {
		t.Errorf("by filters: %+v", found)
	}
}
