package awsapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdkautoscaling "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	sdkec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	sdkeks "github.com/aws/aws-sdk-go-v2/service/eks"
	sdkevents "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"
	sdksqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	sdkssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsapi/schema"
)

const (
	keyID   = "AKIAIOSFODNN7EXAMPLE"
	secret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	account = "000000000000"
)

// keys is a fixed set of access keys.
type keys map[string]awsapi.Key

func (k keys) Lookup(_ context.Context, id string) (awsapi.Key, error) {
	key, ok := k[id]
	if !ok {
		return awsapi.Key{}, awsapi.ErrNoKey
	}
	return key, nil
}

var root = awsapi.Principal{ARN: "arn:aws:iam::" + account + ":root", Account: account, ID: account, Type: awsapi.TypeRoot}

func allow(context.Context, awsapi.Call, any) error { return nil }

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newServer(t testing.TB, c awsapi.Config) *awsapi.Server {
	t.Helper()
	if c.Keys == nil {
		c.Keys = keys{keyID: {Secret: secret, Principal: root}}
	}
	if c.Authorize == nil {
		c.Authorize = allow
	}
	if c.Log == nil {
		c.Log = discard()
	}
	s, err := awsapi.NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// services are all of gen, answering that nothing is supported.
func services() []*awsapi.Service {
	return []*awsapi.Service{
		eks.Service(eks.Unimplemented{}), ec2.Service(ec2.Unimplemented{}), iam.Service(iam.Unimplemented{}),
		sts.Service(sts.Unimplemented{}), autoscaling.Service(autoscaling.Unimplemented{}), ssm.Service(ssm.Unimplemented{}),
		sqs.Service(sqs.Unimplemented{}), events.Service(events.Unimplemented{}),
	}
}

// whole reads each response before the SDK goes on. The SDK closes the
// request's body as soon as there is a response; if the transport has not yet
// seen the end of that body, which happens with a server as quick as this, it
// drops the connection under a response of more than a buffer's length.
type whole struct{}

func (whole) Do(r *http.Request) (*http.Response, error) {
	rsp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(rsp.Body)
	rsp.Body.Close()
	rsp.Body = io.NopCloser(bytes.NewReader(body))
	return rsp, err
}

func awsConfig(url string) aws.Config {
	return aws.Config{
		HTTPClient: whole{},
		Region:     "us-west-2", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}
}

func sdkClient(name string, c aws.Config) any {
	switch name {
	case "eks":
		return sdkeks.NewFromConfig(c)
	case "ec2":
		return sdkec2.NewFromConfig(c)
	case "iam":
		return sdkiam.NewFromConfig(c)
	case "sts":
		return sdksts.NewFromConfig(c)
	case "autoscaling":
		return sdkautoscaling.NewFromConfig(c)
	case "ssm":
		return sdkssm.NewFromConfig(c)
	case "sqs":
		return sdksqs.NewFromConfig(c, func(o *sdksqs.Options) { o.DisableMessageChecksumValidation = true }) // of bodies that are no digest's
	case "events":
		return sdkevents.NewFromConfig(c)
	}
	return nil
}

// TestRoundTrip sends every served operation with every member filled through
// the AWS SDK: what the handler is given, and what the SDK makes of the
// answer, must be what was sent.
func TestRoundTrip(t *testing.T) {
	for _, svc := range services() {
		types, err := schema.Compile(svc.Shapes)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		var answer reflect.Value
		for i := range svc.Operations {
			op := &svc.Operations[i]
			if op.Handle.Call == nil {
				continue
			}
			op.Handle.Call = func(_ context.Context, call awsapi.Call, in any) (any, error) {
				if call.Operation != op.Name || !op.Unsigned && (call.Region != "us-west-2" || call.Account != account) {
					return nil, fmt.Errorf("call is %+v", call)
				}
				got = in
				return answer.Interface(), nil
			}
		}
		srv := httptest.NewServer(newServer(t, awsapi.Config{Services: []*awsapi.Service{svc}}))
		defer srv.Close()
		client := reflect.ValueOf(sdkClient(svc.Name, awsConfig(srv.URL)))
		for _, op := range svc.Operations {
			if op.Handle.Call == nil {
				continue
			}
			t.Run(svc.Name+"/"+op.Name, func(t *testing.T) {
				method := client.MethodByName(op.Name)
				f := filler{t: t}
				in := reflect.ValueOf(op.Handle.New())
				f.structure(&types[op.Input], in.Elem(), op.Name, 0)
				sdkIn := reflect.New(method.Type().In(1).Elem())
				c := converter{t: t}
				c.convert(sdkIn.Elem(), in.Elem(), op.Name)
				answer = outputOf(t, svc, op.Name)
				f.structure(&types[op.Output], answer.Elem(), op.Name, 0)

				got = nil
				results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), sdkIn})
				if err, _ := results[1].Interface().(error); err != nil {
					t.Fatal(err)
				}
				sent := reflect.New(in.Type().Elem())
				c.convert(sent.Elem(), sdkIn.Elem(), op.Name) // less what this SDK does not know
				if d := cmp.Diff(sent.Interface(), got); d != "" {
					t.Errorf("the handler was given something else (-sent +got):\n%s", d)
				}
				back := reflect.New(answer.Type().Elem())
				c.convert(back.Elem(), results[0].Elem(), op.Name)
				want := reflect.New(answer.Type().Elem())
				known := reflect.New(results[0].Type().Elem())
				c.convert(known.Elem(), answer.Elem(), op.Name)
				c.convert(want.Elem(), known.Elem(), op.Name)
				if d := cmp.Diff(want.Interface(), back.Interface()); d != "" {
					t.Errorf("the SDK got another answer (-want +got):\n%s", d)
				}
				if len(c.unknown) > 0 {
					slices.Sort(c.unknown)
					t.Logf("the SDK has no %v", slices.Compact(c.unknown))
				}
			})
		}
	}
}

