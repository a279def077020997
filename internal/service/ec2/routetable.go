package ec2

import (
	"context"
	"maps"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateRouteTable makes a route table with the local route alone.
func (s *Service) CreateRouteTable(ctx context.Context, call awsapi.Call, in *ec2.CreateRouteTableInput) (*ec2.CreateRouteTableOutput, error) {
	tags, err := specTags(in.TagSpecifications, "route-table")
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateRouteTableOutput{ClientToken: in.ClientToken}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		v, err := provision.LookupVPC(tx, homeOf(call), *in.VpcId)
		if err != nil {
			return err
		}
		t := resource.RouteTable{Home: homeOf(call), ID: awsid.New("rtb"), VPC: v.ID, Token: deref(in.ClientToken), Tags: tags["route-table"]}
		for prior := range tx.RouteTables.Values(func(p resource.RouteTable) bool { return p.Home == t.Home && p.Token == t.Token && t.Token != "" }) {
			if prior.VPC != t.VPC {
				return idempotentMismatch()
			}
			t = prior
		}
		tx.RouteTables.Put(t.ID, t)
		out.RouteTable = new(describeRouteTable(tx, t))
		return nil
	})
}

func idempotentMismatch() error {
	return fault("IdempotentParameterMismatch", "The request uses the same client token as a previous, but non-identical request. Do not reuse a client token with different requests, unless the requests are identical")
}

// AssociateRouteTable routes a subnet by a table.
func (s *Service) AssociateRouteTable(ctx context.Context, call awsapi.Call, in *ec2.AssociateRouteTableInput) (*ec2.AssociateRouteTableOutput, error) {
	if err := reject(ask{"A gateway route table", in.GatewayId != nil || in.PublicIpv4Pool != nil}); err != nil {
		return nil, err
	}
	if in.SubnetId == nil {
		return nil, missing("subnetId")
	}
	out := &ec2.AssociateRouteTableOutput{AssociationState: &ec2.RouteTableAssociationState{State: new("associated")}}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, err := provision.LookupRouteTable(tx, homeOf(call), *in.RouteTableId)
		if err != nil {
			return err
		}
		sub, err := provision.LookupSubnet(tx, homeOf(call), *in.SubnetId)
		if err != nil {
			return err
		}
		if sub.VPC != t.VPC {
			return fault("InvalidParameterValue", "Route table %s and subnet %s belong to different networks", t.ID, sub.ID)
		}
		for _, other := range tx.RouteTables.All() {
			for id, subnet := range other.Associations {
				if subnet != sub.ID {
					continue
				}
				if other.ID != t.ID {
					return fault("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
				}
				out.AssociationId = &id
				return nil
			}
		}
		id := awsid.New("rtbassoc")
		if t.Associations == nil {
			t.Associations = map[string]string{}
		}
		t.Associations[id] = sub.ID
		tx.RouteTables.Put(t.ID, t)
		out.AssociationId = &id
		return nil
	})
}

// DescribeRouteTables lists route tables.
func (s *Service) DescribeRouteTables(ctx context.Context, call awsapi.Call, in *ec2.DescribeRouteTablesInput) (*ec2.DescribeRouteTablesOutput, error) {
	out := &ec2.DescribeRouteTablesOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		out.RouteTables, out.NextToken, err = routeTables(tx).list(homeOf(call), query{in.RouteTableIds, in.Filters, in.MaxResults, in.NextToken})
		return err
	})
}

