package sts_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	geniam "ekster.dev/ekster/gen/iam"
	gensts "ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/iam"
	"ekster.dev/ekster/internal/service/sts"
	"ekster.dev/ekster/internal/store"
)

const (
	account = identitytest.Account
	other   = "111111111111"
)

func open(t *testing.T) *identitytest.Door { return openWith(t, sts.Config{}) }

func openWith(t *testing.T, c sts.Config) *identitytest.Door {
	t.Helper()
	d := identitytest.Open(t, func(d *identitytest.Door) []*awsapi.Service {
		c.Store, c.Policies = d.Store, d.Policies
		return []*awsapi.Service{
			gensts.Service(sts.New(c)),
			geniam.Service(iam.New(d.Store, d.Managed)),
		}
	})
	if _, err := identity.EnsureRoot(t.Context(), d.Store, other); err != nil {
		t.Fatal(err)
	}
	return d
}

func statement(effect, action, rest string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":` + action + `,` + rest + `}]}`
}

func trust(principal, action, more string) string {
	return statement("Allow", action, `"Principal":{"AWS":"`+principal+`"}`+more)
}

// user makes a user with an inline policy, and its key.
func user(t *testing.T, d *identitytest.Door, acct, name, policy string) aws.Config {
	t.Helper()
	u := resource.User{Account: acct, ARN: "arn:aws:iam::" + acct + ":user/" + name, Name: name, Path: "/", ID: "AIDA" + strings.ToUpper(name) + "AAAAAAAAAAAAAA"}
	if policy != "" {
		u.Inline = map[string]string{"p": policy}
	}
	k := resource.AccessKey{Account: acct, ID: "AKIA" + strings.ToUpper(name) + "AAAAAAAAAAAA", Secret: "s", Principal: u.ARN, Active: true}
	d.Update(t, func(tx *store.Tx) { tx.Users.Put(u.ARN, u); tx.AccessKeys.Put(k.ID, k) })
	return d.As(k.ID, k.Secret, "")
}

// role makes a role; inline is its one policy.
func role(t *testing.T, d *identitytest.Door, name, trustPolicy, inline string) string {
	t.Helper()
	r := resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role/" + name, Name: name, Path: "/", ID: "AROA" + strings.ToUpper(name) + "AAAAAAAAAAAA",
		Trust: trustPolicy, MaxSession: 7200, Inline: map[string]string{}}
	if inline != "" {
		r.Inline["p"] = inline
	}
	d.Update(t, func(tx *store.Tx) { tx.Roles.Put(r.ARN, r) })
	return r.ARN
}

func assume(t *testing.T, c aws.Config, in *sdk.AssumeRoleInput) (*sdk.AssumeRoleOutput, error) {
	t.Helper()
	if in.RoleSessionName == nil {
		in.RoleSessionName = aws.String("session")
	}
	return sdk.NewFromConfig(c).AssumeRole(t.Context(), in)
}

func fails(t *testing.T, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %s: %s", err, code, message)
	}
	if e.ErrorCode() != code || e.ErrorMessage() != message {
		t.Fatalf("got  %s: %s\nwant %s: %s", e.ErrorCode(), e.ErrorMessage(), code, message)
	}
}

func session(d *identitytest.Door, out *sdk.AssumeRoleOutput) aws.Config {
	return d.As(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
}

func whoami(t *testing.T, c aws.Config) (string, string) {
	t.Helper()
	out, err := sdk.NewFromConfig(c).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Arn, *out.UserId
}

func TestGetCallerIdentity(t *testing.T) {
	d := open(t)
	if arn, id := whoami(t, d.AsRoot()); arn != "arn:aws:iam::000000000000:root" || id != account {
		t.Errorf("root is %s %s", arn, id)
	}
	ann := user(t, d, account, "ann", "")
	if arn, id := whoami(t, ann); arn != "arn:aws:iam::000000000000:user/ann" || id != "AIDAANNAAAAAAAAAAAAAA" {
		t.Errorf("ann is %s %s", arn, id)
	}
	r := role(t, d, "r", trust("arn:aws:iam::000000000000:user/ann", `"sts:AssumeRole"`, ""), "")
	out, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r})
	if err != nil {
		t.Fatal(err)
	}
	if arn, id := whoami(t, session(d, out)); arn != "arn:aws:sts::000000000000:assumed-role/r/session" || id != "AROARAAAAAAAAAAAA:session" {
		t.Errorf("the session is %s %s", arn, id)
	}
}

