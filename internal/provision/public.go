package provision

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// defaultPublicPool is where public addresses come from if nobody has said otherwise.
var defaultPublicPool = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 192, 128, 0}), 17)

// elasticLimit is EC2's default quota of elastic addresses in a region.
const elasticLimit = 5

// SetPublicPool says where public addresses come from: loopback addresses of the host,
// of a /17. It is for the daemon, before anything is launched.
func SetPublicPool(ctx context.Context, st *store.Store, pool netip.Prefix) error {
	return st.Update(ctx, func(tx *store.Tx) error {
		if have, ok := tx.AddressPools.Get(resource.PublicPool); !ok || have.Prefix != pool {
			tx.AddressPools.Put(resource.PublicPool, resource.AddressPool{ID: resource.PublicPool, Prefix: pool})
		}
		return nil
	})
}

// publicAddress finds a public address that nobody has.
func publicAddress(tx *store.Tx) (netip.Addr, error) {
	pool := defaultPublicPool
	if p, ok := tx.AddressPools.Get(resource.PublicPool); ok {
		pool = p.Prefix
	}
	used := map[netip.Addr]bool{}
	for _, a := range tx.Addresses.All() {
		used[a.IP] = true
	}
	for _, i := range tx.Interfaces.All() {
		if a, err := netip.ParseAddr(i.PublicIP); err == nil {
			used[a] = true
		}
	}
	base := pool.Masked().Addr().As4()
	first, n := binary.BigEndian.Uint32(base[:])+1, uint32(1)<<(32-pool.Bits())-2
	start := rand.Uint32N(n)
	for i := range n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], first+(start+i)%n)
		if a := netip.AddrFrom4(b); !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fault("InsufficientAddressCapacity", "Not enough available addresses to satisfy the request.")
}

// AllocateAddress makes an elastic address that is associated with nothing.
func AllocateAddress(tx *store.Tx, home resource.Home, tags resource.Tags) (resource.Address, error) {
	n := 0
	for range tx.Addresses.Values(func(a resource.Address) bool { return a.Home == home }) {
		n++
	}
	if n >= elasticLimit {
		return resource.Address{}, fault("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	ip, err := publicAddress(tx)
	if err != nil {
		return resource.Address{}, err
	}
	a := resource.Address{Home: home, ID: awsid.New("eipalloc"), IP: ip, Tags: tags}
	tx.Addresses.Put(a.ID, a)
	return a, nil
}

// LookupAddress returns an elastic address of home by its allocation id or, where id is
// empty, by itself.
func LookupAddress(tx *store.Tx, home resource.Home, id, ip string) (resource.Address, error) {
	if id == "" {
		for _, a := range tx.Addresses.All() {
			if a.Home == home && a.IP.String() == ip {
				a, _ = tx.Addresses.Get(a.ID) // one that the caller may change
				return a, nil
			}
		}
		return resource.Address{}, fault("InvalidAddress.NotFound", "Address '%s' not found.", ip)
	}
	if a, ok := tx.Addresses.Get(id); ok && a.Home == home {
		return a, nil
	}
	return resource.Address{}, fault("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
}

// ReleaseAddress gives an elastic address back, if nothing has it.
func ReleaseAddress(tx *store.Tx, home resource.Home, id, ip string) error {
	a, err := LookupAddress(tx, home, id, ip)
	if err != nil {
		return err
	}
	if a.Association != "" {
		return fault("InvalidIPAddress.InUse", "Address %s is in use.", a.IP)
	}
	tx.Addresses.Delete(a.ID)
	return nil
}

// AssociateAddress gives one of an interface's private addresses the elastic one. What it had
// before is released. It returns the id of the association.
func AssociateAddress(tx *store.Tx, a resource.Address, eni resource.NetworkInterface, private netip.Addr, again bool) (string, error) {
	if !slices.Contains(eni.Addresses, private) {
		return "", fault("InvalidParameterValue", "The private IP address %s is not assigned to interface %s", private, eni.ID)
	}
	if a.Association != "" {
		if a.Interface == eni.ID && a.Private == private {
			return a.Association, nil
		}
		if !again || a.NATGateway != "" {
			return "", fault("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.ID, a.Association)
		}
		if err := DisassociateAddress(tx, a); err != nil {
			return "", err
		}
		eni, _ = tx.Interfaces.Get(eni.ID) // it may have been its own
	}
	internet := false
	for range tx.InternetGateways.Values(func(g resource.InternetGateway) bool { return g.VPC == eni.VPC }) {
		internet = true
	}
	if !internet {
		return "", fault("Gateway.NotAttached", "Network %s is not attached to any internet gateway", eni.VPC)
	}
	if prior, ok := tx.Addresses.Get(elasticOf(eni, private)); ok {
		if err := DisassociateAddress(tx, prior); err != nil {
			return "", err
		}
		eni, _ = tx.Interfaces.Get(eni.ID)
	}
	a.Association, a.Interface, a.Private = awsid.New("eipassoc"), eni.ID, private
	tx.Addresses.Put(a.ID, a)
	if private == eni.Addresses[0] {
		eni.PublicIP, eni.Elastic = a.IP.String(), a.ID
	} else {
		eni.SecondaryPublic = append(eni.SecondaryPublic, resource.PublicAddress{Private: private, Public: a.IP, Elastic: a.ID})
	}
	tx.Interfaces.Put(eni.ID, eni)
	return a.Association, nil
}

// elasticOf is the id of the elastic address that an interface's private one has; "" for none.
func elasticOf(eni resource.NetworkInterface, private netip.Addr) string {
	if private == eni.Addresses[0] {
		return eni.Elastic
	}
	for _, p := range eni.SecondaryPublic {
		if p.Private == private {
			return p.Elastic
		}
	}
	return ""
}

// DisassociateAddress takes an elastic address off its interface.
func DisassociateAddress(tx *store.Tx, a resource.Address) error {
	if a.NATGateway != "" {
		return fault("AuthFailure", "You do not have permission to access the specified resource.")
	}
	if eni, ok := tx.Interfaces.Get(a.Interface); ok {
		if eni.Elastic == a.ID {
			eni.PublicIP, eni.Elastic = "", ""
		}
		eni.SecondaryPublic = slices.DeleteFunc(slices.Clone(eni.SecondaryPublic), func(p resource.PublicAddress) bool { return p.Elastic == a.ID })
		tx.Interfaces.Put(eni.ID, eni)
	}
	a.Association, a.Interface, a.Private = "", "", netip.Addr{}
	tx.Addresses.Put(a.ID, a)
	return nil
}

// freeElastic leaves the elastic addresses of an interface that goes to nothing.
func freeElastic(tx *store.Tx, eni resource.NetworkInterface) {
	for _, private := range eni.Addresses {
		if a, ok := tx.Addresses.Get(elasticOf(eni, private)); ok && a.Interface == eni.ID {
			a.Association, a.Interface, a.Private, a.NATGateway = "", "", netip.Addr{}, ""
			tx.Addresses.Put(a.ID, a)
		}
	}
}
