package identity

import "ekster.dev/ekster/internal/resource"

// ec2NetworkRules are about gateways, addresses, network ACLs, endpoints and peering.
var ec2NetworkRules = rules{
	"AcceptVpcPeeringConnection":                 ids("VpcPeeringConnectionId"),
	"AllocateAddress":                            makes("elastic-ip"),
	"AssignIpv6Addresses":                        ids("NetworkInterfaceId"),
	"AssociateAddress":                           address("AllocationId", "InstanceId", "NetworkInterfaceId"),
	"AssociateDhcpOptions":                       ids("DhcpOptionsId", "VpcId"),
	"AssociateSubnetCidrBlock":                   ids("SubnetId"),
	"AssociateVpcCidrBlock":                      ids("VpcId"),
	"CreateDhcpOptions":                          makes("dhcp-options"),
	"CreateEgressOnlyInternetGateway":            makes("egress-only-internet-gateway", "VpcId"),
	"CreateManagedPrefixList":                    makes("prefix-list"),
	"CreateNatGateway":                           makes("natgateway", "SubnetId", "AllocationId"),
	"CreateNetworkAcl":                           makes("network-acl", "VpcId"),
	"CreateNetworkAclEntry":                      ids("NetworkAclId"),
	"CreateNetworkInterfacePermission":           ids("NetworkInterfaceId"),
	"CreateVpcEndpoint":                          makes("vpc-endpoint", "VpcId", "SubnetIds", "SecurityGroupIds", "RouteTableIds"),
	"CreateVpcPeeringConnection":                 makes("vpc-peering-connection", "VpcId"),
	"DeleteDhcpOptions":                          ids("DhcpOptionsId"),
	"DeleteEgressOnlyInternetGateway":            ids("EgressOnlyInternetGatewayId"),
	"DeleteInternetGateway":                      ids("InternetGatewayId"),
	"DeleteManagedPrefixList":                    ids("PrefixListId"),
	"DeleteNatGateway":                           ids("NatGatewayId"),
	"DeleteNetworkAcl":                           ids("NetworkAclId"),
	"DeleteNetworkAclEntry":                      ids("NetworkAclId"),
	"DeleteRoute":                                ids("RouteTableId"),
	"DeleteRouteTable":                           ids("RouteTableId"),
	"DeleteVpcEndpoints":                         ids("VpcEndpointIds"),
	"DeleteVpcPeeringConnection":                 ids("VpcPeeringConnectionId"),
	"DescribeAddresses":                          anything,
	"DescribeAddressesAttribute":                 anything,
	"DescribeDhcpOptions":                        anything,
	"DescribeEgressOnlyInternetGateways":         anything,
	"DescribeManagedPrefixLists":                 anything,
	"DescribeNatGateways":                        anything,
	"DescribeNetworkAcls":                        anything,
	"DescribeNetworkInterfaceAttribute":          ids("NetworkInterfaceId"),
	"DescribePrefixLists":                        anything,
	"DescribeSecurityGroupReferences":            anything,
	"DescribeStaleSecurityGroups":                anything,
	"DescribeVpcEndpointServices":                anything,
	"DescribeVpcEndpoints":                       anything,
	"DescribeVpcPeeringConnections":              anything,
	"DetachInternetGateway":                      ids("InternetGatewayId", "VpcId"),
	"DisassociateAddress":                        {fields: []string{"AssociationId", "PublicIp"}, resources: associatedAddress},
	"DisassociateRouteTable":                     {fields: []string{"AssociationId"}, resources: associatedTable},
	"DisassociateSubnetCidrBlock":                {fields: []string{"AssociationId"}, resources: associatedSubnet},
	"DisassociateVpcCidrBlock":                   {fields: []string{"AssociationId"}, resources: associatedVPC},
	"GetManagedPrefixListAssociations":           ids("PrefixListId"),
	"GetManagedPrefixListEntries":                ids("PrefixListId"),
	"ModifyManagedPrefixList":                    ids("PrefixListId"),
	"ModifySecurityGroupRules":                   ids("GroupId"),
	"ModifyVpcEndpoint":                          ids("VpcEndpointId"),
	"RejectVpcPeeringConnection":                 ids("VpcPeeringConnectionId"),
	"ReleaseAddress":                             address("AllocationId"),
	"ReplaceNetworkAclAssociation":               ids("NetworkAclId"),
	"ReplaceNetworkAclEntry":                     ids("NetworkAclId"),
	"ReplaceRoute":                               ids("RouteTableId"),
	"ReplaceRouteTableAssociation":               {fields: []string{"AssociationId", "RouteTableId"}, resources: associatedTable},
	"RestoreManagedPrefixListVersion":            ids("PrefixListId"),
	"UnassignIpv6Addresses":                      ids("NetworkInterfaceId"),
	"UpdateSecurityGroupRuleDescriptionsEgress":  ids("GroupId"),
	"UpdateSecurityGroupRuleDescriptionsIngress": ids("GroupId"),
}

