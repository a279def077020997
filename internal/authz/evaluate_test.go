package authz

import (
	"testing"
)

const (
	home  = "111122223333"
	other = "444455556666"
)

var (
	ann     = Principal{Type: User, ARN: "arn:aws:iam::" + home + ":user/team/ann", Account: home, ID: "AIDAANNANNANNANNANN1"}
	ops     = Principal{Type: RoleSession, ARN: "arn:aws:sts::" + home + ":assumed-role/ops/s1", RoleARN: "arn:aws:iam::" + home + ":role/x/ops", Account: home, ID: "AROAOPSOPSOPSOPSOPS1:s1"}
	rootOf  = Principal{Type: Root, ARN: "arn:aws:iam::" + home + ":root", Account: home, ID: home}
	nobody  = Principal{Type: Anonymous}
	fed     = Principal{Type: FederatedUser, ARN: "arn:aws:sts::" + home + ":federated-user/f", Account: home, ID: home + ":f"}
	eks     = Principal{Type: Service, Provider: "eks.amazonaws.com"}
	podRole = Principal{Type: WebIdentity, Provider: "arn:aws:iam::" + home + ":oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/AB"}
)

func parse(t testing.TB, kind Kind, statements string) *Policy {
	t.Helper()
	if statements == "" {
		return nil
	}
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[`+statements+`]}`), kind)
	if err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	return p
}

func sources(t testing.TB, kind Kind, list ...string) []Source {
	var out []Source
	for _, s := range list {
		out = append(out, Source{Name: s, Policy: parse(t, kind, s)})
	}
	return out
}

// Statements in short: allow or deny, action, resource, and what else there is.
func st(effect, action, resource string, rest ...string) string {
	s := `{"Effect":"` + effect + `","Action":"` + action + `"`
	if resource != "" {
		s += `,"Resource":"` + resource + `"`
	}
	for _, r := range rest {
		s += "," + r
	}
	return s + "}"
}

func allow(action, resource string, rest ...string) string {
	return st("Allow", action, resource, rest...)
}
func deny(action, resource string, rest ...string) string {
	return st("Deny", action, resource, rest...)
}
func to(arn string) string { return `"Principal":{"AWS":"` + arn + `"}` }

// TestEvaluationLogic has a row for each sentence of "Policy evaluation logic" in the IAM User Guide.
func TestEvaluationLogic(t *testing.T) {
	const (
		get = "s3:GetObject"
		obj = "arn:aws:s3:::b/k"
	)
	any := allow("*", "*")
	type row struct {
		name      string
		who       Principal
		identity  []string
		resource  string
		boundary  string
		session   []string
		scp       [][]string
		owner     string // account of the resource
		required  bool
		wantAllow bool
		reason    Reason
		kind      Kind
	}
	allowed := func(r row, k Kind) row { r.wantAllow, r.kind = true, k; return r }
	explicit := func(r row, k Kind) row { r.reason, r.kind = ExplicitDeny, k; return r }
	implicit := func(r row, k Kind) row { r.reason, r.kind = ImplicitDeny, k; return r }
	for _, r := range []row{
		implicit(row{name: "no policy", who: ann}, Identity),
		allowed(row{name: "identity allows", who: ann, identity: []string{any}}, Identity),
		implicit(row{name: "identity allows something else", who: ann, identity: []string{allow("s3:PutObject", "*")}}, Identity),
		explicit(row{name: "deny in the same policy", who: ann, identity: []string{any + "," + deny(get, "*")}}, Identity),
		explicit(row{name: "deny before allow", who: ann, identity: []string{deny(get, "*") + "," + any}}, Identity),
		explicit(row{name: "deny in another policy", who: ann, identity: []string{any, deny("s3:*", "*")}}, Identity),
		allowed(row{name: "deny of something else", who: ann, identity: []string{any, deny("s3:Put*", "*")}}, Identity),
		allowed(row{name: "second policy allows", who: ann, identity: []string{allow("ec2:*", "*"), any}}, Identity),

		allowed(row{name: "root needs no policy", who: rootOf}, Identity),
		explicit(row{name: "root is held by a resource policy's deny", who: rootOf, resource: deny(get, "*", to(home))}, Resource),
		explicit(row{name: "root is held by an SCP's deny", who: rootOf, scp: [][]string{{any, deny(get, "*")}}}, ServiceControl),
		implicit(row{name: "root is held by an SCP that does not allow", who: rootOf, scp: [][]string{{allow("ec2:*", "*")}}}, ServiceControl),
		implicit(row{name: "root needs the other account's policy", who: rootOf, owner: other}, Resource),
		allowed(row{name: "root, with the other account's policy", who: rootOf, owner: other, resource: allow(get, "*", to(home))}, Identity),

		allowed(row{name: "boundary and identity allow", who: ann, identity: []string{any}, boundary: allow("s3:*", "*")}, Identity),
		implicit(row{name: "boundary does not allow", who: ann, identity: []string{any}, boundary: allow("ec2:*", "*")}, Boundary),
		implicit(row{name: "a boundary alone gives nothing", who: ann, boundary: any}, Identity),
		explicit(row{name: "boundary denies", who: ann, identity: []string{any}, boundary: any + "," + deny("s3:*", "*")}, Boundary),

		allowed(row{name: "session policy allows", who: ops, identity: []string{any}, session: []string{allow("s3:*", "*")}}, Identity),
		allowed(row{name: "one of two session policies allows", who: ops, identity: []string{any}, session: []string{allow("ec2:*", "*"), allow("s3:*", "*")}}, Identity),
		implicit(row{name: "session policy does not allow", who: ops, identity: []string{any}, session: []string{allow("ec2:*", "*")}}, Session),
		implicit(row{name: "a session policy alone gives nothing", who: ops, session: []string{any}}, Identity),
		explicit(row{name: "session policy denies", who: ops, identity: []string{any}, session: []string{any, deny(get, "*")}}, Session),
		implicit(row{name: "boundary comes before session", who: ops, identity: []string{any}, boundary: allow("ec2:*", "*"), session: []string{allow("ec2:*", "*")}}, Boundary),
		implicit(row{name: "federated user without session policy", who: fed, identity: []string{any}}, Session),
		allowed(row{name: "federated user with session policy", who: fed, identity: []string{any}, session: []string{any}}, Identity),

		allowed(row{name: "SCP levels all allow", who: ann, identity: []string{any}, scp: [][]string{{any}, {allow("s3:*", "*")}}}, Identity),
		implicit(row{name: "one SCP level does not", who: ann, identity: []string{any}, scp: [][]string{{any}, {allow("ec2:*", "*")}}}, ServiceControl),
		explicit(row{name: "SCP denies", who: ann, identity: []string{any}, scp: [][]string{{any}, {any, deny(get, "*")}}}, ServiceControl),
		implicit(row{name: "SCPs give nothing", who: ann, scp: [][]string{{any}}}, Identity),

		// Same account, resource policy.
		allowed(row{name: "user named by the resource policy", who: ann, resource: allow(get, "*", to(ann.ARN))}, Resource),
		allowed(row{name: "user named, boundary silent", who: ann, resource: allow(get, "*", to(ann.ARN)), boundary: allow("ec2:*", "*")}, Resource),
		explicit(row{name: "user named, boundary denies", who: ann, resource: allow(get, "*", to(ann.ARN)), boundary: deny(get, "*")}, Boundary),
		explicit(row{name: "user named, identity denies", who: ann, resource: allow(get, "*", to(ann.ARN)), identity: []string{deny(get, "*")}}, Identity),
		allowed(row{name: "user named by unique id", who: ann, resource: allow(get, "*", to(ann.ID))}, Resource),
		implicit(row{name: "another user named", who: ann, resource: allow(get, "*", to("arn:aws:iam::"+home+":user/bob"))}, Identity),
		implicit(row{name: "account named, identity silent", who: ann, resource: allow(get, "*", to(home))}, Identity),
		allowed(row{name: "account named, identity allows", who: ann, resource: allow(get, "*", to("arn:aws:iam::"+home+":root")), identity: []string{any}}, Identity),
		allowed(row{name: "everybody named", who: ann, resource: allow(get, "*", `"Principal":"*"`)}, Resource),
		explicit(row{name: "resource policy denies the user", who: ann, identity: []string{any}, resource: deny(get, "*", to(ann.ARN))}, Resource),
		explicit(row{name: "resource policy denies the account", who: ann, identity: []string{any}, resource: deny(get, "*", to(home))}, Resource),
		allowed(row{name: "role named", who: ops, resource: allow(get, "*", to(ops.RoleARN))}, Resource),
		allowed(row{name: "role named by unique id", who: ops, resource: allow(get, "*", to("AROAOPSOPSOPSOPSOPS1"))}, Resource),
		implicit(row{name: "role named, boundary silent", who: ops, resource: allow(get, "*", to(ops.RoleARN)), boundary: allow("ec2:*", "*")}, Boundary),
		implicit(row{name: "role named, session policy silent", who: ops, resource: allow(get, "*", to(ops.RoleARN)), session: []string{allow("ec2:*", "*")}}, Session),
		allowed(row{name: "session named, boundary and session policy silent", who: ops, resource: allow(get, "*", to(ops.ARN)), boundary: allow("ec2:*", "*"), session: []string{allow("ec2:*", "*")}}, Resource),
		explicit(row{name: "session named, session policy denies", who: ops, resource: allow(get, "*", to(ops.ARN)), session: []string{deny(get, "*")}}, Session),
		implicit(row{name: "another session named", who: ops, resource: allow(get, "*", to("arn:aws:sts::"+home+":assumed-role/ops/s2"))}, Identity),
		allowed(row{name: "the stronger of two grants", who: ops, resource: allow(get, "*", to(home)) + "," + allow(get, "*", to(ops.ARN))}, Resource),
		implicit(row{name: "resource policy required and silent", who: ann, identity: []string{any}, resource: allow("kms:*", "*", to(home)), required: true}, Resource),
		implicit(row{name: "resource policy required and missing", who: ann, identity: []string{any}, required: true}, Resource),
		allowed(row{name: "resource policy required, delegates", who: ann, identity: []string{any}, resource: allow("*", "*", to(home)), required: true}, Identity),

		// Across accounts.
		implicit(row{name: "cross-account, identity only", who: ann, identity: []string{any}, owner: other}, Resource),
		implicit(row{name: "cross-account, resource only", who: ann, resource: allow(get, "*", to(ann.ARN)), owner: other}, Identity),
		allowed(row{name: "cross-account, both", who: ann, identity: []string{any}, resource: allow(get, "*", to(ann.ARN)), owner: other}, Identity),
		allowed(row{name: "cross-account, account and identity", who: ann, identity: []string{any}, resource: allow(get, "*", to(home)), owner: other}, Identity),
		implicit(row{name: "cross-account, everybody is not enough", who: ann, resource: allow(get, "*", `"Principal":"*"`), owner: other}, Identity),
		implicit(row{name: "cross-account, session named, boundary silent", who: ops, identity: []string{any}, resource: allow(get, "*", to(ops.ARN)), boundary: allow("ec2:*", "*"), owner: other}, Boundary),
		explicit(row{name: "cross-account, identity denies", who: ann, identity: []string{any, deny(get, "*")}, resource: allow(get, "*", to(ann.ARN)), owner: other}, Identity),

		// Callers without identity policies.
		allowed(row{name: "anonymous, everybody", who: nobody, resource: allow(get, "*", `"Principal":"*"`), owner: home}, Resource),
		allowed(row{name: "anonymous, AWS star", who: nobody, resource: allow(get, "*", to("*")), owner: home}, Resource),
		implicit(row{name: "anonymous, account", who: nobody, resource: allow(get, "*", to(home)), owner: home}, Resource),
		allowed(row{name: "service named", who: eks, resource: allow(get, "*", `"Principal":{"Service":["ec2.amazonaws.com","eks.amazonaws.com"]}`), owner: home}, Resource),
		implicit(row{name: "another service named", who: eks, resource: allow(get, "*", `"Principal":{"Service":"ec2.amazonaws.com"}`), owner: home}, Resource),
		implicit(row{name: "a service is not AWS star", who: eks, resource: allow(get, "*", to("*")), owner: home}, Resource),
		implicit(row{name: "an identity policy does nothing for a service", who: eks, identity: []string{any}, owner: home}, Resource),

		// NotPrincipal.
		explicit(row{name: "NotPrincipal spares others only", who: ann, identity: []string{any}, resource: `{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"arn:aws:iam::` + home + `:user/bob"}}`}, Resource),
		allowed(row{name: "NotPrincipal with user and account", who: ann, identity: []string{any}, resource: `{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":["` + ann.ARN + `","` + home + `"]}}`}, Identity),
		explicit(row{name: "NotPrincipal with the user alone", who: ann, identity: []string{any}, resource: `{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":"` + ann.ARN + `"}}`}, Resource),
		allowed(row{name: "NotPrincipal with session, role and account", who: ops, identity: []string{any}, resource: `{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":["` + ops.ARN + `","` + ops.RoleARN + `","` + home + `"]}}`}, Identity),
		explicit(row{name: "NotPrincipal with role and account", who: ops, identity: []string{any}, resource: `{"Effect":"Deny","Action":"*","Resource":"*","NotPrincipal":{"AWS":["` + ops.RoleARN + `","` + home + `"]}}`}, Resource),
		allowed(row{name: "NotPrincipal under Allow", who: ann, resource: `{"Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":{"AWS":"arn:aws:iam::` + home + `:user/bob"}}`}, Resource),
	} {
		t.Run(r.name, func(t *testing.T) {
			in := Inputs{
				Identity: sources(t, Identity, r.identity...), Resource: parse(t, Resource, r.resource),
				Boundary: parse(t, Boundary, r.boundary), Session: sources(t, Session, r.session...), ResourceRequired: r.required,
			}
			for _, level := range r.scp {
				in.ServiceControl = append(in.ServiceControl, sources(t, ServiceControl, level...))
			}
			d := Evaluate(in, Request{Principal: r.who, Action: get, Resources: []string{obj}, ResourceAccount: r.owner})
			if d.Allowed != r.wantAllow || d.Reason != r.reason || d.Kind != r.kind {
				t.Errorf("got allowed=%v reason=%d %s, want allowed=%v reason=%d %s", d.Allowed, d.Reason, d.Kind, r.wantAllow, r.reason, r.kind)
			}
		})
	}
}

