package ec2_test

import (
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/store"
)

func TestPeeringAndEndpoints(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	one, two, same := w.vpc("10.0.0.0/16"), w.vpc("10.1.0.0/16"), w.vpc("10.0.0.0/16")
	if p := must(w.CreateVpcPeeringConnection(ctx, &sdk.CreateVpcPeeringConnectionInput{VpcId: &one, PeerVpcId: &same}))(w).VpcPeeringConnection; p.Status.Code != "failed" {
		t.Errorf("blocks that overlap: %s", p.Status.Code)
	}
	p := must(w.CreateVpcPeeringConnection(ctx, &sdk.CreateVpcPeeringConnectionInput{VpcId: &one, PeerVpcId: &two}))(w).VpcPeeringConnection
	id := p.VpcPeeringConnectionId
	if p.Status.Code != "pending-acceptance" || *p.RequesterVpcInfo.CidrBlock != "10.0.0.0/16" {
		t.Errorf("got %+v", p)
	}
	must(w.AcceptVpcPeeringConnection(ctx, &sdk.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: id}))(w)
	main := *must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{Filters: filters("vpc-id", one)}))(w).RouteTables[0].RouteTableId
	must(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &main, DestinationCidrBlock: new("10.1.0.0/16"), VpcPeeringConnectionId: id}))(w)
	must(w.DeleteVpcPeeringConnection(ctx, &sdk.DeleteVpcPeeringConnectionInput{VpcPeeringConnectionId: id}))(w)
	fails(w.AcceptVpcPeeringConnection(ctx, &sdk.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: id}))(w, "InvalidStateTransition", "")
	if r := must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{RouteTableIds: []string{main}}))(w).RouteTables[0].Routes[1]; r.State != "blackhole" {
		t.Errorf("got %+v", r)
	}

	sub := w.subnet(one, "10.0.0.0/24", "us-west-2a")
	endpoint := &sdk.CreateVpcEndpointInput{VpcId: &one, ServiceName: new("com.amazonaws.us-west-2.sts"), VpcEndpointType: "Interface", SubnetIds: []string{sub}}
	fails(w.CreateVpcEndpoint(ctx, endpoint))(w, "InvalidParameter", "")
	must(w.ModifyVpcAttribute(ctx, &sdk.ModifyVpcAttributeInput{VpcId: &one, EnableDnsHostnames: &types.AttributeBooleanValue{Value: new(true)}}))(w)
	e := must(w.CreateVpcEndpoint(ctx, endpoint))(w).VpcEndpoint
	if e.State != "available" || len(e.NetworkInterfaceIds) != 1 || *e.DnsEntries[0].DnsName != "sts.us-west-2.amazonaws.com" {
		t.Errorf("got %+v", e)
	}
	fails(w.DeleteNetworkInterface(ctx, &sdk.DeleteNetworkInterfaceInput{NetworkInterfaceId: &e.NetworkInterfaceIds[0]}))(w, "AuthFailure", "")
	strange := launch(1)
	strange.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{NetworkInterfaceId: &e.NetworkInterfaceIds[0], DeviceIndex: new(int32(0))}}
	fails(w.RunInstances(ctx, strange))(w, "AuthFailure", "")
	strange.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{SubnetId: &sub, DeviceIndex: new(int32(0))}}
	strange.ClientToken = nil
	i := must(w.RunInstances(ctx, strange))(w).Instances[0]
	fails(w.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: &e.NetworkInterfaceIds[0], InstanceId: i.InstanceId, DeviceIndex: new(int32(1))}))(w, "AuthFailure", "")
	must(w.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}))(w)
	w.edit(func(tx *store.Tx) { provision.Terminated(tx, *i.InstanceId, time.Now()) })
	s3 := must(w.CreateVpcEndpoint(ctx, &sdk.CreateVpcEndpointInput{VpcId: &one, ServiceName: new("com.amazonaws.us-west-2.s3"), RouteTableIds: []string{main}}))(w).VpcEndpoint
	fails(w.CreateVpcEndpoint(ctx, &sdk.CreateVpcEndpointInput{VpcId: &one, ServiceName: new("com.amazonaws.us-west-2.kinesis")}))(w, "InvalidServiceName", "The Vpc Endpoint Service 'com.amazonaws.us-west-2.kinesis' does not exist")
	testModifyEndpoint(w, one, main, *e.VpcEndpointId, *s3.VpcEndpointId)
	out := must(w.DeleteVpcEndpoints(ctx, &sdk.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*e.VpcEndpointId, *s3.VpcEndpointId, "vpce-0123456789abcdef0"}}))(w)
	if len(out.Unsuccessful) != 1 || *out.Unsuccessful[0].Error.Code != "InvalidVpcEndpointId.NotFound" {
		t.Errorf("got %+v", out.Unsuccessful)
	}
	must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w)
	must(w.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: &one}))(w)
}