// associatedTable are the route table of an association, its subnet, and the table that is to follow.
func associatedTable(s scope, in any) []string {
	association := deref(one(in, "AssociationId"))
	var out []string
	for _, t := range s.tx.RouteTables.All() {
		subnet, ok := t.Associations[association]
		if t.Account == s.call.Account && (ok || t.MainID == association) {
			out = append(out, s.ec2(&t.ID, &subnet)...)
		}
	}
	if out = append(out, s.ec2s(field(in, "RouteTableId"))...); len(out) == 0 {
		out = append(out, s.arn("ec2", "route-table/*"))
	}
	return out
}

// associatedVPC is the VPC that a CIDR block is associated with.
func associatedVPC(s scope, in any) []string {
	association := deref(one(in, "AssociationId"))
	for _, v := range s.tx.VPCs.All() {
		for _, c := range v.CIDRs {
			if c.ID == association && v.Account == s.call.Account {
				return s.ec2(&v.ID)
			}
		}
	}
	return []string{s.arn("ec2", "vpc/*")}
}

// address is ids for operations that may name an elastic IP by its address instead.
func address(names ...string) rule {
	r := ids(append(names, "PublicIp")...)
	named := ids(names...)
	r.resources = func(s scope, in any) []string {
		out := named.resources(s, in)
		if ip := deref(one(in, "PublicIp")); ip != "" {
			out = append(out, s.elasticIPs(func(a resource.Address) bool { return a.IP.String() == ip })...)
		}
		return out
	}
	return r
}

// elasticIPs are the ARNs of the caller's that match.
func (s scope) elasticIPs(match func(resource.Address) bool) (out []string) {
	for _, a := range s.tx.Addresses.All() {
		if a.Account == s.call.Account && a.Region == s.call.Region && match(a) {
			out = append(out, s.ec2(&a.ID)...)
		}
	}
	if len(out) == 0 {
		out = append(out, s.arn("ec2", "elastic-ip/*"))
	}
	return out
}

// associatedAddress is the elastic IP of an association, or the one that has the address.
func associatedAddress(s scope, in any) []string {
	association, ip := deref(one(in, "AssociationId")), deref(one(in, "PublicIp"))
	return s.elasticIPs(func(a resource.Address) bool {
		return association != "" && a.Association == association || ip != "" && a.IP.String() == ip
	})
}

// associatedSubnet is the subnet that an IPv6 block is associated with.
func associatedSubnet(s scope, in any) []string {
	association := deref(one(in, "AssociationId"))
	for _, n := range s.tx.Subnets.All() {
		if association != "" && n.CIDR6.ID == association && n.Account == s.call.Account {
			return s.ec2(&n.ID)
		}
	}
	return []string{s.arn("ec2", "subnet/*")}
}
