package network

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The parts that rules are made of. Each is what nft makes of the text next to it,
// so that `nft list ruleset` can read it back.

// linkAndAddress is the key of set sources.
var linkAndAddress = nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIPAddr)

// A side is one of a packet's two addresses: its offset in the IPv4 header.
type side uint32

const (
	source      side = 12
	destination side = 16
)

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

// ct state <bits>
func ctState(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// iifname "<name>"
func ifname(key expr.MetaKey, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, equal(linkKey(name)...)}
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
func notASource() []expr.Any {
	return then(ipv4(), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Payload{DestRegister: 2, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(source), Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: "sources", Invert: true},
	})
}

// ip saddr <prefix>, ip daddr <prefix>; nothing for 0.0.0.0/0
func address(s side, prefix netip.Prefix) []expr.Any {
	if prefix.Bits() == 0 {
		return ipv4()
	}
	prefix = prefix.Masked()
	match := then(ipv4(), []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(s), Len: 4}})
	if prefix.Bits() < 32 {
		mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-prefix.Bits()))
		match = append(match, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)})
	}
	return append(match, equal(prefix.Addr().AsSlice()...))
}

// ip saddr @<group>, ip daddr @<group>
func member(s side, group string) []expr.Any {
	return then(ipv4(), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(s), Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: group},
	})
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

// icmp type <value> (offset 0), icmp code <value> (offset 1)
func icmp(offset uint32, value byte) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1}, equal(value)}
}
