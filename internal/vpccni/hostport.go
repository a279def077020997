package vpccni

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A portMapping is CNI's portMappings capability.
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

var protocols = map[string]byte{"": unix.IPPROTO_TCP, "tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

func hostPortTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "aws-cni-hostports"}
}

// openHostPorts replaces the host ports of a pod. Its rules carry the veth's
// name as their comment.
func openHostPorts(veth string, to netip.Addr, ports []portMapping) error {
	if err := closeHostPorts(veth); err != nil || len(ports) == 0 {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	chains := hostPortChains(c)
	for _, p := range ports {
		if p.HostPort == 0 {
			continue
		}
		parts, err := dnat(to, p)
		if err != nil {
			return fmt.Errorf("host port %d: %w", p.HostPort, err)
		}
		c.AddRule(rule(chains.ports, veth, parts))
	}
	// A pod that calls its own host port would get the answer from itself.
	c.AddRule(rule(chains.hairpin, veth, fromAndTo(to), []expr.Any{&expr.Masq{}}))
	if err := c.Flush(); err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	return nil
}

// closeHostPorts removes a pod's rules; none is fine.
func closeHostPorts(veth string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	for _, t := range tables {
		if t.Name != hostPortTable().Name {
			continue
		}
		for _, chain := range []string{"ports", "hairpin"} {
			if err := dropRules(c, &nftables.Chain{Table: t, Name: chain}, veth); err != nil {
				return fmt.Errorf("host ports: %w", err)
			}
		}
		if err := c.Flush(); err != nil {
			return fmt.Errorf("host ports: %w", err)
		}
	}
	return nil
}

func dropRules(c *nftables.Conn, chain *nftables.Chain, comment string) error {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if who, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok && who == comment {
			if err := c.DelRule(r); err != nil {
				return err
			}
		}
	}
	return nil
}

type portChains struct{ ports, hairpin *nftables.Chain }

// hostPortChains makes the table unless it exists; its base chains hold no rule
// but the jump, so that making them again adds nothing.
func hostPortChains(c *nftables.Conn) portChains {
	t := c.AddTable(hostPortTable())
	out := portChains{
		ports: c.AddChain(&nftables.Chain{Name: "ports", Table: t}),
		hairpin: c.AddChain(&nftables.Chain{
			Name: "hairpin", Table: t, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(99),
		}),
	}
	for _, h := range []struct {
		name string
		hook *nftables.ChainHook
	}{{"prerouting", nftables.ChainHookPrerouting}, {"output", nftables.ChainHookOutput}} {
		base := &nftables.Chain{
			Name: h.name, Table: t, Type: nftables.ChainTypeNAT, Hooknum: h.hook,
			Priority: nftables.ChainPriorityRef(-101), // a host port goes before a service
		}
		c.AddChain(base)
		c.FlushChain(base)
		c.AddRule(rule(base, "host ports", daddrIsLocal(), []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: out.ports.Name}}))
	}
	return out
}

// dnat: [ip daddr <host ip>] <proto> dport <host port> dnat to <pod>:<port>
func dnat(to netip.Addr, p portMapping) ([]expr.Any, error) {
	proto, ok := protocols[p.Protocol]
	if !ok {
		return nil, fmt.Errorf("protocol %q: want tcp, udp or sctp", p.Protocol)
	}
	var out []expr.Any
	if p.HostIP != "" {
		ip, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			return nil, fmt.Errorf("host address: %w", err)
		}
		if ip.Is4() && !ip.IsUnspecified() {
			out = append(out, loadDaddr(), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ip.AsSlice()})
		}
	}
	return append(out,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(p.HostPort))},
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(uint16(p.ContainerPort))},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	), nil
}

// ip saddr <a> ip daddr <a>
func fromAndTo(a netip.Addr) []expr.Any {
	return []expr.Any{
		loadSaddr(1), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
		loadDaddr(), &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
	}
}
