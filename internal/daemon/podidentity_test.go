package daemon

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/pki"
	"ekster.dev/ekster/internal/resource"
)

// The address of a deleted cluster is the next one's, whose authority is another.
func TestAPIServersAtAnAddressThatIsUsedAgain(t *testing.T) {
	var cfg rest.Config
	s := &apiServers{api: func(resource.Cluster) (*rest.Config, error) { return &cfg, nil }, clients: map[string]apiClient{}}
	address := ""
	for _, name := range []string{"first", "second"} {
		dir := t.TempDir()
		ca, err := pki.EnsureCA(dir, "ca", name)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := ca.EnsureLeaf(dir, "server", pki.Leaf{CommonName: name, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", cmp.Or(address, "127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		address = listener.Addr().String()
		srv := &httptest.Server{Listener: listener, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Config: &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"metadata":{"annotations":{"cluster":%q}}}`, name)
			}),
		}}
		srv.StartTLS()
		cfg = rest.Config{Host: "https://" + address, TLSClientConfig: rest.TLSClientConfig{CAData: ca.PEM}}
		for range 2 {
			have, err := s.annotations(t.Context(), resource.Cluster{}, "default", "app")
			if err != nil || have["cluster"] != name {
				t.Errorf("%s: %v, %v", name, have, err)
			}
		}
		srv.Close()
	}
	if len(s.clients) != 1 {
		t.Errorf("%d clients are kept", len(s.clients))
	}
}
