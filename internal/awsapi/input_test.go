package awsapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
)

// recorder serves one operation of each service and keeps its input.
type recorder struct {
	in  any
	err error
}

func (r *recorder) services() []*awsapi.Service {
	all := services()
	for _, svc := range all {
		for i := range svc.Operations {
			if op := &svc.Operations[i]; op.Handle.Call != nil {
				call := op.Handle.Call
				op.Handle.Call = func(ctx context.Context, c awsapi.Call, in any) (any, error) {
					r.in = in
					if r.err != nil {
						return nil, r.err
					}
					return call(ctx, c, in)
				}
			}
		}
	}
	return all
}

func formPost(t *testing.T, service, body string) *http.Request {
	return signed(t, "POST", "http://h/", service, body, noon, nil)
}

func jsonPost(t *testing.T, path, body string) *http.Request {
	return signed(t, "POST", "http://h"+path, "eks", body, noon, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
}

func getParameter(t *testing.T, body string) *http.Request {
	r := httptest.NewRequest("POST", "http://h/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	return signed(t, "POST", "http://h/", "ssm", body, noon, func(s *http.Request) {
		s.Header = r.Header
		s.Header.Set("X-Amz-Target", "AmazonSSM.GetParameter")
	})
}

// TestInvalidInput: what the front door itself refuses, in AWS's words.
func TestInvalidInput(t *testing.T) {
	const ec2 = "&Version=2016-11-15"
	const iam = "&Version=2010-05-08"
	const asg = "&Version=2011-01-01"
	long := strings.Repeat("x", 101)
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		code   string
		want   string
	}{
		{"not JSON", jsonPost(t, "/clusters", `{"name":`), 400, "SerializationException", "The request body is not valid JSON: unexpected end of document"},
		{"not only JSON", jsonPost(t, "/clusters", `{} {}`), 400, "SerializationException", "data after the document"},
		{"not an object", jsonPost(t, "/clusters", `[]`), 400, "SerializationException", "Start of list found where not expected"},
		{"a number for a string", jsonPost(t, "/clusters", `{"name": 1}`), 400, "SerializationException", "NUMBER_VALUE cannot be converted to a String"},
		{"a string for a list", jsonPost(t, "/clusters", `{"resourcesVpcConfig": {"subnetIds": "a"}}`), 400, "SerializationException", "STRING_VALUE cannot be converted to a list"},
		{"a string for an integer", jsonPost(t, "/clusters/c/node-groups", `{"diskSize": "20"}`), 400, "SerializationException", "STRING_VALUE cannot be converted to an Integer"},
		{"an integer too large", jsonPost(t, "/clusters/c/node-groups", `{"diskSize": 3000000000}`), 400, "SerializationException", "NUMBER_VALUE cannot be converted to an Integer"},
		{"nothing", jsonPost(t, "/clusters", ``), 400, "InvalidParameterException",
			"3 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; Value null at 'roleArn' failed to satisfy constraint: Member must not be null; Value null at 'resourcesVpcConfig' failed to satisfy constraint: Member must not be null"},
		{"a bad name", jsonPost(t, "/clusters", `{"name":"a b","roleArn":"r","resourcesVpcConfig":{}}`), 400, "InvalidParameterException",
			`1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9A-Za-z][A-Za-z0-9\\-_]*`},
		{"a long name", jsonPost(t, "/clusters", `{"name":"`+long+`","roleArn":"r","resourcesVpcConfig":{}}`), 400, "InvalidParameterException", "Member must have length less than or equal to 100"},
		{"a bad enum", jsonPost(t, "/clusters", `{"name":"c","roleArn":"r","resourcesVpcConfig":{},"accessConfig":{"authenticationMode":"NONE"}}`), 400, "InvalidParameterException",
			"Value 'NONE' at 'accessConfig.authenticationMode' failed to satisfy constraint: Member must satisfy enum value set: [API, API_AND_CONFIG_MAP, CONFIG_MAP]"},
		{"a long tag", jsonPost(t, "/clusters", `{"name":"c","roleArn":"r","resourcesVpcConfig":{},"tags":{"`+long+long+`":"v"}}`), 400, "InvalidParameterException",
			"Value at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"a number out of range", signed(t, "GET", "http://h/clusters?maxResults=101", "eks", "", noon, nil), 400, "InvalidParameterException",
			"Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100"},
		{"no number", signed(t, "GET", "http://h/clusters?maxResults=all", "eks", "", noon, nil), 400, "SerializationException", "'all' is not a valid integer"},
		{"10 MB", jsonPost(t, "/clusters", `{"name":"`+strings.Repeat("x", 10<<20)+`"}`), 413, "RequestEntityTooLargeException", "Request size exceeds the limit of 4194304 bytes."},

		{"json", getParameter(t, `{}`), 400, "ValidationException", `{"__type":"ValidationException","message":"1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"}`},
		{"json that is none", getParameter(t, `<x/>`), 400, "SerializationException", `"__type":"SerializationException"`},

		{"ec2 missing", formPost(t, "ec2", "Action=DeleteSubnet"+ec2), 400, "", "<Code>MissingParameter</Code><Message>The request must contain the parameter SubnetId</Message>"},
		{"ec2 unknown parameter", formPost(t, "ec2", "Action=DescribeVpcs&Foo.1=x"+ec2), 400, "", "<Code>UnknownParameter</Code><Message>The parameter Foo.1 is not recognized</Message>"},
		{"ec2 no number", formPost(t, "ec2", "Action=DescribeVpcs&MaxResults=x"+ec2), 400, "", "<Code>InvalidParameterValue</Code><Message>Value (x) for parameter maxResults is invalid."},
		{"ec2 out of range", formPost(t, "ec2", "Action=DescribeVpcs&MaxResults=2"+ec2), 400, "", "Value ( 2 ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."},
		{"ec2 an element twice", formPost(t, "ec2", "Action=DescribeVpcs&VpcId.1=a&VpcId.01=b"+ec2), 400, "", "The parameter VpcId.1 is given twice"},
		{"ec2 malformed", formPost(t, "ec2", "Action=DescribeVpcs&VpcId.1=%zz"+ec2), 400, "", "<Code>MalformedQueryString</Code>"},

		{"query missing", formPost(t, "iam", "Action=CreateRole&RoleName=a"+iam), 400, "",
			"<Type>Sender</Type><Code>ValidationError</Code><Message>1 validation error detected: Value null at &apos;assumeRolePolicyDocument&apos; failed to satisfy constraint: Member must not be null</Message>"},
		{"query bad name", formPost(t, "iam", "Action=GetRole&RoleName=a%20b"+iam), 400, "", "Member must satisfy regular expression pattern: [\\w+=,.@-]+"},
		{"query bad number", formPost(t, "autoscaling", "Action=SetDesiredCapacity&AutoScalingGroupName=a&DesiredCapacity=many"+asg), 400, "", "<Code>MalformedInput</Code>"},
		{"query nested", formPost(t, "autoscaling", "Action=CreateOrUpdateTags&Tags.member.1.Value=x"+asg), 400, "", "tags.1.member.key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rec recorder
			s := newServer(t, awsapi.Config{Services: rec.services(), Now: front0})
			status, head, body := answer(s, c.r)
			body = strings.ReplaceAll(body, "&apos;", "'")
			if status != c.status || head.Get("X-Amzn-ErrorType") != c.code || !strings.Contains(body, strings.ReplaceAll(c.want, "&apos;", "'")) {
				t.Errorf("%d %s %.600s\nwant %d %s %s", status, head.Get("X-Amzn-ErrorType"), body, c.status, c.code, c.want)
			}
			if rec.in != nil {
				t.Errorf("the handler was called with %+v", rec.in)
			}
		})
	}
}

