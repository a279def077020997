package awsapi_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
)

// TestCLI: the aws CLI signs and spells requests in botocore's way, which is
// not quite that of the SDK for Go. Needs the aws CLI.
func TestCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("each command takes a second")
	}
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("no aws CLI on the path")
	}
	rec := new(recorder)
	all := rec.services()
	all = append([]*awsapi.Service{sts.Service(identity{}), eks.Service(cluster{})}, all[1], all[2], all[5])
	front := newServer(t, awsapi.Config{Services: all})
	srv := httptest.NewServer(front)
	defer srv.Close()
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), aws, args...)
		cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+srv.URL, "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN=",
			"AWS_DEFAULT_REGION=us-west-2", "AWS_REGION=us-west-2", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE="+dir+"/config", "AWS_SHARED_CREDENTIALS_FILE="+dir+"/credentials")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, c := range []struct {
		args string
		fail bool
		want string
		in   any
	}{
		{args: "sts get-caller-identity", want: `"Arn": "arn:aws:iam::000000000000:root"`},
		{args: "eks describe-cluster --name demo", want: `"createdAt": 1700000000`},
		{args: "eks list-tags-for-resource --resource-arn arn:aws:eks:us-west-2:000000000000:cluster/demo", fail: true, want: "(NotImplemented) when calling the ListTagsForResource operation: The operation ListTagsForResource of EKS is not supported yet."},
		{args: "eks untag-resource --resource-arn arn:aws:eks:us-west-2:000000000000:cluster/demo --tag-keys a b+c", fail: true, want: "(NotImplemented)"},
		{args: "eks list-addons --cluster-name demo", fail: true, want: "(NotImplemented) when calling the ListAddons operation: The operation ListAddons of EKS is not supported yet."},
		{args: "ec2 describe-vpcs --filters Name=tag:a~b,Values=c*,d --max-results 5", fail: true, want: "(NotImplemented)",
			in: &ec2.DescribeVpcsInput{Filters: []ec2.Filter{{Name: new("tag:a~b"), Values: []string{"c*", "d"}}}, MaxResults: new(int32(5))}},
		{args: "ec2 run-instances --image-id ami-1 --count 2 --client-token t --dry-run", fail: true, want: "(NotImplemented)",
			in: &ec2.RunInstancesInput{ImageId: new("ami-1"), MinCount: new(int32(2)), MaxCount: new(int32(2)), DryRun: new(true), ClientToken: new("t")}},
		{args: "ssm get-parameter --name /aws/service/eks/x", fail: true, want: "(NotImplemented)", in: &ssm.GetParameterInput{Name: new("/aws/service/eks/x")}},
		{args: "iam get-role --role-name no/such", fail: true, want: "(ValidationError) when calling the GetRole operation: 1 validation error detected: Value 'no/such' at 'roleName'"},
	} {
		t.Run(c.args, func(t *testing.T) {
			rec.in = nil
			out, err := run(strings.Fields(c.args)...)
			if c.fail == (err == nil) || !strings.Contains(out, c.want) {
				t.Errorf("%v: %s\nwant %s", err, out, c.want)
			}
			if c.in != nil {
				if d := cmp.Diff(c.in, rec.in); d != "" {
					t.Errorf("the handler was given (-want +got):\n%s", d)
				}
			}
		})
	}
	token, err := run("eks", "get-token", "--cluster-name", "demo", "--query", "status.token", "--output", "text")
	if err != nil {
		t.Fatalf("get-token: %v: %s", err, token)
	}
	url, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(token), "k8s-aws-v1."))
	if err != nil {
		t.Fatal(err)
	}
	p, err := front.VerifyPresigned(t.Context(), "GET", string(url), "sts", http.Header{"X-K8s-Aws-Id": {"demo"}})
	if err != nil || p.ARN != root.ARN {
		t.Errorf("the token %s is of %+v, %v", url, p, err)
	}
}
