package vpccni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// An api answers EC2, STS, container credentials and IMDS from one table: the
// action, or the path, to the answer.
type api struct {
	mu      sync.Mutex
	answers map[string]string
	seen    []string // actions, with their parameters
	auth    []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := r.URL.Path
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		key = r.PostForm.Get("Action")
		a.seen = append(a.seen, r.PostForm.Encode())
	}
	a.auth = append(a.auth, r.Header.Get("Authorization"))
	answer, ok := a.answers[key]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case strings.Contains(answer, "<Errors>"):
		w.WriteHeader(http.StatusBadRequest)
	}
	io.WriteString(w, answer)
}

func (a *api) called(part string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, s := range a.seen {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (a *api) answer(key, with string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[key] = with
}

func testAgent(t *testing.T, env map[string]string) (*Agent, *api) {
	t.Helper()
	a := &api{answers: map[string]string{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	get := func(k string) string { return strings.ReplaceAll(env[k], "SERVER", s.URL) }
	cfg, err := ConfigFromEnv(get, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg.EC2, cfg.STS, cfg.IMDS, cfg.Region = s.URL, s.URL, s.URL, "eu-west-1"
	cfg.StateFile, cfg.Socket = filepath.Join(t.TempDir(), "ipam.json"), filepath.Join(t.TempDir(), "s")
	ag := newAgent(cfg)
	ag.limits = limits{ENIs: 3, Addresses: 4}
	ag.in = Instance{ID: "i-1", SubnetID: "subnet-1", SecurityGroups: []string{"sg-1"}}
	return ag, a
}

var static = map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "WARM_IP_TARGET": "1", "IP_COOLDOWN_PERIOD": "0"}

func TestEC2Errors(t *testing.T) {
	ag, api := testAgent(t, static)
	api.answer("AssignPrivateIpAddresses", `<Response><Errors><Error><Code>InsufficientFreeAddressesInSubnet</Code><Message>full</Message></Error></Errors></Response>`)
	_, err := ag.ec2.assign(t.Context(), "eni-1", 2)
	var e *apiError
	if !errors.As(err, &e) || e.Code != "InsufficientFreeAddressesInSubnet" {
		t.Errorf("err = %v", err)
	}
	api.answer("AssignPrivateIpAddresses", `not XML`)
	if _, err := ag.ec2.assign(t.Context(), "eni-1", 2); err == nil {
		t.Error("an answer that is no XML was taken")
	}
	if _, err := ag.ec2.limits(t.Context(), "t3.small"); err == nil {
		t.Error("limits without an answer")
	}
}

// A pod is told at once when EC2 refuses, and EC2 is not asked again at once.
func TestAddFailsWhenEC2Refuses(t *testing.T) {
	ag, api := testAgent(t, static)
	api.answer("AssignPrivateIpAddresses", `<Response><Errors><Error><Code>InsufficientFreeAddressesInSubnet</Code><Message>full</Message></Error></Errors></Response>`)
	ag.pool.setENI(ENI{ID: "eni-0"})
	go ag.keep(t.Context())
	for range 3 {
		began := time.Now()
		if _, err := ag.add(t.Context(), request{Veth: "v"}); !errors.Is(err, errNoAddress) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("told after %s", took)
		}
	}
	if n := api.called("Action=AssignPrivateIpAddresses"); n > 3 {
		t.Errorf("EC2 was asked %d times", n)
	}
}

func TestShrink(t *testing.T) {
	ag, api := testAgent(t, static)
	for op, answer := range map[string]string{
		"DescribeNetworkInterfaces":  `<R><networkInterfaceSet><item><status>available</status></item></networkInterfaceSet></R>`,
		"DeleteNetworkInterface":     `<R/>`,
		"UnassignPrivateIpAddresses": `<R/>`,
	} {
		api.answer(op, answer)
	}
	ag.pool.setENI(ENI{ID: "eni-0", Secondary: addrs("10.0.0.1", "10.0.0.2", "10.0.0.3")})
	ag.pool.setENI(ENI{ID: "eni-1", Device: 1, Secondary: addrs("10.0.0.4", "10.0.0.5")})
	if err := ag.shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if api.called("Action=DeleteNetworkInterface&NetworkInterfaceId=eni-1") != 1 || len(ag.pool.interfaces()) != 1 {
		t.Errorf("the idle ENI is still there; calls %v", api.seen)
	}
	if err := ag.shrink(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := ag.pool.count(); c.Free != 1 || api.called("PrivateIpAddress.2=") != 1 {
		t.Errorf("free %d, calls %v", c.Free, api.seen)
	}
	before := len(api.seen)
	if err := ag.shrink(t.Context()); err != nil || len(api.seen) != before {
		t.Errorf("nothing to return, and yet: %v, %v", err, api.seen[before:])
	}
	// EC2 refuses: the addresses stay ours.
	ag.pool.addAddresses("eni-0", addrs("10.0.0.6", "10.0.0.7"))
	api.answer("UnassignPrivateIpAddresses", `<Response><Errors><Error><Code>InternalError</Code></Error></Errors></Response>`)
	if err := ag.shrink(t.Context()); err == nil || ag.pool.count().Free != 3 {
		t.Errorf("err %v, free %d", err, ag.pool.count().Free)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		env         map[string]string
		warm, short int
	}{
		{map[string]string{}, 3, 3},
		{map[string]string{"WARM_IP_TARGET": "5"}, 5, 5},
		{map[string]string{"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "7"}, 2, 7},
		{map[string]string{"WARM_ENI_TARGET": "0"}, 1, 1},
	} {
		ag, _ := testAgent(t, c.env)
		ag.pool.setENI(ENI{ID: "eni-0"})
		if ag.warm() != c.warm || ag.short() != c.short {
			t.Errorf("%v: warm %d, short %d", c.env, ag.warm(), ag.short())
		}
		if ag.room() != 9 {
			t.Errorf("room %d", ag.room())
		}
	}
	for k, v := range map[string]string{"WARM_IP_TARGET": "many", "AWS_VPC_K8S_CNI_EXTERNALSNAT": "perhaps", "AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS": "10.0.0.0"} {
		if _, err := ConfigFromEnv(func(n string) string { return map[string]string{k: v}[n] }, nil); err == nil || !strings.Contains(err.Error(), k) {
			t.Errorf("%s=%s: %v", k, v, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("jwt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour).UTC()
	doc, err := json.Marshal(map[string]any{"AccessKeyId": "ASIAJSON", "SecretAccessKey": "s", "Token": "t", "Expiration": end})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		env        map[string]string
	}{
		{"environment", "AKIA", static},
		{"web identity", "ASIAWEB", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/cni"}},
		{"pod identity", "ASIAJSON", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "SERVER/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token}},
		{"instance role", "ASIAJSON", map[string]string{}},
	} {
		ag, api := testAgent(t, c.env)
		api.answer("/v1/credentials", string(doc))
		api.answer("/latest/api/token", "session")
		api.answer("/latest/meta-data/iam/security-credentials/", "role\n")
		api.answer("/latest/meta-data/iam/security-credentials/role", string(doc))
		api.answer("AssumeRoleWithWebIdentity", fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>`+
			`<AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration>`+
			`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, end.Format(time.RFC3339)))
		for range 2 {
			got, err := ag.ec2.creds.get(t.Context())
			if err != nil || got.AccessKeyID != c.want {
				t.Errorf("%s: %q, %v", c.name, got.AccessKeyID, err)
			}
		}
		if c.name == "pod identity" && (len(api.auth) != 1 || api.auth[0] != "jwt") {
			t.Errorf("pod identity was asked as %q", api.auth)
		}
		if c.name == "web identity" && api.called("WebIdentityToken=jwt") != 1 {
			t.Errorf("STS was asked %v", api.seen)
		}
	}
}

func TestInstanceFromMetadata(t *testing.T) {
	ag, api := testAgent(t, static)
	api.answer("/latest/api/token", "session")
	const mac = "0a:00:00:00:00:01"
	for k, v := range map[string]string{
		"instance-id": "i-1", "instance-type": "t3.small", "placement/region": "eu-west-1", "mac": mac, "network/interfaces/macs/": mac + "/",
	} {
		api.answer("/latest/meta-data/"+k, v)
	}
	if _, err := ag.imds.instance(t.Context()); !errors.Is(err, errAbsent) {
		t.Errorf("an ENI without its keys: %v", err)
	}
	for k, v := range map[string]string{
		"interface-id": "eni-1", "device-number": "0", "local-ipv4s": "10.0.1.4\n10.0.1.9", "subnet-ipv4-cidr-block": "10.0.1.0/24",
		"subnet-id": "subnet-1", "security-group-ids": "sg-1\nsg-2", "vpc-ipv4-cidr-blocks": "10.0.0.0/16\n100.64.0.0/16",
	} {
		api.answer("/latest/meta-data/network/interfaces/macs/"+mac+"/"+k, v)
	}
	in, err := ag.imds.instance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(in.ENIs) != 1 || len(in.VPC) != 2 || len(in.SecurityGroups) != 2 || in.ENIs[0].gateway() != netip.MustParseAddr("10.0.1.1") ||
		in.ENIs[0].Primary.String() != "10.0.1.4" || len(in.ENIs[0].Secondary) != 1 {
		t.Errorf("%+v", in)
	}
}
