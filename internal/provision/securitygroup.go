package provision

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A SecurityGroupRequest says what security group to make.
type SecurityGroupRequest struct {
	Home        resource.Home
	VPC         string
	Name        string
	Description string
	Tags        resource.Tags
}

var groupText = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

// SecurityGroup makes a security group that lets everything out and nothing in.
func SecurityGroup(tx *store.Tx, r SecurityGroupRequest) (resource.SecurityGroup, error) {
	v, err := LookupVPC(tx, r.Home, r.VPC)
	if err != nil {
		return resource.SecurityGroup{}, err
	}
	switch {
	case strings.HasPrefix(r.Name, "sg-"):
		return resource.SecurityGroup{}, fault("InvalidParameterValue", "Invalid security group name. Group names may not be in the format sg-*")
	case r.Name == "default":
		return resource.SecurityGroup{}, fault("InvalidParameterValue", "Cannot use reserved security group name: default")
	case !groupText.MatchString(r.Name):
		return resource.SecurityGroup{}, fault("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", r.Name)
	case !groupText.MatchString(r.Description):
		return resource.SecurityGroup{}, fault("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", r.Description)
	}
	for _, g := range tx.SecurityGroups.All() {
		if g.VPC == r.VPC && g.Name == r.Name {
			return resource.SecurityGroup{}, fault("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", r.Name, r.VPC)
		}
	}
	g := newSecurityGroup(r.Home, r.VPC, r.Name, r.Description)
	g.Tags = r.Tags
	if len(v.CIDRs6) > 0 {
		g = letsOut6(g)
	}
	tx.SecurityGroups.Put(g.ID, g)
	return g, nil
}

func newSecurityGroup(home resource.Home, vpc, name, description string) resource.SecurityGroup {
	return resource.SecurityGroup{
		Home: home, ID: awsid.New("sg"), VPC: vpc, Name: name, Description: description,
		Rules: []resource.SecurityGroupRule{{
			ID: awsid.New("sgr"), Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix("0.0.0.0/0"),
		}},
	}
}

// DeleteSecurityGroup takes a security group away. It is a DependencyViolation while
// an interface has it or the rule of another group of its VPC names it. Rules in VPCs that
// are joined with it are left, stale.
func DeleteSecurityGroup(tx *store.Tx, home resource.Home, id string) error {
	g, err := LookupSecurityGroup(tx, home, id)
	if err != nil {
		return err
	}
	if g.Name == "default" {
		return fault("CannotDelete", "the specified group: \"%s\" name: \"%s\" cannot be deleted by a user", g.ID, g.Name)
	}
	for _, i := range tx.Interfaces.All() {
		if slices.Contains(i.SecurityGroups, id) {
			return dependent(id)
		}
	}
	for _, other := range tx.SecurityGroups.All() {
		if other.ID != id && other.VPC == g.VPC && slices.ContainsFunc(other.Rules, func(r resource.SecurityGroupRule) bool { return r.Group == id }) {
			return dependent(id)
		}
	}
	tx.SecurityGroups.Delete(id)
	return nil
}

// groupsPerInterface is EC2's default quota.
const groupsPerInterface = 5

// groupsFor checks the groups that an interface in a subnet is to have: named ids, or
// the VPC's default group where there are none.
func groupsFor(tx *store.Tx, s resource.Subnet, ids []string) ([]string, error) {
	if len(ids) == 0 {
		v, err := LookupVPC(tx, s.Home, s.VPC)
		if err != nil {
			return nil, err
		}
		return []string{v.DefaultGroup}, nil
	}
	if len(ids) > groupsPerInterface {
		return nil, fault("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	var out []string
	for _, id := range ids {
		g, err := LookupSecurityGroup(tx, s.Home, id)
		if err != nil {
			return nil, err
		}
		if g.VPC != s.VPC {
			return nil, fault("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, s.ID)
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}
