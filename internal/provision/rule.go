package provision

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// rulesPerGroup is EC2's default quota of rules in one direction, counted for IPv4 and
// IPv6 apart. A rule that names a group counts in both; one that names a prefix list
// counts as many times as the list may have entries, however many it has.
const rulesPerGroup = 60

// Protocol returns a protocol in the form that records keep: a name for those that
// have one, else its number; "-1" for all of them.
func Protocol(s string) (string, error) {
	s = strings.ToLower(s)
	switch s {
	case "tcp", "6":
		return "tcp", nil
	case "udp", "17":
		return "udp", nil
	case "icmp", "1":
		return "icmp", nil
	case "icmpv6", "58":
		return "icmpv6", nil
	case "-1", "all":
		return "-1", nil
	}
	if n, err := strconv.Atoi(s); err != nil || n < 0 || n > 255 {
		return "", fault("InvalidPermission.Malformed", "Unsupported IP protocol \"%s\" - supported: [TCP, UDP, ICMP, ICMPv6 or an IP protocol number]", s)
	}
	return s, nil
}

// AuthorizeRules adds rules to a security group and returns them with their ids.
// Protocols have to be in Protocol's form. Nothing is added if one rule is wrong,
// there already, or one too many.
func AuthorizeRules(tx *store.Tx, home resource.Home, group string, rules []resource.SecurityGroupRule) ([]resource.SecurityGroupRule, error) {
	g, err := LookupSecurityGroup(tx, home, group)
	if err != nil {
		return nil, err
	}
	added := make([]resource.SecurityGroupRule, 0, len(rules))
	for _, r := range rules {
		if r, err = checkRule(tx, home, g, r); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(added, func(o resource.SecurityGroupRule) bool { return SameRule(r, o) }) {
			return nil, fault("InvalidParameterValue", "The same permission must not appear multiple times")
		}
		if slices.ContainsFunc(g.Rules, func(o resource.SecurityGroupRule) bool { return SameRule(r, o) }) {
			return nil, fault("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", ruleText(r))
		}
		r.ID = awsid.New("sgr")
		added = append(added, r)
	}
	g.Rules = append(g.Rules, added...)
	if err := checkRuleCount(tx, g); err != nil {
		return nil, err
	}
	tx.SecurityGroups.Put(g.ID, g)
	return added, nil
}

// RevokeRules takes rules away from a security group: those with one of ids, and those
// that are the same as one of rules. It returns the rules taken, and of rules those
// that are not there; an id that is not there is an error.
func RevokeRules(tx *store.Tx, home resource.Home, group string, egress bool, ids []string, rules []resource.SecurityGroupRule) (taken, unknown []resource.SecurityGroupRule, err error) {
	g, err := LookupSecurityGroup(tx, home, group)
	if err != nil {
		return nil, nil, err
	}
	take := func(match func(resource.SecurityGroupRule) bool) bool {
		i := slices.IndexFunc(g.Rules, func(r resource.SecurityGroupRule) bool { return r.Egress == egress && match(r) })
		if i < 0 {
			return false
		}
		taken = append(taken, g.Rules[i])
		g.Rules = slices.Delete(g.Rules, i, i+1)
		return true
	}
	for _, id := range ids {
		if err := SecurityRules.Check(id); err != nil {
			return nil, nil, err
		}
		if !take(func(r resource.SecurityGroupRule) bool { return r.ID == id }) {
			return nil, nil, SecurityRules.NotFound(id)
		}
	}
	for _, want := range rules {
		want.Egress = egress
		if !take(func(r resource.SecurityGroupRule) bool { return SameRule(r, canonical(want)) }) {
			unknown = append(unknown, want)
		}
	}
	tx.SecurityGroups.Put(g.ID, g)
	return taken, unknown, nil
}

// ModifyRules puts rules into the places of those of a security group that have their ids.
// Directions and tags stay. Nothing changes if one is not there, is wrong, or would be
// the same as another one.
func ModifyRules(tx *store.Tx, home resource.Home, group string, rules []resource.SecurityGroupRule) error {
	g, err := LookupSecurityGroup(tx, home, group)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if err := SecurityRules.Check(r.ID); err != nil {
			return err
		}
		i := slices.IndexFunc(g.Rules, func(o resource.SecurityGroupRule) bool { return o.ID == r.ID })
		if i < 0 {
			return SecurityRules.NotFound(r.ID)
		}
		r.Egress, r.Tags = g.Rules[i].Egress, g.Rules[i].Tags
		if r, err = checkRule(tx, home, g, r); err != nil {
			return err
		}
		g.Rules[i] = r
	}
	for i, r := range g.Rules {
		if slices.ContainsFunc(g.Rules[:i], func(o resource.SecurityGroupRule) bool { return SameRule(r, o) }) {
			return fault("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", ruleText(r))
		}
	}
	if err := checkRuleCount(tx, g); err != nil {
		return err
	}
	tx.SecurityGroups.Put(g.ID, g)
	return nil
}

