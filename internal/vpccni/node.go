package vpccni

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	vethPrefix = "eni"
	mark       = 0x80 // of a connection that belongs to the primary ENI; EKS uses the same bit

	toPodPriority   = 512
	markPriority    = 1024
	fromPodPriority = 1536
)

// setupNode makes the node forward for its pods: sysctls, the rule for marked
// packets, the nft table. It gives the MTU that pods get.
func setupNode(in Instance, cfg Config) (mtu int, err error) {
	primary, err := linkByMAC(in.MAC)
	if err != nil {
		return 0, fmt.Errorf("the primary interface: %w", err)
	}
	name := primary.Attrs().Name
	mtu = primary.Attrs().MTU
	if cfg.MTU > 0 {
		mtu = min(mtu, cfg.MTU)
	}
	if err := setSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return 0, err
	}
	// Answers to pods on other ENIs arrive here by another way than they would
	// leave: only loose filtering lets them in.
	if err := setSysctl("net/ipv4/conf/"+name+"/rp_filter", "2"); err != nil {
		return 0, err
	}
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table = unix.AF_INET, markPriority, unix.RT_TABLE_MAIN
	r.Mark, r.Mask = mark, new(uint32(mark))
	if err := ensureRule(r); err != nil {
		return 0, fmt.Errorf("rule for marked packets: %w", err)
	}
	var addr netip.Addr
	for _, e := range in.ENIs {
		if e.Device == 0 {
			addr = e.Primary
		}
	}
	if !addr.IsValid() {
		return 0, errors.New("the instance metadata tell of no ENI with device number 0")
	}
	inside := append(append([]netip.Prefix{}, in.VPC...), cfg.NoSNAT...)
	if err := setupTable(name, addr, inside, cfg.ExternalSNAT); err != nil {
		return 0, fmt.Errorf("nft table aws-cni: %w", err)
	}
	return mtu, nil
}

// setSysctl writes only what differs, since /proc/sys may be read-only where
// everything is right already.
func setSysctl(key, value string) error {
	path := "/proc/sys/" + key
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", key, err)
	}
	if strings.TrimSpace(string(have)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return fmt.Errorf("sysctl %s: %w", key, err)
	}
	return nil
}

var errNoLink = errors.New("no interface has this MAC address")

func linkByMAC(mac string) (netlink.Link, error) {
	want, err := net.ParseMAC(mac)
	if err != nil {
		return nil, err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		if l.Attrs().HardwareAddr.String() == want.String() {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", mac, errNoLink)
}

func ensureRule(r *netlink.Rule) error {
	if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// setupTable replaces the table in one transaction. With external SNAT it stays
// empty: everything leaves by the pod's own ENI, under the pod's address.
func setupTable(primary string, addr netip.Addr, inside []netip.Prefix, external bool) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "aws-cni"}
	c.AddTable(t) // so that deleting it cannot fail
	c.DelTable(t)
	c.AddTable(t)

	inbound := c.AddChain(&nftables.Chain{
		Name: "inbound", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle, // before any translation
	})
	c.AddRule(rule(inbound, "to a node port: answer by the primary ENI",
		nameIs(expr.MetaKeyIIFNAME, primary), stateNew(), daddrIsLocal(), markConnection()))

	// After the services' translation, so that a service's address does not look
	// like one beyond the VPC.
	outbound := c.AddChain(&nftables.Chain{
		Name: "outbound", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-90),
	})
	if !external {
		set := &nftables.Set{Table: t, Name: "inside", Interval: true, KeyType: nftables.TypeIPAddr}
		if err := c.AddSet(set, intervals(inside)); err != nil {
			return err
		}
		c.AddRule(rule(outbound, "beyond the VPC: leave by the primary ENI",
			nameHasPrefix(expr.MetaKeyIIFNAME, vethPrefix), stateNew(), daddrNotIn(set), daddrNotLocal(), markConnection()))
		snat := c.AddChain(&nftables.Chain{
			Name: "snat", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		a := addr.As4()
		// Not for what has the node's address already: connections from before
		// this table would get another port, and break.
		c.AddRule(rule(snat, "beyond the VPC: under the node's address",
			nameIs(expr.MetaKeyOIFNAME, primary), saddrIsNot(addr), daddrNotIn(set),
			[]expr.Any{
				&expr.Immediate{Register: 1, Data: a[:]},
				&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, FullyRandom: true},
			}))
	}
	c.AddRule(rule(outbound, "of a marked connection",
		nameHasPrefix(expr.MetaKeyIIFNAME, vethPrefix), connectionMarked(), markPacket()))
	return c.Flush()
}

func rule(c *nftables.Chain, comment string, parts ...[]expr.Any) *nftables.Rule {
	r := &nftables.Rule{Table: c.Table, Chain: c, UserData: userdata.AppendString(nil, userdata.TypeComment, comment)}
	for _, p := range parts {
		r.Exprs = append(r.Exprs, p...)
	}
	return r
}

// intervals is the prefixes as elements of an interval set: a beginning, and the
// first address beyond.
func intervals(list []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range mergePrefixes(list) {
		first := p.Masked().Addr().As4()
		out = append(out, nftables.SetElement{Key: first[:]})
		end := uint64(binaryutil.BigEndian.Uint32(first[:])) + 1<<(32-p.Bits())
		if end <= 0xffffffff {
			out = append(out, nftables.SetElement{Key: binaryutil.BigEndian.PutUint32(uint32(end)), IntervalEnd: true})
		}
	}
	return out
}

// mergePrefixes drops what another prefix covers: a set's intervals must not overlap.
func mergePrefixes(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for i, p := range list {
		covered := !p.Addr().Is4()
		for j, o := range list {
			same := o.Masked() == p.Masked()
			if i != j && o.Bits() <= p.Bits() && o.Contains(p.Addr()) && (!same || j < i) {
				covered = true
			}
		}
		if !covered {
			out = append(out, p)
		}
	}
	return out
}
