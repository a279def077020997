package controlplane

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/process"
)

// startup bounds what controllers do in a new cluster, on a busy machine.
const startup = 30 * time.Second

// testConfig is a control plane of the default version in the host's namespace, removed after the test.
func testConfig(t *testing.T) (Config, *Planes) {
	t.Helper()
	binary, err := filepath.Abs("../../bin/payload/kubernetes/1.35/kube")
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		t.Skip("boots a control plane")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("hack/build-payload.sh 1.35 makes it: %v", err)
	}
	dir := t.TempDir()
	cfg := Config{
		ID:          t.Name(),
		Dir:         filepath.Join(dir, "plane"),
		Binary:      binary,
		ClusterName: "c1",
		Region:      "us-west-2",
		Listen:      freePort(t),
		Addresses:   []netip.Addr{netip.MustParseAddr("10.9.9.9")},
		ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
		IssuerURL:   "https://oidc.eks.us-west-2.amazonaws.com/id/ABC",
		AuthSocket:  filepath.Join(dir, "auth.sock"),
	}
	planes := New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of its log:\n%s", tail(filepath.Join(cfg.Dir, logFile)))
		}
		if err := planes.Remove(context.Background(), cfg.Dir); err != nil {
			t.Error(err)
		}
	})
	return cfg, planes
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func boot(t *testing.T, p *Planes, cfg Config) Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	status, err := p.WaitReady(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// A client calls a control plane's API.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func admin(t *testing.T, cfg Config) client {
	t.Helper()
	c, err := RESTConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

// bearer is somebody with a token instead of a certificate; "" is anonymous.
func bearer(t *testing.T, cfg Config, token string) client {
	t.Helper()
	c, err := RESTConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.CertData, c.KeyData, c.BearerToken = nil, nil, token
	return newClient(t, c)
}

func newClient(t *testing.T, c *rest.Config) client {
	h, err := rest.HTTPClientFor(c)
	if err != nil {
		t.Fatal(err)
	}
	return client{t, c.Host, h}
}

// do returns the status code and the decoded answer.
func (c client) do(method, path string, body any) (int, map[string]any) {
	c.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(data))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]any{}
	if json.Unmarshal(answer, &out) != nil {
		out["text"] = string(answer)
	}
	return res.StatusCode, out
}

func (c client) get(path string) (int, map[string]any) {
	c.t.Helper()
	return c.do(http.MethodGet, path, nil)
}

// want repeats a GET until it answers code: what other processes and caches do takes a moment.
func (c client) want(path string, code int, within time.Duration) map[string]any {
	c.t.Helper()
	var got int
	var body map[string]any
	if !eventually(within, func() bool { got, body = c.get(path); return got == code }) {
		c.t.Fatalf("GET %s answers %d %v, want %d within %v", path, got, body["message"], code, within)
	}
	return body
}

