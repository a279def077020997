package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var server = Leaf{
	CommonName:    "kube-apiserver",
	Organizations: []string{"one", "two"},
	DNSNames:      []string{"kubernetes.default.svc"},
	IPs:           []netip.Addr{netip.MustParseAddr("10.100.0.1")},
	Server:        true,
}

func newTestCA(t *testing.T) (*CA, string) {
	t.Helper()
	dir := t.TempDir()
	ca, err := EnsureCA(dir, "ca", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	return ca, dir
}

func TestCAIsMadeOnceForTenYears(t *testing.T) {
	ca, dir := newTestCA(t)
	again, err := EnsureCA(dir, "ca", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ca.PEM, again.PEM) {
		t.Error("a second EnsureCA made another authority")
	}
	if got := time.Until(ca.Cert.NotAfter); got < (10*365-1)*24*time.Hour {
		t.Errorf("authority lives %v, want ten years", got)
	}
	info, err := os.Stat(KeyFile(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %v, want 0600", info.Mode().Perm())
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files left: %v %v", left, err)
	}
}

func TestCAIsNeverReplaced(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"key missing": func(t *testing.T, dir string) { must(t, os.Remove(KeyFile(dir, "ca"))) },
		"key of another": func(t *testing.T, dir string) {
			_, other := newTestCA(t)
			must(t, os.Rename(KeyFile(other, "ca"), KeyFile(dir, "ca")))
		},
		"certificate broken": func(t *testing.T, dir string) { must(t, os.WriteFile(CertFile(dir, "ca"), nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := newTestCA(t)
			spoil(t, dir)
			if _, err := EnsureCA(dir, "ca", "kubernetes"); err == nil {
				t.Error("EnsureCA accepted it")
			}
		})
	}
	t.Run("a key without certificate was never used", func(t *testing.T) {
		_, dir := newTestCA(t)
		must(t, os.Remove(CertFile(dir, "ca")))
		if _, err := EnsureCA(dir, "ca", "kubernetes"); err != nil {
			t.Error(err)
		}
	})
}

func TestLeafVerifies(t *testing.T) {
	ca, dir := newTestCA(t)
	if _, _, err := ca.EnsureLeaf(dir, "apiserver", server); err != nil {
		t.Fatal(err)
	}
	cert, err := readCert(CertFile(dir, "apiserver"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	for _, name := range []string{"kubernetes.default.svc", "10.100.0.1"} {
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
	asClient := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := cert.Verify(asClient); err == nil {
		t.Error("a server's certificate serves as a client's")
	}
}

func TestLeafIsReissuedOnlyWhenItMust(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, ca *CA, dir string, l *Leaf)
		same   bool
	}{
		"nothing changed": {func(*testing.T, *CA, string, *Leaf) {}, true},
		"half its life":   {func(t *testing.T, ca *CA, _ string, _ *Leaf) { later(ca, leafLife/2) }, true},
		"ends soon":       {func(t *testing.T, ca *CA, _ string, _ *Leaf) { later(ca, leafLife-leafRenew+time.Hour) }, false},
		"another name":    {func(_ *testing.T, _ *CA, _ string, l *Leaf) { l.CommonName = "x" }, false},
		"more addresses": {func(_ *testing.T, _ *CA, _ string, l *Leaf) {
			l.IPs = append([]netip.Addr{netip.MustParseAddr("10.0.0.5")}, l.IPs...)
		}, false},
		"other use":   {func(_ *testing.T, _ *CA, _ string, l *Leaf) { l.Client = true }, false},
		"key missing": {func(t *testing.T, _ *CA, dir string, _ *Leaf) { must(t, os.Remove(KeyFile(dir, "leaf"))) }, false},
		"another authority": {func(t *testing.T, ca *CA, _ string, _ *Leaf) {
			other, _ := newTestCA(t)
			*ca = *other
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ca, dir := newTestCA(t)
			leaf := server
			first, _, err := ca.EnsureLeaf(dir, "leaf", leaf)
			must(t, err)
			tt.change(t, ca, dir, &leaf)
			second, key, err := ca.EnsureLeaf(dir, "leaf", leaf)
			must(t, err)
			if same := bytes.Equal(first, second); same != tt.same {
				t.Errorf("kept = %v, want %v", same, tt.same)
			}
			onDisk, err := os.ReadFile(KeyFile(dir, "leaf"))
			must(t, err)
			if !bytes.Equal(onDisk, key) {
				t.Error("the key returned is not the one on disk")
			}
		})
	}
}

func TestJWKS(t *testing.T) {
	dir := t.TempDir()
	key, err := EnsureRSAKey(dir, "sa")
	must(t, err)
	again, err := EnsureRSAKey(dir, "sa")
	must(t, err)
	if !key.Equal(again) {
		t.Fatal("a second EnsureRSAKey made another key")
	}
	data, err := JWKS(&key.PublicKey)
	must(t, err)
	var set struct{ Keys []map[string]string }
	must(t, json.Unmarshal(data, &set))
	id, err := KeyID(&key.PublicKey)
	must(t, err)
	if len(set.Keys) != 1 || set.Keys[0]["kid"] != id || set.Keys[0]["alg"] != "RS256" || set.Keys[0]["e"] != "AQAB" {
		t.Errorf("key set %s", data)
	}
}

func later(ca *CA, d time.Duration) {
	ca.now = func() time.Time { return time.Now().Add(d) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
