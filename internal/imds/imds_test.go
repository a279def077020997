package imds

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

func instance() Instance {
	return Instance{
		ID: "i-0a", Type: "m5.large", ImageID: "ami-1", Architecture: "x86_64", Account: "111122223333", Region: "us-west-2",
		Zone: "us-west-2a", ZoneID: "usw2-az1", Domain: "amazonaws.com", Partition: "aws", LaunchTime: now, LifeCycle: "on-demand",
		Hostname: "ip-10-0-0-2.us-west-2.compute.internal", PrivateIP: "10.0.0.2", KeyName: "k", PublicKey: "ssh-ed25519 AAAA k",
		Interfaces: []Interface{
			{MAC: "02:00:00:00:00:01", ID: "eni-1", SubnetID: "subnet-1", SubnetCIDR: "10.0.0.0/24", VPCID: "vpc-1",
				VPCCIDRs: []string{"10.0.0.0/16", "100.64.0.0/16"}, PrivateIPs: []string{"10.0.0.2", "10.0.0.3"}, SecurityGroupIDs: []string{"sg-1", "sg-2"},
				PublicIPs: map[string][]string{"198.51.100.7": {"10.0.0.2"}}},
			{MAC: "02:00:00:00:00:02", ID: "eni-2", DeviceNumber: 1, IPv4Prefixes: []string{"10.0.0.16/28"}},
		},
		BlockDevices: map[string]string{"ami": "/dev/xvda", "root": "/dev/xvda"},
		ProfileARN:   "arn:aws:iam::111122223333:instance-profile/p", ProfileID: "AIPA1", Role: "r",
		Credentials: func(_ context.Context, version string) (Credentials, error) {
			return Credentials{AccessKeyID: "ASIA1", SecretAccessKey: "s", Token: "t" + version, Updated: now, Expires: now.Add(6 * time.Hour)}, nil
		},
		UserData: []byte("#!/bin/sh\n"), Tags: map[string]string{"Name": "n", "empty": ""}, TokensRequired: true,
	}
}

// fixture is one instance and its service; the service answers to in, whoever asks.
func fixture(t *testing.T) (in *Instance, url string, clock *time.Time) {
	i, at := instance(), now
	srv := httptest.NewServer(New(Config{
		Instance: func(_ context.Context, a netip.Addr) (Instance, bool) { return i, a.IsLoopback() && i.ID != "" },
		Now:      func() time.Time { return at },
	}))
	t.Cleanup(srv.Close)
	return &i, srv.URL, &at
}

