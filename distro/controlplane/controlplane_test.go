package controlplane

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The writer of the file is in another Go module: its goldens are what must be understood here.
func TestLoadsWhatIsWritten(t *testing.T) {
	for _, name := range []string{"namespace", "host", "tier"} {
		golden, err := os.ReadFile("../../internal/controlplane/testdata/" + name + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(golden), "---------- control-plane.json\n")
		if !ok {
			t.Fatalf("%s has no control-plane.json", name)
		}
		config, _, _ := strings.Cut(rest, "----------")
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newOptions(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := map[string]string{"namespace": "127.0.0.1:443", "host": "127.61.2.3:443", "tier": "127.0.0.1:443"}[name]; cfg.local().String() != want {
			t.Errorf("%s: its parts call %s, want %s", name, cfg.local(), want)
		}
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	for name, config := range map[string]string{
		"unknown field": `{"dir": "/x", "listen": "127.0.0.1:1", "authSocket": "/s", "colour": 1}`,
		"relative dir":  `{"dir": "x", "listen": "127.0.0.1:1", "authSocket": "/s"}`,
		"no listener":   `{"dir": "/x", "authSocket": "/s"}`,
		"half a guest":  `{"dir": "/x", "listen": "127.0.0.1:1", "authSocket": "/s", "netns": "/n"}`,
	} {
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := LoadConfig(file); err == nil {
			t.Errorf("%s: accepted as %+v", name, cfg)
		}
	}
}

func TestMergeAcceptsFromAll(t *testing.T) {
	first, second := listenLocal(t), listenLocal(t)
	merged := merge(first, second)
	if merged.Addr() != first.Addr() {
		t.Errorf("address %v, want the first one's, %v", merged.Addr(), first.Addr())
	}
	for _, ln := range []net.Listener{second, first, second} {
		out, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := merged.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if in.LocalAddr().String() != ln.Addr().String() || in.RemoteAddr().String() != out.LocalAddr().String() {
			t.Errorf("accepted %v from %v, want %v", in.LocalAddr(), in.RemoteAddr(), ln.Addr())
		}
		in.Close()
		out.Close()
	}
	if err := merged.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := merged.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	for _, ln := range []net.Listener{first, second} {
		if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%v still listens", ln.Addr())
		}
	}
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// A webhook reaches the daemon through the file that names the forwarder, even one that comes up late.
func TestForwarder(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, AuthSocket: filepath.Join(dir, "s"), Webhooks: map[string]string{"a.kubeconfig": "/authenticate"}}
	ln, err := startForwarder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		time.Sleep(4 * dialEvery) // late, on purpose
		socket, err := net.Listen("unix", cfg.AuthSocket)
		if err != nil {
			t.Error(err)
			return
		}
		http.Serve(socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	}()
	data, err := os.ReadFile(filepath.Join(dir, "a.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Clusters []struct{ Cluster struct{ Server string } }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(file.Clusters[0].Cluster.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, _ := bufio.NewReader(res.Body).ReadString('\n'); line != "/authenticate" {
		t.Errorf("answer %q", line)
	}
}

// An admission webhook reaches the same socket, by TLS with a certificate that may be another one by then.
func TestAdmission(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, AuthSocket: filepath.Join(dir, "s"), Admission: Admission{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Cert: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key"),
	}}
	socket, err := net.Listen("unix", cfg.AuthSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go http.Serve(socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	ln, err := startAdmission(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for range 2 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: writeCertificate(t, cfg.Admission)}, DisableKeepAlives: true}}
		res, err := client.Get("https://" + ln.Addr().String() + "/mutate")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != "/mutate" {
			t.Errorf("answer %q, %v", body, err)
		}
	}
	if none, err := startAdmission(Config{}); none != nil || err != nil {
		t.Errorf("without an address: %v, %v", none, err)
	}
}

// writeCertificate writes a new certificate for 127.0.0.1, and returns who trusts it and no other.
func writeCertificate(t *testing.T, a Admission) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{a.Cert: cert, a.Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func TestPartsEndTogether(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return nil }
	t.Run("a part that ends is the reason", func(t *testing.T) {
		p := newParts(t.Context())
		waiting := p.start("waits", waits)
		p.start("ends", func(context.Context) error { return errors.New("no more disk") })
		if err := p.wait(); err == nil || err.Error() != "ends ended: no more disk" {
			t.Errorf("reason %v", err)
		}
		<-waiting.done
	})
	t.Run("so is one that ends without an error", func(t *testing.T) {
		p := newParts(t.Context())
		p.start("ends", func(context.Context) error { return nil })
		if err := p.wait(); err == nil {
			t.Error("no reason")
		}
	})
	t.Run("told to stop, it leaves them running", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newParts(ctx)
		waiting := p.start("waits", waits)
		cancel()
		if err := p.wait(); !errors.Is(err, errStopped) {
			t.Error(err)
		}
		select {
		case <-waiting.done:
			t.Error("a part was stopped")
		default:
		}
	})
}

func TestPausedListenerFailsNobody(t *testing.T) {
	inner := listenLocal(t)
	m := merge(inner)
	accepted := make(chan error, 1)
	go func() { _, err := m.Accept(); accepted <- err }()
	m.pause()
	if c, err := net.Dial("tcp", inner.Addr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
	if err := m.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) { // by Close, and not by pause
		t.Error(err)
	}
}

func TestBindWaitsForTheDead(t *testing.T) {
	taken := listenLocal(t)
	cfg := Config{Listen: netip.MustParseAddrPort(taken.Addr().String())}
	go func() {
		time.Sleep(100 * time.Millisecond)
		taken.Close()
	}()
	ln, err := cfg.bind()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}
