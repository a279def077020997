package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"ekster.dev/ekster/test/lab"
)

// A rawRequest is one that no SDK sends.
type rawRequest struct {
	service, method, path, body string
	contentType                 string
	at                          time.Time // of the signature; zero: now
	unsigned                    bool
	cloud                       *lab.Cloud            // whose key; nil: the test's
	spoil                       func(r *http.Request) // after signing
}

// wire sends what is wrong below the APIs: signatures, bodies, operations.
func (r *refusals) wire(t *testing.T) {
	stranger := r.cloud.As("AKIAIOSFODNN7EXAMPLE", "secret", "")
	forger := r.cloud.As(accessKey(t, r.cloud), "not the secret", "")
	list := rawRequest{service: "eks", method: "GET", path: "/clusters"}
	sts := rawRequest{service: "sts", method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15", contentType: "application/x-www-form-urlencoded"}
	with := func(r rawRequest, change func(*rawRequest)) rawRequest { change(&r); return r }
	create := rawRequest{service: "eks", method: "POST", path: "/clusters", contentType: "application/json"}
	for _, c := range []struct {
		what    string
		request rawRequest
		status  int
		code    string
		text    string // part of the message
	}{
		{"a good request", list, 200, "", ""},
		{"a good request to STS", sts, 200, "", ""},
		{"a body that is not JSON", with(create, func(r *rawRequest) { r.body = "{not json" }), 400, "SerializationException", ""},
		{"a body of another type", with(create, func(r *rawRequest) { r.body = `["a"]` }), 400, "SerializationException", ""},
		{"a member of another type", with(create, func(r *rawRequest) { r.body = `{"name": 7}` }), 400, "SerializationException", ""},
		{"a body of 10 MB", with(create, func(r *rawRequest) { r.body = `{"name":"` + strings.Repeat("a", 10<<20) + `"}` }), 413, "RequestEntityTooLargeException", ""},
		{"a body without what is required", with(create, func(r *rawRequest) { r.body = `{}` }), 400, "InvalidParameterException", "name"},
		{"no signature, EKS", with(list, func(r *rawRequest) { r.unsigned = true }), 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"no signature, STS", with(sts, func(r *rawRequest) { r.unsigned = true }), 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{"an expired signature, EKS", with(list, func(r *rawRequest) { r.at = time.Now().Add(-time.Hour) }), 403, "InvalidSignatureException", "Signature expired: "},
		{"an expired signature, STS", with(sts, func(r *rawRequest) { r.at = time.Now().Add(-time.Hour) }), 403, "SignatureDoesNotMatch", "Signature expired: "},
		{"a signature of tomorrow", with(list, func(r *rawRequest) { r.at = time.Now().Add(24 * time.Hour) }), 403, "InvalidSignatureException", "Signature not yet current: "},
		{"an unknown key, EKS", with(list, func(r *rawRequest) { r.cloud = stranger }), 403, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"an unknown key, STS", with(sts, func(r *rawRequest) { r.cloud = stranger }), 403, "InvalidClientTokenId", "The security token included in the request is invalid"},
		{"a wrong secret, EKS", with(list, func(r *rawRequest) { r.cloud = forger }), 403, "InvalidSignatureException", "The request signature we calculated does not match"},
		{"a wrong secret, STS", with(sts, func(r *rawRequest) { r.cloud = forger }), 403, "SignatureDoesNotMatch", "The request signature we calculated does not match"},
		{"another path than was signed", with(list, func(r *rawRequest) { r.spoil = func(q *http.Request) { q.URL.Path = "/cluster-versions" } }), 403, "InvalidSignatureException", ""},
		{"another body than was signed", with(sts, func(r *rawRequest) {
			r.spoil = func(q *http.Request) {
				q.Body = io.NopCloser(strings.NewReader(strings.Replace(sts.body, "Caller", "Killer", 1)))
			}
		}), 403, "SignatureDoesNotMatch", ""},
		{"an unknown operation, EKS", with(list, func(r *rawRequest) { r.path = "/castles" }), 404, "UnknownOperationException", ""},
		{"an unknown operation, STS", with(sts, func(r *rawRequest) { r.body = "Action=GetAway&Version=2011-06-15" }), 400, "InvalidAction", "Could not find operation GetAway for version 2011-06-15"},
		{"an unknown operation, EC2", with(sts, func(r *rawRequest) { r.service, r.body = "ec2", "Action=GetAway&Version=2016-11-15" }), 400, "InvalidAction", "The action GetAway is not valid for this web service."},
		{"an operation that is not served", with(list, func(r *rawRequest) { r.path = "/clusters/taken/fargate-profiles" }), 0, "", "ListFargateProfiles"},
	} {
		status, code, text := r.send(t, c.request)
		if c.status == 0 { // the code is ours; it must name the operation and be an error
			if status < 400 || !strings.Contains(text, c.text) {
				t.Errorf("%s: got %d %s: %s; want it to name %s", c.what, status, code, text, c.text)
			}
			continue
		}
		if status != c.status || code != c.code || !strings.Contains(text, c.text) {
			t.Errorf("%s:\n got %d %s: %s\nwant %d %s: …%s…", c.what, status, code, text, c.status, c.code, c.text)
		}
	}
}

func accessKey(t *testing.T, c *lab.Cloud) string {
	t.Helper()
	creds, err := c.Config.Credentials.Retrieve(t.Context())
	no(t, err)
	return creds.AccessKeyID
}

// send returns the status, code and text of the answer, in whatever protocol it is.
func (r *refusals) send(t *testing.T, q rawRequest) (status int, code, text string) {
	t.Helper()
	cloud := q.cloud
	if cloud == nil {
		cloud = r.cloud
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, *r.cloud.Config.BaseEndpoint+q.path, strings.NewReader(q.body))
	no(t, err)
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if !q.unsigned {
		at := q.at
		if at.IsZero() {
			at = time.Now()
		}
		creds, err := cloud.Config.Credentials.Retrieve(ctx)
		no(t, err)
		sum := sha256.Sum256([]byte(q.body))
		no(t, v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), q.service, "us-west-2", at))
	} else if q.service == "eks" {
		req.Host = "eks.us-west-2.amazonaws.com" // what else would say whose request it is
	}
	if q.spoil != nil {
		q.spoil(req)
	}
	res, err := http.DefaultClient.Do(req)
	no(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	no(t, err)
	if res.StatusCode/100 == 2 {
		return res.StatusCode, "", string(body)
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		var e struct{ Message string }
		no(t, json.Unmarshal(body, &e))
		code, _, _ = strings.Cut(res.Header.Get("X-Amzn-Errortype"), ":")
		return res.StatusCode, code, e.Message
	}
	var e struct {
		Code    string                         `xml:"Error>Code"`
		Message string                         `xml:"Error>Message"`
		EC2     struct{ Code, Message string } `xml:"Errors>Error"`
	}
	if err := xml.Unmarshal(body, &e); err != nil {
		t.Fatalf("%d %v %s: %v", res.StatusCode, res.Header, body, err)
	}
	return res.StatusCode, e.Code + e.EC2.Code, e.Message + e.EC2.Message
}