// do returns status and body; headers are pairs.
func do(t *testing.T, method, url string, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

func TestTree(t *testing.T) {
	in, url, _ := fixture(t)
	in.TokensRequired = false
	for path, want := range map[string]string{
		"/latest":                                          "dynamic\nmeta-data\nuser-data",
		"/latest/meta-data/iam/":                           "info\nsecurity-credentials/",
		"/latest/meta-data/ami-id":                         "ami-1",
		"/latest/meta-data/ami-id/":                        "ami-1",
		"/2021-03-23/meta-data/mac":                        "02:00:00:00:00:01",
		"/latest/user-data":                                "#!/bin/sh\n",
		"/latest/meta-data/hostname":                       "ip-10-0-0-2.us-west-2.compute.internal",
		"/latest/meta-data/placement/availability-zone-id": "usw2-az1",
		"/latest/meta-data/iam/security-credentials/":      "r",
		"/latest/meta-data/public-keys/":                   "0=k",
		"/latest/meta-data/public-keys/0/openssh-key":      "ssh-ed25519 AAAA k",
		"/latest/meta-data/services/domain":                "amazonaws.com",
		"/latest/meta-data/tags/instance":                  "Name\nempty",
		"/latest/meta-data/tags/instance/empty":            "",
		"/latest/meta-data/block-device-mapping":           "ami\nroot",
		"/latest/meta-data/network/interfaces/macs/":       "02:00:00:00:00:01/\n02:00:00:00:00:02/",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/security-group-ids":             "sg-1\nsg-2",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-ipv4-cidr-blocks":           "10.0.0.0/16\n100.64.0.0/16",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/ipv4-associations/198.51.100.7": "10.0.0.2",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:02/":                               "device-number\ninterface-id\nipv4-prefix\nmac\nnetwork-card",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:02/device-number":                  "1",
	} {
		code, body, head := do(t, "GET", url+path)
		if code != 200 || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
		if ct := head.Get("Content-Type"); ct != "text/plain" && path != "/latest/user-data" {
			t.Errorf("%s: content type %s", path, ct)
		}
	}
	for _, path := range []string{"/nope", "/latest/meta-data/nope", "/latest/meta-data/spot/instance-action", "/latest/meta-data/outpost-arn",
		"/latest/meta-data/ipv6", "/latest/dynamic/instance-identity/pkcs7", "/latest/meta-data/ami-id/x",
		"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:02/local-ipv4s", "/latest/meta-data/autoscaling/target-lifecycle-state"} {
		code, body, _ := do(t, "GET", url+path)
		if code != 404 || !strings.HasPrefix(body, `<?xml version="1.0" encoding="iso-8859-1"?>`) || !strings.Contains(body, "404 - Not Found") {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	in.Tags, in.UserData, in.ProfileARN = nil, nil, ""
	for _, path := range []string{"/latest/meta-data/tags/instance/", "/latest/user-data", "/latest/meta-data/iam/info"} {
		if code, _, _ := do(t, "GET", url+path); code != 404 {
			t.Errorf("%s: %d after it was unset", path, code)
		}
	}
}

func TestTokens(t *testing.T) {
	in, url, clock := fixture(t)
	const id = "/latest/meta-data/instance-id"
	code, token, head := do(t, "PUT", url+"/latest/api/token", ttlHeader, "60")
	if code != 200 || head.Get(ttlHeader) != "60" || len(token) != 56 {
		t.Fatalf("PUT: %d %q %v", code, token, head)
	}
	status := func(want int, what, method, path string, headers ...string) {
		t.Helper()
		if code, _, _ := do(t, method, url+path, headers...); code != want {
			t.Errorf("%s: %d, want %d", what, code, want)
		}
	}
	status(200, "with the token", "GET", id, tokenHeader, token)
	status(200, "HEAD", "HEAD", id, tokenHeader, token)
	status(401, "without a token", "GET", id)
	status(401, "with another token", "GET", id, tokenHeader, token[:55]+"_")
	status(401, "with no token at all", "GET", id, tokenHeader, "x")
	status(400, "no TTL", "PUT", "/latest/api/token")
	status(400, "TTL 0", "PUT", "/latest/api/token", ttlHeader, "0")
	status(400, "TTL too long", "PUT", "/latest/api/token", ttlHeader, "21601")
	status(200, "the longest TTL", "PUT", "/latest/api/token", ttlHeader, "21600")
	status(403, "through a proxy", "PUT", "/latest/api/token", ttlHeader, "60", "X-Forwarded-For", "10.0.0.9")
	status(405, "POST", "POST", id)
	in.ID = "i-0b"
	status(401, "another instance's token", "GET", id, tokenHeader, token)
	in.ID = "i-0a"
	*clock = now.Add(59 * time.Second)
	status(200, "just before it expires", "GET", id, tokenHeader, token)
	*clock = now.Add(60 * time.Second)
	status(401, "expired", "GET", id, tokenHeader, token)
	in.TokensRequired = false
	status(200, "version 1 where it is allowed", "GET", id)
	status(401, "an expired token even so", "GET", id, tokenHeader, token)
	in.Disabled = true
	status(403, "switched off", "GET", id)
	in.ID = ""
	status(404, "nobody's address", "GET", id)
}

// TestSDK has the SDK's own client read what programs on instances read by it.
func TestSDK(t *testing.T) {
	in, url, _ := fixture(t)
	ctx := t.Context()
	client := sdk.New(sdk.Options{Endpoint: url})
	doc, err := client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := sdk.InstanceIdentityDocument{AccountID: "111122223333", Architecture: "x86_64", AvailabilityZone: "us-west-2a", ImageID: "ami-1",
		InstanceID: "i-0a", InstanceType: "m5.large", PendingTime: now, PrivateIP: "10.0.0.2", Region: "us-west-2", Version: "2017-09-30"}
	if d := cmp.Diff(want, doc.InstanceIdentityDocument); d != "" {
		t.Error(d)
	}
	region, err := client.GetRegion(ctx, nil)
	if err != nil || region.Region != "us-west-2" {
		t.Errorf("region: %v, %v", region, err)
	}
	info, err := client.GetIAMInfo(ctx, nil)
	if err != nil || info.InstanceProfileArn != in.ProfileARN || info.InstanceProfileID != "AIPA1" {
		t.Errorf("IAM info: %+v, %v", info, err)
	}
	data, err := client.GetUserData(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(data.Content)
	if err != nil || string(raw) != "#!/bin/sh\n" {
		t.Errorf("user data: %q, %v", raw, err)
	}
	roles := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = client })
	creds, err := roles.Retrieve(ctx)
	if err != nil || creds.AccessKeyID != "ASIA1" || creds.SessionToken != "t2.0" || !creds.CanExpire {
		t.Errorf("credentials: %+v, %v", creds, err)
	}
	in.TokensRequired = false
	_, body, _ := do(t, "GET", url+"/latest/meta-data/iam/security-credentials/r")
	const document = `{
  "Code": "Success",
  "LastUpdated": "2026-11-20T06:00:00Z",
  "Type": "AWS-HMAC",
  "AccessKeyId": "ASIA1",
  "SecretAccessKey": "s",
  "Token": "t1.0",
  "Expiration": "2026-11-20T12:00:00Z"
}`
	if d := cmp.Diff(document, body); d != "" {
		t.Error(d)
	}
	in.Credentials = func(context.Context, string) (Credentials, error) { return Credentials{}, ErrNotAssumable }
	if _, err := roles.Retrieve(ctx); err == nil || !strings.Contains(err.Error(), "AssumeRoleUnauthorizedAccess") {
		t.Errorf("a role that EC2 cannot assume: %v", err)
	}
	in.Credentials = func(context.Context, string) (Credentials, error) {
		return Credentials{}, errors.New("the store is away")
	}
	if code, body, _ := do(t, "GET", url+"/latest/meta-data/iam/security-credentials/r"); code != 500 || strings.Contains(body, "store") {
		t.Errorf("an error of ours: %d %q", code, body)
	}
}

// What a Spot instance is told before its end, and nothing before it is told.
func TestSpotNotice(t *testing.T) {
	in, url, _ := fixture(t)
	in.TokensRequired = false
	get := func(path string) string {
		t.Helper()
		_, body, _ := do(t, "GET", url+"/latest/meta-data/"+path)
		return body
	}
	if code, _, _ := do(t, "GET", url+"/latest/meta-data/events/recommendations/rebalance"); code != http.StatusNotFound {
		t.Errorf("a rebalance is recommended to nobody: %d", code)
	}
	in.RebalanceNotice, in.SpotTerminationTime, in.SpotAction = now, now.Add(2*time.Minute), `{"action":"terminate","time":"2026-11-20T06:02:00Z"}`
	for path, want := range map[string]string{
		"events/recommendations/rebalance": `{"noticeTime":"2026-11-20T06:00:00Z"}`,
		"spot/":                            "instance-action\ntermination-time",
		"spot/instance-action":             in.SpotAction,
		"spot/termination-time":            "2026-11-20T06:02:00Z",
	} {
		if got := get(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}
