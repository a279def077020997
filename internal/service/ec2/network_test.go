package ec2_test

import (
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestDefaultVPCIsThere(t *testing.T) {
	w := newWorld(t)
	vpc := w.defaultVPC()
	subnets := must(w.DescribeSubnets(w.Context(), &sdk.DescribeSubnetsInput{Filters: filters("vpc-id", vpc, "default-for-az", "true")}))(w).Subnets
	var zones []string
	for _, s := range subnets {
		zones = append(zones, *s.AvailabilityZone+" "+*s.AvailabilityZoneId)
		if *s.AvailableIpAddressCount != 4091 || !*s.MapPublicIpOnLaunch || s.State != types.SubnetStateAvailable || *s.SubnetArn != "arn:aws:ec2:us-west-2:000000000000:subnet/"+*s.SubnetId {
			t.Errorf("got %+v", s)
		}
	}
	slices.Sort(zones)
	if want := []string{"us-west-2a usw2-az1", "us-west-2b usw2-az2", "us-west-2c usw2-az3"}; !slices.Equal(zones, want) {
		t.Errorf("got %v", zones)
	}
	tables := must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{Filters: filters("association.main", "true")}))(w).RouteTables
	if len(tables) != 1 || len(tables[0].Routes) != 2 || *tables[0].Routes[0].GatewayId != "local" || !strings.HasPrefix(*tables[0].Routes[1].GatewayId, "igw-") ||
		tables[0].Routes[1].State != types.RouteStateActive {
		t.Errorf("got %+v", tables)
	}
	groups := must(w.DescribeSecurityGroups(w.Context(), &sdk.DescribeSecurityGroupsInput{GroupNames: []string{"default"}}))(w).SecurityGroups
	if len(groups) != 1 || *groups[0].VpcId != vpc || *groups[0].IpPermissions[0].UserIdGroupPairs[0].GroupId != *groups[0].GroupId ||
		groups[0].IpPermissions[0].FromPort != nil || *groups[0].IpPermissionsEgress[0].IpRanges[0].CidrIp != "0.0.0.0/0" {
		t.Errorf("got %+v", groups)
	}
	// Another region has another one.
	other := must(w.client("eu-west-1").DescribeVpcs(w.Context(), &sdk.DescribeVpcsInput{}))(w).Vpcs
	if len(other) != 1 || *other[0].VpcId == vpc {
		t.Errorf("got %+v", other)
	}
	attributes := must(w.DescribeAccountAttributes(w.Context(), &sdk.DescribeAccountAttributesInput{AttributeNames: []types.AccountAttributeName{"default-vpc"}}))(w)
	if *attributes.AccountAttributes[0].AttributeValues[0].AttributeValue != vpc {
		t.Errorf("got %+v", attributes)
	}
	fails(w.client("mars-1").DescribeVpcs(w.Context(), &sdk.DescribeVpcsInput{}))(w, "InvalidParameterValue", "The region 'mars-1' does not exist.")
}

func TestVPCsAndSubnets(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	fails(w.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: new("10.0.0.0/8")}))(w, "InvalidVpc.Range", "The CIDR '10.0.0.0/8' is invalid.")
	fails(w.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: new("ten")}))(w, "InvalidParameterValue", "Value (ten) for parameter cidrBlock is invalid. This is not a valid CIDR block.")
	fails(w.CreateVpc(ctx, &sdk.CreateVpcInput{}))(w, "MissingParameter", "")
	fails(w.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), DryRun: new(true)}))(w, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	if n := len(must(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{}))(w).Vpcs); n != 1 {
		t.Fatalf("a dry run has made something: %d VPCs", n)
	}
	v := must(w.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: new("10.0.0.5/16"), TagSpecifications: tagSpec("vpc", "Name", "mine")}))(w).Vpc
	if *v.CidrBlock != "10.0.0.0/16" || v.CidrBlockAssociationSet[0].CidrBlockState.State != "associated" || tags(v.Tags)["Name"] != "mine" || *v.OwnerId != account {
		t.Errorf("got %+v", v)
	}
	id := *v.VpcId
	sub := w.subnet(id, "10.0.1.0/24", "us-west-2b")
	fails(w.CreateSubnet(ctx, &sdk.CreateSubnetInput{VpcId: &id, CidrBlock: new("10.0.1.128/25")}))(w, "InvalidSubnet.Conflict", "The CIDR '10.0.1.128/25' conflicts with another subnet")
	fails(w.CreateSubnet(ctx, &sdk.CreateSubnetInput{VpcId: &id, CidrBlock: new("10.1.0.0/24")}))(w, "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid.")
	fails(w.CreateSubnet(ctx, &sdk.CreateSubnetInput{VpcId: &id, CidrBlock: new("10.0.2.0/24"), AvailabilityZone: new("us-west-2z")}))(w, "InvalidParameterValue", "")
	fails(w.CreateSubnet(ctx, &sdk.CreateSubnetInput{VpcId: new("vpc-0123456789abcdef0"), CidrBlock: new("10.0.2.0/24")}))(w, "InvalidVpcID.NotFound", "The vpc ID 'vpc-0123456789abcdef0' does not exist")

	for name, want := range map[string]bool{"enableDnsSupport": true, "enableDnsHostnames": false} {
		out := must(w.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: &id, Attribute: types.VpcAttributeName(name)}))(w)
		got := out.EnableDnsSupport
		if name == "enableDnsHostnames" {
			got = out.EnableDnsHostnames
		}
		if got == nil || *got.Value != want {
			t.Errorf("%s: got %+v", name, out)
		}
	}
	must(w.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: &id, EnableDnsHostnames: &types.AttributeBooleanValue{Value: new(true)}}))(w)
	if !*must(w.DescribeVpcAttribute(ctx, &sdk.DescribeVpcAttributeInput{VpcId: &id, Attribute: "enableDnsHostnames"}))(w).EnableDnsHostnames.Value {
		t.Error("DNS host names stayed off")
	}
	must(w.ModifySubnetAttribute(ctx, &sdk.ModifySubnetAttributeInput{SubnetId: &sub, MapPublicIpOnLaunch: &types.AttributeBooleanValue{Value: new(true)}}))(w)
	if s := must(w.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: []string{sub}}))(w).Subnets[0]; !*s.MapPublicIpOnLaunch || *s.AvailableIpAddressCount != 251 {
		t.Errorf("got %+v", s)
	}
	fails(w.ModifySubnetAttribute(ctx, &sdk.ModifySubnetAttributeInput{SubnetId: &sub, EnableDns64: &types.AttributeBooleanValue{Value: new(true)}}))(w, "UnsupportedOperation", "")

	fails(w.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: &id}))(w, "DependencyViolation", "The vpc '"+id+"' has dependencies and cannot be deleted.")
	must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w)
	fails(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w, "InvalidSubnetID.NotFound", "The subnet ID '"+sub+"' does not exist")
	must(w.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: &id}))(w)
	fails(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{VpcIds: []string{id, "vpc-0123456789abcdef0"}}))(w, "InvalidVpcID.NotFound", "The vpc IDs '"+id+", vpc-0123456789abcdef0' do not exist")
}

