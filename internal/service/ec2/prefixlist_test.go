package ec2_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func (w *world) list(name, family string, size int32, cidrs ...string) types.ManagedPrefixList {
	w.Helper()
	in := &sdk.CreateManagedPrefixListInput{PrefixListName: &name, AddressFamily: &family, MaxEntries: &size}
	for _, c := range cidrs {
		in.Entries = append(in.Entries, types.AddPrefixListEntry{Cidr: &c, Description: aws.String("of " + name)})
	}
	return *must(w.CreateManagedPrefixList(w.Context(), in))(w).PrefixList
}

func (w *world) entries(id string, version *int64) (out []string) {
	w.Helper()
	for _, e := range must(w.GetManagedPrefixListEntries(w.Context(), &sdk.GetManagedPrefixListEntriesInput{PrefixListId: &id, TargetVersion: version}))(w).Entries {
		out = append(out, *e.Cidr)
	}
	return out
}

func (w *world) same(got []string, want ...string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("got %q, want %q", got, want)
	}
}

func (w *world) described(id string) types.ManagedPrefixList {
	w.Helper()
	return must(w.DescribeManagedPrefixLists(w.Context(), &sdk.DescribeManagedPrefixListsInput{PrefixListIds: []string{id}}))(w).PrefixLists[0]
}

func TestPrefixListVersions(t *testing.T) {
	w := newWorld(t)
	l := w.list("office", "IPv4", 3, "10.0.0.0/24", "10.0.1.7/32")
	id := *l.PrefixListId
	if l.State != types.PrefixListStateCreateInProgress || *l.Version != 1 || *l.PrefixListArn != "arn:aws:ec2:us-west-2:000000000000:prefix-list/"+id {
		t.Errorf("created: %+v", l)
	}
	modify := func(version int64, add, remove []string) (*sdk.ModifyManagedPrefixListOutput, error) {
		in := &sdk.ModifyManagedPrefixListInput{PrefixListId: &id, CurrentVersion: &version}
		for _, c := range add {
			in.AddEntries = append(in.AddEntries, types.AddPrefixListEntry{Cidr: &c, Description: aws.String("x")})
		}
		for _, c := range remove {
			in.RemoveEntries = append(in.RemoveEntries, types.RemovePrefixListEntry{Cidr: &c})
		}
		return w.ModifyManagedPrefixList(w.Context(), in)
	}
	must(modify(1, []string{"192.0.2.0/24"}, []string{"10.0.1.7/32"}))(w)
	if got := w.described(id); got.State != types.PrefixListStateModifyComplete || *got.Version != 2 || *got.MaxEntries != 3 {
		t.Errorf("modified: %+v", got)
	}
	w.same(w.entries(id, nil), "10.0.0.0/24", "192.0.2.0/24")
	w.same(w.entries(id, aws.Int64(1)), "10.0.0.0/24", "10.0.1.7/32")

	fails(modify(1, []string{"192.0.3.0/24"}, nil))(w, "PrefixListVersionMismatch", "The prefix list has the incorrect version number.")
	fails(modify(2, []string{"10.0.0.0/24"}, nil))(w, "InvalidPrefixListModification", "An entry with the CIDR (10.0.0.0/24) and description (x) already exists.")
	fails(modify(2, []string{"192.0.3.0/24", "192.0.4.0/24"}, nil))(w, "PrefixListMaxEntriesExceeded", "")
	fails(modify(2, nil, []string{"192.0.9.0/24"}))(w, "InvalidPrefixListModification", "")
	fails(modify(2, []string{"2001:db8::/64"}, nil))(w, "InvalidParameterValue", "")
	fails(w.ModifyManagedPrefixList(w.Context(), &sdk.ModifyManagedPrefixListInput{
		PrefixListId: &id, CurrentVersion: aws.Int64(2), MaxEntries: aws.Int32(9), RemoveEntries: []types.RemovePrefixListEntry{{Cidr: aws.String("10.0.0.0/24")}},
	}))(w, "InvalidParameterCombination", "You cannot modify the entries and the maximum entries for the prefix list in the same request.")
	w.same(w.entries(id, nil), "10.0.0.0/24", "192.0.2.0/24")

	must(w.RestoreManagedPrefixListVersion(w.Context(), &sdk.RestoreManagedPrefixListVersionInput{PrefixListId: &id, CurrentVersion: aws.Int64(2), PreviousVersion: aws.Int64(1)}))(w)
	w.same(w.entries(id, nil), "10.0.0.0/24", "10.0.1.7/32")
	fails(w.GetManagedPrefixListEntries(w.Context(), &sdk.GetManagedPrefixListEntriesInput{PrefixListId: aws.String("pl-0123456789abcdef0")}))(
		w, "InvalidPrefixListID.NotFound", "The prefix list (pl-0123456789abcdef0) does not exist.")
}