// Who may assume a role, by the caller's side and the role's.
func TestAssumeRole(t *testing.T) {
	const (
		ann     = "arn:aws:iam::000000000000:user/ann"
		eve     = "arn:aws:iam::111111111111:user/eve"
		roleARN = "arn:aws:iam::000000000000:role/r"
	)
	may := statement("Allow", `"sts:AssumeRole"`, `"Resource":"*"`)
	mayTag := statement("Allow", `["sts:AssumeRole","sts:TagSession"]`, `"Resource":"*"`)
	one, all := `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession"]`
	arns := func(list ...string) (out []types.PolicyDescriptorType) {
		for _, arn := range list {
			out = append(out, types.PolicyDescriptorType{Arn: &arn})
		}
		return out
	}
	external := `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`
	denied := func(who, action, why string) string {
		return "User: " + who + " is not authorized to perform: " + action + " on resource: " + roleARN + why
	}
	noIdentity := " because no identity-based policy allows the sts:AssumeRole action"
	for _, c := range []struct {
		name        string
		caller      string
		own         string // the caller's inline policy
		trust       string
		in          sdk.AssumeRoleInput
		code, error string
	}{
		{name: "trusted by name", caller: ann, trust: trust(ann, one, "")},
		{name: "trusted by account, allowed by own policy", caller: ann, own: may, trust: trust("arn:aws:iam::000000000000:root", one, "")},
		{name: "trusted by account number", caller: ann, own: may, trust: trust(account, one, "")},
		{name: "trusted by account, not allowed by own policy", caller: ann, trust: trust(account, one, ""),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", noIdentity)},
		{name: "not trusted", caller: ann, own: may, trust: trust(eve, one, ""),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", "")},
		{name: "denied by own policy", caller: ann, own: statement("Deny", one, `"Resource":"*"`), trust: trust(ann, one, ""),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", " with an explicit deny in an identity-based policy")},
		{name: "denied by the trust policy", caller: ann, own: may, trust: statement("Deny", one, `"Principal":"*"`),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", " with an explicit deny in the role trust policy")},
		{name: "a role that services assume", caller: ann, own: may, trust: statement("Allow", one, `"Principal":{"Service":"eks.amazonaws.com"}`),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", "")},
		{name: "another account, both sides", caller: eve, own: may, trust: trust(eve, one, "")},
		{name: "another account, role's side only", caller: eve, trust: trust(eve, one, ""),
			code: "AccessDenied", error: denied(eve, "sts:AssumeRole", noIdentity)},
		{name: "another account, caller's side only", caller: eve, own: may, trust: trust(account, one, ""),
			code: "AccessDenied", error: denied(eve, "sts:AssumeRole", "")},
		{name: "with the external id", caller: ann, own: may, trust: trust(ann, one, external), in: sdk.AssumeRoleInput{ExternalId: aws.String("42")}},
		{name: "with another external id", caller: ann, own: may, trust: trust(ann, one, external), in: sdk.AssumeRoleInput{ExternalId: aws.String("43")},
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", "")},
		{name: "without the external id", caller: ann, own: may, trust: trust(ann, one, external),
			code: "AccessDenied", error: denied(ann, "sts:AssumeRole", "")},
		{name: "tags without TagSession", caller: ann, own: may, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}},
			code: "AccessDenied", error: denied(ann, "sts:TagSession", "")},
		{name: "tags with TagSession", caller: ann, own: mayTag, trust: trust(ann, `["sts:AssumeRole","sts:TagSession"]`, ""),
			in: sdk.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}},
		{name: "as long as the role allows", caller: ann, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{DurationSeconds: aws.Int32(7200)}},
		{name: "longer", caller: ann, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{DurationSeconds: aws.Int32(7201)},
			code: "ValidationError", error: "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{name: "a session policy that is none", caller: ann, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{Policy: aws.String("{}")},
			code: "MalformedPolicyDocument", error: "Syntax errors in policy."},
		{name: "policies of the role's account", caller: eve, own: may, trust: trust(eve, one, ""), in: sdk.AssumeRoleInput{PolicyArns: arns("arn:aws:iam::000000000000:policy/own", "arn:aws:iam::aws:policy/ReadOnlyAccess")}},
		{name: "a policy of the caller's account", caller: eve, own: may, trust: trust(eve, one, ""), in: sdk.AssumeRoleInput{PolicyArns: arns("arn:aws:iam::111111111111:policy/own")},
			code: "InvalidParameterValue", error: "PolicyArns: arn:aws:iam::111111111111:policy/own does not exist or is not attachable."},
		{name: "too many policies", caller: ann, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{PolicyArns: arns(slices.Repeat([]string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, 11)...)},
			code: "ValidationError", error: "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10"},
		{name: "a tag of AWS's", caller: ann, trust: trust(ann, all, ""), in: sdk.AssumeRoleInput{Tags: []types.Tag{{Key: aws.String("AWS:team"), Value: aws.String("a")}}},
			code: "InvalidParameterValue", error: "Tag keys starting with 'aws:' are reserved for system use."},
		{name: "MFA", caller: ann, trust: trust(ann, one, ""), in: sdk.AssumeRoleInput{SerialNumber: aws.String("GAHT12345678"), TokenCode: aws.String("123456")},
			code: "AccessDenied", error: "MultiFactorAuthentication failed with invalid MFA one time pass code. "},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			acct := strings.Split(c.caller, ":")[4]
			for _, a := range []string{account, other} {
				p := resource.Policy{Account: a, ARN: "arn:aws:iam::" + a + ":policy/own", Default: "v1", Versions: []resource.PolicyVersion{{ID: "v1", Document: may}}}
				d.Update(t, func(tx *store.Tx) { tx.Policies.Put(p.ARN, p) })
			}
			config := user(t, d, acct, c.caller[strings.LastIndex(c.caller, "/")+1:], c.own)
			c.in.RoleArn = aws.String(role(t, d, "r", c.trust, ""))
			out, err := assume(t, config, &c.in)
			if c.code != "" {
				fails(t, err, c.code, c.error)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			k := out.Credentials
			if !regexp.MustCompile(`^ASIA[A-Z2-7]{16}$`).MatchString(*k.AccessKeyId) || len(*k.SecretAccessKey) != 40 || len(*k.SessionToken) < 100 {
				t.Errorf("credentials %s, %d, %d", *k.AccessKeyId, len(*k.SecretAccessKey), len(*k.SessionToken))
			}
			want := time.Hour
			if c.in.DurationSeconds != nil {
				want = time.Duration(*c.in.DurationSeconds) * time.Second
			}
			if left := time.Until(*k.Expiration); left > want || left < want-time.Minute {
				t.Errorf("they last %s", left)
			}
			if *out.AssumedRoleUser.Arn != "arn:aws:sts::000000000000:assumed-role/r/session" {
				t.Errorf("they are of %s", *out.AssumedRoleUser.Arn)
			}
		})
	}
}

func TestNoSuchRole(t *testing.T) {
	d := open(t)
	ann := user(t, d, account, "ann", statement("Allow", `"*"`, `"Resource":"*"`))
	_, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/none")})
	fails(t, err, "AccessDenied", "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/none")
}

func TestRoot(t *testing.T) {
	d := open(t)
	r := role(t, d, "r", trust(account, `"sts:AssumeRole"`, ""), "")
	_, err := assume(t, d.AsRoot(), &sdk.AssumeRoleInput{RoleArn: &r})
	fails(t, err, "AccessDenied", "Roles may not be assumed by root accounts.")
}

// A user who may only assume one role, which may assume the next: each step works, no other
// does, and a chained session lasts an hour at most.
func TestChain(t *testing.T) {
	d := open(t)
	ann := user(t, d, account, "ann", statement("Allow", `"sts:AssumeRole"`, `"Resource":"arn:aws:iam::000000000000:role/power"`))
	power := role(t, d, "power", trust(account, `"sts:AssumeRole"`, ""), statement("Allow", `"sts:AssumeRole"`, `"Resource":"arn:aws:iam::000000000000:role/manager"`))
	manager := role(t, d, "manager", trust("arn:aws:iam::000000000000:role/power", `"sts:AssumeRole"`, ""), "")
	if _, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &manager}); err == nil {
		t.Fatal("ann took both steps at once")
	}
	first, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &power})
	if err != nil {
		t.Fatal(err)
	}
	_, err = assume(t, session(d, first), &sdk.AssumeRoleInput{RoleArn: &manager, DurationSeconds: aws.Int32(3601)})
	fails(t, err, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	second, err := assume(t, session(d, first), &sdk.AssumeRoleInput{RoleArn: &manager})
	if err != nil {
		t.Fatal(err)
	}
	if arn, _ := whoami(t, session(d, second)); arn != "arn:aws:sts::000000000000:assumed-role/manager/session" {
		t.Errorf("at the end of the chain is %s", arn)
	}
	_, err = sdkiam.NewFromConfig(session(d, second)).ListUsers(t.Context(), &sdkiam.ListUsersInput{})
	fails(t, err, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/manager/session is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::000000000000:user/ because no identity-based policy allows the iam:ListUsers action")
}

// What a session may do is what role, session policy and boundary allow; it ends with its role.
func TestSession(t *testing.T) {
	d := open(t)
	ann := user(t, d, account, "ann", "")
	r := role(t, d, "r", trust("arn:aws:iam::000000000000:user/ann", `"sts:AssumeRole"`, ""), statement("Allow", `"iam:*"`, `"Resource":"*"`))
	list := func(c aws.Config) (users, roles error) {
		api := sdkiam.NewFromConfig(c)
		_, users = api.ListUsers(t.Context(), &sdkiam.ListUsersInput{})
		_, roles = api.ListRoles(t.Context(), &sdkiam.ListRolesInput{})
		return users, roles
	}
	plain, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r})
	if err != nil {
		t.Fatal(err)
	}
	if users, roles := list(session(d, plain)); users != nil || roles != nil {
		t.Errorf("the plain session: %v, %v", users, roles)
	}
	narrow, err := assume(t, ann, &sdk.AssumeRoleInput{RoleArn: &r, Policy: aws.String(statement("Allow", `"iam:ListRoles"`, `"Resource":"*"`))})
	if err != nil {
		t.Fatal(err)
	}
	if narrow.PackedPolicySize == nil {
		t.Error("no packed size")
	}
	users, roles := list(session(d, narrow))
	if roles != nil {
		t.Error(roles)
	}
	fails(t, users, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/r/session is not authorized to perform: iam:ListUsers on resource: arn:aws:iam::000000000000:user/ because no session policy allows the iam:ListUsers action")

	d.Update(t, func(tx *store.Tx) {
		p := resource.Policy{Account: account, ARN: "arn:aws:iam::000000000000:policy/b", Default: "v1",
			Versions: []resource.PolicyVersion{{ID: "v1", Document: statement("Allow", `"iam:ListUsers"`, `"Resource":"*"`)}}}
		tx.Policies.Put(p.ARN, p)
		bound, _ := tx.Roles.Get(r)
		bound.Boundary = p.ARN
		tx.Roles.Put(r, bound)
	})
	users, roles = list(session(d, plain))
	if users != nil {
		t.Error(users)
	}
	fails(t, roles, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/r/session is not authorized to perform: iam:ListRoles on resource: arn:aws:iam::000000000000:role/ because no permissions boundary allows the iam:ListRoles action")

	d.Update(t, func(tx *store.Tx) {
		s, _ := tx.Sessions.Get(*narrow.Credentials.AccessKeyId)
		s.Expires = time.Now().Add(-time.Second)
		tx.Sessions.Put(s.AccessKeyID, s)
	})
	_, err = sdk.NewFromConfig(session(d, narrow)).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	fails(t, err, "ExpiredToken", "The security token included in the request is expired")

	d.Update(t, func(tx *store.Tx) { tx.Roles.Delete(r) })
	_, err = sdk.NewFromConfig(session(d, plain)).GetCallerIdentity(t.Context(), &sdk.GetCallerIdentityInput{})
	fails(t, err, "InvalidClientTokenId", "The security token included in the request is invalid.")
}
