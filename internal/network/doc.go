// Package network is the VPC data plane: it makes a VPC, given as plain values,
// real on this machine's kernel, and converges it whenever the values change.
//
// Every VPC is one network namespace, its router. Every network interface (ENI)
// is a veth pair: one end in the router, the other, with the ENI's MAC address,
// in a guest: the namespace of an instance or of a control plane.
//
//	guest i-1                router of vpc-a                      guest cp-x
//	/run/netns/<p>-i-1       /run/netns/<p>-vpc-a                 /run/netns/<p>-cp-x
//	┌────────────┐   veth   ┌───────────────────────────┐  veth  ┌────────────┐
//	│ eth0  .1.5 ├──────────┤ eni-1: route 10.0.1.5/32  ├────────┤ eth0 .2.9  │
//	│            │          │ eni-2: route 10.0.2.9/32  │        │            │
//	└────────────┘          │ lo: gateways (base + 1),  │        └────────────┘
//	                        │  169.254.169.254 metadata │
//	                        │  169.254.169.253 DNS      │
//	                        │  198.18.0.1 "the internet"│
//	                        └───────────────────────────┘
//
// Routers are connected with each other (VPC peering) and with the internet, a namespace
// that all VPCs with an internet gateway share: see uplink.go.
//
// There is no bridge. The router has one /32 route for each address and answers
// every ARP request for an address it can route to (proxy ARP), so guests of one
// subnet believe that they share a wire, as on AWS, while each of their packets
// is routed and passes the rules:
//
//	hook             chain         decides
//	prerouting -300  source        whether the ENI may use this source address
//	prerouting -150  routes        where the subnet's route table sends it: its mark
//	prerouting -100  inward        public addresses become private ones
//	forward -10      acl           the subnets' network ACLs, packet by packet
//	forward          egress        the rules of the source ENI's security groups
//	forward +10      ingress       the rules of the destination ENI's security groups
//	input -10        acl-services  network ACLs, of what is for the router
//	input            services      metadata and DNS always; the internet and endpoints if the
//	                               route and the security groups let it out
//	input +10        endpoint      the security groups of interface endpoints
//	postrouting -10  acl-answers   network ACLs, of what comes from the router
//	postrouting 100  outward       private addresses become public ones
//	input 100        outward-here  the same, of what is for the router
//
// Chains eni-…-out and eni-…-in jump to the chains of the ENI's groups, sg-…-out
// and sg-…-in, where an accept means "passed this chain's hook"; whatever no rule
// accepts is dropped. Named sets sg-… hold the addresses of a referenced group's
// interfaces. All of it is the table inet ekster, replaced in one transaction.
//
// Established connections persist when a rule that let them in is removed, and
// only new ones are decided anew, but for those that AWS does not track: see untracked.go.
//
// What was applied is remembered in the kernel only: the alias of a router's link
// says what has been set up at its other end, the name of an (empty) set in the
// table which rules are in force. A daemon that was killed at any step therefore
// goes on from what there is, and a repeat of a finished Ensure is a few dumps.
//
// What it does not do: it knows no AWS API, no store and no daemon; it serves
// nothing on the routers' addresses (see Listen), of which metadata and DNS alone have ones
// of IPv6 (ipv6.go); it does not watch: call Ensure again. The rules of
// each case are in docs/network, written by the tests.
package network
