package identity

import (
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
)

// keysOf are the condition keys that a resource gives by itself: aws:ResourceTag/k and the
// service's own form of it, and what the service's reference lists for its type. Of a
// resource that does not exist, or is another account's, there are none.
func (s scope) keysOf(arn string) map[string][]string {
	f := strings.SplitN(arn, ":", 6)
	if len(f) != 6 {
		return nil
	}
	keys := map[string][]string{}
	tag := func(account string, tags resource.Tags, own string) {
		if account != s.call.Account {
			return
		}
		for k, v := range tags {
			keys["aws:ResourceTag/"+k] = []string{v}
			if own != "" {
				keys[own+":ResourceTag/"+k] = []string{v}
			}
		}
	}
	switch f[2] {
	case "iam":
		if r, ok := s.tx.Roles.Get(arn); ok {
			tag(r.Account, r.Tags, "iam")
			boundaryKey(keys, r.Boundary)
		} else if u, ok := s.tx.Users.Get(arn); ok {
			tag(u.Account, u.Tags, "iam")
			boundaryKey(keys, u.Boundary)
		} else if p, ok := s.tx.Policies.Get(arn); ok {
			tag(p.Account, p.Tags, "iam")
		} else if p, ok := s.tx.InstanceProfiles.Get(arn); ok {
			tag(p.Account, p.Tags, "iam")
		} else if p, ok := s.tx.OIDCProviders.Get(arn); ok {
			tag(p.Account, p.Tags, "iam")
		}
	case "eks":
		if c, ok := s.tx.Clusters.Get(arn); ok {
			tag(c.Account, c.Spec.Tags, "")
		} else if n, ok := s.tx.Nodegroups.Get(arn); ok {
			tag(n.Account, n.Spec.Tags, "")
		} else if a, ok := s.tx.Addons.Get(arn); ok {
			tag(a.Account, a.Spec.Tags, "")
		} else if p, ok := s.tx.PodIdentityAssociations.Get(arn); ok {
			tag(f[4], p.Tags, "")
		} else if p, ok := s.tx.IdentityProviders.Get(arn); ok {
			tag(f[4], p.Tags, "")
		} else if strings.HasPrefix(f[5], "access-entry/") {
			s.accessEntryKeys(keys, arn)
		}
	case "autoscaling":
		if g, ok := s.tx.AutoScalingGroups.Get(arn); ok {
			tags := resource.Tags{}
			for _, t := range g.Spec.Tags {
				tags[t.Key] = t.Value
			}
			tag(g.Account, tags, "autoscaling")
		}
	case "sqs":
		if q, ok := s.tx.Queues.Get(arn); ok {
			tag(q.Account, q.Tags, "")
		}
	case "events":
		if r, ok := s.tx.EventRules.Get(arn); ok {
			tag(r.Account, r.Tags, "")
		}
	case "ec2":
		kind, id, _ := strings.Cut(f[5], "/")
		s.ec2Keys(keys, kind, id, func(account string, tags resource.Tags) { tag(account, tags, "ec2") })
	}
	return keys
}

// bounded are the actions that have the key iam:PermissionsBoundary: those that make users and
// roles, and change their policies and boundaries. Of others a condition on it sees nothing.
var bounded = map[string]bool{
	"iam:AttachRolePolicy": true, "iam:AttachUserPolicy": true,
	"iam:CreateRole": true, "iam:CreateUser": true,
	"iam:DeleteRolePermissionsBoundary": true, "iam:DeleteUserPermissionsBoundary": true,
	"iam:DeleteRolePolicy": true, "iam:DeleteUserPolicy": true,
	"iam:DetachRolePolicy": true, "iam:DetachUserPolicy": true,
	"iam:PutRolePermissionsBoundary": true, "iam:PutUserPermissionsBoundary": true,
	"iam:PutRolePolicy": true, "iam:PutUserPolicy": true,
}

// boundaryKey gives iam:PermissionsBoundary its value of a resource; a request that sets one goes before it.
func boundaryKey(keys map[string][]string, boundary string) {
	if boundary != "" {
		keys["iam:PermissionsBoundary"] = []string{boundary}
	}
}

func (s scope) accessEntryKeys(keys map[string][]string, arn string) {
	for _, e := range s.tx.AccessEntries.All() {
		if e.ARN != arn || !strings.Contains(e.Cluster, ":"+s.call.Account+":") {
			continue
		}
		for k, v := range e.Tags {
			keys["aws:ResourceTag/"+k] = []string{v}
		}
		keys["eks:accessEntryType"] = []string{e.Type}
		keys["eks:principalArn"] = []string{e.Principal}
		keys["eks:username"] = []string{e.Username}
		keys["eks:kubernetesGroups"] = e.Groups
		_, name, _ := strings.Cut(e.Cluster, "cluster/")
		keys["eks:clusterName"] = []string{name}
	}
}

