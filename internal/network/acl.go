package network

import (
	"net/netip"

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
func (rs *ruleset) addACLs(ports []port, clusters bool) {
	out := set{name: "acl-out", key: nftables.TypeIFName, verdicts: true}
	in := set{name: "acl-in", key: nftables.TypeIFName, verdicts: true}
	var chains []chain
	done := map[string]bool{}
	for _, p := range ports {
		acl := p.subnet.ACL
		if acl == nil {
			continue
		}
		out.elements = append(out.elements, element{key: linkKey(p.link), jump: p.Subnet + "-acl-out"})
		in.elements = append(in.elements, element{key: linkKey(p.link), jump: p.Subnet + "-acl-in"})
		if done[p.Subnet] {
			continue
		}
		done[p.Subnet] = true
		chains = append(chains,
			aclChain(p.Subnet+"-acl-out", p.subnet, acl.Egress, destination),
			aclChain(p.Subnet+"-acl-in", p.subnet, acl.Ingress, source))
	}
	rs.sets = append(rs.sets, out, in)
	filter := func(hook *nftables.ChainHook) *base {
		return &base{hook, *nftables.ChainPriorityFilter - 10, nftables.ChainPolicyAccept, nftables.ChainTypeFilter}
	}
	served := netip.PrefixFrom(InternetAddress, 32)
	services := []rule{{exprs: then(address(destination, served), dispatch(expr.MetaKeyIIFNAME, "acl-out"))}}
	answers := []rule{{exprs: then(address(source, served), dispatch(expr.MetaKeyOIFNAME, "acl-in"))}}
	if clusters {
		services = append(services, rule{exprs: then(address(destination, ClusterPrefix), dispatch(expr.MetaKeyIIFNAME, "acl-out"))})
		answers = append(answers, rule{exprs: then(address(source, ClusterPrefix), dispatch(expr.MetaKeyOIFNAME, "acl-in"))})
	}
	rs.chains = append(rs.chains,
		chain{"acl", filter(nftables.ChainHookForward), []rule{
			{exprs: dispatch(expr.MetaKeyIIFNAME, "acl-out")},
			{exprs: dispatch(expr.MetaKeyOIFNAME, "acl-in")},
		}},
		chain{"acl-services", filter(nftables.ChainHookInput), services},
		// Not in the output hook: there a packet that has been translated back still has the
		// link of before.
		chain{"acl-answers", filter(nftables.ChainHookPostrouting), answers},
	)
	rs.chains = append(rs.chains, chains...)
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
