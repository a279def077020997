package eks

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// minFree is how many addresses every subnet of a new cluster must have left.
const minFree = 6

// fullZones never have room for a control plane on EKS.
var fullZones = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// checkClusterNetwork checks subnets and security groups against what is there, fills in
// the cluster's VPC and service addresses, and returns the subnets in the caller's order.
func checkClusterNetwork(tx *store.Tx, call awsapi.Call, c *resource.Cluster) ([]resource.Subnet, error) {
	subnets, err := checkSubnetsAndGroups(tx, call, c)
	if err != nil {
		return nil, err
	}
	return subnets, serviceAddresses(tx, subject{cluster: c.Name}, c)
}

// checkSubnetsAndGroups is the part of checkClusterNetwork that also holds for a cluster
// that is there.
func checkSubnetsAndGroups(tx *store.Tx, call awsapi.Call, c *resource.Cluster) ([]resource.Subnet, error) {
	sub := subject{cluster: c.Name}
	var subnets []resource.Subnet
	var zones []string
	for _, id := range c.Spec.Subnets {
		s, err := provision.LookupSubnet(tx, c.Home, id)
		if err != nil {
			return nil, sub.ofEC2(call, err)
		}
		subnets, zones = append(subnets, s), append(zones, s.Zone)
	}
	for _, s := range subnets {
		if s.VPC != subnets[0].VPC {
			return nil, sub.invalidParameter("Subnets specified must belong to the same VPC")
		}
		if slices.Contains(fullZones, s.ZoneID) {
			return nil, unsupportedZone(c, s)
		}
	}
	if len(unique(zones)) < 2 {
		return nil, sub.invalidParameter("Subnets specified must be in at least two different AZs")
	}
	if err := checkFree(tx, sub, subnets); err != nil {
		return nil, err
	}
	c.Spec.VPC = subnets[0].VPC
	for _, id := range c.Spec.SecurityGroups {
		g, err := provision.LookupSecurityGroup(tx, c.Home, id)
		if err != nil {
			return nil, sub.ofEC2(call, err)
		}
		if g.VPC != c.Spec.VPC {
			return nil, sub.invalidParameter("Security group(s) [%s] are not (in/associated to) the same VPC as the subnets. Please specify a security group that is associated with the VPC: %s", id, c.Spec.VPC)
		}
	}
	return subnets, nil
}

func unsupportedZone(c *resource.Cluster, s resource.Subnet) error {
	var valid []string
	if r, ok := region.Lookup(c.Region); ok {
		for _, z := range r.Zones {
			if !slices.Contains(fullZones, z.ID) {
				valid = append(valid, z.Name)
			}
		}
	}
	return &eks.UnsupportedAvailabilityZoneException{
		ClusterName: new(c.Name), ValidZones: valid,
		Message: new(fmt.Sprintf("Cannot create cluster '%s' because %s, the targeted availability zone, does not currently have sufficient capacity to support the cluster. Retry and choose from these availability zones: %s", c.Name, s.Zone, strings.Join(valid, ", "))),
	}
}

func checkFree(tx *store.Tx, sub subject, subnets []resource.Subnet) error {
	var full strings.Builder
	for _, s := range subnets {
		if n := provision.FreeAddresses(tx, s); n < minFree {
			fmt.Fprintf(&full, "%s Free IPs: %d ", s.ID, n)
		}
	}
	if full.Len() > 0 {
		return sub.invalidParameter("Provided subnets %s, need at least %d IPs in each subnet to be free for this operation", full.String(), minFree)
	}
	return nil
}

// serviceAddresses checks the block that the caller gave against the VPC, or takes EKS's.
func serviceAddresses(tx *store.Tx, sub subject, c *resource.Cluster) error {
	v, err := provision.LookupVPC(tx, c.Home, c.Spec.VPC)
	if err != nil {
		return err
	}
	own := c.Spec.ServiceCIDR
	if !own.IsValid() {
		c.Spec.ServiceCIDR = netip.MustParsePrefix("10.100.0.0/16")
	}
	for _, b := range v.CIDRs {
		switch {
		case own.IsValid() && own.Overlaps(b.CIDR):
			return sub.invalidParameter("Invalid Cluster Service Ipv4 CIDR %s for the cluster %s, must not overlap with the VPC CIDR %s", own, c.Name, b.CIDR)
		case !own.IsValid() && rfc1918[0].Overlaps(b.CIDR):
			c.Spec.ServiceCIDR = netip.MustParsePrefix("172.20.0.0/16")
		}
	}
	return nil
}

// makeClusterParts makes what EKS makes in the customer's account together with a
// cluster: the cluster security group, the control plane's network interfaces, the
// service-linked role and the creator's access entry.
func makeClusterParts(tx *store.Tx, call awsapi.Call, c *resource.Cluster, subnets []resource.Subnet) error {
	sub := subject{cluster: c.Name}
	if err := ensureLinked(tx, call, clusterService); err != nil {
		return err
	}
	name := fmt.Sprintf("eks-cluster-sg-%s-%d", c.Name, rand.Int64N(9e9)+1e9)
	group, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{
		Home: c.Home, VPC: c.Spec.VPC, Name: name,
		Description: "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as any managed workloads.",
	})
	if err != nil {
		return sub.ofEC2(call, err)
	}
	c.Spec.ClusterSecurityGroup = group.ID
	if err := provision.KeepClusterGroup(tx, *c); err != nil {
		return sub.ofEC2(call, err)
	}
	for i, s := range twoZones(subnets) {
		eni, err := provision.Interface(tx, provision.InterfaceRequest{
			Home: c.Home, Subnet: s.ID, SecurityGroups: append([]string{group.ID}, c.Spec.SecurityGroups...),
			Description: "Amazon EKS " + c.Name, RequesterManaged: true, RequesterID: ami.Owner, Owner: c.ARN,
			Attachment: &resource.Attachment{Guest: c.Guest(), DeviceIndex: int32(i), DeleteOnTermination: true}, Now: call.Time,
		})
		if err != nil {
			return sub.ofEC2(call, err)
		}
		c.Spec.Interfaces = append(c.Spec.Interfaces, eni.ID)
	}
	letIn(tx, call, c)
	return nil
}

// twoZones picks the first subnet and the first that is in another zone.
func twoZones(subnets []resource.Subnet) []resource.Subnet {
	for _, s := range subnets[1:] {
		if s.Zone != subnets[0].Zone {
			return []resource.Subnet{subnets[0], s}
		}
	}
	return subnets[:1]
}