// outputOf makes an operation's output struct.
func outputOf(t *testing.T, svc *awsapi.Service, op string) reflect.Value {
	t.Helper()
	api := map[string]reflect.Type{
		"eks": reflect.TypeFor[eks.API](), "ec2": reflect.TypeFor[ec2.API](), "iam": reflect.TypeFor[iam.API](),
		"sts": reflect.TypeFor[sts.API](), "autoscaling": reflect.TypeFor[autoscaling.API](), "ssm": reflect.TypeFor[ssm.API](),
		"sqs": reflect.TypeFor[sqs.API](), "events": reflect.TypeFor[events.API](),
	}[svc.Name]
	m, ok := api.MethodByName(op)
	if !ok {
		t.Fatalf("the API has no %s", op)
	}
	return reflect.New(m.Type.Out(0).Elem())
}

// A filler gives every member a value that the model allows.
type filler struct {
	t *testing.T
	n int
}

// samples are tried in this order for strings with constraints.
var samples = []string{
	"<a&b> \"ü\"", "example", "ex", "e", "arn:aws:iam::000000000000:role/example", "000000000000", "AKIAIOSFODNN7EXAMPLE", "/path/", "lt-0123456789abcdef0", "2017-11-01",
	"eks.amazonaws.com", "example-token-example-token-example", "2", "123456", "true", "v1", "ami-0123456789abcdef0", "sixteen-letters-16", `{"Version":"2012-10-17"}`,
	"0123456789abcdef0123456789abcdef01234567", "https://example.com", "arn:aws:outposts:us-west-2:000000000000:outpost/op-0123456789abcdef0",
	"arn:aws:ec2:us-west-2:000000000000:placement-group/example", "01234567-89ab-cdef-0123-456789abcdef", "example.veo",
	"arn:aws:secretsmanager:us-west-2:000000000000:secret:example",
}

func (f *filler) structure(t *schema.Type, v reflect.Value, path string, depth int) {
	for i := range t.Fields {
		if path+"."+t.Fields[i].Name == "PutEvents.EndpointId" {
			continue // of global endpoints, for which the SDK signs in another way
		}
		f.member(t.Fields[i].Type, v.Field(i), path+"."+t.Fields[i].Name, depth+1)
	}
}

