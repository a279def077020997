package provision

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Reserved addresses of every subnet: the first four and the last.
const (
	reservedFirst = 4
	reservedLast  = 1
)

// noFreeAddresses is the code with which EC2 refuses for want of addresses.
const noFreeAddresses = "InsufficientFreeAddressesInSubnet"

// Address finds an address of a subnet that no interface has: want itself if it is
// valid, else any. Any is a random one, as on AWS, so that an address just freed is
// seldom used again while somebody still remembers its last owner.
func Address(tx *store.Tx, s resource.Subnet, want netip.Addr) (netip.Addr, error) {
	got, err := takeAddresses(tx, s, []netip.Addr{want})
	if err != nil {
		return netip.Addr{}, err
	}
	return got[0], nil
}

// FreeAddresses is how many addresses of a subnet are left.
func FreeAddresses(tx *store.Tx, s resource.Subnet) int {
	return capacity(s) - len(usedAddresses(tx, s.ID))
}

// FreeAddressesBySubnet is FreeAddresses of every subnet, in one pass.
func FreeAddressesBySubnet(tx *store.Tx) map[string]int {
	out := map[string]int{}
	for id, s := range tx.Subnets.All() {
		out[id] = capacity(s)
	}
	for _, i := range tx.Interfaces.All() {
		out[i.Subnet] -= len(i.Addresses) + 16*count(i.Prefixes, false)
	}
	return out
}

func size(s resource.Subnet) uint32 { return 1 << (32 - s.CIDR.Bits()) }

func capacity(s resource.Subnet) int { return int(size(s)) - reservedFirst - reservedLast }

func usedAddresses(tx *store.Tx, subnet string) map[netip.Addr]bool {
	used := map[netip.Addr]bool{}
	for _, i := range tx.Interfaces.All() {
		if i.Subnet == subnet {
			for _, a := range i.Addresses {
				used[a] = true
			}
			for _, p := range i.Prefixes {
				for a := p.Addr(); p.Addr().Is4() && p.Contains(a); a = a.Next() {
					used[a] = true
				}
			}
		}
	}
	return used
}

// takeAddresses finds an address for every one of wants; an invalid one stands for any.
func takeAddresses(tx *store.Tx, s resource.Subnet, wants []netip.Addr) ([]netip.Addr, error) {
	used := usedAddresses(tx, s.ID)
	out := make([]netip.Addr, len(wants))
	for i, want := range wants {
		if !want.IsValid() {
			continue
		}
		if err := checkAddress(s, want); err != nil {
			return nil, err
		}
		if used[want] {
			return nil, fault("InvalidIPAddress.InUse", "Address %s is in use.", want)
		}
		used[want] = true
		out[i] = want
	}
	for i, want := range wants {
		if want.IsValid() {
			continue
		}
		a, ok := freeAddress(s, used)
		if !ok {
			return nil, fault(noFreeAddresses, "The specified subnet does not have enough free addresses to satisfy the request.")
		}
		used[a] = true
		out[i] = a
	}
	return out, nil
}

// freeAddress starts at a random place and takes the first free address after it.
func freeAddress(s resource.Subnet, used map[netip.Addr]bool) (netip.Addr, bool) {
	n := uint32(capacity(s))
	if uint32(len(used)) >= n {
		return netip.Addr{}, false
	}
	start := rand.Uint32N(n)
	for i := range n {
		if a := addressAt(s, reservedFirst+(start+i)%n); !used[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func checkAddress(s resource.Subnet, a netip.Addr) error {
	if !s.CIDR.Contains(a) {
		return fault("InvalidParameterValue", "Address %s does not fall within the subnet's address range", a)
	}
	if at := offset(s, a); at < reservedFirst || at >= size(s)-reservedLast {
		return fault("InvalidParameterValue", "Address %s is in subnet's reserved address range", a)
	}
	return nil
}

func addressAt(s resource.Subnet, at uint32) netip.Addr {
	base := s.CIDR.Addr().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])+at)
	return netip.AddrFrom4(b)
}

func offset(s resource.Subnet, a netip.Addr) uint32 {
	base, b := s.CIDR.Addr().As4(), a.As4()
	return binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(base[:])
}
