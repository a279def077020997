package awsapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
)

// TestBrokenOff sends a part of a body and says that no more will come: there is no request, so
// there is no answer, and least of all a good one.
func TestBrokenOff(t *testing.T) {
	srv := httptest.NewUnstartedServer(front(t))
	var complaints strings.Builder
	srv.Config.ErrorLog = log.New(&complaints, "", 0)
	srv.Start()
	for name, head := range map[string]string{
		"shorter than its length": "Content-Length: 100\r\n\r\nAction=Get",
		"a chunk too short":       "Transfer-Encoding: chunked\r\n\r\n64\r\nAction=Get",
		"no last chunk":           "Transfer-Encoding: chunked\r\n\r\na\r\nAction=Get\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: sts.us-west-2.amazonaws.com\r\nContent-Type: application/x-www-form-urlencoded\r\n"+head); err != nil {
				t.Fatal(err)
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	srv.Close()
	if complaints.Len() > 0 {
		t.Errorf("the server complains: %s", &complaints)
	}
}

// TestRegions signs rightly, for regions that there are not.
func TestRegions(t *testing.T) {
	s := newServer(t, awsapi.Config{
		Services: append([]*awsapi.Service{sts.Service(identity{}), eks.Service(cluster{})}, services()[1:]...),
		Keys:     testKeys(), Now: func() time.Time { return noon },
		Region: func(name string) bool { return name == "us-west-2" || name == "us-east-1" },
	})
	const scope = "Credential should be scoped to a valid region."
	for _, c := range []struct {
		service, method, path, body, target string
		status                              int
		code, message                       string
	}{
		{"eks", "GET", "/clusters/x", "", "", 403, "InvalidSignatureException", scope},
		{"sts", "POST", "/", whoami, "", 403, "SignatureDoesNotMatch", scope},
		{"iam", "POST", "/", "Action=ListUsers&Version=2010-05-08", "", 403, "SignatureDoesNotMatch", scope},
		{"ec2", "POST", "/", "Action=DescribeVpcs&Version=2016-11-15", "", 401, "AuthFailure", "AWS was not able to validate the provided access credentials"},
		{"ssm", "POST", "/", "{}", "AmazonSSM.GetParameter", 400, "InvalidSignatureException", scope},
	} {
		for _, region := range []string{"mars-1", "aws-global", "us-west-2a", "US-WEST-2", "us-west-2", "us-east-1"} {
			r := httptest.NewRequest(c.method, "http://localhost:4566"+c.path, strings.NewReader(c.body))
			if c.target != "" {
				r.Header.Set("X-Amz-Target", c.target)
				r.Header.Set("Content-Type", "application/x-amz-json-1.1")
			} else if c.body != "" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			}
			sum := sha256.Sum256([]byte(c.body))
			if err := v4.NewSigner().SignHTTP(t.Context(), creds(keyID, secret, ""), r, hex.EncodeToString(sum[:]), c.service, region, noon); err != nil {
				t.Fatal(err)
			}
			status, head, body := answer(s, r)
			refused := status == c.status && strings.Contains(head.Get("X-Amzn-ErrorType")+body, c.code) && strings.Contains(body, c.message)
			if known := region == "us-west-2" || region == "us-east-1"; known == refused || known && status == http.StatusForbidden {
				t.Errorf("%s in %s: %d %s %s", c.service, region, status, head.Get("X-Amzn-ErrorType"), body)
			}
		}
	}
}