func eventually(within time.Duration, is func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; <-tick.C {
		if is() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

func TestBootCrashRemove(t *testing.T) {
	cfg, planes := testConfig(t)
	first := boot(t, planes, cfg)
	api := admin(t, cfg)

	t.Run("version", func(t *testing.T) {
		want, err := os.ReadFile(filepath.Join(filepath.Dir(cfg.Binary), "version"))
		if err != nil {
			t.Fatal(err)
		}
		if _, v := api.get("/version"); v["gitVersion"] != strings.TrimSpace(string(want)) {
			t.Errorf("gitVersion %v, want %s", v["gitVersion"], want)
		}
	})
	t.Run("anonymous", func(t *testing.T) {
		nobody := bearer(t, cfg, "")
		for path, want := range map[string]int{"/readyz": 200, "/version": 401, "/api/v1/namespaces": 401} {
			if got, _ := nobody.get(path); got != want {
				t.Errorf("GET %s answers %d, want %d", path, got, want)
			}
		}
	})
	t.Run("service account tokens", func(t *testing.T) { checkTokens(t, api, cfg, first) })
	t.Run("controllers", func(t *testing.T) {
		// Made by the controller manager: it runs, and has its permissions.
		api.want("/api/v1/namespaces/default/serviceaccounts/default", 200, startup)
	})

	body := object{"metadata": object{"name": "kept"}, "data": object{"k": "v"}}
	if code, got := api.do(http.MethodPost, "/api/v1/namespaces/default/configmaps", body); code != 201 {
		t.Fatalf("creating a ConfigMap answers %d %v", code, got["message"])
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !eventually(10*time.Second, func() bool { return !alive(t, cfg) }) {
		t.Fatal("it survived SIGKILL")
	}

	// Another daemon finds it dead and starts it again. This one holds nothing any more.
	planes.letGo(cfg.Dir)
	other := New(planes.log)
	second := boot(t, other, cfg)
	if second.PID == first.PID || second.Starts != 2 {
		t.Errorf("after a crash: process %d, start %d", second.PID, second.Starts)
	}
	if !bytes.Equal(first.CA, second.CA) || !bytes.Equal(first.JWKS, second.JWKS) {
		t.Error("a restart made other keys")
	}
	got := admin(t, cfg).want("/api/v1/namespaces/default/configmaps/kept", 200, 10*time.Second)
	if data, _ := got["data"].(map[string]any); data["k"] != "v" {
		t.Errorf("after a crash: %v", got)
	}

	// Unchanged, it is left alone; changed, it is another process with the same data.
	other.letGo(cfg.Dir)
	if again := boot(t, planes, cfg); again.PID != second.PID {
		t.Error("an unchanged Config restarted it")
	}
	cfg.Listen = freePort(t)
	if third := boot(t, planes, cfg); third.PID == second.PID {
		t.Error("another address did not restart it")
	}
	admin(t, cfg).want("/api/v1/namespaces/default/configmaps/kept", 200, 10*time.Second)

	if err := planes.Remove(t.Context(), cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if alive(t, cfg) {
		t.Error("Remove left the process")
	}
	if _, err := os.Stat(cfg.Dir); !os.IsNotExist(err) {
		t.Errorf("Remove left the directory: %v", err)
	}
	if err := planes.Remove(t.Context(), cfg.Dir); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
}

// The flags and files suit every version; one that is not built is skipped.
func TestEveryVersion(t *testing.T) {
	for _, minor := range []string{"1.34", "1.36"} {
		t.Run(minor, func(t *testing.T) {
			cfg, planes := testConfig(t)
			cfg.Binary = strings.Replace(cfg.Binary, "/1.35/", "/"+minor+"/", 1)
			cfg.Audit = true
			if _, err := os.Stat(cfg.Binary); err != nil {
				t.Skipf("hack/build-payload.sh %s makes it: %v", minor, err)
			}
			boot(t, planes, cfg)
			api := admin(t, cfg)
			if _, v := api.get("/version"); !strings.HasPrefix(fmt.Sprint(v["gitVersion"]), "v"+minor+".") {
				t.Errorf("gitVersion %v", v["gitVersion"])
			}
			api.want("/api/v1/namespaces/default/serviceaccounts/default", 200, startup)
			if code, _ := bearer(t, cfg, "").get("/version"); code != 401 {
				t.Errorf("anonymous gets %d, want 401", code)
			}
			audit, err := os.ReadFile(LogFile(cfg.Dir, LogAudit))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(audit), `"requestURI":"/api/v1/namespaces/default/serviceaccounts/default"`) || strings.Contains(string(audit), `"requestURI":"/readyz"`) {
				t.Errorf("the audit log lacks what was asked for, or has what is asked for all the time:\n%.2000s", audit)
			}
		})
	}
}

func alive(t *testing.T, cfg Config) bool {
	t.Helper()
	_, ok, err := process.Find(processDir(cfg.Dir), processName)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// checkTokens compares what the API server issues and publishes with what Status says of it.
func checkTokens(t *testing.T, api client, cfg Config, status Status) {
	code, served := api.get("/openid/v1/jwks")
	if code != 200 {
		t.Fatalf("/openid/v1/jwks answers %d", code)
	}
	var ours map[string]any
	if err := json.Unmarshal(status.JWKS, &ours); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(served) != fmt.Sprint(ours) {
		t.Errorf("key set %v, the API server's is %v", ours, served)
	}
	path := "/api/v1/namespaces/default/serviceaccounts/default"
	api.want(path, 200, startup)
	code, res := api.do(http.MethodPost, path+"/token", object{"spec": object{}})
	if code != 201 {
		t.Fatalf("asking for a token answers %d %v", code, res["message"])
	}
	token, _ := res["status"].(map[string]any)["token"].(string)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", token)
	}
	header, claims := decode(t, parts[0]), decode(t, parts[1])
	key := ours["keys"].([]any)[0].(map[string]any)
	if header["kid"] != key["kid"] || header["alg"] != "RS256" {
		t.Errorf("header %v, key %v", header, key)
	}
	if claims["iss"] != cfg.IssuerURL || fmt.Sprint(claims["aud"]) != "[https://kubernetes.default.svc]" {
		t.Errorf("claims %v", claims)
	}
}

func decode(t *testing.T, part string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// What cannot start says why, once, and is tried again.
func TestDiesYoung(t *testing.T) {
	cfg, planes := testConfig(t)
	taken, err := net.Listen("tcp4", cfg.Listen.String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := planes.WaitReady(ctx, cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("error %v does not name the reason", err)
	}
	taken.Close()
	if status := boot(t, planes, cfg); status.Starts != 2 {
		t.Errorf("ready at start %d, want 2", status.Starts)
	}
}
