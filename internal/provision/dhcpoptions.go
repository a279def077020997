package provision

import (
	"net/netip"
	"strings"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// defaultOptions is the set that all new VPCs of a region get.
func defaultOptions(tx *store.Tx, home resource.Home) string {
	for id, o := range tx.DHCPOptions.All() {
		if o.Home == home && o.Default {
			return id
		}
	}
	o := regionOptions(home)
	o.ID = awsid.New("dopt")
	tx.DHCPOptions.Put(o.ID, o)
	return o.ID
}

func regionOptions(home resource.Home) resource.DHCPOptions {
	return resource.DHCPOptions{Home: home, Default: true, Domain: PrivateDomain(home.Region), NameServers: []string{resource.AmazonDNS}}
}

// OptionsOf are what machines of a VPC are told; nothing where it has no options.
func OptionsOf(tx *store.Tx, vpc string) resource.DHCPOptions {
	v, _ := tx.VPCs.Get(vpc)
	if v.DHCPOptions == resource.NoDHCPOptions {
		return resource.DHCPOptions{}
	}
	if o, ok := tx.DHCPOptions.Get(v.DHCPOptions); ok {
		return o
	}
	return regionOptions(v.Home) // of a VPC that is older than the records of its options
}

// LookupDHCPOptions returns a set of options of home, or InvalidDhcpOptionID.NotFound.
func LookupDHCPOptions(tx *store.Tx, home resource.Home, id string) (resource.DHCPOptions, error) {
	return lookup(tx.DHCPOptions, DHCPOptions, home, id, func(o resource.DHCPOptions) resource.Home { return o.Home })
}

// DeleteDHCPOptions takes a set of options away that no VPC has.
func DeleteDHCPOptions(tx *store.Tx, home resource.Home, id string) error {
	if _, err := LookupDHCPOptions(tx, home, id); err != nil {
		return err
	}
	for range tx.VPCs.Values(func(v resource.VPC) bool { return v.DHCPOptions == id }) {
		return fault("DependencyViolation", "The dhcpOptions '%s' has dependencies and cannot be deleted.", id)
	}
	tx.DHCPOptions.Delete(id)
	return nil
}

// HostName is the name that a machine with the address is told: the private one in the first
// domain of its VPC's options. The name that EC2 shows, and nodes have, is PrivateDNS.
func HostName(tx *store.Tx, vpc, region string, a netip.Addr) string {
	name := PrivateDNS(region, a)
	if domains := strings.Fields(OptionsOf(tx, vpc).Domain); len(domains) > 0 {
		host, _, _ := strings.Cut(name, ".")
		return host + "." + domains[0]
	}
	return name
}
