package network

import (
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The parts that rules are made of. Each is what nft makes of the text next to it,
// so that `nft list ruleset` can read it back.

// The keys of sets sources and sources6.
var (
	linkAndAddress  = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr)
	linkAndAddress6 = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIP6Addr)
)

// A side is one of a packet's two addresses: its offset in the IPv4 header.
type side uint32

const (
	source      side = 12
	destination side = 16
)

// load is a packet's address on this side, of IPv4 or IPv6, in a register.
func (s side) load(v6 bool, register uint32) *expr.Payload {
	if v6 {
		return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 8 + 4*uint32(s-source), Len: 16}
	}
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(s), Len: 4}
}

// linkKey is a link's name as it stands in sets and packets' metadata.
func linkKey(name string) []byte {
	key := make([]byte, unix.IFNAMSIZ)
	copy(key, name)
	return key
}

// then joins matches and a verdict.
func then(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }

var (
	accept = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} // accept
	drop   = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}   // drop
)

// jump <chain>
func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

func equal(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// meta nfproto ipv4: nft does not print it where an IPv4 field follows
func ipv4() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV4)}
}

// meta nfproto ipv6
func ipv6() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV6)}
}

// of is the match of a family.
func of(v6 bool) []expr.Any {
	if v6 {
		return ipv6()
	}
	return ipv4()
}

// ct state <bits>
func ctState(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// iifname "<name>"
func ifname(name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equal(linkKey(name)...)}
}

// iifname @<set>
func inSet(key expr.MetaKey, set string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: set}}
}

// iifname vmap @<set>
func dispatch(key expr.MetaKey, set string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Lookup{SourceRegister: 1, SetName: set, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true},
	}
}

// iifname . ip saddr != @sources
func notASource() []expr.Any { return notOneOf("sources", false) }

// iifname . ip6 saddr != @sources6
func notASource6() []expr.Any { return notOneOf("sources6", true) }

func notOneOf(set string, v6 bool) []expr.Any {
	return then(of(v6), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		source.load(v6, 2),
		&expr.Lookup{SourceRegister: 1, SetName: set, Invert: true},
	})
}

// ip saddr <prefix>, ip6 daddr <prefix>; only the family for all addresses of it
func address(s side, prefix netip.Prefix) []expr.Any {
	v6 := prefix.Addr().Is6()
	if prefix.Bits() == 0 {
		return of(v6)
	}
	prefix = prefix.Masked()
	match := then(of(v6), []expr.Any{s.load(v6, 1)})
	if size := prefix.Addr().BitLen(); prefix.Bits() < size {
		mask := net.CIDRMask(prefix.Bits(), size)
		match = append(match, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size / 8), Mask: mask, Xor: make([]byte, size/8)})
	}
	return append(match, equal(prefix.Addr().AsSlice()...))
}

// ip saddr @<group>, ip daddr @<group>
func member(s side, group string) []expr.Any {
	return then(ipv4(), []expr.Any{s.load(false, 1), &expr.Lookup{SourceRegister: 1, SetName: group}})
}

// ip6 saddr @<group>, ip6 daddr @<group>
func member6(s side, group string) []expr.Any {
	return then(ipv6(), []expr.Any{s.load(true, 1), &expr.Lookup{SourceRegister: 1, SetName: group}})
}

// meta l4proto <number>: nft prints it as part of the port that follows
func l4(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(number)}
}

// th dport <from>-<to>
func portRange(from, to uint16) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
	if from == to {
		return []expr.Any{load, equal(binaryutil.BigEndian.PutUint16(from)...)}
	}
	return []expr.Any{load,
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binaryutil.BigEndian.PutUint16(from)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binaryutil.BigEndian.PutUint16(to)},
	}
}

// icmp type <value> (offset 0), icmp code <value> (offset 1); icmpv6 as well
func icmp(offset uint32, value byte) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1}, equal(value)}
}
