package ec2_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// dualStack makes a VPC with IPv6 and a subnet in it, and returns the VPC's block.
func (w *world) dualStack() (vpc, subnet string, block netip.Prefix) {
	w.Helper()
	v := must(w.CreateVpc(w.Context(), &sdk.CreateVpcInput{CidrBlock: aws.String("10.5.0.0/16"), AmazonProvidedIpv6CidrBlock: aws.Bool(true)}))(w).Vpc
	vpc = *v.VpcId
	a := must(w.DescribeVpcs(w.Context(), &sdk.DescribeVpcsInput{VpcIds: []string{vpc}}))(w).Vpcs[0].Ipv6CidrBlockAssociationSet[0]
	block = netip.MustParsePrefix(*a.Ipv6CidrBlock)
	if block.Bits() != 56 || *a.Ipv6Pool != "Amazon" || *a.NetworkBorderGroup != "us-west-2" || a.Ipv6CidrBlockState.State != types.VpcCidrBlockStateCodeAssociated {
		w.Errorf("block: %+v", a)
	}
	s := must(w.CreateSubnet(w.Context(), &sdk.CreateSubnetInput{VpcId: &vpc, CidrBlock: aws.String("10.5.1.0/24"), Ipv6CidrBlock: aws.String(netip.PrefixFrom(block.Addr(), 64).String())}))(w).Subnet
	if *s.AssignIpv6AddressOnCreation || *s.Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock != netip.PrefixFrom(block.Addr(), 64).String() {
		w.Errorf("subnet: %+v", s)
	}
	return vpc, *s.SubnetId, block
}

func TestIPv6Blocks(t *testing.T) {
	w := newWorld(t)
	vpc, subnet, block := w.dualStack()
	inUse := must(w.DescribeSubnets(w.Context(), &sdk.DescribeSubnetsInput{Filters: filters("ipv6-cidr-block-association.ipv6-cidr-block", netip.PrefixFrom(block.Addr(), 64).String())}))(w).Subnets
	if len(inUse) != 1 || *inUse[0].SubnetId != subnet {
		t.Errorf("by filter: %+v", inUse)
	}
	fails(w.CreateSubnet(w.Context(), &sdk.CreateSubnetInput{VpcId: &vpc, CidrBlock: aws.String("10.5.2.0/24"), Ipv6CidrBlock: inUse[0].Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock}))(
		w, "InvalidSubnet.Conflict", "")
	fails(w.CreateSubnet(w.Context(), &sdk.CreateSubnetInput{VpcId: &vpc, CidrBlock: aws.String("10.5.2.0/24"), Ipv6CidrBlock: aws.String("2600::/64")}))(
		w, "InvalidSubnet.Range", "The CIDR '2600::/64' is invalid.")

	// A VPC and a subnet get blocks later, too; their default group and ACL let IPv6 through.
	other := w.vpc("10.6.0.0/16")
	plain := w.subnet(other, "10.6.1.0/24", "us-west-2a")
	fails(w.ModifySubnetAttribute(w.Context(), &sdk.ModifySubnetAttributeInput{SubnetId: &plain, AssignIpv6AddressOnCreation: &types.AttributeBooleanValue{Value: aws.Bool(true)}}))(
		w, "InvalidParameterValue", "")
	a := must(w.AssociateVpcCidrBlock(w.Context(), &sdk.AssociateVpcCidrBlockInput{VpcId: &other, AmazonProvidedIpv6CidrBlock: aws.Bool(true)}))(w).Ipv6CidrBlockAssociation
	if *a.Ipv6CidrBlock == block.String() {
		t.Error("two VPCs have one block")
	}
	mine := netip.PrefixFrom(netip.MustParsePrefix(*a.Ipv6CidrBlock).Addr(), 64).String()
	s := must(w.AssociateSubnetCidrBlock(w.Context(), &sdk.AssociateSubnetCidrBlockInput{SubnetId: &plain, Ipv6CidrBlock: &mine}))(w).Ipv6CidrBlockAssociation
	groups := must(w.DescribeSecurityGroups(w.Context(), &sdk.DescribeSecurityGroupsInput{Filters: filters("vpc-id", other)}))(w).SecurityGroups
	if p := groups[0].IpPermissionsEgress; len(p) != 1 || len(p[0].IpRanges) != 1 || len(p[0].Ipv6Ranges) != 1 {
		t.Errorf("egress of the default group: %+v", p)
	}
	acl := must(w.DescribeNetworkAcls(w.Context(), &sdk.DescribeNetworkAclsInput{Filters: filters("vpc-id", other)}))(w).NetworkAcls[0]
	var entries []string
	for _, e := range acl.Entries {
		if *e.Egress {
			entries = append(entries, aws.ToString(e.CidrBlock)+aws.ToString(e.Ipv6CidrBlock)+" "+string(e.RuleAction))
		}
	}
	w.same(entries, "0.0.0.0/0 allow", "::/0 allow", "0.0.0.0/0 deny", "::/0 deny")

	fails(w.DisassociateVpcCidrBlock(w.Context(), &sdk.DisassociateVpcCidrBlockInput{AssociationId: a.AssociationId}))(w, "InvalidCidrBlock.InUse", "")
	must(w.DisassociateSubnetCidrBlock(w.Context(), &sdk.DisassociateSubnetCidrBlockInput{AssociationId: s.AssociationId}))(w)
	must(w.DisassociateVpcCidrBlock(w.Context(), &sdk.DisassociateVpcCidrBlockInput{AssociationId: a.AssociationId}))(w)
	if v := must(w.DescribeVpcs(w.Context(), &sdk.DescribeVpcsInput{VpcIds: []string{other}}))(w).Vpcs[0]; len(v.Ipv6CidrBlockAssociationSet) > 0 {
		t.Errorf("still: %+v", v)
	}
}

