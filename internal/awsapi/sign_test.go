package awsapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

const (
	tempID    = "ASIAIOSFODNN7EXAMPLE"
	tempToken = "a/session+token=="
)

func testKeys() keys {
	return keys{
		keyID:                {Secret: secret, Principal: root},
		"AKIAINACTIVE":       {Secret: secret, Principal: root, Inactive: true},
		tempID:               {Secret: secret, SessionToken: tempToken, Expires: noon.Add(time.Hour), Principal: awsapi.Principal{ARN: "arn:aws:sts::000000000000:assumed-role/r/s", Account: account, ID: "AROA:s"}},
		"ASIAEXPIREDEXPIRED": {Secret: secret, SessionToken: tempToken, Expires: noon.Add(-time.Hour), Principal: root},
	}
}

func front(t testing.TB) *awsapi.Server {
	return newServer(t, awsapi.Config{
		Services: append([]*awsapi.Service{sts.Service(identity{}), eks.Service(cluster{})}, services()[1:3]...),
		Keys:     testKeys(), Now: func() time.Time { return noon },
	})
}

func answer(s http.Handler, r *http.Request) (status int, head http.Header, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		panic(err) // a recorder does not fail
	}
	return w.Code, w.Header(), string(b)
}

const whoami = "Action=GetCallerIdentity&Version=2011-06-15"

// post is a signed GetCallerIdentity: by whom, when, and what is done to the
// request before and after it is signed.
func post(t testing.TB, creds aws.Credentials, at time.Time, before, after func(*http.Request)) *http.Request {
	t.Helper()
	r := httptest.NewRequest("POST", "http://localhost:4566/", strings.NewReader(whoami))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if before != nil {
		before(r)
	}
	sum := sha256.Sum256([]byte(whoami))
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, hex.EncodeToString(sum[:]), "sts", "us-west-2", at); err != nil {
		t.Fatal(err)
	}
	if after != nil {
		after(r)
	}
	return r
}

func creds(id, secret, token string) aws.Credentials {
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}
}

func TestSignatures(t *testing.T) {
	good := creds(keyID, secret, "")
	edit := func(name, old, new string) func(*http.Request) {
		return func(r *http.Request) {
			was := r.Header.Get(name)
			if !strings.Contains(was, old) {
				t.Fatalf("%s is %q", name, was)
			}
			r.Header.Set(name, strings.ReplaceAll(was, old, new))
		}
	}
	for _, c := range []struct {
		name   string
		creds  aws.Credentials
		at     time.Time
		before func(*http.Request)
		after  func(*http.Request)
		status int
		want   string
	}{
		{name: "good", creds: good, status: 200, want: "<Arn>arn:aws:iam::000000000000:root</Arn>"},
		{name: "temporary", creds: creds(tempID, secret, tempToken), status: 200, want: "assumed-role/r/s"},
		{name: "4 minutes behind", creds: good, at: noon.Add(-4 * time.Minute), status: 200, want: "root"},
		{name: "spaces in a signed header", creds: good, before: func(r *http.Request) { r.Header.Set("X-Thing", "  a   b ") }, status: 200, want: "root"},
		{name: "6 minutes behind", creds: good, at: noon.Add(-6 * time.Minute), status: 403,
			want: "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: 20260314T115400Z is now earlier than 20260314T115500Z (20260314T120000Z - 5 min.)</Message>"},
		{name: "6 minutes ahead", creds: good, at: noon.Add(6 * time.Minute), status: 403, want: "Signature not yet current: 20260314T120600Z is still later than 20260314T120500Z"},
		{name: "wrong secret", creds: creds(keyID, secret+"x", ""), status: 403, want: "<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated"},
		{name: "unknown key", creds: creds("AKIAUNKNOWN", secret, ""), status: 403, want: "<Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid."},
		{name: "inactive key", creds: creds("AKIAINACTIVE", secret, ""), status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "no token", creds: creds(tempID, secret, ""), status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "wrong token", creds: creds(tempID, secret, "x"), status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "token of nobody", creds: creds(keyID, secret, "x"), status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "expired token", creds: creds("ASIAEXPIREDEXPIRED", secret, tempToken), status: 403, want: "<Code>ExpiredToken</Code><Message>The security token included in the request is expired<"},
		{name: "tampered header", creds: good, after: edit("Content-Type", "charset", "Charset"), status: 403, want: "SignatureDoesNotMatch"},
		{name: "tampered body", creds: good, after: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(whoami, "Get", "Set", 1)))
		}, status: 403, want: "SignatureDoesNotMatch"},
		{name: "tampered path", creds: good, after: func(r *http.Request) { r.RequestURI = "/x" }, status: 403, want: "SignatureDoesNotMatch"},
		{name: "tampered query", creds: good, after: func(r *http.Request) { r.URL.RawQuery = "x=y" }, status: 403, want: "SignatureDoesNotMatch"},
		{name: "tampered method", creds: good, after: func(r *http.Request) { r.Method = "PUT" }, status: 403, want: "SignatureDoesNotMatch"},
		{name: "tampered host", creds: good, after: func(r *http.Request) { r.Host = "elsewhere" }, status: 403, want: "SignatureDoesNotMatch"},
		{name: "a header that steers, unsigned", creds: good, after: func(r *http.Request) { r.Header.Set("X-Amz-Other", "x") }, status: 403, want: "must be a 'SignedHeader'"},
		{name: "host unsigned", creds: good, after: edit("Authorization", "host;", ""), status: 403, want: "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{name: "other region", creds: good, after: edit("Authorization", "us-west-2", "us-east-1"), status: 403, want: "SignatureDoesNotMatch"},
		{name: "other day", creds: good, after: edit("Authorization", "20260314", "20260313"), status: 403, want: "Date in Credential scope does not match"},
		{name: "bad terminator", creds: good, after: edit("Authorization", "aws4_request", "aws4_other"), status: 403, want: "valid terminator"},
		{name: "no signature in the header", creds: good, after: edit("Authorization", "Signature=", "Sig="), status: 400, want: "<Code>IncompleteSignature</Code>"},
		{name: "a scope too short", creds: good, after: edit("Authorization", "/us-west-2", ""), status: 400, want: "Credential must have exactly 5 slash-delimited elements"},
		{name: "another algorithm", creds: good, after: edit("Authorization", "AWS4-HMAC-SHA256", "Basic"), status: 400, want: "IncompleteSignature"},
		{name: "a bad date", creds: good, after: func(r *http.Request) { r.Header.Set("X-Amz-Date", "now") }, status: 400, want: "Date must be in ISO-8601"},
		{name: "unsigned", creds: good, after: func(r *http.Request) { r.Header.Del("Authorization") }, status: 403, want: "<Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token"},
		{name: "unsigned payload", creds: good, after: func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
			signAs(t, r, "UNSIGNED-PAYLOAD")
		}, status: 403, want: "SignatureDoesNotMatch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.at.IsZero() {
				c.at = noon
			}
			status, _, body := answer(front(t), post(t, c.creds, c.at, c.before, c.after))
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s\nwant %d %s", status, body, c.status, c.want)
			}
		})
	}
}