// SameRule says whether two rules allow the same. Their descriptions may differ.
func SameRule(a, b resource.SecurityGroupRule) bool {
	return a.Egress == b.Egress && a.Protocol == b.Protocol && a.FromPort == b.FromPort && a.ToPort == b.ToPort &&
		a.CIDR == b.CIDR && a.Group == b.Group && a.PrefixList == b.PrefixList
}

// checkRule checks what EC2 checks and fills in what it fills in.
func checkRule(tx *store.Tx, home resource.Home, g resource.SecurityGroup, r resource.SecurityGroupRule) (resource.SecurityGroupRule, error) {
	r = canonical(r)
	switch r.Protocol {
	case "tcp", "udp":
		switch {
		case r.FromPort == -1 && r.ToPort == -1:
			return r, fault("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		case r.FromPort < 0 || r.FromPort > 65535:
			return r, fault("InvalidParameterValue", "Invalid value '%d' for fromPort. Must be between 0 and 65535.", r.FromPort)
		case r.ToPort < 0 || r.ToPort > 65535:
			return r, fault("InvalidParameterValue", "Invalid value '%d' for toPort. Must be between 0 and 65535.", r.ToPort)
		case r.FromPort > r.ToPort:
			return r, fault("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", r.FromPort, r.ToPort)
		}
	case "icmp", "icmpv6":
		if r.FromPort < -1 || r.FromPort > 255 || r.ToPort < -1 || r.ToPort > 255 {
			return r, fault("InvalidParameterValue", "ICMP code (%d:%d) is out of range", r.FromPort, r.ToPort)
		}
	}
	peers := 0
	if r.CIDR.IsValid() {
		peers++
	}
	if r.PrefixList != "" {
		peers++
		if _, err := LookupPrefixList(tx, home, r.PrefixList); err != nil {
			return r, err
		}
	}
	if r.Group != "" {
		peers++
		peer, err := LookupSecurityGroup(tx, home, r.Group)
		if err != nil {
			return r, err
		}
		if peer.VPC != g.VPC && !Peered(tx, g.VPC, peer.VPC) {
			return r, fault("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
		}
	}
	if peers != 1 {
		return r, fault("MissingParameter", "Missing source specification: include source security group or CIDR information")
	}
	if len(r.Description) > 255 {
		return r, fault("InvalidParameterValue", "Invalid rule description. Rule descriptions may be up to 255 characters in length.")
	}
	return r, nil
}

// canonical gives equal rules equal fields: a masked block, no ports without meaning.
func canonical(r resource.SecurityGroupRule) resource.SecurityGroupRule {
	if r.CIDR.IsValid() {
		r.CIDR = r.CIDR.Masked()
	}
	switch r.Protocol {
	case "tcp", "udp", "icmp", "icmpv6":
	default: // every other protocol is allowed on all ports, whatever was given
		r.FromPort, r.ToPort = -1, -1
	}
	return r
}

func checkRuleCount(tx *store.Tx, g resource.SecurityGroup) error {
	for _, egress := range []bool{false, true} {
		if v4, v6 := countRules(tx, g, egress); v4 > rulesPerGroup || v6 > rulesPerGroup {
			return fault("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
	}
	return nil
}

func countRules(tx *store.Tx, g resource.SecurityGroup, egress bool) (v4, v6 int) {
	for _, r := range g.Rules {
		switch {
		case r.Egress != egress:
		case r.PrefixList != "":
			weight := 1 // of the lists that AWS manages
			l, err := LookupPrefixList(tx, g.Home, r.PrefixList)
			if err == nil && !l.Managed {
				weight = int(l.MaxEntries)
			}
			if l.Family == FamilyIPv6 {
				v6 += weight
			} else {
				v4 += weight
			}
		case !r.CIDR.IsValid():
			v4++
			v6++
		case r.CIDR.Addr().Is4():
			v4++
		default:
			v6++
		}
	}
	return v4, v6
}

// ruleText is a rule as EC2's errors write it.
func ruleText(r resource.SecurityGroupRule) string {
	peer := r.Group + r.PrefixList
	if r.CIDR != (netip.Prefix{}) {
		peer = r.CIDR.String()
	}
	if r.Protocol == "-1" {
		return "peer: " + peer + ", ALL, ALLOW"
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.FromPort, r.ToPort)
}
