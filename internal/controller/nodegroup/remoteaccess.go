package nodegroup

import (
	"fmt"
	"net/netip"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const sshPort = 22

// openSSH makes the security group of a node group's remoteAccess, and returns its id: port
// 22 is open to the groups named, or to everybody where none is. Without remoteAccess there
// is none.
func openSSH(tx *store.Tx, ng resource.Nodegroup, cl resource.Cluster) (string, error) {
	if ng.Spec.SSHKey == "" {
		return "", nil
	}
	g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{
		Home: ng.Home, VPC: cl.Spec.VPC, Name: "eks-remoteAccess-" + ng.ID,
		Description: "Security group for all nodes in the nodeGroup to allow SSH access",
		Tags:        resource.Tags{"eks": "eks-remoteAccess-" + ng.ID, "eks:cluster-name": cl.Name, "eks:nodegroup-name": ng.Name},
	})
	if err != nil {
		return "", fmt.Errorf("remote access of node group %s: %w", ng.Name, err)
	}
	rule := resource.SecurityGroupRule{
		Protocol: "tcp", FromPort: sshPort, ToPort: sshPort, Description: "Allow SSH access to worker nodes in group " + ng.Name,
	}
	var rules []resource.SecurityGroupRule
	for _, source := range ng.Spec.SSHSourceSecurityGroups {
		r := rule
		r.Group = source
		rules = append(rules, r)
	}
	if len(rules) == 0 {
		rule.CIDR = netip.MustParsePrefix("0.0.0.0/0")
		rules = append(rules, rule)
	}
	if _, err := provision.AuthorizeRules(tx, ng.Home, g.ID, rules); err != nil {
		return "", fmt.Errorf("remote access of node group %s: %w", ng.Name, err)
	}
	return g.ID, nil
}

// closeSSH takes that security group away. An error of EC2's says what still needs it.
func closeSSH(tx *store.Tx, ng resource.Nodegroup) error {
	if id := ng.Status.RemoteAccess; id != "" && tx.SecurityGroups.Has(id) {
		return provision.DeleteSecurityGroup(tx, ng.Home, id)
	}
	return nil
}
