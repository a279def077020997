package network

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// EC2 does not track every connection. Where a rule lets TCP or UDP of everybody through, and
// the interface's rules of the other direction let everything of everybody through, it looks
// at each packet alone: such a connection ends at once with the rule that allowed it, while a
// tracked one goes on. What passes a NAT gateway or an egress-only one is always tracked.
//
// The kernel tracks all of them. Two bits of a connection's mark say for which of its ends
// it is not to count: there, packets of established connections meet the rules as new ones do.
const (
	untrackedFrom = 1 // by the interface that the connection comes from
	untrackedTo   = 2 // by the one that it goes to
	bothUntracked = untrackedFrom | untrackedTo
)

// established accepts what tracked connections bring: in the chain of the sending interface
// (egress) or of the receiving one. Answers pass both chains the other way round.
func established(egress bool) []rule {
	original, reply := uint32(untrackedTo), uint32(untrackedFrom)
	if egress {
		original, reply = reply, original
	}
	known := ctState(expr.CtStateBitESTABLISHED)
	return []rule{
		{exprs: then(ctState(expr.CtStateBitRELATED), accept)},
		{exprs: then(known, connectionHas(bothUntracked, 0), accept)},
		{exprs: then(known, connectionHas(original, 0), ctOriginal(), accept)},
		{exprs: then(known, connectionHas(reply, 0), ctReply(), accept)},
		{exprs: then(ctState(expr.CtStateBitINVALID), drop)},
	}
}

// untracked are the rules that mark an interface's new connections, of one direction.
func untracked(rules, others []Rule, bit uint32, v6 bool) (out []rule) {
	families := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	if v6 {
		families = append(families, netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	for _, all := range families {
		for _, r := range rules {
			if !r.of(all) {
				continue
			}
			for _, protocol := range []string{"tcp", "udp"} {
				if !answered(others, protocol, all) {
					continue
				}
				m := r
				if r.Protocol == "-1" {
					m = Rule{Protocol: protocol, ToPort: 65535}
				}
				if m.Protocol == protocol {
					out = append(out, rule{"not tracked", then(ctState(expr.CtStateBitNEW), noMark(), of(all.Addr().Is6()), m.match(), markUntracked(bit))})
				}
			}
		}
	}
	return out
}

// of says whether the rule is for everybody.
func (r Rule) of(all netip.Prefix) bool {
	for _, c := range r.CIDRs {
		if c == all {
			return true
		}
	}
	return false
}

// answered says whether everything of a protocol is let through for everybody.
func answered(rules []Rule, protocol string, all netip.Prefix) bool {
	for _, r := range rules {
		if r.of(all) && (r.Protocol == "-1" || r.Protocol == protocol && r.FromPort <= 0 && r.ToPort == 65535) {
			return true
		}
	}
	return false
}

// ct mark & <mask> == <value>
func connectionHas(mask, value uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: make([]byte, 4)},
		equal(binaryutil.NativeEndian.PutUint32(value)...),
	}
}

// ct mark set ct mark | <bit>
func markUntracked(bit uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(^bit), Xor: binaryutil.NativeEndian.PutUint32(bit)},
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true},
	}
}

// meta mark & <that of anything with an id> == 0
func noMark() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(someMark), Xor: make([]byte, 4)},
		equal(make([]byte, 4)...),
	}
}

// ct direction original
func ctOriginal() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal(0)}
}