// TestTrustPolicies is about who may assume a role: the trust policy always has a say.
func TestTrustPolicies(t *testing.T) {
	const role = "arn:aws:iam::" + home + ":role/target"
	assume := allow("sts:AssumeRole", "*")
	web := `"Principal":{"Federated":"` + podRole.Provider + `"}`
	sub := `"Condition":{"StringEquals":{"oidc.eks.eu-west-1.amazonaws.com/id/AB:sub":"system:serviceaccount:ns:sa","oidc.eks.eu-west-1.amazonaws.com/id/AB:aud":"sts.amazonaws.com"}}`
	pod := func(sub, aud string) map[string][]string {
		return map[string][]string{"oidc.eks.eu-west-1.amazonaws.com/id/AB:sub": {sub}, "oidc.eks.eu-west-1.amazonaws.com/id/AB:aud": {aud}}
	}
	for _, c := range []struct {
		name     string
		who      Principal
		action   string
		trust    string
		identity []string
		owner    string
		context  map[string][]string
		want     bool
		kind     Kind
	}{
		{"user named, identity silent", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(ann.ARN)), nil, home, nil, true, Trust},
		{"account named, identity silent", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(home)), nil, home, nil, false, Identity},
		{"account named, identity allows", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(home)), []string{assume}, home, nil, true, Identity},
		{"identity allows, trust silent", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to("arn:aws:iam::"+home+":user/bob")), []string{assume}, home, nil, false, Trust},
		{"role named", ops, "sts:AssumeRole", allow("sts:AssumeRole", "", to(ops.RoleARN)), nil, home, nil, true, Trust},
		{"cross-account, trust alone", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(ann.ARN)), nil, other, nil, false, Identity},
		{"cross-account, both", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(home)), []string{assume}, other, nil, true, Identity},
		{"external id missing", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(home), `"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), []string{assume}, other, nil, false, Trust},
		{"external id given", ann, "sts:AssumeRole", allow("sts:AssumeRole", "", to(home), `"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), []string{assume}, other, map[string][]string{"sts:ExternalId": {"42"}}, true, Identity},
		{"service", eks, "sts:AssumeRole", allow("sts:AssumeRole", "", `"Principal":{"Service":"eks.amazonaws.com"}`), nil, home, nil, true, Trust},
		{"wrong service", eks, "sts:AssumeRole", allow("sts:AssumeRole", "", `"Principal":{"Service":"ec2.amazonaws.com"}`), nil, home, nil, false, Trust},
		{"service without TagSession", eks, "sts:TagSession", allow("sts:AssumeRole", "", `"Principal":{"Service":"eks.amazonaws.com"}`), nil, home, nil, false, Trust},
		{"web identity", podRole, "sts:AssumeRoleWithWebIdentity", allow("sts:AssumeRoleWithWebIdentity", "", web, sub), nil, home, pod("system:serviceaccount:ns:sa", "sts.amazonaws.com"), true, Trust},
		{"web identity, wrong namespace", podRole, "sts:AssumeRoleWithWebIdentity", allow("sts:AssumeRoleWithWebIdentity", "", web, sub), nil, home, pod("system:serviceaccount:other:sa", "sts.amazonaws.com"), false, Trust},
		{"web identity, wrong audience", podRole, "sts:AssumeRoleWithWebIdentity", allow("sts:AssumeRoleWithWebIdentity", "", web, sub), nil, home, pod("system:serviceaccount:ns:sa", "x"), false, Trust},
		{"web identity, another provider", podRole, "sts:AssumeRoleWithWebIdentity", allow("sts:AssumeRoleWithWebIdentity", "", `"Principal":{"Federated":"arn:aws:iam::`+home+`:oidc-provider/x"}`), nil, home, nil, false, Trust},
		{"web identity, AssumeRole only", podRole, "sts:AssumeRoleWithWebIdentity", allow("sts:AssumeRole", "", web), nil, home, nil, false, Trust},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Inputs{Identity: sources(t, Identity, c.identity...), Resource: parse(t, Trust, c.trust)}
			d := Evaluate(in, Request{Principal: c.who, Action: c.action, Resources: []string{role}, ResourceAccount: c.owner, Context: c.context})
			if d.Allowed != c.want || d.Kind != c.kind {
				t.Errorf("got %v by %s, want %v by %s", d.Allowed, d.Kind, c.want, c.kind)
			}
		})
	}
}