// TestDecoding: what clients other than the Go SDK send.
func TestDecoding(t *testing.T) {
	for _, c := range []struct {
		name string
		r    *http.Request
		want any
	}{
		{"an ARN in the path", signed(t, "GET", "http://h/tags/arn%3Aaws%3Aeks%3Aus-west-2%3A000000000000%3Acluster%2Fdemo", "eks", "", noon, nil),
			&eks.ListTagsForResourceInput{ResourceArn: new("arn:aws:eks:us-west-2:000000000000:cluster/demo")}},
		{"a list in the query", signed(t, "DELETE", "http://h/tags/x?tagKeys=a&tagKeys=b%20c", "eks", "", noon, nil),
			&eks.UntagResourceInput{ResourceArn: new("x"), TagKeys: []string{"a", "b c"}}},
		{"a trailing slash", signed(t, "GET", "http://h/clusters/", "eks", "", noon, nil), &eks.ListClustersInput{}},
		{"unknown members, nulls", jsonPost(t, "/tags/x", `{"tags":{"a":"b","n":null},"other":[1],"resourceArn":"y"}`), &eks.TagResourceInput{ResourceArn: new("x"), Tags: map[string]string{"a": "b"}}},
		{"an action in the URL", signed(t, "GET", "http://h/?Action=DescribeVpcs&Version=2016-11-15&VpcId.2=b&VpcId.1=a&Filter.1.Name=n&Filter.1.Value.1=v", "ec2", "", noon, nil),
			&ec2.DescribeVpcsInput{VpcIds: []string{"a", "b"}, Filters: []ec2.Filter{{Name: new("n"), Values: []string{"v"}}}}},
		{"gaps in a list", formPost(t, "ec2", "Action=DescribeVpcs&VpcId.20=b&VpcId.3=a&Version=2016-11-15"), &ec2.DescribeVpcsInput{VpcIds: []string{"a", "b"}}},
		{"an empty list", formPost(t, "autoscaling", "Action=DescribeAutoScalingGroups&AutoScalingGroupNames=&Version=2011-01-01"), &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{}}},
		{"unknown query parameters", formPost(t, "iam", "Action=GetUser&Foo=x&Version=2010-05-08"), &iam.GetUserInput{}},
		{"json", getParameter(t, `{"Name":"/a/\u00fc"}`), &ssm.GetParameterInput{Name: new("/a/ü")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rec recorder
			answer(newServer(t, awsapi.Config{Services: rec.services(), Now: front0}), c.r)
			if d := cmp.Diff(c.want, rec.in); d != "" {
				t.Error(d)
			}
		})
	}
}

