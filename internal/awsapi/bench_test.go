package awsapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
)

// identity serves GetCallerIdentity.
type identity struct{ sts.Unimplemented }

func (identity) GetCallerIdentity(_ context.Context, call awsapi.Call, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	return &sts.GetCallerIdentityOutput{Account: &call.Account, Arn: &call.Caller.ARN, UserId: &call.Caller.ID}, nil
}

// cluster serves DescribeCluster with a cluster of a usual size.
type cluster struct{ eks.Unimplemented }

func (cluster) DescribeCluster(_ context.Context, _ awsapi.Call, in *eks.DescribeClusterInput) (*eks.DescribeClusterOutput, error) {
	return &eks.DescribeClusterOutput{Cluster: &eks.Cluster{
		Name: in.Name, Arn: new("arn:aws:eks:us-west-2:000000000000:cluster/" + *in.Name), CreatedAt: new(time.Unix(1700000000, 0)), Version: new("1.35"),
		Endpoint: new("https://127.0.0.1:443"), RoleArn: new("arn:aws:iam::000000000000:role/eks"), Status: new(eks.ClusterStatusActive),
		ResourcesVpcConfig: &eks.VpcConfigResponse{
			SubnetIds: []string{"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"}, VpcId: new("vpc-0123456789abcdef0"),
			EndpointPublicAccess: new(true), EndpointPrivateAccess: new(false), PublicAccessCidrs: []string{"0.0.0.0/0"},
		},
		CertificateAuthority: &eks.Certificate{Data: new(strings.Repeat("QUFB", 350))}, Tags: map[string]string{"team": "a", "env": "b"},
		PlatformVersion: new("eks.1"), AccessConfig: &eks.AccessConfigResponse{AuthenticationMode: new("API_AND_CONFIG_MAP")},
	}}, nil
}

// signed makes a request signed with the SDK's signer.
func signed(t testing.TB, method, url, service, body string, at time.Time, edit func(*http.Request)) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	if body != "" && service != "eks" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	if edit != nil {
		edit(r)
	}
	sum := sha256.Sum256([]byte(body))
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), service, "us-west-2", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

func benchmark(b *testing.B, svc *awsapi.Service, r *http.Request, payload string) {
	s := newServer(b, awsapi.Config{Services: []*awsapi.Service{svc}})
	w := &sink{header: http.Header{}}
	rd := new(body)
	r.Body = rd
	b.ReportAllocs()
	for b.Loop() {
		rd.Reset([]byte(payload))
		clear(w.header)
		s.ServeHTTP(w, r)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

// The whole server less net/http: route, verify, decode, handle, encode.
func BenchmarkGetCallerIdentity(b *testing.B) {
	const payload = "Action=GetCallerIdentity&Version=2011-06-15"
	benchmark(b, sts.Service(identity{}), signed(b, "POST", "http://localhost:4566/", "sts", payload, time.Now(), nil), payload)
}

func BenchmarkDescribeCluster(b *testing.B) {
	benchmark(b, eks.Service(cluster{}), signed(b, "GET", "http://localhost:4566/clusters/demo", "eks", "", time.Now(), nil), "")
}

// The same over 16 connections, with a client that does next to nothing: a
// request signed beforehand, and no parsing. With -cpu 1 both share a core, so
// the server alone is quicker than this says.
func BenchmarkGetCallerIdentityHTTP(b *testing.B) {
	const payload = "Action=GetCallerIdentity&Version=2011-06-15"
	srv := httptest.NewServer(newServer(b, awsapi.Config{Services: []*awsapi.Service{sts.Service(identity{})}}))
	defer srv.Close()
	r := signed(b, "POST", srv.URL+"/", "sts", payload, time.Now(), nil)
	var request bytes.Buffer
	if err := r.Write(&request); err != nil {
		b.Fatal(err)
	}
	const connections = 16
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range connections {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		wg.Go(func() {
			buf := make([]byte, 4096)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request.Bytes()); err != nil {
					b.Error(err)
					return
				}
				n := 0
				for !bytes.HasSuffix(buf[:n], []byte("Response>\n")) {
					m, err := conn.Read(buf[n:])
					if err != nil {
						b.Errorf("%v after %s", err, buf[:n])
						return
					}
					n += m
				}
				if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200 ")) {
					b.Errorf("%s", buf[:n])
					return
				}
			}
		})
	}
	wg.Wait()
}