func routeTables(tx *store.Tx) kind[resource.RouteTable, ec2.RouteTable] {
	association := func(f func(ec2.RouteTableAssociation) []string) func(ec2.RouteTable) []string {
		return func(t ec2.RouteTable) []string { return each(t.Associations, f) }
	}
	route := func(f func(ec2.Route) []string) func(ec2.RouteTable) []string {
		return func(t ec2.RouteTable) []string { return each(t.Routes, f) }
	}
	none := always[ec2.RouteTable]()
	return kind[resource.RouteTable, ec2.RouteTable]{
		noun: provision.RouteTables, table: tx.RouteTables,
		home:     func(t resource.RouteTable) resource.Home { return t.Home },
		describe: func(t resource.RouteTable) ec2.RouteTable { return describeRouteTable(tx, t) },
		id:       func(t ec2.RouteTable) string { return *t.RouteTableId },
		tags:     func(t ec2.RouteTable) []ec2.Tag { return t.Tags },
		fields: fields[ec2.RouteTable]{
			"association.route-table-association-id": association(func(a ec2.RouteTableAssociation) []string { return text(a.RouteTableAssociationId) }),
			"association.route-table-id":             association(func(a ec2.RouteTableAssociation) []string { return text(a.RouteTableId) }),
			"association.subnet-id":                  association(func(a ec2.RouteTableAssociation) []string { return text(a.SubnetId) }),
			"association.gateway-id":                 none,
			"association.main":                       association(func(a ec2.RouteTableAssociation) []string { return flag(a.Main) }),
			"owner-id":                               func(t ec2.RouteTable) []string { return text(t.OwnerId) },
			"route-table-id":                         func(t ec2.RouteTable) []string { return text(t.RouteTableId) },
			"vpc-id":                                 func(t ec2.RouteTable) []string { return text(t.VpcId) },
			"route.destination-cidr-block":           route(func(r ec2.Route) []string { return text(r.DestinationCidrBlock) }),
			"route.gateway-id":                       route(func(r ec2.Route) []string { return text(r.GatewayId) }),
			"route.origin":                           route(func(r ec2.Route) []string { return text(r.Origin) }),
			"route.state":                            route(func(r ec2.Route) []string { return text(r.State) }),
			"route.destination-ipv6-cidr-block":      route(func(r ec2.Route) []string { return text(r.DestinationIpv6CidrBlock) }),
			"route.destination-prefix-list-id":       route(func(r ec2.Route) []string { return text(r.DestinationPrefixListId) }),
			"route.egress-only-internet-gateway-id":  route(func(r ec2.Route) []string { return text(r.EgressOnlyInternetGatewayId) }),
			"route.instance-id":                      route(func(r ec2.Route) []string { return text(r.InstanceId) }),
			"route.network-interface-id":             route(func(r ec2.Route) []string { return text(r.NetworkInterfaceId) }),
			"route.nat-gateway-id":                   route(func(r ec2.Route) []string { return text(r.NatGatewayId) }),
			"route.transit-gateway-id":               none,
			"route.vpc-peering-connection-id":        route(func(r ec2.Route) []string { return text(r.VpcPeeringConnectionId) }),
		},
	}
}

func describeRouteTable(tx *store.Tx, t resource.RouteTable) ec2.RouteTable {
	out := ec2.RouteTable{RouteTableId: &t.ID, VpcId: &t.VPC, OwnerId: &t.Account, Tags: tagSet(t.Tags)}
	associated := &ec2.RouteTableAssociationState{State: new("associated")}
	if t.Main {
		out.Associations = append(out.Associations, ec2.RouteTableAssociation{
			Main: new(true), RouteTableAssociationId: &t.MainID, RouteTableId: &t.ID, AssociationState: associated,
		})
	}
	for _, id := range slices.Sorted(maps.Keys(t.Associations)) {
		out.Associations = append(out.Associations, ec2.RouteTableAssociation{
			Main: new(false), RouteTableAssociationId: &id, RouteTableId: &t.ID, SubnetId: new(t.Associations[id]), AssociationState: associated,
		})
	}
	if v, ok := tx.VPCs.Get(t.VPC); ok {
		for _, c := range v.CIDRs {
			out.Routes = append(out.Routes, ec2.Route{
				DestinationCidrBlock: new(c.CIDR.String()), GatewayId: new("local"), Origin: new("CreateRouteTable"), State: new("active"),
			})
		}
	}
	if v, ok := tx.VPCs.Get(t.VPC); ok {
		for _, c := range v.CIDRs6 {
			out.Routes = append(out.Routes, ec2.Route{
				DestinationIpv6CidrBlock: new(c.CIDR.String()), GatewayId: new("local"), Origin: new("CreateRouteTable"), State: new("active"),
			})
		}
	}
	for _, r := range t.Routes {
		d := ec2.Route{
			GatewayId: some(r.Gateway), NatGatewayId: some(r.NATGateway),
			VpcPeeringConnectionId: some(r.Peering), EgressOnlyInternetGatewayId: some(r.EgressOnly), NetworkInterfaceId: some(r.Interface), Origin: new("CreateRoute"), State: new(routeState(tx, t, r)),
		}
		if eni, ok := tx.Interfaces.Get(r.Interface); ok && eni.Attachment != nil && eni.Attachment.Instance != "" {
			d.InstanceId, d.InstanceOwnerId = &eni.Attachment.Instance, &eni.Account
		}
		if r.PrefixList != "" {
			d.DestinationPrefixListId = &r.PrefixList
		} else if r.Destination.Addr().Is6() {
			d.DestinationIpv6CidrBlock = new(r.Destination.String())
		} else {
			d.DestinationCidrBlock = new(r.Destination.String())
		}
		out.Routes = append(out.Routes, d)
	}
	for e := range tx.VPCEndpoints.Values(func(e resource.VPCEndpoint) bool { return slices.Contains(e.RouteTables, t.ID) }) {
		for _, l := range provision.AWSPrefixLists(t.Region) {
			if l.Name == e.Service {
				out.Routes = append(out.Routes, ec2.Route{DestinationPrefixListId: &l.ID, GatewayId: &e.ID, Origin: new("CreateRoute"), State: new("active")})
			}
		}
	}
	return out
}

