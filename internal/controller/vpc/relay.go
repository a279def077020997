package vpc

import (
	"net/netip"
	"slices"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxRelayed is how many ports of one rule the host can reach at a public address. Of a
// rule for more ports than that (all of them, mostly) it reaches the first ones.
const maxRelayed = 4096

// relaysFor are the ways from the host's loopback addresses to public ones: a TCP port
// each that a security group opens to the internet. There is no UDP.
func relaysFor(tx *store.Tx, v network.VPC) []network.Relay {
	seen := map[network.Relay]bool{}
	var out []network.Relay
	for _, n := range v.Interfaces {
		i, ok := tx.Interfaces.Get(n.ID)
		if !ok {
			continue
		}
		var hosts []netip.Addr
		if a, err := netip.ParseAddr(i.PublicIP); err == nil {
			hosts = append(hosts, a)
		}
		for _, p := range i.SecondaryPublic {
			hosts = append(hosts, p.Public)
		}
		hosts = slices.DeleteFunc(hosts, func(a netip.Addr) bool { return !a.IsLoopback() })
		for _, id := range i.SecurityGroups {
			g, _ := tx.SecurityGroups.Get(id)
			for _, r := range g.Rules {
				from, to := relayed(r)
				for _, host := range hosts {
					for p := from; p <= to; p++ {
						relay := network.Relay{Host: netip.AddrPortFrom(host, uint16(p)), Public: netip.AddrPortFrom(onTheInternet(host), uint16(p))}
						if !seen[relay] {
							seen[relay] = true
							out = append(out, relay)
						}
					}
				}
			}
		}
	}
	return out
}

// relayed are the first and the last port that a rule opens to the host; none if the
// first is beyond the last.
func relayed(r resource.SecurityGroupRule) (from, to int32) {
	switch {
	case r.Egress || !r.CIDR.IsValid() || !r.CIDR.Contains(network.OutsideAddress):
		return 1, 0
	case r.Protocol == "-1":
		from, to = 1, 65535
	case r.Protocol == "tcp":
		from, to = max(r.FromPort, 1), r.ToPort
	default:
		return 1, 0
	}
	return from, min(to, from+maxRelayed-1)
}
