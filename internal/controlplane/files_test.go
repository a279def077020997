package controlplane

import (
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden is a cluster's control plane as the daemon configures it.
func golden() Config {
	return Config{
		ID:          "demo",
		Dir:         "/var/lib/ekster/clusters/demo",
		Binary:      "/opt/ekster/payload/kubernetes/1.35/kube",
		ClusterName: "demo",
		Region:      "us-west-2",
		Netns:       "/run/netns/ek3f9a-cp-demo",
		Listen:      netip.MustParseAddrPort("127.61.2.3:443"),
		Addresses:   []netip.Addr{netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("10.0.2.5")},
		ServiceCIDR: netip.MustParsePrefix("172.20.0.0/16"),
		SANs:        []string{"abc.gr7.us-west-2.eks.amazonaws.com", "203.0.113.9"},
		IssuerURL:   "https://oidc.eks.us-west-2.amazonaws.com/id/ABC",
		AuthSocket:  "/var/lib/ekster/auth/demo.sock",
	}
}

func TestFilesGolden(t *testing.T) {
	inHost := golden()
	inHost.Netns, inHost.SANs, inHost.Addresses = "", nil, inHost.Addresses[:1]
	issuers := golden()
	issuers.Issuers = []Issuer{
		{ID: "1", URL: "https://issuer.example.com", ClientID: "kubernetes", UsernameClaim: "email"},
		{ID: "2", URL: "https://other.example.com/x", ClientID: "k", UsernameClaim: "sub", UsernamePrefix: "https://other.example.com/x#",
			GroupsClaim: "groups", GroupsPrefix: "oidc:", RequiredClaims: map[string]string{"b": "2", "a": "1"}},
	}
	if diff := cmp.Diff(filesFor(golden(), nil).digest(), filesFor(issuers, nil).digest()); diff != "" {
		t.Error("an issuer makes it another process")
	}
	compareGolden(t, "issuers", string(filesFor(issuers, []byte("PEM\n"))[authenticationFile]))
	tier := golden()
	tier.Tier = Tier{Seats: 1700, PodsPerSecond: 167, Database: 16 << 30}
	for name, cfg := range map[string]Config{"namespace": golden(), "host": inHost, "tier": tier} {
		t.Run(name, func(t *testing.T) { compareGolden(t, name, render(cfg)) })
	}
}

// render shows everything that follows from a Config: files, certificates and the process.
func render(cfg Config) string {
	var b strings.Builder
	f := filesFor(cfg, []byte("PEM\n"))
	for _, name := range slices.Sorted(maps.Keys(f)) {
		b.WriteString("---------- " + name + "\n" + string(f[name]))
	}
	b.WriteString("---------- certificates\n")
	for _, leaf := range leavesFor(cfg) {
		b.Write(mustJSON(map[string]any{leaf.pair: leaf.Leaf}))
	}
	spec := specFor(cfg, f)
	spec.Env = slices.DeleteFunc(slices.Clone(spec.Env), func(e string) bool { return strings.HasPrefix(e, "EKSTER_CONFIG=") })
	b.WriteString("---------- process\n")
	b.Write(mustJSON(spec))
	return b.String()
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run the test with -update if this is meant (-want +got):\n%s", diff)
	}
}

// A changed Config must be another process, and an equal one the same.
func TestSpecFollowsConfig(t *testing.T) {
	spec := func(cfg Config) string {
		return strings.Join(specFor(cfg, filesFor(cfg, []byte("PEM\n"))).Env, " ") + cfg.Binary
	}
	if first, second := spec(golden()), spec(golden()); first != second {
		t.Error("the same Config makes different processes")
	}
	for name, change := range map[string]func(*Config){
		"binary":    func(c *Config) { c.Binary = "/opt/ekster/payload/kubernetes/1.36/kube" },
		"listen":    func(c *Config) { c.Listen = netip.MustParseAddrPort("127.61.2.4:443") },
		"netns":     func(c *Config) { c.Netns = "/run/netns/other" },
		"addresses": func(c *Config) { c.Addresses = []netip.Addr{netip.MustParseAddr("10.0.9.9")} },
		"issuer":    func(c *Config) { c.IssuerURL += "D" },
		"socket":    func(c *Config) { c.AuthSocket += "2" },
		"tier":      func(c *Config) { c.Tier.Seats = 1700 },
	} {
		cfg := golden()
		change(&cfg)
		if spec(cfg) == spec(golden()) {
			t.Errorf("another %s makes the same process", name)
		}
	}
	// The API server reads its certificate again by itself.
	cfg := golden()
	cfg.SANs = append(cfg.SANs, "private.example.com")
	if spec(cfg) != spec(golden()) {
		t.Error("another name in the certificate restarts the process")
	}
}

func TestValidate(t *testing.T) {
	if err := golden().validate(); err != nil {
		t.Fatal(err)
	}
	err := Config{Dir: "x", Listen: netip.MustParseAddrPort("10.0.0.1:443")}.validate()
	for _, want := range []string{"directory", "binary", "loopback", "addresses", "service", "issuer", "socket"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention the %s", err, want)
		}
	}
}

func TestFailing(t *testing.T) {
	body := "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac failed: reason withheld\nreadyz check failed\n"
	if got, want := failing(body), ": etcd, poststarthook/rbac"; got != want {
		t.Errorf("failing = %q, want %q", got, want)
	}
}