func testModifyEndpoint(w *world, vpc, table, sts, s3 string) {
	w.Helper()
	ctx := w.Context()
	modify := func(in sdk.ModifyVpcEndpointInput, id string) (*sdk.ModifyVpcEndpointOutput, error) {
		in.VpcEndpointId = &id
		return w.ModifyVpcEndpoint(ctx, &in)
	}
	of := func(id string) types.VpcEndpoint {
		w.Helper()
		return must(w.DescribeVpcEndpoints(ctx, &sdk.DescribeVpcEndpointsInput{VpcEndpointIds: []string{id}}))(w).VpcEndpoints[0]
	}
	same, far := w.subnet(vpc, "10.0.1.0/24", "us-west-2a"), w.subnet(vpc, "10.0.2.0/24", "us-west-2b")
	group := w.group(vpc, "https")
	fails(modify(sdk.ModifyVpcEndpointInput{AddSubnetIds: []string{same}}, sts))(w, "DuplicateSubnetsInSameZone", "")
	must(modify(sdk.ModifyVpcEndpointInput{AddSubnetIds: []string{far}, AddSecurityGroupIds: []string{group}, PrivateDnsEnabled: new(false)}, sts))(w)
	if e := of(sts); len(e.NetworkInterfaceIds) != 2 || len(e.Groups) != 2 || *e.PrivateDnsEnabled || len(e.DnsEntries) != 0 {
		w.Errorf("changed: %+v", e)
	}
	before := *of(sts).Groups[0].GroupId
	must(modify(sdk.ModifyVpcEndpointInput{RemoveSubnetIds: []string{far}, RemoveSecurityGroupIds: []string{before}, PrivateDnsEnabled: new(true)}, sts))(w)
	e := of(sts)
	if len(e.NetworkInterfaceIds) != 1 || len(e.Groups) != 1 || *e.Groups[0].GroupId != group || !*e.PrivateDnsEnabled {
		w.Errorf("changed back: %+v", e)
	}
	eni := must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: e.NetworkInterfaceIds}))(w).NetworkInterfaces[0]
	if len(eni.Groups) != 1 || *eni.Groups[0].GroupId != group {
		w.Errorf("its interface has %+v", eni.Groups)
	}
	fails(modify(sdk.ModifyVpcEndpointInput{RemoveSubnetIds: []string{far}}, sts))(w, "InvalidParameter", "")
	fails(modify(sdk.ModifyVpcEndpointInput{RemoveSecurityGroupIds: []string{group}}, sts))(w, "InvalidParameter", "")
	fails(modify(sdk.ModifyVpcEndpointInput{AddRouteTableIds: []string{table}}, sts))(w, "InvalidParameter", "")
	fails(modify(sdk.ModifyVpcEndpointInput{PolicyDocument: new(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`)}, sts))(w, "UnsupportedOperation", "")
	must(modify(sdk.ModifyVpcEndpointInput{PolicyDocument: of(sts).PolicyDocument}, sts))(w)

	// Without a subnet its groups are kept for those to come.
	at := of(sts).SubnetIds
	must(modify(sdk.ModifyVpcEndpointInput{RemoveSubnetIds: at, AddSecurityGroupIds: []string{before}}, sts))(w)
	if e := of(sts); len(e.NetworkInterfaceIds) != 0 || len(e.Groups) != 2 {
		w.Errorf("without a subnet: %+v", e)
	}
	must(modify(sdk.ModifyVpcEndpointInput{RemoveSecurityGroupIds: []string{before}}, sts))(w)
	must(modify(sdk.ModifyVpcEndpointInput{AddSubnetIds: at}, sts))(w)
	eni = must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: of(sts).NetworkInterfaceIds}))(w).NetworkInterfaces[0]
	if len(eni.Groups) != 1 || *eni.Groups[0].GroupId != group {
		w.Errorf("its new interface has %+v", eni.Groups)
	}

	fails(modify(sdk.ModifyVpcEndpointInput{AddSubnetIds: []string{far}}, s3))(w, "InvalidParameter", "")
	must(modify(sdk.ModifyVpcEndpointInput{RemoveRouteTableIds: []string{table}}, s3))(w)
	fails(modify(sdk.ModifyVpcEndpointInput{RemoveRouteTableIds: []string{table}}, s3))(w, "InvalidParameter", "")
	must(modify(sdk.ModifyVpcEndpointInput{AddRouteTableIds: []string{table}}, s3))(w)
	w.same(of(s3).RouteTableIds, table)
	fails(modify(sdk.ModifyVpcEndpointInput{}, "vpce-0123456789abcdef0"))(w, "InvalidVpcEndpointId.NotFound", "")
	for _, s := range []string{same, far} {
		must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &s}))(w)
	}
	moved := must(w.ModifyVpcEndpoint(ctx, &sdk.ModifyVpcEndpointInput{VpcEndpointId: &sts, AddSecurityGroupIds: []string{before}, RemoveSecurityGroupIds: []string{group}}))(w)
	if !*moved.Return {
		w.Error("not moved")
	}
	must(w.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: &group}))(w)
}
