package provision

import (
	"net/netip"
	"slices"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// defaultZones is how many zones the default VPC has a subnet in.
const defaultZones = 3

// RegionReady says whether EnsureRegion has run for home.
func RegionReady(tx *store.Tx, home resource.Home) bool {
	a, ok := tx.Accounts.Get(home.Account)
	return ok && slices.Contains(a.Regions, home.Region)
}

// EnsureRegion makes the default VPC of the account in the region, as AWS has done
// before an account first uses a region: 172.31.0.0/16, a public /20 subnet in each of
// the first three zones, an internet gateway, the main route table and the default
// security group. It says whether it made it now. It does so once in a region's life:
// a default VPC that is deleted stays so.
func EnsureRegion(tx *store.Tx, home resource.Home, now time.Time) (bool, error) {
	r, ok := region.Lookup(home.Region)
	if !ok {
		return false, fault("InvalidParameterValue", "The region '%s' does not exist.", home.Region)
	}
	a, ok := tx.Accounts.Get(home.Account)
	if slices.Contains(a.Regions, home.Region) {
		return false, nil
	}
	if !ok {
		a = resource.Account{ID: home.Account, Created: now}
	}
	a.Regions = append(a.Regions, home.Region)
	tx.Accounts.Put(a.ID, a)

	v, err := VPC(tx, VPCRequest{Home: home, CIDR: netip.MustParsePrefix("172.31.0.0/16"), Default: true})
	if err != nil {
		return false, err
	}
	gateway := resource.InternetGateway{Home: home, ID: awsid.New("igw"), VPC: v.ID}
	tx.InternetGateways.Put(gateway.ID, gateway)
	main, err := LookupRouteTable(tx, home, v.MainRouteTable)
	if err != nil {
		return false, err
	}
	main.Routes = []resource.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gateway.ID}}
	tx.RouteTables.Put(main.ID, main)

	for i, z := range r.Zones[:defaultZones] {
		_, err := Subnet(tx, SubnetRequest{
			Home: home, VPC: v.ID, Zone: z, Default: true, MapPublicIP: true,
			CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(16 * i), 0}), 20),
		})
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// DefaultVPC returns the default VPC of home, and whether there is one.
func DefaultVPC(tx *store.Tx, home resource.Home) (resource.VPC, bool) {
	for _, v := range tx.VPCs.All() {
		if v.Home == home && v.Default {
			return v, true
		}
	}
	return resource.VPC{}, false
}
