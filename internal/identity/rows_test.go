package identity_test

import (
	"net/netip"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// rowCase is a call that is allowed but for the one statement.
type rowCase struct {
	name, operation string
	in              any
	statement       string // that denies
	denied          string
}

func (w *dependents) rows(t *testing.T, cases []rowCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			service, _, _ := strings.Cut(c.operation, ":")
			allow := "Allow " + service + ":* *"
			if err := w.authorize(policyOf(allow), c.operation, c.in); err != nil {
				t.Fatal(err)
			}
			w.denied(t, policyOf(allow, c.statement), c.operation, c.in, c.denied)
		})
	}
}

// Resources that a request names by something other than their ids are found.
func TestNetworkRows(t *testing.T) {
	w := newDependents(t)
	home := resource.Home{Account: account, Region: "us-west-2"}
	w.update(func(tx *store.Tx) {
		tx.Addresses.Put("eipalloc-1", resource.Address{Home: home, ID: "eipalloc-1", IP: netip.MustParseAddr("198.51.100.7"), Association: "eipassoc-1"})
		tx.Subnets.Put("subnet-1", resource.Subnet{Home: home, ID: "subnet-1", CIDR6: resource.CIDRAssociation{ID: "subnet-cidr-assoc-1"}})
	})
	ip := new("198.51.100.7")
	row := func(name, operation string, in any, resource string) rowCase {
		return rowCase{name, "ec2:" + operation, in, "Deny ec2:" + operation + " " + ec2ARN + resource, "ec2:" + operation + " on resource: " + ec2ARN + resource}
	}
	w.rows(t, []rowCase{
		row("groups of an interface", "ModifyNetworkInterfaceAttribute", &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: new("eni-1"), Groups: []string{"sg-1"}}, "security-group/sg-1"),
		row("release by address", "ReleaseAddress", &ec2.ReleaseAddressInput{PublicIp: ip}, "elastic-ip/eipalloc-1"),
		row("associate by address", "AssociateAddress", &ec2.AssociateAddressInput{PublicIp: ip, InstanceId: new("i-1")}, "elastic-ip/eipalloc-1"),
		row("disassociate by address", "DisassociateAddress", &ec2.DisassociateAddressInput{PublicIp: ip}, "elastic-ip/eipalloc-1"),
		row("disassociate", "DisassociateAddress", &ec2.DisassociateAddressInput{AssociationId: new("eipassoc-1")}, "elastic-ip/eipalloc-1"),
		row("disassociate what is not there", "DisassociateAddress", &ec2.DisassociateAddressInput{AssociationId: new("eipassoc-2")}, "elastic-ip/*"),
		row("subnet's block", "DisassociateSubnetCidrBlock", &ec2.DisassociateSubnetCidrBlockInput{AssociationId: new("subnet-cidr-assoc-1")}, "subnet/subnet-1"),
	})
}

// Who renames a user or group has to be allowed both what it is and what it will be.
func TestRenames(t *testing.T) {
	w := newDependents(t)
	const iamARN = "arn:aws:iam::000000000000:"
	w.update(func(tx *store.Tx) {
		tx.Users.Put(iamARN+"user/dev/bob", resource.User{Account: account, ARN: iamARN + "user/dev/bob", Name: "bob", Path: "/dev/", ID: "AIDABOB"})
		tx.Groups.Put(iamARN+"group/all", resource.Group{Account: account, ARN: iamARN + "group/all", Name: "all", Path: "/"})
	})
	row := func(name string, in any, operation, resource string) rowCase {
		return rowCase{name, "iam:" + operation, in, "Deny iam:" + operation + " " + iamARN + resource, "iam:" + operation + " on resource: " + iamARN + resource}
	}
	w.rows(t, []rowCase{
		row("another name", &iam.UpdateUserInput{UserName: new("bob"), NewUserName: new("root")}, "UpdateUser", "user/dev/root"),
		row("another path", &iam.UpdateUserInput{UserName: new("bob"), NewPath: new("/admin/")}, "UpdateUser", "user/admin/bob"),
		row("both", &iam.UpdateUserInput{UserName: new("bob"), NewPath: new("/"), NewUserName: new("root")}, "UpdateUser", "user/root"),
		row("the old one", &iam.UpdateUserInput{UserName: new("bob"), NewUserName: new("root")}, "UpdateUser", "user/dev/bob"),
		row("a group's path", &iam.UpdateGroupInput{GroupName: new("all"), NewPath: new("/x/y/")}, "UpdateGroup", "group/x/y/all"),
		row("a group's name", &iam.UpdateGroupInput{GroupName: new("all"), NewGroupName: new("none")}, "UpdateGroup", "group/none"),
	})
}

