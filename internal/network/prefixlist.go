package network

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

func (v VPC) sortedPrefixLists() []PrefixList {
	out := slices.Clone(v.PrefixLists)
	slices.SortFunc(out, func(a, b PrefixList) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// is6 says whether the list is one of IPv6 ranges. All of them are of one family.
func (l PrefixList) is6() bool { return len(l.CIDRs) > 0 && l.CIDRs[0].Addr().Is6() }

// addressSet is a set of addresses, and of ranges if there are any.
func addressSet(name string, prefixes []netip.Prefix, v6 bool) set {
	if slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return !p.IsSingleIP() }) {
		return rangeSet(name, prefixes, v6)
	}
	s := set{name: name, key: addressKey(v6)}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	for _, p := range slices.Compact(prefixes) {
		s.elements = append(s.elements, element{key: p.Addr().AsSlice()})
	}
	return s
}

func addressKey(v6 bool) nftables.SetDatatype {
	if v6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

// family is those of one family.
func family(prefixes []netip.Prefix, v6 bool) (out []netip.Prefix) {
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			out = append(out, p)
		}
	}
	return out
}

// rangeSet is a set of all addresses of the ranges. The kernel takes ranges that neither
// meet nor overlap: those that do become one.
func rangeSet(name string, prefixes []netip.Prefix, v6 bool) set {
	s := set{name: name, key: addressKey(v6), interval: true}
	prefixes = slices.Clone(prefixes)
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Masked().Addr().Compare(b.Masked().Addr()) })
	var end netip.Addr // the first address that is not in the range; invalid: none is
	for i, p := range prefixes {
		first, next := p.Masked().Addr(), last(p).Next()
		switch {
		case i > 0 && !end.IsValid():
			return s // the last range goes on to the end
		case i > 0 && first.Compare(end) <= 0:
			if !next.IsValid() || next.Compare(end) > 0 {
				end = next
			}
			continue
		case i > 0:
			s.elements = append(s.elements, element{key: end.AsSlice(), end: true})
		}
		s.elements = append(s.elements, element{key: first.AsSlice()})
		end = next
	}
	if end.IsValid() {
		s.elements = append(s.elements, element{key: end.AsSlice(), end: true})
	}
	return s
}

// last is the last address of a range.
func last(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
