package provision

import (
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Kinds of VPC endpoints, as the API spells them.
const (
	EndpointInterface = "Interface"
	EndpointGateway   = "Gateway"
)

// EndpointServices are the services that have an endpoint, by the last part of
// com.amazonaws.<region>.<name>, and its kind. ecr.api, ecr.dkr and s3 stand for the image
// registry: nodes load images by them.
var EndpointServices = map[string]string{
	"autoscaling": EndpointInterface, "ec2": EndpointInterface, "ecr.api": EndpointInterface, "ecr.dkr": EndpointInterface,
	"eks": EndpointInterface, "eks-auth": EndpointInterface, "events": EndpointInterface, "s3": EndpointGateway, "sqs": EndpointInterface, "ssm": EndpointInterface, "sts": EndpointInterface,
}

// An EndpointRequest says what VPC endpoint to make.
type EndpointRequest struct {
	Home           resource.Home
	VPC            string
	Service        string
	Type           string // "" is Gateway
	RouteTables    []string
	Subnets        []string
	SecurityGroups []string // none: the VPC's default group
	NoPrivateDNS   bool
	Policy         string
	Token          string
	Tags           resource.Tags
	Now            time.Time
}

// LookupEndpoint returns a VPC endpoint of home.
func LookupEndpoint(tx *store.Tx, home resource.Home, id string) (resource.VPCEndpoint, error) {
	if e, ok := tx.VPCEndpoints.Get(id); ok && e.Home == home {
		return e, nil
	}
	return resource.VPCEndpoint{}, fault("InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '%s' does not exist", id)
}

// Endpoint makes a VPC endpoint; an interface endpoint with an interface in each subnet.
func Endpoint(tx *store.Tx, r EndpointRequest) (resource.VPCEndpoint, error) {
	none := resource.VPCEndpoint{}
	v, err := LookupVPC(tx, r.Home, r.VPC)
	if err != nil {
		return none, err
	}
	kind := or(r.Type, EndpointGateway)
	name, ours := strings.CutPrefix(r.Service, "com.amazonaws."+r.Home.Region+".")
	if has := EndpointServices[name]; !ours || has == "" {
		return none, fault("InvalidServiceName", "The Vpc Endpoint Service '%s' does not exist", r.Service)
	} else if has != kind {
		return none, fault("InvalidParameter", "Endpoint type (%s) does not match available service types ([%s]).", kind, has)
	}
	e := resource.VPCEndpoint{
		Home: r.Home, ID: awsid.New("vpce"), VPC: v.ID, Service: r.Service, Type: kind, Policy: r.Policy, Created: r.Now, Token: r.Token, Tags: r.Tags,
	}
	if kind == EndpointGateway {
		for _, id := range r.RouteTables {
			if err := addTable(tx, &e, id); err != nil {
				return none, err
			}
		}
		tx.VPCEndpoints.Put(e.ID, e)
		return e, nil
	}
	if !r.NoPrivateDNS {
		if err := enablePrivateDNS(tx, &e); err != nil {
			return none, err
		}
	}
	if e.SecurityGroups, err = endpointGroups(tx, e, r.SecurityGroups); err != nil {
		return none, err
	}
	for _, id := range r.Subnets {
		if err := addSubnet(tx, &e, id, r.Now); err != nil {
			return none, err
		}
	}
	tx.VPCEndpoints.Put(e.ID, e)
	return e, nil
}

// addTable has a gateway endpoint reached by a route table.
func addTable(tx *store.Tx, e *resource.VPCEndpoint, id string) error {
	t, err := LookupRouteTable(tx, e.Home, id)
	if err != nil {
		return err
	}
	if t.VPC != e.VPC {
		return fault("InvalidParameter", "Route table %s and VPC %s belong to different networks", id, e.VPC)
	}
	if !slices.Contains(e.RouteTables, id) {
		e.RouteTables = append(e.RouteTables, id)
	}
	return nil
}

// enablePrivateDNS has an interface endpoint take over its service's names in the VPC.
func enablePrivateDNS(tx *store.Tx, e *resource.VPCEndpoint) error {
	v, err := LookupVPC(tx, e.Home, e.VPC)
	if err != nil {
		return err
	}
	if !v.DNSSupport || !v.DNSHostnames {
		return fault("InvalidParameter", "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", v.ID)
	}
	for _, o := range tx.VPCEndpoints.All() {
		if o.VPC == v.ID && o.Service == e.Service && o.PrivateDNS && o.ID != e.ID {
			name := e.Service[len("com.amazonaws."+e.Region+"."):]
			return fault("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", name+"."+e.Region+".amazonaws.com", v.ID)
		}
	}
	e.PrivateDNS = true
	return nil
}

// addSubnet gives an interface endpoint an interface in a subnet of another zone.
func addSubnet(tx *store.Tx, e *resource.VPCEndpoint, id string, now time.Time) error {
	s, err := LookupSubnet(tx, e.Home, id)
	if err != nil {
		return err
	}
	if s.VPC != e.VPC {
		return fault("InvalidParameter", "Subnet %s and VPC %s belong to different networks", id, e.VPC)
	}
	for _, other := range e.Subnets {
		if o, _ := tx.Subnets.Get(other); o.Zone == s.Zone {
			return fault("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s. VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service.", id)
		}
	}
	eni, err := Interface(tx, InterfaceRequest{
		Home: e.Home, Subnet: id, SecurityGroups: e.SecurityGroups, Description: "VPC Endpoint Interface " + e.ID, RequesterManaged: true,
		RequesterID: "amazon-aws", Owner: e.ID, Type: "vpc_endpoint", Now: now,
	})
	if err != nil {
		return err
	}
	e.Subnets, e.Interfaces = append(e.Subnets, id), append(e.Interfaces, eni.ID)
	return nil
}

// endpointGroups are the security groups of an endpoint's interfaces, also while it has none: the
// VPC's default group unless others are asked for.
func endpointGroups(tx *store.Tx, e resource.VPCEndpoint, ids []string) ([]string, error) {
	return groupsFor(tx, resource.Subnet{Home: e.Home, ID: e.ID, VPC: e.VPC}, ids)
}

// An EndpointChange says what of a VPC endpoint is to change.
type EndpointChange struct {
	AddTables, RemoveTables   []string
	AddSubnets, RemoveSubnets []string
	AddGroups, RemoveGroups   []string
	PrivateDNS                *bool
	Now                       time.Time
}

// ModifyEndpoint changes a VPC endpoint: route tables are a gateway endpoint's, all else is an
// interface endpoint's.
func ModifyEndpoint(tx *store.Tx, home resource.Home, id string, c EndpointChange) error {
	e, err := LookupEndpoint(tx, home, id)
	if err != nil {
		return err
	}
	if e.Type == EndpointGateway {
		if len(c.AddSubnets)+len(c.RemoveSubnets)+len(c.AddGroups)+len(c.RemoveGroups) > 0 || is(c.PrivateDNS) {
			return fault("InvalidParameter", "Subnets, security groups and private DNS are not supported for VPC endpoint %s of type Gateway", id)
		}
		for _, t := range c.RemoveTables {
			at := slices.Index(e.RouteTables, t)
			if at < 0 {
				return fault("InvalidParameter", "Route table %s is not associated with VPC endpoint %s", t, id)
			}
			e.RouteTables = slices.Delete(e.RouteTables, at, at+1)
		}
		for _, t := range c.AddTables {
			if err := addTable(tx, &e, t); err != nil {
				return err
			}
		}
		tx.VPCEndpoints.Put(id, e)
		return nil
	}
	if len(c.AddTables)+len(c.RemoveTables) > 0 {
		return fault("InvalidParameter", "Route tables are not supported for VPC endpoint %s of type Interface", id)
	}
	if is(c.PrivateDNS) {
		if err := enablePrivateDNS(tx, &e); err != nil {
			return err
		}
	} else if c.PrivateDNS != nil {
		e.PrivateDNS = false
	}
	for _, s := range c.RemoveSubnets {
		at := slices.Index(e.Subnets, s)
		if at < 0 {
			return fault("InvalidParameter", "Subnet %s is not associated with VPC endpoint %s", s, id)
		}
		if err := DeleteInterface(tx, e.Interfaces[at]); err != nil {
			return err
		}
		e.Subnets, e.Interfaces = slices.Delete(e.Subnets, at, at+1), slices.Delete(e.Interfaces, at, at+1)
	}
	for _, s := range c.AddSubnets {
		if slices.Contains(e.Subnets, s) {
			continue
		}
		if err := addSubnet(tx, &e, s, c.Now); err != nil {
			return err
		}
	}
	if err := changeGroups(tx, &e, c); err != nil {
		return err
	}
	tx.VPCEndpoints.Put(id, e)
	return nil
}

func changeGroups(tx *store.Tx, e *resource.VPCEndpoint, c EndpointChange) error {
	if len(c.AddGroups)+len(c.RemoveGroups) == 0 {
		return nil
	}
	groups := append(slices.Clone(e.SecurityGroups), c.AddGroups...)
	for _, g := range c.RemoveGroups {
		if !slices.Contains(e.SecurityGroups, g) {
			return fault("InvalidParameter", "Security group %s is not associated with VPC endpoint %s", g, e.ID)
		}
	}
	groups = slices.DeleteFunc(groups, func(g string) bool { return slices.Contains(c.RemoveGroups, g) })
	if len(groups) == 0 {
		return fault("InvalidParameter", "VPC endpoint %s must have at least one security group", e.ID)
	}
	groups, err := endpointGroups(tx, *e, groups)
	if err != nil {
		return err
	}
	e.SecurityGroups = groups
	for _, eni := range e.Interfaces {
		if err := SetGroups(tx, e.Home, eni, groups); err != nil {
			return err
		}
	}
	return nil
}

// DeleteEndpoint takes a VPC endpoint away with its interfaces.
func DeleteEndpoint(tx *store.Tx, home resource.Home, id string) error {
	e, err := LookupEndpoint(tx, home, id)
	if err != nil {
		return err
	}
	for _, eni := range e.Interfaces {
		if err := DeleteInterface(tx, eni); err != nil {
			return err
		}
	}
	tx.VPCEndpoints.Delete(id)
	return nil
}

// EndpointNames are the DNS names that an interface endpoint takes over in its VPC.
func EndpointNames(e resource.VPCEndpoint) []string {
	if !e.PrivateDNS {
		return nil
	}
	name := e.Service[strings.LastIndex(e.Service, e.Region+".")+len(e.Region)+1:]
	switch name {
	case "ecr.api":
		return []string{"api.ecr." + e.Region + ".amazonaws.com"}
	case "ecr.dkr":
		return []string{"dkr.ecr." + e.Region + ".amazonaws.com"}
	}
	return []string{name + "." + e.Region + ".amazonaws.com"}
}

// LoadsImages says whether a subnet's nodes reach the image registry by endpoints: by
// ECR's in the VPC, and by S3's in the route table, as on AWS.
func LoadsImages(tx *store.Tx, vpc, routeTable string) bool {
	ecr, s3 := false, false
	for _, e := range tx.VPCEndpoints.All() {
		if e.VPC != vpc {
			continue
		}
		ecr = ecr || strings.HasSuffix(e.Service, ".ecr.dkr")
		s3 = s3 || strings.HasSuffix(e.Service, ".s3") && slices.Contains(e.RouteTables, routeTable)
	}
	return ecr && s3
}
