package network

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// An ACL is the network ACL of a subnet: its rules in the order of their numbers. The
// first that matches decides; what none matches is dropped. It sees each packet alone,
// answers too, and nothing that stays in the subnet.
type ACL struct {
	Ingress []ACLRule
	Egress  []ACLRule
}

// An ACLRule allows or denies. Protocol and ports are as in Rule.
type ACLRule struct {
	Allow            bool
	Protocol         string
	FromPort, ToPort int
	CIDR             netip.Prefix
}

func (r ACLRule) rule() Rule {
	return Rule{Protocol: r.Protocol, FromPort: r.FromPort, ToPort: r.ToPort, CIDRs: []netip.Prefix{r.CIDR}}
}

// addACLs makes the chains of the subnets' ACLs. An allowed packet returns to the rest of
// the rules, a denied one ends. The resolver and the metadata service are not filtered,
// as on AWS; what the router serves on the internet is, in both directions.
func (rs *ruleset) addACLs(v VPC, ports []port) {
	out := set{name: "acl-out", key: nftables.TypeIFName, verdicts: true}
	in := set{name: "acl-in", key: nftables.TypeIFName, verdicts: true}
	var chains []chain
	done := map[string]bool{}
	chainsOf := func(s Subnet) {
		if !done[s.ID] {
			done[s.ID] = true
			chains = append(chains,
				aclChain(s.ID+"-acl-out", s, s.ACL.Egress, destination),
				aclChain(s.ID+"-acl-in", s, s.ACL.Ingress, source))
		}
	}
	for _, p := range ports {
		if p.subnet.ACL == nil {
			continue
		}
		out.elements = append(out.elements, element{key: linkKey(p.link), jump: p.Subnet + "-acl-out"})
		in.elements = append(in.elements, element{key: linkKey(p.link), jump: p.Subnet + "-acl-in"})
		chainsOf(p.subnet)
	}
	passing := v.natACLs(chainsOf)
	rs.sets = append(rs.sets, out, in)
	filter := func(hook *nftables.ChainHook) *base {
		return &base{hook, *nftables.ChainPriorityFilter - 10, nftables.ChainPolicyAccept, nftables.ChainTypeFilter}
	}
	served := netip.PrefixFrom(InternetAddress, 32)
	services := []rule{{exprs: then(address(destination, served), dispatch(expr.MetaKeyIIFNAME, "acl-out"))}}
	answers := []rule{{exprs: then(address(source, served), dispatch(expr.MetaKeyOIFNAME, "acl-in"))}}
	if len(v.Clusters) > 0 {
		services = append(services, rule{exprs: then(address(destination, ClusterPrefix), dispatch(expr.MetaKeyIIFNAME, "acl-out"))})
		answers = append(answers, rule{exprs: then(address(source, ClusterPrefix), dispatch(expr.MetaKeyOIFNAME, "acl-in"))})
	}
	toEndpoints, fromEndpoints := v.endpointACLs(chainsOf)
	services, answers = append(services, toEndpoints...), append(answers, fromEndpoints...)
	rs.chains = append(rs.chains,
		chain{"acl", filter(nftables.ChainHookForward), slices.Concat([]rule{
			{exprs: dispatch(expr.MetaKeyIIFNAME, "acl-out")},
		}, passing, []rule{
			{exprs: dispatch(expr.MetaKeyOIFNAME, "acl-in")},
		})},
		chain{"acl-services", filter(nftables.ChainHookInput), append(services, passing...)},
		// Not in the output hook: there a packet that has been translated back still has the
		// link of before.
		chain{"acl-answers", filter(nftables.ChainHookPostrouting), append(v.natAnswers(), answers...)},
	)
	rs.chains = append(rs.chains, chains...)
}

// natACLs have what NAT gateways pass on seen by the ACL of the gateway's own subnet: as it
// comes in there, and as it goes out again; answers, too. What a gateway has passed is known
// by the mark of its connection.
func (v VPC) natACLs(chainsOf func(Subnet)) (out []rule) {
	for _, g := range v.sortedNATGateways() {
		if s, ok := v.aclSubnet(g.Subnet); ok {
			chainsOf(s)
			through := []rule{
				{g.ID, then(connectionIs(markOf(g.ID)), jump(s.ID+"-acl-in"))},
				{g.ID, then(connectionIs(markOf(g.ID)), jump(s.ID+"-acl-out"))},
			}
			out = append(out, rule{g.ID, then(ctState(expr.CtStateBitNEW), markIs(markOf(g.ID)), markConnection())})
			out = append(out, through...)
		}
	}
	return out
}

// endpointACLs have what is for interface endpoints, and their answers, seen by the ACLs of
// both subnets.
func (v VPC) endpointACLs(chainsOf func(Subnet)) (services, answers []rule) {
	acls := slices.ContainsFunc(v.Subnets, func(s Subnet) bool { return s.ACL != nil })
	endpoints := slices.Clone(v.Endpoints)
	slices.SortFunc(endpoints, func(a, b Endpoint) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range endpoints {
		at := netip.PrefixFrom(e.Address, 32)
		subnet, ok := v.aclSubnet(e.Subnet)
		if ok {
			chainsOf(subnet)
			services = append(services, rule{e.ID, then(address(destination, at), jump(subnet.ID+"-acl-in"))})
			answers = append(answers, rule{e.ID, then(address(source, at), jump(subnet.ID+"-acl-out"))})
		}
		if acls {
			services = append(services, rule{e.ID, then(address(destination, at), dispatch(expr.MetaKeyIIFNAME, "acl-out"))})
			answers = append(answers, rule{e.ID, then(address(source, at), dispatch(expr.MetaKeyOIFNAME, "acl-in"))})
		}
	}
	return services, answers
}

// natAnswers are the same for answers of the router's own services.
func (v VPC) natAnswers() (out []rule) {
	served := address(source, InternetPrefix)
	for _, g := range v.sortedNATGateways() {
		if s, ok := v.aclSubnet(g.Subnet); ok {
			out = append(out,
				rule{g.ID, then(served, connectionIs(markOf(g.ID)), ctReply(), jump(s.ID+"-acl-in"))},
				rule{g.ID, then(served, connectionIs(markOf(g.ID)), ctReply(), jump(s.ID+"-acl-out"))})
		}
	}
	return out
}

func (v VPC) aclSubnet(id string) (Subnet, bool) {
	at := slices.IndexFunc(v.Subnets, func(s Subnet) bool { return s.ID == id && s.ACL != nil })
	if at < 0 {
		return Subnet{}, false
	}
	return v.Subnets[at], true
}

// ct mark & ~3 == <value>
func connectionIs(value uint32) []expr.Any { return connectionHas(^uint32(bothUntracked), value) }

// ct mark set meta mark
func markConnection() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true},
	}
}

var goBack = []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}} // return

func aclChain(name string, subnet Subnet, rules []ACLRule, peer side) chain {
	c := chain{name: name, rules: []rule{{"stays in the subnet", then(address(peer, subnet.CIDR), goBack)}}}
	if subnet.CIDR6.IsValid() {
		c.rules = append(c.rules, rule{"stays in the subnet", then(address(peer, subnet.CIDR6), goBack)})
	}
	for _, r := range rules {
		if r.CIDR.Addr().Is6() && !subnet.CIDR6.IsValid() {
			continue
		}
		verdict := drop
		if r.Allow {
			verdict = goBack
		}
		c.rules = append(c.rules, rule{exprs: then(r.rule().match(), address(peer, r.CIDR), verdict)})
	}
	c.rules = append(c.rules, rule{exprs: drop})
	return c
}