// ec2Keys are those of one of EC2's resources.
func (s scope) ec2Keys(keys map[string][]string, kind, id string, tag func(account string, tags resource.Tags)) {
	put := func(key, value string) {
		if value != "" {
			keys[key] = []string{value}
		}
	}
	vpc := func(id string) {
		if id != "" {
			put("ec2:Vpc", s.arn("ec2", "vpc/"+id))
		}
	}
	put("ec2:Region", s.call.Region)
	switch kind {
	case "instance":
		if i, ok := s.tx.Instances.Get(id); ok {
			tag(i.Account, i.Tags)
			put("ec2:InstanceType", i.Spec.Type)
			put("ec2:AvailabilityZone", i.Spec.Zone)
			put("ec2:InstanceProfile", i.Spec.InstanceProfileARN)
			put("ec2:InstanceID", id)
			put("ec2:MetadataHttpTokens", i.Spec.HTTPTokens)
			put("ec2:MetadataHttpEndpoint", i.Spec.HTTPEndpoint)
			put("ec2:MetadataHttpPutResponseHopLimit", strconv.Itoa(int(i.Spec.HopLimit)))
			put("ec2:RootDeviceType", "ebs")
			put("ec2:Tenancy", "default")
		}
	case "image":
		if i, ok := ami.ByID(s.call.Region, id); ok {
			put("ec2:ImageID", i.ID)
			put("ec2:ImageType", "machine")
			put("ec2:Owner", "amazon")
			put("ec2:Public", "true")
			put("ec2:RootDeviceType", "ebs")
		}
	case "network-interface":
		if n, ok := s.tx.Interfaces.Get(id); ok {
			tag(n.Account, n.Tags)
			put("ec2:AvailabilityZone", n.Zone)
			put("ec2:Subnet", s.arn("ec2", "subnet/"+n.Subnet))
			put("ec2:NetworkInterfaceID", id)
			vpc(n.VPC)
		}
	case "subnet":
		if n, ok := s.tx.Subnets.Get(id); ok {
			tag(n.Account, n.Tags)
			put("ec2:AvailabilityZone", n.Zone)
			put("ec2:SubnetID", id)
			vpc(n.VPC)
		}
	case "security-group":
		if g, ok := s.tx.SecurityGroups.Get(id); ok {
			tag(g.Account, g.Tags)
			put("ec2:SecurityGroupID", id)
			vpc(g.VPC)
		}
	case "vpc":
		if v, ok := s.tx.VPCs.Get(id); ok {
			tag(v.Account, v.Tags)
			put("ec2:VpcID", id)
		}
	case "route-table":
		if t, ok := s.tx.RouteTables.Get(id); ok {
			tag(t.Account, t.Tags)
			put("ec2:RouteTableID", id)
			vpc(t.VPC)
		}
	case "internet-gateway":
		if g, ok := s.tx.InternetGateways.Get(id); ok {
			tag(g.Account, g.Tags)
			put("ec2:InternetGatewayID", id)
		}
	case "elastic-ip":
		if a, ok := s.tx.Addresses.Get(id); ok {
			tag(a.Account, a.Tags)
			put("ec2:AllocationId", id)
		}
	case "natgateway":
		if g, ok := s.tx.NATGateways.Get(id); ok {
			tag(g.Account, g.Tags)
		}
	case "network-acl":
		if a, ok := s.tx.NetworkACLs.Get(id); ok {
			tag(a.Account, a.Tags)
			put("ec2:NetworkAclID", id)
			vpc(a.VPC)
		}
	case "vpc-peering-connection":
		if p, ok := s.tx.PeeringConnections.Get(id); ok {
			tag(p.Account, p.Tags)
		}
	case "vpc-endpoint":
		if e, ok := s.tx.VPCEndpoints.Get(id); ok {
			tag(e.Account, e.Tags)
			vpc(e.VPC)
		}
	case "launch-template":
		if t, ok := s.tx.LaunchTemplates.Get(id); ok {
			tag(t.Account, t.Tags)
		}
	case "prefix-list":
		if l, ok := s.tx.PrefixLists.Get(id); ok {
			tag(l.Account, l.Tags)
		}
	case "dhcp-options":
		if o, ok := s.tx.DHCPOptions.Get(id); ok {
			tag(o.Account, o.Tags)
		}
	case "egress-only-internet-gateway":
		if g, ok := s.tx.EgressOnlyGateways.Get(id); ok {
			tag(g.Account, g.Tags)
		}
	case "fleet":
		if f, ok := s.tx.Fleets.Get(id); ok {
			tag(f.Account, f.Tags)
		}
	case "spot-instances-request":
		if r, ok := s.tx.SpotRequests.Get(id); ok {
			tag(r.Account, r.Tags)
		}
	case "placement-group": // by its name, or by its id where that is all there is
		for _, g := range s.tx.PlacementGroups.All() {
			if (g.ID == id || g.Name == id) && g.Account == s.call.Account && g.Region == s.call.Region {
				tag(g.Account, g.Tags)
				put("ec2:PlacementGroupName", g.Name)
				put("ec2:PlacementGroupStrategy", g.Strategy)
			}
		}
	case "key-pair":
		for _, k := range s.tx.KeyPairs.All() {
			if k.ID == id || k.Name == id && k.Region == s.call.Region {
				tag(k.Account, k.Tags)
				put("ec2:KeyPairName", k.Name)
			}
		}
	}
}