func TestIPv6Addresses(t *testing.T) {
	w := newWorld(t)
	_, subnet, block := w.dualStack()
	i := must(w.CreateNetworkInterface(w.Context(), &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet, Ipv6AddressCount: aws.Int32(2), Ipv4PrefixCount: aws.Int32(1)}))(w).NetworkInterface
	id := i.NetworkInterfaceId
	if len(i.Ipv6Addresses) != 2 || *i.Ipv6Addresses[0].IsPrimaryIpv6 || len(i.Ipv4Prefixes) != 1 || !strings.HasSuffix(*i.Ipv4Prefixes[0].Ipv4Prefix, "/28") {
		t.Errorf("made: %+v", i)
	}
	own := netip.PrefixFrom(block.Addr(), 64)
	wanted := own.Addr().Next().Next().String()
	got := must(w.AssignIpv6Addresses(w.Context(), &sdk.AssignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6Addresses: []string{wanted}}))(w)
	w.same(got.AssignedIpv6Addresses, wanted)
	fails(w.AssignIpv6Addresses(w.Context(), &sdk.AssignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6Addresses: []string{wanted}}))(w, "InvalidIPAddress.InUse", "")
	fails(w.AssignIpv6Addresses(w.Context(), &sdk.AssignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6Addresses: []string{"2600::1"}}))(w, "InvalidParameterValue", "")
	p := must(w.AssignIpv6Addresses(w.Context(), &sdk.AssignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6PrefixCount: aws.Int32(1)}))(w).AssignedIpv6Prefixes[0]
	if r := netip.MustParsePrefix(p); r.Bits() != 80 || !own.Contains(r.Addr()) {
		t.Errorf("prefix %s of %s", p, own)
	}
	must(w.UnassignIpv6Addresses(w.Context(), &sdk.UnassignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6Addresses: []string{wanted}, Ipv6Prefixes: []string{p}}))(w)
	found := must(w.DescribeNetworkInterfaces(w.Context(), &sdk.DescribeNetworkInterfacesInput{Filters: filters("ipv6-addresses.ipv6-address", *i.Ipv6Addresses[1].Ipv6Address)}))(w).NetworkInterfaces
	if len(found) != 1 || len(found[0].Ipv6Addresses) != 2 || len(found[0].Ipv6Prefixes) != 0 {
		t.Errorf("left: %+v", found)
	}
	more := must(w.AssignPrivateIpAddresses(w.Context(), &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: id, Ipv4PrefixCount: aws.Int32(1)}))(w).AssignedIpv4Prefixes
	must(w.UnassignPrivateIpAddresses(w.Context(), &sdk.UnassignPrivateIpAddressesInput{NetworkInterfaceId: id, Ipv4Prefixes: []string{*more[0].Ipv4Prefix}}))(w)

	// The first address becomes the primary one where that is asked for, and stays.
	first := *i.Ipv6Addresses[0].Ipv6Address
	must(w.ModifyNetworkInterfaceAttribute(w.Context(), &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: id, EnablePrimaryIpv6: aws.Bool(true)}))(w)
	if now := must(w.DescribeNetworkInterfaces(w.Context(), &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*id}}))(w).NetworkInterfaces[0].Ipv6Addresses; !*now[0].IsPrimaryIpv6 || *now[1].IsPrimaryIpv6 {
		t.Errorf("primary: %+v", now)
	}
	fails(w.UnassignIpv6Addresses(w.Context(), &sdk.UnassignIpv6AddressesInput{NetworkInterfaceId: id, Ipv6Addresses: []string{first}}))(w, "OperationNotPermitted", "")
	fails(w.ModifyNetworkInterfaceAttribute(w.Context(), &sdk.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: id, EnablePrimaryIpv6: aws.Bool(false)}))(w, "OperationNotPermitted", "")
	fails(w.CreateNetworkInterface(w.Context(), &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet, EnablePrimaryIpv6: aws.Bool(true)}))(w, "InvalidParameterCombination", "")

	// Instances of a subnet that says so get one, and show it.
	must(w.ModifySubnetAttribute(w.Context(), &sdk.ModifySubnetAttributeInput{SubnetId: &subnet, AssignIpv6AddressOnCreation: &types.AttributeBooleanValue{Value: aws.Bool(true)}}))(w)
	in := launch(1)
	in.SubnetId, in.EnablePrimaryIpv6 = &subnet, aws.Bool(true)
	run := must(w.RunInstances(w.Context(), in))(w).Instances[0]
	if run.Ipv6Address == nil || !own.Contains(netip.MustParseAddr(*run.Ipv6Address)) || *run.NetworkInterfaces[0].Ipv6Addresses[0].Ipv6Address != *run.Ipv6Address || !*run.NetworkInterfaces[0].Ipv6Addresses[0].IsPrimaryIpv6 {
		t.Errorf("instance: %+v", run)
	}
}

