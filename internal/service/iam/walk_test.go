package iam_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/eksauth"
	"ekster.dev/ekster/gen/events"
	geniam "ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/iam"
	"ekster.dev/ekster/internal/store"

	asservice "ekster.dev/ekster/internal/service/autoscaling"
	ec2service "ekster.dev/ekster/internal/service/ec2"
	eksservice "ekster.dev/ekster/internal/service/eks"
	eksauthservice "ekster.dev/ekster/internal/service/eksauth"
	eventsservice "ekster.dev/ekster/internal/service/events"
	sqsservice "ekster.dev/ekster/internal/service/sqs"
	ssmservice "ekster.dev/ekster/internal/service/ssm"
	stsservice "ekster.dev/ekster/internal/service/sts"
)

// everything is all services behind one door.
func everything(d *identitytest.Door) []*awsapi.Service {
	return []*awsapi.Service{
		eks.Service(eksservice.New(eksservice.Config{Store: d.Store, Payload: func(string) bool { return true }})),
		ec2.Service(ec2service.New(d.Store)),
		geniam.Service(iam.New(d.Store, d.Managed)),
		sts.Service(stsservice.New(stsservice.Config{Store: d.Store, Policies: d.Policies})),
		ssm.Service(ssmservice.New(d.Store)),
		eksauth.Service(eksauthservice.New(eksauthservice.Config{Store: d.Store, Policies: d.Policies})),
		autoscaling.Service(asservice.New(d.Store)),
		sqs.Service(sqsservice.New(d.Store, time.Now)),
		events.Service(eventsservice.New(d.Store, time.Now, func(eventbus.Failure) {})),
	}
}

// unrefused are the operations that somebody without permission is not refused, as on AWS.
// The list may only shrink.
var unrefused = map[string]string{
	"STS.GetCallerIdentity":         "needs no permission",
	"STS.GetSessionToken":           "needs no permission",
	"STS.AssumeRole":                "the role decides too; a request that names none is invalid",
	"STS.AssumeRoleWithWebIdentity": "has no signature: the token is the proof",
}

var label = regexp.MustCompile(`\{[^}]*\}`)

// A caller is whose credentials a request is signed with.
type caller struct{ id, secret, token string }

