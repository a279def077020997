package provision

import (
	"net/netip"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// EndedVisible is how long EC2 shows NAT gateways and peering connections after their end.
const EndedVisible = time.Hour

// A NATGatewayRequest says what NAT gateway to make.
type NATGatewayRequest struct {
	Home       resource.Home
	Subnet     string
	Allocation string // of its elastic address
	Private    netip.Addr
	Token      string
	Tags       resource.Tags
	Now        time.Time
}

// NATGateway makes a NAT gateway with an interface of its own. It works while its subnet
// has a route to an internet gateway, which controller/vpc sees to.
func NATGateway(tx *store.Tx, r NATGatewayRequest) (resource.NATGateway, error) {
	none := resource.NATGateway{}
	for id, g := range tx.NATGateways.All() { // the records of those long gone
		if !g.Deleted.IsZero() && r.Now.Sub(g.Deleted) > EndedVisible {
			tx.NATGateways.Delete(id)
		}
	}
	s, err := LookupSubnet(tx, r.Home, r.Subnet)
	if err != nil {
		return none, err
	}
	a, err := LookupAddress(tx, r.Home, r.Allocation, "")
	if err != nil {
		return none, err
	}
	if a.Association != "" {
		return none, fault("InvalidParameterValue", "Elastic IP address [%s] is already associated", a.ID)
	}
	internet := false
	for range tx.InternetGateways.Values(func(g resource.InternetGateway) bool { return g.VPC == s.VPC }) {
		internet = true
	}
	if !internet {
		return none, fault("Gateway.NotAttached", "Network %s has no Internet gateway attached", s.VPC)
	}
	id := awsid.New("nat")
	eni, err := Interface(tx, InterfaceRequest{
		Home: r.Home, Subnet: s.ID, Address: r.Private, Description: "Interface for NAT Gateway " + id, NoSourceCheck: true,
		RequesterManaged: true, RequesterID: "amazon-aws", Owner: id, Type: "nat_gateway", Now: r.Now,
	})
	if err != nil {
		return none, err
	}
	eni.SecurityGroups = nil
	eni.PublicIP, eni.Elastic = a.IP.String(), a.ID
	tx.Interfaces.Put(eni.ID, eni)
	a.Association, a.Interface, a.Private, a.NATGateway = awsid.New("eipassoc"), eni.ID, eni.Addresses[0], id
	tx.Addresses.Put(a.ID, a)
	g := resource.NATGateway{
		Home: r.Home, ID: id, VPC: s.VPC, Subnet: s.ID, Interface: eni.ID, Private: eni.Addresses[0], Address: a.ID, PublicIP: a.IP,
		Created: r.Now, Token: r.Token, Tags: r.Tags,
	}
	tx.NATGateways.Put(id, g)
	return g, nil
}

// LookupNATGateway returns a NAT gateway of home that is still shown.
func LookupNATGateway(tx *store.Tx, home resource.Home, id string, now time.Time) (resource.NATGateway, error) {
	if g, ok := tx.NATGateways.Get(id); ok && g.Home == home && (g.Deleted.IsZero() || now.Sub(g.Deleted) < EndedVisible) {
		return g, nil
	}
	return resource.NATGateway{}, fault("NatGatewayNotFound", "NAT gateway %s was not found", id)
}

// DeleteNATGateway takes a NAT gateway away; its elastic address stays with the account.
// Routes to it drop from then on.
func DeleteNATGateway(tx *store.Tx, home resource.Home, id string, now time.Time) error {
	g, err := LookupNATGateway(tx, home, id, now)
	if err != nil || !g.Deleted.IsZero() {
		return err
	}
	if err := DeleteInterface(tx, g.Interface); err != nil {
		return err
	}
	g.Deleted = now
	tx.NATGateways.Put(id, g)
	return nil
}
