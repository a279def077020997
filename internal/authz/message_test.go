package authz

import "testing"

func TestDenyMessage(t *testing.T) {
	const c1 = "arn:aws:eks:eu-west-1:" + home + ":cluster/c1"
	for _, c := range []struct {
		name string
		who  Principal
		d    Decision
		want string
	}{
		{"identity, implicit", ann, Decision{Reason: ImplicitDeny, Kind: Identity, Resource: c1},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster on resource: " + c1 + " because no identity-based policy allows the eks:DescribeCluster action"},
		{"identity, explicit", ops, Decision{Reason: ExplicitDeny, Kind: Identity, Resource: c1},
			"User: arn:aws:sts::111122223333:assumed-role/ops/s1 is not authorized to perform: eks:DescribeCluster on resource: " + c1 + " with an explicit deny in an identity-based policy"},
		{"no particular resource", ann, Decision{Reason: ImplicitDeny, Kind: Identity, Resource: "*"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster because no identity-based policy allows the eks:DescribeCluster action"},
		{"boundary, implicit", ann, Decision{Reason: ImplicitDeny, Kind: Boundary, Resource: "*"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster because no permissions boundary allows the eks:DescribeCluster action"},
		{"boundary, explicit", ann, Decision{Reason: ExplicitDeny, Kind: Boundary, Resource: "*"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster with an explicit deny in a permissions boundary"},
		{"session, implicit", ops, Decision{Reason: ImplicitDeny, Kind: Session, Resource: "*"},
			"User: arn:aws:sts::111122223333:assumed-role/ops/s1 is not authorized to perform: eks:DescribeCluster because no session policy allows the eks:DescribeCluster action"},
		{"resource, implicit", rootOf, Decision{Reason: ImplicitDeny, Kind: Resource, Resource: "*"},
			"User: arn:aws:iam::111122223333:root is not authorized to perform: eks:DescribeCluster because no resource-based policy allows the eks:DescribeCluster action"},
		{"SCP, explicit", ann, Decision{Reason: ExplicitDeny, Kind: ServiceControl, Resource: "*"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster with an explicit deny in a service control policy"},
		{"trust, implicit", ann, Decision{Reason: ImplicitDeny, Kind: Trust, Resource: "arn:aws:iam::111122223333:role/r"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster on resource: arn:aws:iam::111122223333:role/r"},
		{"trust, explicit", ann, Decision{Reason: ExplicitDeny, Kind: Trust, Resource: "arn:aws:iam::111122223333:role/r"},
			"User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: eks:DescribeCluster on resource: arn:aws:iam::111122223333:role/r with an explicit deny in the role trust policy"},
		{"web identity", podRole, Decision{Reason: ImplicitDeny, Kind: Trust, Resource: "arn:aws:iam::111122223333:role/r"},
			"Not authorized to perform eks:DescribeCluster"},
		{"anonymous", nobody, Decision{Reason: ImplicitDeny, Kind: Resource, Resource: "*"},
			"User: anonymous is not authorized to perform: eks:DescribeCluster because no resource-based policy allows the eks:DescribeCluster action"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.d.DenyMessage(Request{Principal: c.who, Action: "eks:DescribeCluster"}); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// An explicit denial names the managed policy that it is in, to those of the account.
func TestDenyMessageNamesThePolicy(t *testing.T) {
	const (
		managed = "arn:aws:iam::" + home + ":policy/no-lists"
		who     = "User: arn:aws:iam::111122223333:user/team/ann is not authorized to perform: "
	)
	deny := parse(t, Identity, allow("*", "*")+`,`+deny("iam:List*", "*"))
	all := []Source{{Policy: parse(t, Identity, allow("*", "*"))}}
	for _, c := range []struct {
		name, account string
		in            Inputs
		want          string
	}{
		{"managed", "", Inputs{Identity: []Source{{managed, deny}}}, " with an explicit deny in an identity-based policy: " + managed},
		{"inline", "", Inputs{Identity: []Source{{"no-lists", deny}}}, " with an explicit deny in an identity-based policy"},
		{"another account's resource", "999988887777", Inputs{Identity: []Source{{managed, deny}}}, " with an explicit deny in an identity-based policy"},
		{"boundary", "", Inputs{Identity: all, Boundary: deny, BoundaryARN: managed}, " with an explicit deny in a permissions boundary: " + managed},
		{"session policy", "", Inputs{Identity: all, Session: []Source{{managed, deny}}}, " with an explicit deny in a session policy: " + managed},
		{"inline session policy", "", Inputs{Identity: all, Session: []Source{{"", deny}}}, " with an explicit deny in a session policy"},
		{"nothing allows", "", Inputs{}, " because no identity-based policy allows the iam:ListAccountAliases action"},
	} {
		req := Request{Principal: ann, Action: "iam:ListAccountAliases", ResourceAccount: c.account}
		if got := Evaluate(c.in, req).DenyMessage(req); got != who+"iam:ListAccountAliases on resource: *"+c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestPrincipalContext(t *testing.T) {
	for _, c := range []struct {
		who       Principal
		key, want string
	}{
		{ann, "aws:username", "ann"},
		{ann, "aws:PrincipalType", "User"},
		{ops, "aws:PrincipalArn", ops.RoleARN},
		{ops, "aws:userid", "AROAOPSOPSOPSOPSOPS1:s1"},
		{ops, "aws:username", ""},
		{rootOf, "aws:PrincipalType", "Account"},
		{eks, "aws:PrincipalIsAWSService", "true"},
		{nobody, "aws:PrincipalAccount", ""},
	} {
		list := c.who.Context()[c.key]
		if got := append(list, "")[0]; got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.key, c.who.ARN, got, c.want)
		}
	}
}