// TestStatements is about what a single identity statement covers.
func TestStatements(t *testing.T) {
	const c1 = "arn:aws:eks:eu-west-1:" + home + ":cluster/c1"
	ctx := map[string][]string{"aws:username": {"ann"}, "aws:PrincipalTag/team": {"blue"}, "aws:ResourceTag/team": {"blue"}}
	for _, c := range []struct {
		name, statement, action, resource string
		want                              bool
	}{
		{"action", allow("eks:DescribeCluster", "*"), "eks:DescribeCluster", c1, true},
		{"action in any case", allow("EKS:describecluster", "*"), "eks:DescribeCluster", c1, true},
		{"action wildcard", allow("eks:Describe*", "*"), "eks:DescribeCluster", c1, true},
		{"action wildcard in any case", allow("eks:dEscribe*", "*"), "eks:DescribeCluster", c1, true},
		{"action question marks", allow("eks:????Clusters", "*"), "eks:ListClusters", "*", true},
		{"action wildcard, another service", allow("ec2:*", "*"), "eks:DescribeCluster", c1, false},
		{"all actions", allow("*", "*"), "eks:DescribeCluster", c1, true},
		{"all actions with a colon", allow("*:*", "*"), "eks:DescribeCluster", c1, true},
		{"NotAction covers others", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "eks:DescribeCluster", c1, true},
		{"NotAction leaves out", `{"Effect":"Allow","NotAction":["iam:*","eks:Describe*"],"Resource":"*"}`, "eks:DescribeCluster", c1, false},
		{"resource", allow("eks:*", c1), "eks:DescribeCluster", c1, true},
		{"resource is case-sensitive", allow("eks:*", c1), "eks:DescribeCluster", "arn:aws:eks:eu-west-1:" + home + ":cluster/C1", false},
		{"resource wildcard", allow("eks:*", "arn:aws:eks:*:*:cluster/c*"), "eks:DescribeCluster", c1, true},
		{"resource wildcard, another type", allow("eks:*", "arn:aws:eks:*:*:nodegroup/*"), "eks:DescribeCluster", c1, false},
		{"short ARN goes on", allow("eks:*", "arn:aws:eks"), "eks:DescribeCluster", c1, true},
		{"no particular resource needs a star", allow("eks:*", "arn:aws:eks:*:*:cluster/*"), "eks:ListClusters", "*", false},
		{"no particular resource, star", allow("eks:*", "*"), "eks:ListClusters", "*", true},
		{"NotResource covers others", `{"Effect":"Allow","Action":"eks:*","NotResource":"arn:aws:eks:*:*:cluster/prod"}`, "eks:DescribeCluster", c1, true},
		{"NotResource leaves out", `{"Effect":"Allow","Action":"eks:*","NotResource":"` + c1 + `"}`, "eks:DescribeCluster", c1, false},
		{"variable", allow("iam:*", "arn:aws:iam::*:user/${aws:username}"), "iam:CreateAccessKey", "arn:aws:iam::" + home + ":user/ann", true},
		{"variable, another user", allow("iam:*", "arn:aws:iam::*:user/${aws:username}"), "iam:CreateAccessKey", "arn:aws:iam::" + home + ":user/bob", false},
		{"variable without value", allow("iam:*", "arn:aws:iam::*:user/${aws:userid}"), "iam:CreateAccessKey", "arn:aws:iam::" + home + ":user/", false},
		{"tag variable in a condition", allow("eks:*", "*", `"Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`), "eks:DescribeCluster", c1, true},
		{"two keys are both wanted", allow("eks:*", "*", `"Condition":{"StringEquals":{"aws:username":"ann","aws:PrincipalTag/team":"red"}}`), "eks:DescribeCluster", c1, false},
		{"two operators are both wanted", allow("eks:*", "*", `"Condition":{"StringEquals":{"aws:username":"ann"},"StringLike":{"aws:PrincipalTag/team":"r*"}}`), "eks:DescribeCluster", c1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Evaluate(Inputs{Identity: sources(t, Identity, c.statement)},
				Request{Principal: ann, Action: c.action, Resources: []string{c.resource}, Context: ctx})
			if d.Allowed != c.want {
				t.Errorf("allowed=%v", d.Allowed)
			}
		})
	}
}