func TestRouting(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	sub := w.subnet(vpc, "10.0.0.0/24", "us-west-2a")
	gateway := *must(w.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{}))(w).InternetGateway.InternetGatewayId
	table := *must(w.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: &vpc, TagSpecifications: tagSpec("route-table", "a", "b")}))(w).RouteTable.RouteTableId
	all := new("0.0.0.0/0")
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: all, GatewayId: &gateway}))(w, "InvalidParameterValue", "route table "+table+" and network gateway "+gateway+" belong to different networks")
	must(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{VpcId: &vpc, InternetGatewayId: &gateway}))(w)
	fails(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{VpcId: &vpc, InternetGatewayId: &gateway}))(w, "Resource.AlreadyAssociated", "resource "+gateway+" is already attached to network "+vpc)
	if out := must(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: all, GatewayId: &gateway}))(w); !*out.Return {
		t.Error("no success")
	}
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: all, GatewayId: &gateway}))(w, "RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.")
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: all, NatGatewayId: new("nat-0123456789abcdef0")}))(w, "InvalidNatGatewayID.NotFound", "")
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: all, TransitGatewayId: new("tgw-0123456789abcdef0")}))(w, "UnsupportedOperation", "")
	association := *must(w.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: &table, SubnetId: &sub}))(w).AssociationId
	got := must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: filters("association.subnet-id", sub)}))(w).RouteTables
	if len(got) != 1 || *got[0].Associations[0].RouteTableAssociationId != association || *got[0].Routes[1].GatewayId != gateway {
		t.Errorf("got %+v", got)
	}
	if again := *must(w.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: &table, SubnetId: &sub}))(w).AssociationId; again != association {
		t.Errorf("a second association: %s", again)
	}
	igws := must(w.DescribeInternetGateways(ctx, &sdk.DescribeInternetGatewaysInput{Filters: filters("attachment.vpc-id", vpc)}))(w).InternetGateways
	if len(igws) != 1 || *igws[0].InternetGatewayId != gateway {
		t.Errorf("got %+v", igws)
	}
	// The token stands for one table.
	token := &sdk.CreateRouteTableInput{VpcId: &vpc, ClientToken: new("t1")}
	first, second := must(w.CreateRouteTable(ctx, token))(w), must(w.CreateRouteTable(ctx, token))(w)
	if *first.RouteTable.RouteTableId != *second.RouteTable.RouteTableId {
		t.Error("a replay made a second table")
	}
	token.VpcId = new(w.defaultVPC())
	fails(w.CreateRouteTable(ctx, token))(w, "IdempotentParameterMismatch", "")
}

func TestZonesAndRegions(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	zones := must(w.DescribeAvailabilityZones(ctx, &sdk.DescribeAvailabilityZonesInput{Filters: filters("region-name", "us-west-2", "state", "available", "zone-type", "availability-zone")}))(w).AvailabilityZones
	if len(zones) != 4 || *zones[0].ZoneName != "us-west-2a" || *zones[0].ZoneId != "usw2-az1" || zones[0].State != types.AvailabilityZoneStateAvailable {
		t.Errorf("got %+v", zones)
	}
	fails(w.DescribeAvailabilityZones(ctx, &sdk.DescribeAvailabilityZonesInput{ZoneNames: []string{"us-west-2z"}}))(w, "InvalidParameterValue", "Invalid availability zone: [us-west-2z]")
	fails(w.DescribeAvailabilityZones(ctx, &sdk.DescribeAvailabilityZonesInput{DryRun: new(true)}))(w, "DryRunOperation", "")
	regions := must(w.DescribeRegions(ctx, &sdk.DescribeRegionsInput{Filters: filters("region-name", "us-*")}))(w).Regions
	if len(regions) != 4 || *regions[0].Endpoint != "ec2.us-east-1.amazonaws.com" {
		t.Errorf("got %+v", regions)
	}
}
