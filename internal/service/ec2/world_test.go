package ec2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	gen "ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/ec2"
	"ekster.dev/ekster/internal/store"
)

const account = "000000000000"

var home = resource.Home{Account: account, Region: "us-west-2"}

type keys struct{}

func (keys) Lookup(context.Context, string) (awsapi.Key, error) {
	root := awsapi.Principal{ARN: "arn:aws:iam::" + account + ":root", Account: account, ID: account, Type: awsapi.TypeRoot}
	return awsapi.Key{Secret: "secret", Principal: root}, nil
}

// world is the AWS SDK before the real front door, before a store.
type world struct {
	*testing.T
	*sdk.Client
	store   *store.Store
	service *ec2.Service
	url     string
	now     time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, store: s, service: ec2.New(s), now: time.Now()}
	server, err := awsapi.NewServer(awsapi.Config{
		Services: []*awsapi.Service{gen.Service(w.service)}, Keys: keys{},
		Authorize: func(context.Context, awsapi.Call, any) error { return nil },
		Log:       slog.New(slog.NewTextHandler(testLog{t}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	w.url = srv.URL
	w.Client = w.client("us-west-2")
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// testLog is where the server's own errors go: into the test's output.
type testLog struct{ *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.Log(string(p))
	return len(p), nil
}

var _ io.Writer = testLog{}

// whole reads each response before the SDK goes on. The SDK closes a request's body as
// soon as there is a response; from a server this near that can be before its transport
// has seen the end of that body, and then the connection breaks under a long response.
type whole struct{}

func (whole) Do(r *http.Request) (*http.Response, error) {
	rsp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(rsp.Body)
	rsp.Body = io.NopCloser(bytes.NewReader(body))
	return rsp, err
}

func (w *world) client(region string) *sdk.Client {
	return sdk.NewFromConfig(aws.Config{
		HTTPClient: whole{}, Region: region, BaseEndpoint: &w.url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
	})
}

// must ends the test if a call has failed.
func must[T any](out T, err error) func(*world) T {
	return func(w *world) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return out
	}
}

// fails checks a call's error code, and its message unless that is "".
func fails[T any](_ T, err error) func(w *world, code, message string) {
	return func(w *world, code, message string) {
		w.Helper()
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != code || message != "" && e.ErrorMessage() != message {
			w.Errorf("want %s: %s\ngot  %v", code, message, err)
		}
		var rsp *smithyhttp.ResponseError
		want := 400
		if code == "DryRunOperation" {
			want = 412
		}
		if errors.As(err, &rsp) && rsp.HTTPStatusCode() != want {
			w.Errorf("%s has status %d", code, rsp.HTTPStatusCode())
		}
	}
}

// edit changes records as a controller or another service would.
func (w *world) edit(f func(tx *store.Tx)) {
	w.Helper()
	err := w.store.Update(w.Context(), func(tx *store.Tx) error { f(tx); return nil })
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) vpc(cidr string) string {
	w.Helper()
	return *must(w.CreateVpc(w.Context(), &sdk.CreateVpcInput{CidrBlock: &cidr}))(w).Vpc.VpcId
}

func (w *world) subnet(vpc, cidr, zone string) string {
	w.Helper()
	return *must(w.CreateSubnet(w.Context(), &sdk.CreateSubnetInput{VpcId: &vpc, CidrBlock: &cidr, AvailabilityZone: &zone}))(w).Subnet.SubnetId
}

func (w *world) group(vpc, name string) string {
	w.Helper()
	return *must(w.CreateSecurityGroup(w.Context(), &sdk.CreateSecurityGroupInput{VpcId: &vpc, GroupName: &name, Description: &name}))(w).GroupId
}

func (w *world) defaultVPC() string {
	w.Helper()
	out := must(w.DescribeVpcs(w.Context(), &sdk.DescribeVpcsInput{Filters: filters("is-default", "true")}))(w)
	if len(out.Vpcs) != 1 {
		w.Fatalf("%d default VPCs", len(out.Vpcs))
	}
	return *out.Vpcs[0].VpcId
}

// filters makes filters of names and values in turn.
func filters(pairs ...string) []types.Filter {
	var out []types.Filter
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Filter{Name: &pairs[i], Values: []string{pairs[i+1]}})
	}
	return out
}

func tagSpec(typ types.ResourceType, pairs ...string) []types.TagSpecification {
	s := types.TagSpecification{ResourceType: typ}
	for i := 0; i < len(pairs); i += 2 {
		s.Tags = append(s.Tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return []types.TagSpecification{s}
}

func tags(list []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range list {
		out[*t.Key] = *t.Value
	}
	return out
}

func image(arch string) *string {
	i, _ := ami.Recommended("us-west-2", "1.35", arch, ami.Standard)
	return &i.ID
}

// launch is a RunInstances that succeeds.
func launch(n int32) *sdk.RunInstancesInput {
	return &sdk.RunInstancesInput{ImageId: image(ami.X8664), InstanceType: types.InstanceTypeT3Medium, MinCount: &n, MaxCount: &n}
}
