package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	tableName = "ekster"
	// appliedPrefix + fingerprint names the set that says which rules are in force.
	appliedPrefix = "applied-"
	// maxComment is what nft reads back, without the terminating zero.
	maxComment = 127
	// nftTimeout ends the wait for the kernel's answers to a batch.
	nftTimeout = 30 * time.Second
	// nftBuffer has room for the answers to a batch of a hundred thousand rules.
	nftBuffer = 64 << 20
)

// ensureRules replaces the table of the namespace in one transaction, unless the
// same rules are in force. It notices another rule set, and none; it does not
// notice single rules that somebody changed by hand.
func (h *Host) ensureRules(sp *space, rs ruleset) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(sp.ns)), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(nftBuffer), c.SetWriteBuffer(nftBuffer), c.SetDeadline(time.Now().Add(nftTimeout)))
	}))
	if err != nil {
		return fmt.Errorf("opening nftables in %s: %w", sp.name, err)
	}
	table := &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	mark := appliedPrefix + rs.fingerprint()
	switch _, err := conn.GetSetByName(table, mark); {
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("reading the rules of %s: %w", sp.name, err)
	}
	if err := rs.batch(conn, table, mark); err != nil {
		return fmt.Errorf("rules of %s: %w", sp.name, err)
	}
	return h.step("replacing the rules of "+sp.name, conn.Flush)
}

// batch queues the replacement: packets meet the old table or the new one.
func (rs ruleset) batch(conn *nftables.Conn, table *nftables.Table, mark string) error {
	conn.AddTable(table) // or the next is an error if there is none
	conn.DelTable(table)
	conn.AddTable(table)

	chains := make([]*nftables.Chain, len(rs.chains))
	for i, c := range rs.chains {
		chains[i] = &nftables.Chain{Name: c.name, Table: table}
		if c.base != nil {
			chains[i].Type, chains[i].Hooknum = c.base.kind, c.base.hook
			chains[i].Priority, chains[i].Policy = &c.base.priority, &c.base.policy
		}
		conn.AddChain(chains[i])
	}
	for i, s := range append(rs.sets, set{name: mark, key: nftables.TypeIPAddr}) {
		if err := conn.AddSet(s.set(table, uint32(i+1)), s.values()); err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
	}
	for i, c := range rs.chains {
		for _, r := range c.rules {
			nr := &nftables.Rule{Table: table, Chain: chains[i], Exprs: r.exprs}
			if r.comment != "" {
				nr.UserData = userdata.AppendString(nil, userdata.TypeComment, printable(r.comment))
			}
			conn.AddRule(nr)
		}
	}
	return nil
}

// set numbers itself: the library would take the number from an unguarded global.
func (s set) set(table *nftables.Table, id uint32) *nftables.Set {
	n := &nftables.Set{Table: table, ID: id, Name: s.name, KeyType: s.key, KeyByteOrder: binaryutil.BigEndian}
	switch s.key.Name {
	case nftables.TypeIFName.Name:
		n.KeyByteOrder = binaryutil.NativeEndian
	case linkAndAddress.Name, linkAndAddress6.Name:
		n.Concatenation = true
	}
	n.Interval = s.interval
	if s.verdicts {
		n.IsMap, n.DataType = true, nftables.TypeVerdict
	}
	if s.addresses {
		n.IsMap, n.DataType = true, nftables.TypeIPAddr
	}
	return n
}

func (s set) values() []nftables.SetElement {
	values := make([]nftables.SetElement, len(s.elements))
	for i, e := range s.elements {
		values[i].Key, values[i].Val, values[i].IntervalEnd = e.key, e.to, e.end
		if s.verdicts {
			values[i].VerdictData = &expr.Verdict{Kind: expr.VerdictJump, Chain: e.jump}
		}
	}
	return values
}

// fingerprint is a hash of all that the rule set says.
func (rs ruleset) fingerprint() string {
	sum := sha256.New()
	for _, s := range rs.sets {
		fmt.Fprintf(sum, "set %q %q %t %t %t\n", s.name, s.key.Name, s.verdicts, s.addresses, s.interval)
		for _, e := range s.elements {
			fmt.Fprintf(sum, "element %x %q %x %t\n", e.key, e.jump, e.to, e.end)
		}
	}
	for _, c := range rs.chains {
		fmt.Fprintf(sum, "chain %q\n", c.name)
		if c.base != nil {
			fmt.Fprintf(sum, "base %s %d %d %d\n", c.base.kind, *c.base.hook, c.base.priority, c.base.policy)
		}
		for _, r := range c.rules {
			fmt.Fprintf(sum, "rule %q\n", r.comment)
			for _, e := range r.exprs {
				fmt.Fprintf(sum, "%T %+v\n", e, e) // flat structs: no addresses in it
			}
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// printable makes a description a comment that nft prints in one pair of quotes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' || r == 0x7f {
			return '\''
		}
		return r
	}, s)
	if len(s) > maxComment {
		s = strings.ToValidUTF8(s[:maxComment], "")
	}
	return s
}