func front0() time.Time { return noon }

// TestErrors: how what a handler returns reaches the client.
func TestErrors(t *testing.T) {
	const secretText = "etcd at 10.0.0.1 is down"
	describe := func() *http.Request { return signed(t, "GET", "http://h/clusters/x", "eks", "", noon, nil) }
	vpcs := func() *http.Request { return formPost(t, "ec2", "Action=DescribeVpcs&Version=2016-11-15") }
	role := func() *http.Request { return formPost(t, "iam", "Action=GetRole&RoleName=r&Version=2010-05-08") }
	for _, c := range []struct {
		name   string
		r      *http.Request
		err    error
		status int
		want   string
	}{
		{"modelled", describe(), &eks.ResourceNotFoundException{ClusterName: new("x"), Message: new("No cluster found for name: x.")}, 404, `{"clusterName":"x","message":"No cluster found for name: x."}`},
		{"wrapped", describe(), errors.Join(errors.New("in here"), &eks.ResourceNotFoundException{Message: new("m")}), 404, `{"message":"m"}`},
		{"not modelled", describe(), awsapi.Errorf("AccessDeniedException", 403, "no %s", "way"), 403, `{"message":"no way"}`},
		{"ours", describe(), errors.New(secretText), 500, `{"message":"An internal error has occurred."}`},
		{"ec2", vpcs(), awsapi.Errorf("InvalidVpcID.NotFound", 400, "The vpc ID '%s' does not exist", "<x>"), 400, "<Code>InvalidVpcID.NotFound</Code><Message>The vpc ID '&lt;x&gt;' does not exist</Message>"},
		{"ec2 ours", vpcs(), errors.New(secretText), 500, "<Code>InternalError</Code><Message>An internal error has occurred.</Message>"},
		{"query", role(), &iam.NoSuchEntityException{Message: new("The role with name r cannot be found.")}, 404, "<Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>The role with name r cannot be found.</Message></Error><RequestId>"},
		{"query ours", role(), errors.New(secretText), 500, "<Error><Type>Receiver</Type><Code>InternalFailure</Code>"},
		{"json", getParameter(t, `{"Name":"x"}`), &ssm.ParameterNotFound{Message: new("m")}, 400, `{"__type":"ParameterNotFound","message":"m"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := recorder{err: c.err}
			status, _, body := answer(newServer(t, awsapi.Config{Services: rec.services(), Now: front0}), c.r)
			if status != c.status || !strings.Contains(body, c.want) || strings.Contains(body, secretText) {
				t.Errorf("%d %s\nwant %d %s", status, body, c.status, c.want)
			}
		})
	}
}

// Nobody gets past Authorize, and what it says is what the caller hears.
func TestAuthorize(t *testing.T) {
	var rec recorder
	var asked awsapi.Call
	s := newServer(t, awsapi.Config{Services: rec.services(), Now: front0, Authorize: func(_ context.Context, call awsapi.Call, in any) error {
		asked = call
		if _, ok := in.(*eks.DescribeClusterInput); !ok {
			t.Errorf("input is %T", in)
		}
		return awsapi.Errorf("AccessDeniedException", 403, "User: %s is not authorized to perform: eks:%s", call.Caller.ARN, call.Operation)
	}})
	status, _, body := answer(s, signed(t, "GET", "http://h/clusters/x", "eks", "", noon, nil))
	if status != 403 || !strings.Contains(body, "User: "+root.ARN+" is not authorized to perform: eks:DescribeCluster") || rec.in != nil {
		t.Errorf("%d %s; handler was given %v", status, body, rec.in)
	}
	if asked.Region != "us-west-2" || asked.Account != account || asked.Service != "eks" || asked.Request == nil || asked.RequestID == "" {
		t.Errorf("asked about %+v", asked)
	}
}

// A panic in a handler costs one answer, not the connection.
func TestPanic(t *testing.T) {
	s := newServer(t, awsapi.Config{Services: []*awsapi.Service{sts.Service(panics{})}, Now: front0})
	status, _, body := answer(s, formPost(t, "sts", whoami))
	if status != 500 || strings.Contains(body, "oops") {
		t.Errorf("%d %s", status, body)
	}
}

type panics struct{ sts.Unimplemented }

func (panics) GetCallerIdentity(context.Context, awsapi.Call, *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	panic("oops")
}

// Web identities come without a signature.
func TestUnsignedOperation(t *testing.T) {
	var rec recorder
	s := newServer(t, awsapi.Config{Services: rec.services(), Now: front0})
	body := "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/r&RoleSessionName=session&WebIdentityToken=t.o.k.e.n"
	r := httptest.NewRequest("POST", "http://sts.us-west-2.amazonaws.com/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, _, text := answer(s, r)
	if in, ok := rec.in.(*sts.AssumeRoleWithWebIdentityInput); !ok || *in.WebIdentityToken != "t.o.k.e.n" {
		t.Errorf("%d %s; handler was given %v", status, text, rec.in)
	}
}
