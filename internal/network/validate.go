package network

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// identifier is what may name a namespace, a chain and a set alike.
var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,120}$`)

// validate collects everything that is wrong with the VPC, so that nothing is
// half applied because of a value that could never work.
func (v VPC) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !identifier.MatchString(v.ID) {
		bad("VPC id %q is not an identifier", v.ID)
	}
	for _, c := range v.CIDRs {
		if !c.IsValid() {
			bad("%s is not a range of a VPC", c)
		}
	}
	subnets := map[string]Subnet{}
	for i, s := range v.Subnets {
		within := func(r netip.Prefix) bool {
			return slices.ContainsFunc(v.CIDRs, func(c netip.Prefix) bool { return c.Bits() <= r.Bits() && c.Contains(r.Addr()) })
		}
		if !within(s.CIDR) {
			bad("subnet %s: %s is not in a range of the VPC", s.ID, s.CIDR)
		}
		if s.CIDR6.IsValid() && (!s.CIDR6.Addr().Is6() || !within(s.CIDR6)) {
			bad("subnet %s: %s is not in an IPv6 range of the VPC", s.ID, s.CIDR6)
		}
		for _, other := range v.Subnets[:i] {
			if other.CIDR.Overlaps(s.CIDR) || s.CIDR6.IsValid() && other.CIDR6.Overlaps(s.CIDR6) {
				bad("subnets %s and %s overlap", other.ID, s.ID)
			}
		}
		if _, twice := subnets[s.ID]; twice {
			bad("subnet %s is listed twice", s.ID)
		}
		if !identifier.MatchString(s.ID) {
			bad("subnet id %q is not an identifier", s.ID)
		}
		if s.ACL != nil {
			for _, r := range append(append([]ACLRule(nil), s.ACL.Ingress...), s.ACL.Egress...) {
				if err := r.rule().validate(); err != nil {
					bad("ACL of subnet %s: %w", s.ID, err)
				}
			}
		}
		if !s.CIDR.IsValid() || !s.CIDR.Addr().Is4() || s.CIDR.Bits() > 29 {
			bad("subnet %s: %s is not an IPv4 range of a subnet", s.ID, s.CIDR)
		}
		subnets[s.ID] = s
	}
	lists := map[string]bool{}
	for _, l := range v.PrefixLists {
		if !identifier.MatchString(l.ID) || lists[l.ID] || slices.Contains(fixedSets, l.ID) || strings.HasPrefix(l.ID, appliedPrefix) {
			bad("prefix list id %q is not an identifier or is taken", l.ID)
		}
		lists[l.ID] = true
		for _, c := range l.CIDRs {
			if !c.IsValid() || c.Addr().Is6() != l.is6() {
				bad("prefix list %s: %s is not a range of the list's family", l.ID, c)
			}
		}
	}
	groups := map[string]bool{}
	for _, g := range v.SecurityGroups {
		if !identifier.MatchString(g.ID) || groups[g.ID] || lists[g.ID] {
			bad("security group id %q is not an identifier or is listed twice", g.ID)
		}
		if slices.Contains(fixedSets, g.ID) || strings.HasSuffix(g.ID, set6) || strings.HasPrefix(g.ID, appliedPrefix) {
			bad("security group id %q is the name of something else in the rule set", g.ID)
		}
		groups[g.ID] = true
		for _, r := range append(append([]Rule(nil), g.Ingress...), g.Egress...) {
			if err := r.validate(); err != nil {
				bad("security group %s: %w", g.ID, err)
			}
			for _, l := range r.PrefixLists {
				if !lists[l] {
					bad("security group %s: prefix list %q is not listed", g.ID, l)
				}
			}
		}
	}
	for _, g := range v.PeerGroups {
		if !identifier.MatchString(g.ID) || groups[g.ID] || lists[g.ID] || slices.Contains(fixedSets, g.ID) || strings.HasSuffix(g.ID, set6) || strings.HasPrefix(g.ID, appliedPrefix) {
			bad("peer's group id %q is not an identifier or is taken", g.ID)
		}
		for _, m := range g.Members {
			if !m.IsValid() {
				bad("peer's group %s: a member's address is not valid", g.ID)
			}
		}
	}
	links, devices, owners := map[string]string{}, map[string]string{}, map[netip.Addr]string{}
	for _, n := range v.Interfaces {
		if other, taken := links[linkName(n.ID)]; taken {
			bad("interfaces %s and %s have the same link name", other, n.ID)
		}
		links[linkName(n.ID)] = n.ID
		if other, taken := devices[n.Guest+"/"+n.Device]; taken {
			bad("interfaces %s and %s are both %s of %s", other, n.ID, n.Device, n.Guest)
		}
		devices[n.Guest+"/"+n.Device] = n.ID
		if groups[n.ID] {
			bad("%s is an interface and a security group", n.ID)
		}
		if err := n.validate(subnets, groups); err != nil {
			bad("interface %s: %w", n.ID, err)
		}
		for _, a := range slices.Concat(n.Addresses, n.Addresses6) {
			if other, taken := owners[a]; taken {
				bad("interfaces %s and %s both have address %s", other, n.ID, a)
			}
			owners[a] = n.ID
		}
	}
	targets := map[Target]bool{Internet: v.Internet, Blackhole: true}
	for _, id := range v.EgressOnly {
		if targets[Target(id)] || !identifier.MatchString(id) {
			bad("egress-only internet gateway %q is listed twice or not an identifier", id)
		}
		targets[Target(id)] = true
	}
	for _, g := range v.NATGateways {
		if targets[Target(g.ID)] || !PublicPrefix.Contains(g.Public) {
			bad("NAT gateway %s is listed twice or has no public address", g.ID)
		}
		targets[Target(g.ID)] = true
	}
	for _, p := range v.Peers {
		if targets[Target(p.ID)] || !identifier.MatchString(p.ID) || !identifier.MatchString(p.VPC) || p.VPC == v.ID {
			bad("peer %q is listed twice or names no other VPC", p.ID)
		}
		targets[Target(p.ID)] = true
	}
	for _, n := range v.Interfaces {
		targets[Target(n.ID)] = true
	}
	for _, e := range v.Endpoints {
		if !identifier.MatchString(e.ID) || owners[e.Address] != "" || !slices.ContainsFunc(v.Subnets, func(s Subnet) bool { return s.CIDR.Contains(e.Address) }) {
			bad("endpoint %q has an address that is taken or in no subnet", e.ID)
		}
		owners[e.Address] = e.ID
		for _, g := range e.SecurityGroups {
			if !groups[g] {
				bad("endpoint %s: security group %q is not listed", e.ID, g)
			}
		}
	}
	for _, c := range v.Clusters {
		if !ClusterPrefix.Contains(c.Address) || c.Private.IsValid() && owners[c.Private] == "" {
			bad("cluster %s is not at an address for clusters, or its interface %s is not listed", c.Address, c.Private)
		}
	}
	for _, s := range v.Subnets {
		for _, r := range s.Routes {
			if !targets[r.Target] {
				bad("subnet %s: route to %s leads to %q, which is not there", s.ID, r.Destination, r.Target)
			}
		}
	}
	return errors.Join(errs...)
}

func (n Interface) validate(subnets map[string]Subnet, groups map[string]bool) error {
	switch {
	case !identifier.MatchString(n.ID):
		return fmt.Errorf("id %q is not an identifier", n.ID)
	case !identifier.MatchString(n.Guest):
		return fmt.Errorf("guest %q is not an identifier", n.Guest)
	case n.Device == "" || n.Device == "lo" || len(n.Device) > maxLinkName:
		return fmt.Errorf("%q is not the name of a device", n.Device)
	case len(n.MAC) != 6:
		return fmt.Errorf("%q is not a MAC address", n.MAC)
	case len(n.Addresses) == 0:
		return errors.New("it has no address")
	case n.Public.IsValid() && !PublicPrefix.Contains(n.Public):
		return fmt.Errorf("%s is not a public address", n.Public)
	}
	for private, public := range n.SecondaryPublic {
		if !slices.Contains(n.Addresses[1:], private) || !PublicPrefix.Contains(public) {
			return fmt.Errorf("%s is not a public address, or %s not a secondary one", public, private)
		}
	}
	subnet, ok := subnets[n.Subnet]
	if !ok {
		return fmt.Errorf("subnet %q is not listed", n.Subnet)
	}
	for _, a := range n.Addresses {
		if !subnet.CIDR.Contains(a) || a == subnet.gateway() {
			return fmt.Errorf("address %s is not one for an interface of subnet %s, %s", a, subnet.ID, subnet.CIDR)
		}
	}
	for _, a := range n.Addresses6 {
		if !subnet.CIDR6.Contains(a) {
			return fmt.Errorf("address %s is not one of subnet %s, %s", a, subnet.ID, subnet.CIDR6)
		}
	}
	for _, p := range n.Prefixes {
		if !p.IsValid() || !subnet.CIDR.Contains(p.Addr()) && !subnet.CIDR6.Contains(p.Addr()) {
			return fmt.Errorf("prefix %s is not in subnet %s", p, subnet.ID)
		}
	}
	for _, g := range n.SecurityGroups {
		if !groups[g] {
			return fmt.Errorf("security group %q is not listed", g)
		}
	}
	return nil
}

func (r Rule) validate() error {
	number, err := r.protocol()
	if err != nil {
		return err
	}
	switch number {
	case protocolTCP, protocolUDP:
		if r.FromPort < 0 || r.ToPort > 65535 || r.FromPort > r.ToPort {
			return fmt.Errorf("%d-%d is not a range of ports", r.FromPort, r.ToPort)
		}
	case protocolICMP, protocolICMPv6:
		if r.FromPort < -1 || r.FromPort > 255 || r.ToPort < -1 || r.ToPort > 255 {
			return fmt.Errorf("%d/%d is not a type and code of ICMP", r.FromPort, r.ToPort)
		}
	}
	for _, c := range r.CIDRs {
		if !c.IsValid() {
			return errors.New("a range of addresses is not valid")
		}
	}
	for _, g := range r.Groups {
		if !identifier.MatchString(g) {
			return fmt.Errorf("group id %q is not an identifier", g)
		}
	}
	return nil
}

// Protocol numbers that rules treat apart.
const (
	protocolAny    = -1
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// protocol is the number of the rule's protocol.
func (r Rule) protocol() (int, error) {
	switch r.Protocol {
	case "tcp":
		return protocolTCP, nil
	case "udp":
		return protocolUDP, nil
	case "icmp":
		return protocolICMP, nil
	case "icmpv6":
		return protocolICMPv6, nil
	}
	number, err := strconv.Atoi(r.Protocol)
	if err != nil || number < -1 || number > 255 {
		return 0, fmt.Errorf("%q is not a protocol", r.Protocol)
	}
	return number, nil
}