// request is an operation's, without any input that is not in its path.
func request(t *testing.T, d *identitytest.Door, s *awsapi.Service, op awsapi.Operation, c caller) *http.Request {
	t.Helper()
	method, path, header := http.MethodPost, "/", http.Header{}
	var body string
	switch s.Protocol {
	case awsapi.ProtocolQuery, awsapi.ProtocolEC2:
		body = url.Values{"Action": {op.Name}, "Version": {s.Version}}.Encode()
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	case awsapi.ProtocolJSON:
		body = "{}"
		header.Set("X-Amz-Target", s.TargetPrefix+"."+op.Name)
		header.Set("Content-Type", "application/x-amz-json-"+s.JSONVersion)
	default:
		method, path, body = op.Method, label.ReplaceAllString(op.Path, "x"), "{}"
		header.Set("Content-Type", "application/json")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, d.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	if c.id == "" {
		return req
	}
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: c.id, SecretAccessKey: c.secret, SessionToken: c.token}, req,
		hex.EncodeToString(sum[:]), s.SigningName, identitytest.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func do(t *testing.T, req *http.Request) (status int, body string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("X-Amzn-Errortype") + " " + buf.String()
}

// A refusal is a service's error for a caller: by protocol, where services have none of their own.
type refusal struct {
	status int
	code   string
}

// TestEveryOperationRefuses walks all served operations with credentials that get nobody
// anywhere: without permission, with a wrong secret, of an expired session, of a user of
// another account, of a key that does not exist, and with none.
func TestEveryOperationRefuses(t *testing.T) {
	d := identitytest.Open(t, everything)
	const elsewhere = "111111111111"
	if _, err := identity.EnsureRoot(t.Context(), d.Store, elsewhere); err != nil {
		t.Fatal(err)
	}
	var expired resource.Session
	d.Update(t, func(tx *store.Tx) {
		for _, a := range []string{account, elsewhere} {
			arn := "arn:aws:iam::" + a + ":user/nobody"
			tx.Users.Put(arn, resource.User{Account: a, ARN: arn, Name: "nobody", Path: "/", ID: "AIDA" + a})
			tx.AccessKeys.Put("AKIA"+a, resource.AccessKey{Account: a, ID: "AKIA" + a, Secret: "secret", Principal: arn, Active: true})
		}
		r := resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role/r", Name: "r", ID: "AROAR",
			Inline: map[string]string{"all": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`}}
		tx.Roles.Put(r.ARN, r)
		expired = identity.NewSession(tx, r, identity.Grant{Name: "s", Lifetime: time.Hour}, time.Now().Add(-2*time.Hour))
	})
	none := map[string]refusal{ // no permission
		awsapi.ProtocolQuery: {403, "AccessDenied"}, awsapi.ProtocolEC2: {403, "UnauthorizedOperation"},
		awsapi.ProtocolJSON: {400, "AccessDeniedException"}, awsapi.ProtocolRestJSON: {403, "AccessDeniedException"},
	}
	unknown := map[string]refusal{
		awsapi.ProtocolQuery: {403, "InvalidClientTokenId"}, awsapi.ProtocolEC2: {401, "AuthFailure"},
		awsapi.ProtocolJSON: {400, "UnrecognizedClientException"}, awsapi.ProtocolRestJSON: {403, "UnrecognizedClientException"},
	}
	callers := []struct {
		name     string
		caller   caller
		identity bool // that it is known who it is
		want     map[string]refusal
	}{
		{"no permission", caller{"AKIA" + account, "secret", ""}, true, none},
		{"another account's user", caller{"AKIA" + elsewhere, "secret", ""}, true, none},
		{"wrong signature", caller{d.Root.ID, "wrong", ""}, false, map[string]refusal{
			awsapi.ProtocolQuery: {403, "SignatureDoesNotMatch"}, awsapi.ProtocolEC2: {401, "AuthFailure"},
			awsapi.ProtocolJSON: {400, "InvalidSignatureException"}, awsapi.ProtocolRestJSON: {403, "InvalidSignatureException"}}},
		{"expired session", caller{expired.AccessKeyID, expired.Secret, expired.Token}, false, map[string]refusal{
			awsapi.ProtocolQuery: {403, "ExpiredToken"}, awsapi.ProtocolEC2: {400, "RequestExpired"},
			awsapi.ProtocolJSON: {400, "ExpiredTokenException"}, awsapi.ProtocolRestJSON: {403, "ExpiredTokenException"}}},
		{"session without its token", caller{expired.AccessKeyID, expired.Secret, ""}, false, unknown},
		{"unknown key", caller{"AKIAUNKNOWN", "secret", ""}, false, unknown},
		{"no signature", caller{}, false, map[string]refusal{
			awsapi.ProtocolQuery: {403, "MissingAuthenticationToken"}, awsapi.ProtocolEC2: {403, "MissingAuthenticationToken"},
			awsapi.ProtocolJSON: {400, "MissingAuthenticationTokenException"}, awsapi.ProtocolRestJSON: {403, "MissingAuthenticationTokenException"}}},
	}
	operations, used := 0, map[string]bool{}
	for _, s := range everything(d) {
		for _, op := range s.Operations {
			if op.Handle.New == nil {
				continue
			}
			operations++
			name := s.ID + "." + op.Name
			if !identity.HasRule(s.SigningName, op.Name) {
				t.Errorf("%s has no row in its service's table", name)
			}
			for _, c := range callers {
				if op.Unsigned || c.identity && unrefused[name] != "" {
					used[name] = true
					continue
				}
				if c.caller.id == "" && s.Protocol == awsapi.ProtocolRestJSON {
					continue // nothing in such a request says which service it is for
				}
				status, body := do(t, request(t, d, s, op, c.caller))
				want := c.want[s.Protocol]
				if s.ID == "EKS Auth" && want.code == "AccessDeniedException" {
					want.status = 400 // its model's
				}
				if status != want.status || !strings.Contains(body, want.code) {
					t.Errorf("%s with %s: %d %.200s\nwant %d %s", name, c.name, status, body, want.status, want.code)
				}
				if strings.Contains(body, account) && c.name == "another account's user" {
					t.Errorf("%s tells another account: %.300s", name, body)
				}
			}
		}
	}
	for name, reason := range unrefused {
		if !used[name] {
			t.Errorf("%s (%s) is no exception any more: take it off the list", name, reason)
		}
	}
	t.Logf("%d operations, %d exceptions", operations, len(unrefused))
}
