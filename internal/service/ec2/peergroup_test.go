package ec2_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Rules name groups of a peer while the peering connection is active, and are stale after it.
func TestRulesThatNameAPeersGroup(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc, peer := w.vpc("10.0.0.0/16"), w.vpc("10.1.0.0/16")
	web, db := w.group(vpc, "web"), w.group(peer, "db")
	allow := &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &db, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(5432), ToPort: aws.Int32(5432), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &web}},
	}}}
	fails(w.AuthorizeSecurityGroupIngress(ctx, allow))(w, "InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
	p := must(w.CreateVpcPeeringConnection(ctx, &sdk.CreateVpcPeeringConnectionInput{VpcId: &vpc, PeerVpcId: &peer}))(w).VpcPeeringConnection
	if p.AccepterVpcInfo.CidrBlock != nil || *p.RequesterVpcInfo.CidrBlock != "10.0.0.0/16" {
		t.Errorf("pending: %+v, %+v", p.RequesterVpcInfo, p.AccepterVpcInfo)
	}
	id := p.VpcPeeringConnectionId
	fails(w.AuthorizeSecurityGroupIngress(ctx, allow))(w, "InvalidGroup.NotFound", "")
	must(w.AcceptVpcPeeringConnection(ctx, &sdk.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: id}))(w)
	block := must(w.AssociateVpcCidrBlock(ctx, &sdk.AssociateVpcCidrBlockInput{VpcId: &peer, AmazonProvidedIpv6CidrBlock: aws.Bool(true)}))(w).Ipv6CidrBlockAssociation.Ipv6CidrBlock
	now := must(w.DescribeVpcPeeringConnections(ctx, &sdk.DescribeVpcPeeringConnectionsInput{}))(w).VpcPeeringConnections[0].AccepterVpcInfo
	if *now.CidrBlock != "10.1.0.0/16" || len(now.Ipv6CidrBlockSet) != 1 || *now.Ipv6CidrBlockSet[0].Ipv6CidrBlock != *block {
		t.Errorf("active: %+v", now)
	}

	rule := must(w.AuthorizeSecurityGroupIngress(ctx, allow))(w).SecurityGroupRules[0].ReferencedGroupInfo
	if *rule.GroupId != web || *rule.VpcId != vpc || *rule.VpcPeeringConnectionId != *id || *rule.PeeringStatus != "active" {
		t.Errorf("the rule: %+v", rule)
	}
	pair := func() types.UserIdGroupPair {
		t.Helper()
		return must(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{db}}))(w).SecurityGroups[0].IpPermissions[0].UserIdGroupPairs[0]
	}
	if got := pair(); *got.VpcId != vpc || *got.VpcPeeringConnectionId != *id || *got.PeeringStatus != "active" {
		t.Errorf("the permission: %+v", got)
	}
	refs := must(w.DescribeSecurityGroupReferences(ctx, &sdk.DescribeSecurityGroupReferencesInput{GroupId: []string{web}}))(w).SecurityGroupReferenceSet
	if len(refs) != 1 || *refs[0].ReferencingVpcId != peer || *refs[0].VpcPeeringConnectionId != *id {
		t.Errorf("references: %+v", refs)
	}
	stale := func() []types.StaleSecurityGroup {
		t.Helper()
		return must(w.DescribeStaleSecurityGroups(ctx, &sdk.DescribeStaleSecurityGroupsInput{VpcId: &peer}))(w).StaleSecurityGroupSet
	}
	if got := stale(); len(got) != 0 {
		t.Errorf("stale: %+v", got)
	}
	must(w.DeleteVpcPeeringConnection(ctx, &sdk.DeleteVpcPeeringConnectionInput{VpcPeeringConnectionId: id}))(w)
	if got := stale(); len(got) != 1 || *got[0].GroupId != db || *got[0].StaleIpPermissions[0].UserIdGroupPairs[0].GroupId != web {
		t.Errorf("stale: %+v", got)
	}
	if got := pair(); *got.PeeringStatus != "deleted" {
		t.Errorf("the permission: %+v", got)
	}
	must(w.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: &web}))(w)
	if got := stale(); len(got) != 1 {
		t.Errorf("stale: %+v", got)
	}
}