func TestEgressOnlyGateway(t *testing.T) {
	w := newWorld(t)
	vpc, _, _ := w.dualStack()
	create := &sdk.CreateEgressOnlyInternetGatewayInput{VpcId: &vpc, ClientToken: aws.String("once"), TagSpecifications: tagSpec("egress-only-internet-gateway", "Name", "out")}
	id := must(w.CreateEgressOnlyInternetGateway(w.Context(), create))(w).EgressOnlyInternetGateway.EgressOnlyInternetGatewayId
	if again := must(w.CreateEgressOnlyInternetGateway(w.Context(), create))(w).EgressOnlyInternetGateway.EgressOnlyInternetGatewayId; *again != *id {
		t.Error("one token has made two")
	}
	g := must(w.DescribeEgressOnlyInternetGateways(w.Context(), &sdk.DescribeEgressOnlyInternetGatewaysInput{Filters: filters("tag:Name", "out")}))(w).EgressOnlyInternetGateways
	if len(g) != 1 || *g[0].EgressOnlyInternetGatewayId != *id || *g[0].Attachments[0].VpcId != vpc {
		t.Errorf("described: %+v", g)
	}
	table := must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{Filters: filters("vpc-id", vpc)}))(w).RouteTables[0].RouteTableId
	fails(w.CreateRoute(w.Context(), &sdk.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: aws.String("0.0.0.0/0"), EgressOnlyInternetGatewayId: id}))(w, "InvalidParameterValue", "")
	must(w.CreateRoute(w.Context(), &sdk.CreateRouteInput{RouteTableId: table, DestinationIpv6CidrBlock: aws.String("::/0"), EgressOnlyInternetGatewayId: id}))(w)
	state := func() types.RouteState {
		t.Helper()
		for _, r := range must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{Filters: filters("route.destination-ipv6-cidr-block", "::/0")}))(w).RouteTables[0].Routes {
			if r.EgressOnlyInternetGatewayId != nil {
				return r.State
			}
		}
		return ""
	}
	if got := state(); got != types.RouteStateActive {
		t.Errorf("the route is %q", got)
	}
	must(w.DeleteEgressOnlyInternetGateway(w.Context(), &sdk.DeleteEgressOnlyInternetGatewayInput{EgressOnlyInternetGatewayId: id}))(w)
	if got := state(); got != types.RouteStateBlackhole {
		t.Errorf("without its gateway the route is %q", got)
	}
	fails(w.DescribeEgressOnlyInternetGateways(w.Context(), &sdk.DescribeEgressOnlyInternetGatewaysInput{EgressOnlyInternetGatewayIds: []string{*id}}))(w, "InvalidGatewayID.NotFound", "")
}
