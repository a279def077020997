package ec2

import (
	"context"
	"net/netip"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// CreateRoute sends a destination to a gateway, a peer or a network interface.
func (s *Service) CreateRoute(ctx context.Context, call awsapi.Call, in *ec2.CreateRouteInput) (*ec2.CreateRouteOutput, error) {
	to, err := routeDestination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	out := &ec2.CreateRouteOutput{Return: new(true)}
	return out, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, err := provision.LookupRouteTable(tx, homeOf(call), *in.RouteTableId)
		if err != nil {
			return err
		}
		r, err := readRoute(tx, call, t, to, *in)
		if err != nil {
			return err
		}
		v, err := provision.LookupVPC(tx, homeOf(call), t.VPC)
		if err != nil {
			return err
		}
		local := slices.ContainsFunc(slices.Concat(v.CIDRs, v.CIDRs6), func(c resource.CIDRAssociation) bool { return c.CIDR == to.Destination })
		if local || slices.ContainsFunc(t.Routes, to.SameDestination) {
			return fault("RouteAlreadyExists", "The route identified by %s already exists.", to.To())
		}
		t.Routes = append(t.Routes, r)
		tx.RouteTables.Put(t.ID, t)
		return nil
	})
}

// ReplaceRoute sends the destination of a route to something else.
func (s *Service) ReplaceRoute(ctx context.Context, call awsapi.Call, in *ec2.ReplaceRouteInput) (*ec2.ReplaceRouteOutput, error) {
	if err := reject(ask{"Making a route local again", is(in.LocalTarget)}); err != nil {
		return nil, err
	}
	to, err := routeDestination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, at, err := findRoute(tx, call, *in.RouteTableId, to)
		if err != nil {
			return err
		}
		t.Routes[at], err = readRoute(tx, call, t, to, ec2.CreateRouteInput{
			GatewayId: in.GatewayId, NatGatewayId: in.NatGatewayId, VpcPeeringConnectionId: in.VpcPeeringConnectionId,
			EgressOnlyInternetGatewayId: in.EgressOnlyInternetGatewayId, InstanceId: in.InstanceId, NetworkInterfaceId: in.NetworkInterfaceId,
			TransitGatewayId: in.TransitGatewayId, VpcEndpointId: in.VpcEndpointId, LocalGatewayId: in.LocalGatewayId,
			CarrierGatewayId: in.CarrierGatewayId, CoreNetworkArn: in.CoreNetworkArn, OdbNetworkArn: in.OdbNetworkArn,
		})
		if err != nil {
			return err
		}
		tx.RouteTables.Put(t.ID, t)
		return nil
	})
}

