// Package vpccni gives pods addresses of the VPC, as amazon-vpc-cni-k8s does on
// EKS: a pod's address is a secondary private address of one of the node's
// network interfaces (ENIs), within the limits of the instance type.
//
//	Agent   runs in the aws-node pod. Reads IMDS, keeps some addresses ready
//	        (EC2 AssignPrivateIpAddresses, then more ENIs), prepares the node,
//	        installs the plugin and, once a pod could get an address, writes the
//	        network configuration that makes the node Ready.
//	Plugin  is run by containerd for every pod. Asks the agent for an address
//	        over a unix socket (JSON, one request a connection), connects the pod.
//
// A pod's traffic:
//
//	pod eth0 <ip>/32, default via 169.254.1.1 (a permanent neighbour)
//	  └─ veth ─ eni<hash> on the node; route <ip>/32 dev eni<hash>
//
//	ip rules   512  to <ip>                lookup main           to pods of this node
//	          1024  fwmark 0x80/0x80       lookup main           what must leave by the primary ENI
//	          1536  from <ip>              lookup <device + 1>   pods on ENI <device> > 0
//
//	nft table ip aws-cni            marks and source NAT; replaced whole when an agent starts
//	nft table ip aws-cni-hostports  one rule per host port; written by the plugin
//
// What a pod sends beyond the VPC leaves by the primary ENI under the node's
// primary address, unless AWS_VPC_K8S_CNI_EXTERNALSNAT is true.
//
// Allocations are kept in one JSON file on the node, so a new agent goes on
// where the old one ended; an allocation whose veth is gone is given back.
//
// It does not do IPv6, prefix delegation, custom networking (ENIConfig),
// security groups for pods, bandwidth limits or network policies, and it does
// not talk to the Kubernetes API.
package vpccni