func signAs(t *testing.T, r *http.Request, hash string) {
	t.Helper()
	r.Header.Del("Authorization")
	if err := v4.NewSigner().SignHTTP(t.Context(), creds(keyID, secret, ""), r, hash, "sts", "us-west-2", noon); err != nil {
		t.Fatal(err)
	}
}

// Each protocol has its own words for the same refusal.
func TestRefusalsByProtocol(t *testing.T) {
	s := front(t)
	sign := func(method, url, service, id, body string) *http.Request {
		r := httptest.NewRequest(method, url, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), creds(id, secret, ""), r, hex.EncodeToString(sum[:]), service, "us-west-2", noon); err != nil {
			t.Fatal(err)
		}
		return r
	}
	const ec2Form = "Action=DescribeVpcs&Version=2016-11-15"
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		errTyp string
		want   string
	}{
		{"rest-json unknown key", sign("GET", "http://h/clusters/x", "eks", "AKIANOBODY", ""), 403, "UnrecognizedClientException", `{"message":"The security token included in the request is invalid."}`},
		{"rest-json unsigned", httptest.NewRequest("GET", "http://eks.us-west-2.amazonaws.com/clusters/x", nil), 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"rest-json unknown path", sign("GET", "http://h/no/such/path", "eks", keyID, ""), 404, "UnknownOperationException", "No operation of EKS is GET /no/such/path."},
		{"rest-json not served", sign("GET", "http://h/clusters/x/addons", "eks", keyID, ""), 501, "NotImplemented", "The operation ListAddons of EKS is not supported yet."},
		{"ec2 unknown key", sign("POST", "http://h/", "ec2", "AKIANOBODY", ec2Form), 401, "", "<Response><Errors><Error><Code>AuthFailure</Code><Message>AWS was not able to validate the provided access credentials</Message></Error></Errors><RequestID>"},
		{"ec2 unknown action", sign("POST", "http://h/", "ec2", keyID, "Action=Foo&Version=2016-11-15"), 400, "", "<Code>InvalidAction</Code><Message>The action Foo is not valid for this web service.</Message>"},
		{"ec2 not served", sign("POST", "http://h/", "ec2", keyID, "Action=CreateVolume&Version=2016-11-15"), 501, "", "The operation CreateVolume of EC2 is not supported yet."},
		{"query unknown action", sign("POST", "http://h/", "sts", keyID, "Action=Foo&Version=2011-06-15"), 400, "", "<Code>InvalidAction</Code><Message>Could not find operation Foo for version 2011-06-15</Message>"},
		{"query without action", sign("POST", "http://h/", "sts", keyID, "Foo=Bar"), 400, "", "<Code>MissingAction</Code>"},
		{"unknown service", sign("GET", "http://h/", "sqs", keyID, ""), 501, "NotImplemented", "The service sqs is not supported yet."},
		{"nothing at all", httptest.NewRequest("GET", "http://h/", nil), 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, head, body := answer(s, c.r)
			if status != c.status || head.Get("X-Amzn-ErrorType") != c.errTyp || !strings.Contains(body, c.want) {
				t.Errorf("%d %s %s\nwant %d %s %s", status, head.Get("X-Amzn-ErrorType"), body, c.status, c.errTyp, c.want)
			}
			if head.Get("X-Amzn-RequestId") == "" {
				t.Error("no request id")
			}
		})
	}
}