// DeleteRoute takes a route away.
func (s *Service) DeleteRoute(ctx context.Context, call awsapi.Call, in *ec2.DeleteRouteInput) (*ec2.DeleteRouteOutput, error) {
	to, err := routeDestination(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
	if err != nil {
		return nil, err
	}
	return nil, s.update(ctx, call, in.DryRun, func(tx *store.Tx) error {
		t, at, err := findRoute(tx, call, *in.RouteTableId, to)
		if err != nil {
			return err
		}
		t.Routes = slices.Delete(t.Routes, at, at+1)
		tx.RouteTables.Put(t.ID, t)
		return nil
	})
}

// routeDestination is a route with the one destination that is given.
func routeDestination(v4, v6, list *string) (r resource.Route, err error) {
	given := 0
	for _, s := range []*string{v4, v6, list} {
		if s != nil {
			given++
		}
	}
	switch {
	case given == 0:
		return r, missing("destinationCidrBlock")
	case given > 1:
		return r, fault("InvalidParameterCombination", "Exactly one destination of a route may be given")
	case list != nil:
		r.PrefixList = *list
	case v6 != nil:
		r.Destination, err = readRange(*v6, netip.Addr.Is6)
	default:
		r.Destination, err = readCIDR("destinationCidrBlock", *v4)
	}
	return r, err
}

func findRoute(tx *store.Tx, call awsapi.Call, table string, to resource.Route) (resource.RouteTable, int, error) {
	t, err := provision.LookupRouteTable(tx, homeOf(call), table)
	if err != nil {
		return t, 0, err
	}
	at := slices.IndexFunc(t.Routes, to.SameDestination)
	if at < 0 {
		return t, 0, fault("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", to.To(), table)
	}
	return t, at, nil
}

// readRoute is a route of table to the one target that in names.
func readRoute(tx *store.Tx, call awsapi.Call, t resource.RouteTable, r resource.Route, in ec2.CreateRouteInput) (resource.Route, error) {
	if r.PrefixList != "" {
		if _, err := provision.OwnPrefixList(tx, homeOf(call), r.PrefixList); err != nil {
			return r, err // EC2 makes those to its own lists itself, for gateway endpoints
		}
	}
	if err := reject(ask{"A route to anything but an internet gateway, a NAT gateway, a peering connection or a network interface", in.TransitGatewayId != nil || in.VpcEndpointId != nil || in.LocalGatewayId != nil ||
		in.CarrierGatewayId != nil || in.CoreNetworkArn != nil || in.OdbNetworkArn != nil}); err != nil {
		return r, err
	}
	given := 0
	for _, id := range []*string{in.GatewayId, in.NatGatewayId, in.VpcPeeringConnectionId, in.EgressOnlyInternetGatewayId, in.NetworkInterfaceId, in.InstanceId} {
		if id != nil {
			given++
		}
	}
	switch {
	case given == 0:
		return r, missing("gatewayId")
	case given > 1:
		return r, fault("InvalidParameterCombination", "Exactly one target of a route may be given")
	case in.EgressOnlyInternetGatewayId != nil:
		g, err := lookupEgressOnly(tx, homeOf(call), *in.EgressOnlyInternetGatewayId)
		if err != nil {
			return r, err
		}
		if g.VPC != t.VPC {
			return r, fault("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		if r.PrefixList == "" && !r.Destination.Addr().Is6() {
			return r, fault("InvalidParameterValue", "An egress-only internet gateway can be the target of IPv6 routes only")
		}
		r.EgressOnly = g.ID
	case in.NatGatewayId != nil:
		if r.Destination.Addr().Is6() {
			return r, unsupported("A route of IPv6 to a NAT gateway")
		}
		g, err := provision.LookupNATGateway(tx, homeOf(call), *in.NatGatewayId, call.Time)
		if err != nil {
			return r, fault("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", *in.NatGatewayId)
		}
		if g.VPC != t.VPC || !g.Deleted.IsZero() {
			return r, fault("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		r.NATGateway = g.ID
	case in.VpcPeeringConnectionId != nil:
		p, err := provision.LookupPeering(tx, homeOf(call), *in.VpcPeeringConnectionId, call.Time)
		if err != nil {
			return r, err
		}
		if p.Requester != t.VPC && p.Accepter != t.VPC {
			return r, fault("InvalidParameterValue", "route table %s and peering connection %s belong to different networks", t.ID, p.ID)
		}
		r.Peering = p.ID
	case in.NetworkInterfaceId != nil, in.InstanceId != nil:
		eni, err := routeInterface(tx, call, in)
		if err != nil {
			return r, err
		}
		if eni.VPC != t.VPC {
			return r, fault("InvalidParameterValue", "route table %s and interface %s belong to different networks", t.ID, eni.ID)
		}
		r.Interface = eni.ID
	default:
		g, err := provision.LookupInternetGateway(tx, homeOf(call), *in.GatewayId)
		if err != nil {
			return r, err
		}
		if g.VPC != t.VPC {
			return r, fault("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
		}
		r.Gateway = g.ID
	}
	if r.Interface == "" {
		return r, outside(tx, call, t, r)
	}
	return r, nil
}

// outside refuses a route to a part of the route table's own VPC.
func outside(tx *store.Tx, call awsapi.Call, t resource.RouteTable, r resource.Route) error {
	v, err := provision.LookupVPC(tx, homeOf(call), t.VPC)
	if err != nil {
		return err
	}
	destinations := []netip.Prefix{r.Destination}
	if r.PrefixList != "" {
		l, err := provision.OwnPrefixList(tx, homeOf(call), r.PrefixList)
		if err != nil {
			return err
		}
		destinations = nil
		for _, e := range l.Entries() {
			destinations = append(destinations, e.CIDR)
		}
	}
	for _, c := range slices.Concat(v.CIDRs, v.CIDRs6) {
		for _, d := range destinations {
			if c.CIDR.Bits() < d.Bits() && c.CIDR.Contains(d.Addr()) {
				return fault("InvalidParameterValue", "The destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.", d)
			}
		}
	}
	return nil
}

// routeInterface is the interface that in names, or the one that the instance has.
func routeInterface(tx *store.Tx, call awsapi.Call, in ec2.CreateRouteInput) (resource.NetworkInterface, error) {
	if in.NetworkInterfaceId != nil {
		return provision.LookupInterface(tx, homeOf(call), *in.NetworkInterfaceId)
	}
	i, err := provision.LookupInstance(tx, homeOf(call), *in.InstanceId)
	if err != nil {
		return resource.NetworkInterface{}, err
	}
	has := provision.InterfacesOf(tx, i.ID)
	switch len(has) {
	case 0:
		return resource.NetworkInterface{}, fault("InvalidInstanceID", "Instance '%s' has no network interface.", i.ID)
	case 1:
		return has[0], nil
	}
	return resource.NetworkInterface{}, fault("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
}

// routeState is blackhole for a route whose target is gone.
func routeState(tx *store.Tx, t resource.RouteTable, r resource.Route) string {
	if g, ok := tx.InternetGateways.Get(r.Gateway); ok && g.VPC == t.VPC {
		return ec2.RouteStateActive
	}
	if g, ok := tx.NATGateways.Get(r.NATGateway); ok && g.Deleted.IsZero() {
		return ec2.RouteStateActive
	}
	if g, ok := tx.EgressOnlyGateways.Get(r.EgressOnly); ok && g.VPC == t.VPC {
		return ec2.RouteStateActive
	}
	if p, ok := tx.PeeringConnections.Get(r.Peering); ok && p.State == resource.PeeringActive {
		return ec2.RouteStateActive
	}
	if provision.Forwards(tx, r.Interface) {
		return ec2.RouteStateActive
	}
	return ec2.RouteStateBlackhole
}
