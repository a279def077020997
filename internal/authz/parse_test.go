package authz

import (
	"errors"
	"slices"
	"testing"
)

// doc wraps the members of one statement in a document.
func doc(statement string) string {
	return `{"Version":"2012-10-17","Statement":{` + statement + `}}`
}

func TestParseMalformed(t *testing.T) {
	const (
		syntaxErrors = "Syntax errors in policy."
		version      = "Policy document must be version 2012-10-17 or greater."
		legacy       = "The policy failed legacy parsing"
		noActions    = "Policy statement must contain actions."
		noResources  = "Policy statement must contain resources."
		vendor       = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
		iamPath      = `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`
		federated    = "Federated principals must be valid domain names or SAML metadata ARNs"
	)
	ok := `"Effect":"Allow","Action":"s3:Get*","Resource":"*"`
	trust := `"Effect":"Allow","Action":"sts:AssumeRole"`
	for _, c := range []struct {
		name, document string
		kind           Kind
		want           string
	}{
		{"not JSON", `nope`, Identity, syntaxErrors},
		{"empty", ``, Identity, syntaxErrors},
		{"two values", doc(ok) + `{}`, Identity, syntaxErrors},
		{"a list", `[]`, Identity, syntaxErrors},
		{"no statement", `{"Version":"2012-10-17"}`, Identity, syntaxErrors},
		{"no statements", `{"Version":"2012-10-17","Statement":[]}`, Identity, syntaxErrors},
		{"statement is text", `{"Version":"2012-10-17","Statement":["x"]}`, Identity, syntaxErrors},
		{"unknown element", `{"Version":"2012-10-17","Extra":1,"Statement":{` + ok + `}}`, Identity, syntaxErrors},
		{"unknown statement element", doc(ok + `,"Extra":"x"`), Identity, syntaxErrors},
		{"element in the wrong case", doc(`"effect":"Allow","Action":"s3:*","Resource":"*"`), Identity, syntaxErrors},
		{"element twice", doc(ok + `,"Effect":"Deny"`), Identity, syntaxErrors},
		{"operator twice", doc(ok + `,"Condition":{"Bool":{"a:b":"true"},"Bool":{"a:c":"true"}}`), Identity, syntaxErrors},
		{"unknown version", `{"Version":"2013-10-17","Statement":{` + ok + `}}`, Identity, syntaxErrors},
		{"no version", `{"Statement":{` + ok + `}}`, Identity, version},
		{"old version", `{"Version":"2008-10-17","Statement":{` + ok + `}}`, Identity, version},
		{"no version comes before a wrong effect", `{"Statement":{"Effect":"denY","Action":"s3:*","Resource":"*"}}`, Identity, version},
		{"id is a list", `{"Version":"2012-10-17","Id":[],"Statement":{` + ok + `}}`, Identity, syntaxErrors},
		{"sid is an object", doc(`"Sid":{},` + ok), Identity, syntaxErrors},
		{"no effect", doc(`"Action":"s3:*","Resource":"*"`), Identity, syntaxErrors},
		{"unknown effect", doc(`"Effect":"Maybe","Action":"s3:*","Resource":"*"`), Identity, syntaxErrors},
		{"effect in the wrong case", doc(`"Effect":"denY","Action":"s3:*","Resource":"*"`), Identity, legacy},
		{"Action and NotAction", doc(ok + `,"NotAction":[]`), Identity, syntaxErrors},
		{"Resource and NotResource", doc(ok + `,"NotResource":"*"`), Identity, syntaxErrors},
		{"action is an object", doc(`"Effect":"Allow","Action":{},"Resource":"*"`), Identity, syntaxErrors},
		{"action is nested", doc(`"Effect":"Allow","Action":[[]],"Resource":"*"`), Identity, syntaxErrors},
		{"no action", doc(`"Effect":"Allow","Resource":"*"`), Identity, noActions},
		{"actions empty", doc(`"Effect":"Allow","Action":[],"Resource":"*"`), Identity, noActions},
		{"no action, no resource", doc(`"Effect":"Allow"`), Identity, noActions},
		{"action without vendor", doc(`"Effect":"Allow","Action":"invalid","Resource":"*"`), Identity, vendor},
		{"action empty", doc(`"Effect":"Allow","NotAction":"","Resource":"*"`), Identity, vendor},
		{"action without vendor, no resource", doc(`"Effect":"Allow","Action":"invalid"`), Identity, vendor},
		{"vendor with a space", doc(`"Effect":"Allow","Action":"a a:Get","Resource":"*"`), Identity, "Vendor a a is not valid"},
		{"two colons", doc(`"Effect":"Allow","Action":"s3:List:Bucket","Resource":"*"`), Identity, "Actions/Condition can contain only one colon."},
		{"no resource", doc(`"Effect":"Allow","Action":"s3:Get*"`), Identity, noResources},
		{"resources empty", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":[]`), Identity, noResources},
		{"resource is no ARN", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"my bucket"`), Identity, `Resource my bucket must be in ARN format or "*".`},
		{"resource empty", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":""`), Identity, `Resource  must be in ARN format or "*".`},
		{"resource before action", doc(`"Effect":"Allow","Action":"s:3:x","Resource":"sdf"`), Identity, `Resource sdf must be in ARN format or "*".`},
		{"partition", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:error:s3:::b"`), Identity, `Partition "error" is not valid for resource "arn:error:s3:::b".`},
		{"partition, short", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"a:b:c"`), Identity, `Partition "b" is not valid for resource "arn:b:c:*:*:*".`},
		{"partition forgotten", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"aws:s3:::b"`), Identity, `Partition "s3" is not valid for resource "arn:s3:::b:*".`},
		{"no service", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws"`), Identity, "Resource vendor must be fully qualified and cannot contain regexes."},
		{"service with a wildcard", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s*:::b"`), Identity, "Resource vendor must be fully qualified and cannot contain regexes."},
		{"ARN one colon short", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3::b"`), Identity, legacy},
		{"ARN without service", doc(`"Effect":"Allow","Action":"s3:Get*","NotResource":"arn:aws::::b"`), Identity, legacy},
		{"s3 with a Region", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:us-east-1::b"`), Identity, "Resource arn:aws:s3:us-east-1::b can not contain region information."},
		{"iam with a Region", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:iam:us-east-1::b"`), Identity, "IAM resource arn:aws:iam:us-east-1::b cannot contain region information."},
		{"iam path", doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:iam:::b"`), Identity, iamPath},
		{"sid twice", `{"Version":"2012-10-17","Statement":[{"Sid":"a",` + ok + `},{"Sid":"a",` + ok + `}]}`, Identity, "Statement IDs (SID) in a single policy must be unique."},
		{"condition is a list", doc(ok + `,"Condition":[]`), Identity, syntaxErrors},
		{"condition without keys", doc(ok + `,"Condition":{"StringEquals":"b"}`), Identity, syntaxErrors},
		{"unknown operator", doc(ok + `,"Condition":{"x":{"a":"1"}}`), Identity, syntaxErrors},
		{"two colons in an operator", doc(ok + `,"Condition":{"ForAnyValue::StringEquals":{"a":"1"}}`), Identity, syntaxErrors},
		{"NullIfExists", doc(ok + `,"Condition":{"NullIfExists":{"a:b":"true"}}`), Identity, syntaxErrors},
		{"value is an object", doc(ok + `,"Condition":{"DateGreaterThan":{"a":{}}}`), Identity, syntaxErrors},
		{"no date", doc(ok + `,"Condition":{"DateGreaterThan":{"a":"sdfdsf"}}`), Identity, legacy},
		{"date too large", doc(ok + `,"Condition":{"DateLessThan":{"a":"9223372036854775808"}}`), Identity, legacy},
		{"no number", doc(ok + `,"Condition":{"NumericEquals":{"a":"x"}}`), Identity, legacy},
		{"no address", doc(ok + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`), Identity, legacy},
		{"principal in an identity policy", doc(ok + `,"Principal":"*"`), Identity, "Policy document should not specify a principal."},
		{"principal in a session policy", doc(ok + `,"Principal":"*"`), Session, "Policy document should not specify a principal."},

		{"trust: resource", doc(trust + `,"Principal":{"Service":"eks.amazonaws.com"},"Resource":"*"`), Trust, "Has prohibited field Resource"},
		{"trust: no principal", doc(trust), Trust, "Missing required field Principal"},
		{"trust: principal text", doc(trust + `,"Principal":"eks.amazonaws.com"`), Trust, `Invalid principal in policy: "STAR":"eks.amazonaws.com"`},
		{"trust: unknown kind", doc(trust + `,"Principal":{"Google":"x"}`), Trust, syntaxErrors},
		{"trust: service", doc(trust + `,"Principal":{"Service":"eks"}`), Trust, `Invalid principal in policy: "SERVICE":"eks"`},
		{"trust: short account", doc(trust + `,"Principal":{"AWS":"arn:aws:iam::1234567890:root"}`), Trust, `Invalid principal in policy: "AWS":"arn:aws:iam::1234567890:root"`},
		{"trust: wildcard user", doc(trust + `,"Principal":{"AWS":"arn:aws:iam::111122223333:user/*"}`), Trust, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/*"`},
		{"trust: group", doc(trust + `,"Principal":{"AWS":"arn:aws:iam::111122223333:group/g"}`), Trust, `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:group/g"`},
		{"trust: federated URL", doc(trust + `,"Principal":{"Federated":"https://x.example/y"}`), Trust, federated},
		{"trust: other action", doc(`"Effect":"Allow","Action":"s3:Get*","Principal":"*"`), Trust, "AssumeRole policy may only specify STS AssumeRole actions."},
		{"trust: other sts action", doc(`"Effect":"Allow","Action":"sts:GetCallerIdentity","Principal":"*"`), Trust, "AssumeRole policy may only specify STS AssumeRole actions."},
		{"trust: no action", doc(`"Effect":"Allow","Principal":"*"`), Trust, noActions},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.document), c.kind)
			var m *MalformedError
			if !errors.As(err, &m) {
				t.Fatalf("got %v, want a MalformedError", err)
			}
			if m.Message != c.want {
				t.Errorf("got  %s\nwant %s", m.Message, c.want)
			}
		})
	}
}

func TestParseLegal(t *testing.T) {
	ok := `"Effect":"Allow","Action":"s3:Get*","Resource":"*"`
	for _, c := range []struct {
		name, document string
		kind           Kind
	}{
		{"one statement", doc(ok), Identity},
		{"list of statements", `{"Version":"2012-10-17","Id":"x","Statement":[{` + ok + `},{` + ok + `}]}`, Identity},
		{"all actions", doc(`"Effect":"Allow","Action":"*","Resource":"*"`), Identity},
		{"all actions, with a colon", doc(`"Effect":"Allow","Action":"*:*","Resource":"*"`), Identity},
		{"spaces in an action", doc(`"Effect":"Allow","Action":"iam: a b ","Resource":"*"`), Identity},
		{"unknown service", doc(`"Effect":"Allow","Action":"s3-s.x:Get","Resource":"arn:aws:nope:us-east-1::x"`), Identity},
		{"short ARN", doc(`"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3"`), Identity},
		{"iam resources", doc(`"Effect":"Allow","Action":"iam:*","Resource":["arn:aws:iam::*:role/x","arn:aws:iam::1:*","arn:aws:iam:::user/x"]`), Identity},
		{"variable with a colon in the account", doc(`"Effect":"Allow","Action":"iam:*","Resource":"arn:aws:iam::${aws:PrincipalAccount}:role/x"`), Identity},
		{"NotAction, NotResource", doc(`"Effect":"Deny","NotAction":"s3:*","NotResource":"*"`), Identity},
		{"empty condition", doc(ok + `,"Condition":{}`), Identity},
		{"unknown operator without keys", doc(ok + `,"Condition":{"x":{}}`), Identity},
		{"boolean and number", doc(ok + `,"Condition":{"Bool":{"a:b":true},"NumericLessThan":{"a:c":[1,"2.5"]}}`), Identity},
		{"set operator", doc(ok + `,"Condition":{"ForAnyValue:StringLikeIfExists":{"a:b":"x*"}}`), Identity},
		{"dates", doc(ok + `,"Condition":{"DateLessThan":{"a:b":["2019-07-01T13:20:15Z","2016-12-13T21:20:37.593194+00:00","2020-01-01","-292275054"]}}`), Identity},
		{"trust of 2008", `{"Version":"2008-10-17","Statement":[{"Sid":"","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, Trust},
		{"trust without version", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":["111122223333","*"]},"Action":["sts:AssumeRole","sts:TagSession"]}]}`, Trust},
		{"trust of an OIDC provider", doc(`"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/AB"}`), Trust},
		{"trust with a wildcard", doc(`"Effect":"Allow","Action":"sts:AssumeRole*","Principal":{"AWS":"AROAEXAMPLEEXAMPLE12"}`), Trust},
		{"resource policy without resource", doc(`"Effect":"Allow","Action":"ecr:*","Principal":"*"`), Resource},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.document), c.kind); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPolicyNamesPrincipals(t *testing.T) {
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/a"],"Service":"eks.amazonaws.com"}},
		{"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"AWS":"AIDAEXAMPLEEXAMPLE12","Service":"ec2.amazonaws.com"}}]}`), Trust)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Principals(); !slices.Equal(got, []string{"arn:aws:iam::111122223333:user/a", "AIDAEXAMPLEEXAMPLE12"}) {
		t.Errorf("principals %q", got)
	}
	if got := p.Services(); !slices.Equal(got, []string{"eks.amazonaws.com", "ec2.amazonaws.com"}) {
		t.Errorf("services %q", got)
	}
}

func TestContextKeys(t *testing.T) {
	p := parse(t, Identity, allow("s3:*", "arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/team, 'x'}",
		`"Condition":{"StringEquals":{"aws:ResourceTag/a":"${aws:userid}","AWS:Username":"ann"},"Bool":{"aws:SecureTransport":"true"}}`))
	want := []string{"aws:username", "aws:PrincipalTag/team", "aws:ResourceTag/a", "aws:userid", "aws:SecureTransport"}
	if got := p.ContextKeys(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(doc(`"Effect":"Allow","Action":"s3:Get*","Resource":"*"`)))
	f.Add([]byte(doc(`"Effect":"Deny","NotAction":["s3:Get*"],"NotResource":"arn:aws:s3:::${aws:username, 'x'}/*","Condition":{"ForAllValues:StringLike":{"aws:TagKeys":["a*","${*}"]},"DateLessThan":{"a":"2020-01-01"}}`)))
	f.Add([]byte(doc(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":["*","111122223333"],"Service":"a.b","Federated":"x.y"}`)))
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"a":true},"IpAddress":{"a":"10.0.0.0/8"},"BinaryEquals":{"a":"QQ=="}}}]}`))
	req := Request{
		Principal: Principal{Type: User, ARN: "arn:aws:iam::111122223333:user/a", Account: "111122223333"},
		Action:    "s3:GetObject", Resources: []string{"arn:aws:s3:::b/k"},
		Context: map[string][]string{"a": {"x", "10.1.2.3"}, "aws:TagKeys": {"a"}, "aws:username": {"a"}},
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, kind := range []Kind{Identity, Resource, Trust} {
			p, err := Parse(document, kind)
			var m *MalformedError
			if err != nil {
				if !errors.As(err, &m) || m.Message == "" {
					t.Fatalf("%v is not a MalformedError with a message", err)
				}
				continue
			}
			in := Inputs{Identity: []Source{{"p", p}}}
			if kind != Identity {
				in = Inputs{Resource: p}
			}
			d := Evaluate(in, req)
			if d.Allowed != (d.Reason == Allowed) || d.Allowed && d.Statement.Index == 0 {
				t.Fatalf("%+v contradicts itself", d)
			}
		}
	})
}