// DeleteRouteTable takes a table away that no subnet is associated with.
func (s *Service) DeleteRouteTable(ctx context.Context, call awsapi.Call, in *ec2.DeleteRouteTableInput) (*ec2.DeleteRouteTableOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, err := provision.LookupRouteTable(tx, homeOf(call), *in.RouteTableId)
		if err != nil {
			return err
		}
		if t.Main || len(t.Associations) > 0 {
			return fault("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.ID)
		}
		tx.RouteTables.Delete(t.ID)
		return nil
	})
}

// DisassociateRouteTable has a subnet routed by its VPC's main table again.
func (s *Service) DisassociateRouteTable(ctx context.Context, call awsapi.Call, in *ec2.DisassociateRouteTableInput) (*ec2.DisassociateRouteTableOutput, error) {
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, err := associated(tx, call, *in.AssociationId)
		if err != nil {
			return err
		}
		if t.MainID == *in.AssociationId {
			return fault("InvalidParameterValue", "cannot disassociate the main route table association %s", *in.AssociationId)
		}
		delete(t.Associations, *in.AssociationId)
		tx.RouteTables.Put(t.ID, t)
		return nil
	})
}

// ReplaceRouteTableAssociation routes a subnet by another table, or makes another table
// its VPC's main one.
func (s *Service) ReplaceRouteTableAssociation(ctx context.Context, call awsapi.Call, in *ec2.ReplaceRouteTableAssociationInput) (*ec2.ReplaceRouteTableAssociationOutput, error) {
	out := &ec2.ReplaceRouteTableAssociationOutput{AssociationState: &ec2.RouteTableAssociationState{State: new("associated")}}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		from, err := associated(tx, call, *in.AssociationId)
		if err != nil {
			return err
		}
		to, err := provision.LookupRouteTable(tx, homeOf(call), *in.RouteTableId)
		if err != nil {
			return err
		}
		if from.VPC != to.VPC {
			return fault("InvalidParameterValue", "Route table %s and association %s belong to different networks", to.ID, *in.AssociationId)
		}
		id := awsid.New("rtbassoc")
		out.NewAssociationId = &id
		if from.MainID == *in.AssociationId {
			v, err := provision.LookupVPC(tx, homeOf(call), from.VPC)
			if err != nil {
				return err
			}
			from.Main, from.MainID = false, ""
			tx.RouteTables.Put(from.ID, from)
			to, _ = tx.RouteTables.Get(to.ID) // it may be the same
			to.Main, to.MainID, v.MainRouteTable = true, id, to.ID
			tx.RouteTables.Put(to.ID, to)
			tx.VPCs.Put(v.ID, v)
			return nil
		}
		subnet := from.Associations[*in.AssociationId]
		delete(from.Associations, *in.AssociationId)
		tx.RouteTables.Put(from.ID, from)
		to, _ = tx.RouteTables.Get(to.ID)
		if to.Associations == nil {
			to.Associations = map[string]string{}
		}
		to.Associations[id] = subnet
		tx.RouteTables.Put(to.ID, to)
		return nil
	})
}

// associated is the table that has the association.
func associated(tx *store.Tx, call awsapi.Call, id string) (resource.RouteTable, error) {
	for _, t := range tx.RouteTables.All() {
		if _, ok := t.Associations[id]; t.Home == homeOf(call) && (ok || t.MainID == id) {
			return provision.LookupRouteTable(tx, homeOf(call), t.ID)
		}
	}
	return resource.RouteTable{}, fault("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}