const maxDepth = 12 // for shapes that contain themselves

func (f *filler) member(t *schema.Type, v reflect.Value, path string, depth int) {
	if depth > maxDepth {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	f.n++
	switch t.Kind {
	case schema.Structure:
		f.structure(t, v, path, depth)
	case schema.List:
		n := 2
		if t.HasMax {
			n = min(n, int(t.Max))
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.member(t.Elem, v.Index(i), path, depth)
		}
	case schema.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		f.member(t.Elem, e, path, depth)
		key := "a key"
		if len(t.Key.Enum) > 0 || !t.Key.Allows(key) {
			key = f.text(t.Key, path)
		}
		v.SetMapIndex(reflect.ValueOf(key), e)
	case schema.String:
		v.SetString(f.text(t, path))
	case schema.Boolean:
		v.SetBool(f.n%2 == 0)
	case schema.Integer, schema.Long, schema.Float:
		n := float64(f.n)
		if t.HasMax {
			n = min(n, t.Max)
		}
		if t.HasMin {
			n = max(n, t.Min)
		}
		if t.Kind == schema.Float {
			v.SetFloat(n)
		} else {
			v.SetInt(int64(n))
		}
	case schema.Timestamp:
		v.Set(reflect.ValueOf(time.Unix(1700000000+int64(f.n), 0).UTC()))
	case schema.Blob:
		v.SetBytes(bytes.Repeat([]byte{byte(f.n)}, 4))
	}
}

func (f *filler) text(t *schema.Type, path string) string {
	if len(t.Enum) > 0 {
		return t.Enum[f.n%len(t.Enum)]
	}
	for _, s := range samples {
		// Of one width: the signer sorts the values of a query parameter.
		if numbered := fmt.Sprintf("%s%04d", s, f.n); t.Allows(numbered) {
			return numbered
		}
		if t.Allows(s) {
			return s
		}
	}
	f.t.Fatalf("%s: no sample matches %q", path, t.Pattern)
	return ""
}

// A converter copies between the SDK's structs and ours, by the fields' names.
type converter struct {
	t       *testing.T
	unknown []string
}

func (c *converter) convert(dst, src reflect.Value, path string) {
	ptr := src.Kind() == reflect.Pointer
	if ptr {
		if src.IsNil() {
			return
		}
		src = src.Elem()
	}
	if src.Kind() == reflect.Interface || dst.Kind() == reflect.Interface {
		c.unknown = append(c.unknown, path) // a union, which has no fields to go by
		return
	}
	if dst.Kind() == reflect.Pointer {
		if src.Kind() == reflect.Bool && !ptr && !src.Bool() {
			return // the SDK does not send a plain false
		}
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	if src.Type() == reflect.TypeFor[time.Time]() {
		dst.Set(src)
		return
	}
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			name := src.Type().Field(i).Name
			if name == "ResultMetadata" || !src.Type().Field(i).IsExported() {
				continue
			}
			d := dst.FieldByName(name)
			if !d.IsValid() {
				c.unknown = append(c.unknown, path+"."+name)
				continue
			}
			c.convert(d, src.Field(i), path+"."+name)
		}
	case reflect.Slice:
		if src.IsNil() {
			return
		}
		if src.Type().Elem().Kind() == reflect.Interface || dst.Type().Elem().Kind() == reflect.Interface {
			c.unknown = append(c.unknown, path)
			return
		}
		dst.Set(reflect.MakeSlice(dst.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			c.convert(dst.Index(i), src.Index(i), path)
		}
	case reflect.Map:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeMap(dst.Type()))
		for it := src.MapRange(); it.Next(); {
			e := reflect.New(dst.Type().Elem()).Elem()
			c.convert(e, it.Value(), path)
			dst.SetMapIndex(it.Key().Convert(dst.Type().Key()), e)
		}
	case reflect.Interface:
		c.t.Fatalf("%s: the SDK has a union here", path)
	default:
		dst.Set(src.Convert(dst.Type()))
	}
}
