package provision

import (
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// LookupVPC returns a VPC of home, or InvalidVpcID.NotFound.
func LookupVPC(tx *store.Tx, home resource.Home, id string) (resource.VPC, error) {
	return lookup(tx.VPCs, VPCs, home, id, func(v resource.VPC) resource.Home { return v.Home })
}

// LookupSubnet returns a subnet of home, or InvalidSubnetID.NotFound.
func LookupSubnet(tx *store.Tx, home resource.Home, id string) (resource.Subnet, error) {
	return lookup(tx.Subnets, Subnets, home, id, func(s resource.Subnet) resource.Home { return s.Home })
}

// LookupSecurityGroup returns a security group of home, or InvalidGroup.NotFound.
func LookupSecurityGroup(tx *store.Tx, home resource.Home, id string) (resource.SecurityGroup, error) {
	return lookup(tx.SecurityGroups, SecurityGroups, home, id, func(g resource.SecurityGroup) resource.Home { return g.Home })
}

// LookupInterface returns a network interface of home, or InvalidNetworkInterfaceID.NotFound.
func LookupInterface(tx *store.Tx, home resource.Home, id string) (resource.NetworkInterface, error) {
	return lookup(tx.Interfaces, NetworkInterfaces, home, id, func(i resource.NetworkInterface) resource.Home { return i.Home })
}

// LookupInstance returns an instance of home, or InvalidInstanceID.NotFound.
func LookupInstance(tx *store.Tx, home resource.Home, id string) (resource.Instance, error) {
	return lookup(tx.Instances, Instances, home, id, func(i resource.Instance) resource.Home { return i.Home })
}

// LookupRouteTable returns a route table of home, or InvalidRouteTableID.NotFound.
func LookupRouteTable(tx *store.Tx, home resource.Home, id string) (resource.RouteTable, error) {
	return lookup(tx.RouteTables, RouteTables, home, id, func(r resource.RouteTable) resource.Home { return r.Home })
}

// LookupInternetGateway returns an internet gateway of home, or InvalidInternetGatewayID.NotFound.
func LookupInternetGateway(tx *store.Tx, home resource.Home, id string) (resource.InternetGateway, error) {
	return lookup(tx.InternetGateways, InternetGateways, home, id, func(g resource.InternetGateway) resource.Home { return g.Home })
}

// LookupLaunchTemplate returns a launch template of home by its id or, where id is
// empty, by its name.
func LookupLaunchTemplate(tx *store.Tx, home resource.Home, id, name string) (resource.LaunchTemplate, error) {
	if id != "" {
		if lt, ok := tx.LaunchTemplates.Get(id); ok && lt.Home == home {
			return lt, nil
		}
		return resource.LaunchTemplate{}, fault("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	}
	for _, lt := range tx.LaunchTemplates.All() {
		if lt.Home == home && lt.Name == name {
			lt, _ = tx.LaunchTemplates.Get(lt.ID) // one that the caller may change
			return lt, nil
		}
	}
	return resource.LaunchTemplate{}, fault("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
}

func lookup[T any](t *store.Table[T], noun Noun, home resource.Home, id string, of func(T) resource.Home) (T, error) {
	if v, ok := t.Get(id); ok && of(v) == home {
		return v, nil
	}
	var none T
	if err := noun.Check(id); err != nil {
		return none, err
	}
	return none, noun.NotFound(id)
}
