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
	"eks": EndpointInterface, "eks-auth": EndpointInterface, "s3": EndpointGateway, "ssm": EndpointInterface, "sts": EndpointInterface,
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
			t, err := LookupRouteTable(tx, r.Home, id)
			if err != nil {
				return none, err
			}
			if t.VPC != v.ID {
				return none, fault("InvalidParameter", "Route table %s and VPC %s belong to different networks", id, v.ID)
			}
			e.RouteTables = append(e.RouteTables, id)
		}
		tx.VPCEndpoints.Put(e.ID, e)
		return e, nil
	}
	e.PrivateDNS = !r.NoPrivateDNS
	if e.PrivateDNS && (!v.DNSSupport || !v.DNSHostnames) {
		return none, fault("InvalidParameter", "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for %s", v.ID)
	}
	for _, o := range tx.VPCEndpoints.All() {
		if o.VPC == v.ID && o.Service == e.Service && o.PrivateDNS && e.PrivateDNS {
			return none, fault("InvalidParameter", "private-dns-enabled cannot be set because there is already a conflicting DNS domain for %s in the VPC %s", name+"."+r.Home.Region+".amazonaws.com", v.ID)
		}
	}
	zones := map[string]bool{}
	for _, id := range r.Subnets {
		s, err := LookupSubnet(tx, r.Home, id)
		if err != nil {
			return none, err
		}
		switch {
		case s.VPC != v.ID:
			return none, fault("InvalidParameter", "Subnet %s and VPC %s belong to different networks", id, v.ID)
		case zones[s.Zone]:
			return none, fault("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s. VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service.", id)
		}
		zones[s.Zone] = true
		eni, err := Interface(tx, InterfaceRequest{
			Home: r.Home, Subnet: id, SecurityGroups: r.SecurityGroups, Description: "VPC Endpoint Interface " + e.ID, RequesterManaged: true,
			RequesterID: "amazon-aws", Owner: e.ID, Type: "vpc_endpoint", Now: r.Now,
		})
		if err != nil {
			return none, err
		}
		e.Subnets, e.Interfaces = append(e.Subnets, id), append(e.Interfaces, eni.ID)
		e.SecurityGroups = eni.SecurityGroups
	}
	tx.VPCEndpoints.Put(e.ID, e)
	return e, nil
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