func TestOldVersionHasNoVariables(t *testing.T) {
	p, err := Parse([]byte(`{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Principal":"*","Resource":"arn:aws:s3:::b/${aws:username}"}}`), Resource)
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]bool{"arn:aws:s3:::b/ann": false, "arn:aws:s3:::b/${aws:username}": true} {
		d := Evaluate(Inputs{Resource: p}, Request{Principal: ann, Action: "s3:GetObject", Resources: []string{resource}, Context: map[string][]string{"aws:username": {"ann"}}})
		if d.Allowed != want {
			t.Errorf("%s: allowed=%v", resource, d.Allowed)
		}
	}
}

func TestSeveralResources(t *testing.T) {
	in := Inputs{Identity: sources(t, Identity,
		allow("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*")+","+
			allow("ec2:RunInstances", "arn:aws:ec2:*:*:subnet/*", `"Condition":{"StringEquals":{"aws:ResourceTag/env":"dev"}}`)+","+
			`{"Sid":"NoBig","Effect":"Deny","Action":"ec2:RunInstances","Resource":"arn:aws:ec2:*:*:image/*"}`)}
	const instance, subnet, image = "arn:aws:ec2:r:1:instance/*", "arn:aws:ec2:r:1:subnet/s", "arn:aws:ec2:r:1:image/i"
	dev, prod := map[string][]string{"aws:ResourceTag/env": {"dev"}}, map[string][]string{"aws:ResourceTag/env": {"prod"}}
	run := func(resources []string, contexts ...map[string][]string) Decision {
		return Evaluate(in, Request{Principal: ann, Action: "ec2:RunInstances", Resources: resources, ResourceContext: contexts})
	}
	if d := run([]string{instance, subnet}, nil, dev); !d.Allowed {
		t.Errorf("each allowed, with its own tags: %+v", d)
	}
	if d := run([]string{instance, subnet}, nil, prod); d.Allowed || d.Resource != subnet {
		t.Errorf("the subnet's tag is wrong: %+v", d)
	}
	if d := run([]string{instance, subnet}, dev, nil); d.Allowed || d.Resource != subnet {
		t.Errorf("one resource's tags are not another's: %+v", d)
	}
	if d := run([]string{subnet, image}, prod, nil); d.Reason != ExplicitDeny || d.Resource != image || d.Statement.Sid != "NoBig" || d.Statement.Index != 3 {
		t.Errorf("an explicit deny is reported first: %+v", d)
	}
}