// A route to an instance or its interface is active while that is attached to what runs.
func TestRouteToAnInterface(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	subnet := w.subnet(vpc, "10.0.1.0/24", "us-west-2a")
	table := *must(w.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: &vpc}))(w).RouteTable.RouteTableId
	run := launch(1)
	run.SubnetId = &subnet
	in := must(w.RunInstances(ctx, run))(w).Instances[0]
	eni := in.NetworkInterfaces[0].NetworkInterfaceId
	must(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("0.0.0.0/0"), InstanceId: in.InstanceId}))(w)
	route := func(to string) types.Route {
		t.Helper()
		for _, r := range must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{RouteTableIds: []string{table}}))(w).RouteTables[0].Routes {
			if *r.DestinationCidrBlock == to {
				return r
			}
		}
		t.Fatalf("no route to %s", to)
		return types.Route{}
	}
	if r := route("0.0.0.0/0"); r.State != types.RouteStateActive || *r.InstanceId != *in.InstanceId || *r.NetworkInterfaceId != *eni || *r.InstanceOwnerId != account {
		t.Errorf("by the instance: %+v", r)
	}
	found := must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: filters("route.instance-id", *in.InstanceId)}))(w).RouteTables
	if len(found) != 1 || *found[0].RouteTableId != table {
		t.Errorf("by filter: %+v", found)
	}

	second := *must(w.CreateNetworkInterface(ctx, &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet}))(w).NetworkInterface.NetworkInterfaceId
	must(w.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("0.0.0.0/0"), NetworkInterfaceId: &second}))(w)
	if r := route("0.0.0.0/0"); r.State != types.RouteStateBlackhole || r.InstanceId != nil {
		t.Errorf("by an interface that is attached to nothing: %+v", r)
	}
	attached := must(w.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: &second, InstanceId: in.InstanceId, DeviceIndex: aws.Int32(1)}))(w)
	if r := route("0.0.0.0/0"); r.State != types.RouteStateActive || *r.InstanceId != *in.InstanceId {
		t.Errorf("attached: %+v", r)
	}
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("192.0.2.0/24"), InstanceId: in.InstanceId}))(w,
		"InvalidInstanceID", "There are multiple interfaces attached to instance '"+*in.InstanceId+"'. Please specify an interface ID for the operation instead.")
	must(w.DetachNetworkInterface(ctx, &sdk.DetachNetworkInterfaceInput{AttachmentId: attached.AttachmentId}))(w)
	if r := route("0.0.0.0/0"); r.State != types.RouteStateBlackhole {
		t.Errorf("detached: %+v", r)
	}

	// Within the VPC, nothing else may be a target.
	igw := must(w.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{}))(w).InternetGateway.InternetGatewayId
	must(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: &vpc}))(w)
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("10.0.2.0/24"), GatewayId: igw}))(w, "InvalidParameterValue",
		"The destination CIDR block 10.0.2.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.")
	must(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("10.0.2.0/24"), NetworkInterfaceId: eni}))(w)
	fails(w.ReplaceRoute(ctx, &sdk.ReplaceRouteInput{RouteTableId: &table, DestinationCidrBlock: aws.String("10.0.2.0/24"), GatewayId: igw}))(w, "InvalidParameterValue", "")
	list := must(w.CreateManagedPrefixList(ctx, &sdk.CreateManagedPrefixListInput{
		PrefixListName: aws.String("within"), AddressFamily: aws.String("IPv4"), MaxEntries: aws.Int32(2),
		Entries: []types.AddPrefixListEntry{{Cidr: aws.String("192.0.2.0/24")}, {Cidr: aws.String("10.0.3.0/24")}},
	}))(w).PrefixList.PrefixListId
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &table, DestinationPrefixListId: list, GatewayId: igw}))(w, "InvalidParameterValue",
		"The destination CIDR block 10.0.3.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.")
	other := w.vpc("10.9.0.0/16")
	strange := *must(w.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: &other}))(w).RouteTable.RouteTableId
	fails(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &strange, DestinationCidrBlock: aws.String("0.0.0.0/0"), NetworkInterfaceId: eni}))(w, "InvalidParameterValue", "")
}