// presign makes a Kubernetes token's URL, as aws eks get-token does.
func presign(t *testing.T, at time.Time, cluster string) string {
	t.Helper()
	c := sdksts.NewPresignClient(sdksts.NewFromConfig(awsConfig("https://localhost:4566")), func(o *sdksts.PresignOptions) {
		o.Presigner = presigner{at}
		o.ClientOptions = append(o.ClientOptions, sdksts.WithAPIOptions(smithyhttp.SetHeaderValue("x-k8s-aws-id", cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60")))
	})
	p, err := c.PresignGetCallerIdentity(t.Context(), &sdksts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return p.URL
}

type presigner struct{ at time.Time }

func (p presigner) PresignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return v4.NewSigner().PresignHTTP(ctx, c, r, hash, service, region, p.at, opts...)
}

func TestPresigned(t *testing.T) {
	s := front(t)
	header := http.Header{"x-k8s-aws-id": {"demo"}}
	ctx := t.Context()
	p, err := s.VerifyPresigned(ctx, "GET", presign(t, noon.Add(-14*time.Minute), "demo"), "sts", header)
	if err != nil || p.ARN != root.ARN || p.AccessKeyID != keyID {
		t.Fatalf("%+v, %v", p, err)
	}
	url := presign(t, noon, "demo")
	for name, c := range map[string]struct {
		method, url, service string
		header               http.Header
		want                 string
	}{
		"16 minutes old":      {"GET", presign(t, noon.Add(-16*time.Minute), "demo"), "sts", header, "Signature expired: 20260314T114400Z is now earlier than 20260314T114500Z (20260314T120000Z - 15 min.)"},
		"another cluster":     {"GET", url, "sts", http.Header{"X-K8s-Aws-Id": {"other"}}, "SignatureDoesNotMatch"},
		"no cluster":          {"GET", url, "sts", nil, "SignatureDoesNotMatch"},
		"another host":        {"GET", strings.Replace(url, "localhost", "elsewhere", 1), "sts", header, "SignatureDoesNotMatch"},
		"another action":      {"GET", strings.Replace(url, "GetCallerIdentity", "AssumeRole", 1), "sts", header, "SignatureDoesNotMatch"},
		"another service":     {"GET", url, "eks", header, "correct service: 'eks'"},
		"another method":      {"POST", url, "sts", header, "SignatureDoesNotMatch"},
		"a parameter twice":   {"GET", url + "&X-Amz-Date=20260314T120000Z", "sts", header, "is given twice"},
		"no signature":        {"GET", "https://localhost/?Action=GetCallerIdentity", "sts", header, "MissingAuthenticationToken"},
		"a day of validity":   {"GET", strings.Replace(url, "X-Amz-Expires=60", "X-Amz-Expires=604801", 1), "sts", header, "IncompleteSignature"},
		"no URL":              {"GET", "https://%zz", "sts", header, "malformed"},
		"a parameter missing": {"GET", strings.Replace(url, "X-Amz-Credential", "X-Amz-Other", 1), "sts", header, "must include 'X-Amz-Credential'"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := s.VerifyPresigned(ctx, c.method, c.url, c.service, c.header)
			var e *awsapi.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %s", p, err, c.want)
			}
		})
	}
}

// A verifier sends the token's URL to STS, and wants JSON.
func TestPresignedOverHTTP(t *testing.T) {
	s := front(t)
	r := httptest.NewRequest("GET", presign(t, noon, "demo"), nil)
	r.RequestURI = r.URL.RequestURI()
	r.Header.Set("X-K8s-Aws-Id", "demo")
	r.Header.Set("Accept", "application/json")
	status, head, body := answer(s, r)
	want := `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"UserId":"000000000000","Account":"000000000000","Arn":"arn:aws:iam::000000000000:root"},"ResponseMetadata":{"RequestId":"` + head.Get("X-Amzn-RequestId") + `"}}}`
	if status != 200 || body != want || head.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s\nwant %s", status, body, want)
	}
	r.Header.Set("X-K8s-Aws-Id", "other")
	status, _, body = answer(s, r)
	if status != 403 || !strings.Contains(body, `{"Error":{"Code":"SignatureDoesNotMatch"`) {
		t.Errorf("%d %s", status, body)
	}
}