func TestPrefixListInUse(t *testing.T) {
	w := newWorld(t)
	vpc := w.defaultVPC()
	id := *w.list("clients", "IPv4", 30, "10.0.0.0/24").PrefixListId
	group := w.group(vpc, "g")
	permit := func(list string, port int32) (*sdk.AuthorizeSecurityGroupIngressOutput, error) {
		return w.AuthorizeSecurityGroupIngress(w.Context(), &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port, PrefixListIds: []types.PrefixListId{{PrefixListId: &list, Description: aws.String("d")}},
		}}})
	}
	made := must(permit(id, 443))(w).SecurityGroupRules[0]
	if *made.PrefixListId != id || *made.Description != "d" || made.CidrIpv4 != nil {
		t.Errorf("rule: %+v", made)
	}
	fails(permit(id, 443))(w, "InvalidPermission.Duplicate", "")
	must(permit(id, 444))(w) // counts for the 30 entries that the list may have
	fails(permit(id, 445))(w, "RulesPerSecurityGroupLimitExceeded", "")
	fails(permit("pl-0123456789abcdef0", 1))(w, "InvalidPrefixListID.NotFound", "")

	table := *must(w.CreateRouteTable(w.Context(), &sdk.CreateRouteTableInput{VpcId: &vpc}))(w).RouteTable.RouteTableId
	igw := must(w.DescribeInternetGateways(w.Context(), nil))(w).InternetGateways[0].InternetGatewayId
	route := &sdk.CreateRouteInput{RouteTableId: &table, DestinationPrefixListId: &id, GatewayId: igw}
	must(w.CreateRoute(w.Context(), route))(w)
	fails(w.CreateRoute(w.Context(), route))(w, "RouteAlreadyExists", "The route identified by "+id+" already exists.")
	routes := must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{Filters: filters("route.destination-prefix-list-id", id)}))(w).RouteTables[0].Routes
	if r := routes[len(routes)-1]; *r.DestinationPrefixListId != id || r.DestinationCidrBlock != nil || *r.GatewayId != *igw {
		t.Errorf("route: %+v", r)
	}

	users := must(w.GetManagedPrefixListAssociations(w.Context(), &sdk.GetManagedPrefixListAssociationsInput{PrefixListId: &id}))(w).PrefixListAssociations
	if len(users) != 2 || *users[0].ResourceId != table || *users[1].ResourceId != group {
		t.Errorf("associations: %+v", users)
	}
	must(w.ModifyManagedPrefixList(w.Context(), &sdk.ModifyManagedPrefixListInput{PrefixListId: &id, MaxEntries: aws.Int32(31)}))(w)
	if got := w.described(id); got.State != types.PrefixListStateModifyFailed || *got.MaxEntries != 30 {
		t.Errorf("resized: %+v", got)
	}
	must(w.DeleteManagedPrefixList(w.Context(), &sdk.DeleteManagedPrefixListInput{PrefixListId: &id}))(w)
	if got := w.described(id); got.State != types.PrefixListStateDeleteFailed || *got.StateMessage != "The prefix list is referenced by the following resources: "+table+", "+group {
		t.Errorf("deleted in use: %+v", got)
	}
	must(w.DeleteRoute(w.Context(), &sdk.DeleteRouteInput{RouteTableId: &table, DestinationPrefixListId: &id}))(w)
	must(w.DeleteSecurityGroup(w.Context(), &sdk.DeleteSecurityGroupInput{GroupId: &group}))(w)
	must(w.DeleteManagedPrefixList(w.Context(), &sdk.DeleteManagedPrefixListInput{PrefixListId: &id}))(w)
	fails(w.DescribeManagedPrefixLists(w.Context(), &sdk.DescribeManagedPrefixListsInput{PrefixListIds: []string{id}}))(w, "InvalidPrefixListID.NotFound", "")
}

func TestPrefixListsOfAWS(t *testing.T) {
	w := newWorld(t)
	vpc := w.defaultVPC()
	lists := must(w.DescribePrefixLists(w.Context(), &sdk.DescribePrefixListsInput{Filters: filters("prefix-list-name", "com.amazonaws.us-west-2.s3")}))(w).PrefixLists
	if len(lists) != 1 || len(lists[0].Cidrs) != 1 {
		t.Fatalf("lists: %+v", lists)
	}
	id := *lists[0].PrefixListId
	if l := w.described(id); *l.OwnerId != "AWS" || l.MaxEntries != nil || *l.PrefixListArn != "arn:aws:ec2:us-west-2:aws:prefix-list/"+id {
		t.Errorf("described: %+v", l)
	}
	fails(w.DeleteManagedPrefixList(w.Context(), &sdk.DeleteManagedPrefixListInput{PrefixListId: &id}))(w, "OperationNotPermitted", "")

	// A gateway endpoint shows as a route to its service's list.
	tables := must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{Filters: filters("vpc-id", vpc)}))(w).RouteTables
	e := must(w.CreateVpcEndpoint(w.Context(), &sdk.CreateVpcEndpointInput{
		VpcId: &vpc, ServiceName: aws.String("com.amazonaws.us-west-2.s3"), RouteTableIds: []string{*tables[0].RouteTableId},
	}))(w).VpcEndpoint
	routes := must(w.DescribeRouteTables(w.Context(), &sdk.DescribeRouteTablesInput{RouteTableIds: []string{*tables[0].RouteTableId}}))(w).RouteTables[0].Routes
	if r := routes[len(routes)-1]; r.DestinationPrefixListId == nil || *r.DestinationPrefixListId != id || *r.GatewayId != *e.VpcEndpointId {
		t.Errorf("routes: %+v", routes)
	}
}