// A boundary is a condition key of what changes policies and boundaries, and of nothing else.
func TestBoundaryKey(t *testing.T) {
	w := newDependents(t)
	const boundary = "arn:aws:iam::000000000000:policy/b"
	w.update(func(tx *store.Tx) {
		r := addRole(tx, "bound", "")
		r.Boundary = boundary
		tx.Roles.Put(r.ARN, r)
	})
	role := new("bound")
	for _, c := range []struct {
		operation string
		in        any
		has       bool
	}{
		{"iam:AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: new("arn:aws:iam::aws:policy/ReadOnlyAccess")}, true},
		{"iam:DetachRolePolicy", &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: new("arn:aws:iam::aws:policy/ReadOnlyAccess")}, true},
		{"iam:PutRolePolicy", &iam.PutRolePolicyInput{RoleName: role}, true},
		{"iam:DeleteRolePolicy", &iam.DeleteRolePolicyInput{RoleName: role}, true},
		{"iam:DeleteRolePermissionsBoundary", &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}, true},
		{"iam:PutRolePermissionsBoundary", &iam.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: new(boundary)}, true},
		{"iam:CreateUser", &iam.CreateUserInput{UserName: new("u"), PermissionsBoundary: new(boundary)}, true},
		{"iam:UpdateAssumeRolePolicy", &iam.UpdateAssumeRolePolicyInput{RoleName: role}, false},
		{"iam:DeleteRole", &iam.DeleteRoleInput{RoleName: role}, false},
		{"iam:UpdateRole", &iam.UpdateRoleInput{RoleName: role}, false},
		{"iam:TagRole", &iam.TagRoleInput{RoleName: role}, false},
	} {
		err := w.authorize(policyOf("Allow "+c.operation+" * "+is("iam:PermissionsBoundary", boundary)), c.operation, c.in)
		if (err == nil) != c.has {
			t.Errorf("%s with a boundary: %v", c.operation, err)
		}
	}
}

// Tags of what is made are asked for as they are of what is there.
func TestTagsOfWhatIsMade(t *testing.T) {
	w := newDependents(t)
	rule := &events.PutRuleInput{Name: new("r"), Tags: []events.Tag{{Key: new("team"), Value: new("a")}}}
	w.denied(t, policyOf("Allow events:PutRule *"), "events:PutRule", rule, "events:TagResource on resource: arn:aws:events:us-west-2:000000000000:rule/r")
	if err := w.authorize(policyOf("Allow events:PutRule *"), "events:PutRule", &events.PutRuleInput{Name: new("r")}); err != nil {
		t.Error(err)
	}
	specs := []ec2.TagSpecification{{ResourceType: new("key-pair"), Tags: []ec2.Tag{{Key: new("team"), Value: new("a")}}}}
	for operation, in := range map[string]any{
		"ec2:CreateKeyPair": &ec2.CreateKeyPairInput{KeyName: new("k"), TagSpecifications: specs},
		"ec2:ImportKeyPair": &ec2.ImportKeyPairInput{KeyName: new("k"), TagSpecifications: specs},
	} {
		tag := "Allow ec2:CreateTags *"
		if err := w.authorize(policyOf(tag, "Allow "+operation+" * "+is("aws:RequestTag/team", "a")), operation, in); err != nil {
			t.Error(err)
		}
		w.denied(t, policyOf(tag, "Allow "+operation+" * "+is("aws:RequestTag/team", "b")), operation, in, operation+" on resource: "+ec2ARN+"key-pair/k")
		w.denied(t, policyOf("Allow "+operation+" *"), operation, in, "ec2:CreateTags on resource: "+ec2ARN+"key-pair/*")
	}
}

// A parameter is the same one by its ARN, and with a version.
func TestParameterNames(t *testing.T) {
	w := newDependents(t)
	const public = "arn:aws:ssm:us-west-2::parameter/aws/service/x"
	for asked, arn := range map[string]string{
		"/aws/service/x": public, "/aws/service/x:1": public, public: public, public + ":1": public,
		"own:2": "arn:aws:ssm:us-west-2:000000000000:parameter/own",
		"arn:aws:ssm:us-west-2:111122223333:parameter/y": "arn:aws:ssm:us-west-2:111122223333:parameter/y",
	} {
		in := &ssm.GetParameterInput{Name: &asked}
		if err := w.authorize(policyOf("Allow ssm:GetParameter "+arn), "ssm:GetParameter", in); err != nil {
			t.Errorf("%s: %v", asked, err)
		}
		w.denied(t, policyOf("Allow ssm:GetParameter *", "Deny ssm:GetParameter "+arn), "ssm:GetParameter", in, "on resource: "+arn+" ")
	}
}

// IAM is in one region, for whichever a request to it is signed. STS is in the one that it is signed for.
func TestRequestedRegion(t *testing.T) {
	w := newDependents(t) // which signs for us-west-2
	for region, allowed := range map[string]bool{"us-east-1": true, "us-west-2": false} {
		err := w.authorize(policyOf("Allow iam:ListRoles * "+is("aws:RequestedRegion", region)), "iam:ListRoles", &iam.ListRolesInput{})
		if (err == nil) != allowed {
			t.Errorf("IAM in %s: %v", region, err)
		}
		err = w.authorize(policyOf("Allow sts:GetFederationToken * "+is("aws:RequestedRegion", region)), "sts:GetFederationToken", &sts.GetFederationTokenInput{Name: new("n")})
		if (err == nil) == allowed {
			t.Errorf("STS in %s: %v", region, err)
		}
	}
}
