package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// issuerHosts are the hosts beyond this machine where OIDC issuers may be: names as they
// are in the issuers' URLs, or *.example.com for all below one. Users of the APIs choose the URLs, and the daemon,
// which is root, is to be no way into the networks around it.
//
//	IAM's providers         loopback addresses, and these. Certificates prove nothing there:
//	                        any server's thumbprint can be registered
//	clusters' providers     loopback addresses, and these; everywhere where none is given,
//	                        since their certificates have to be ones that this host trusts
type issuerHosts []string

var errNotLoopback = errors.New("issuers are only dialled on loopback addresses, and at the hosts of ekster up --allow-issuer")

// CheckIssuerHost says what is wrong with a host of Config.AllowIssuers.
func CheckIssuerHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if name == "" || strings.ContainsAny(name, "*/:@ ") {
		return fmt.Errorf("%q is no host: a name, *.example.com for all names below it, or an address; without scheme, port or path", host)
	}
	return nil
}

func (h issuerHosts) have(host string) bool {
	host = strings.ToLower(host)
	for _, want := range h {
		want = strings.ToLower(want)
		below, wild := strings.CutPrefix(want, "*")
		if host == want || wild && strings.HasSuffix(host, below) {
			return true
		}
	}
	return false
}

// client asks issuers; t says how.
func (h issuerHosts) client(t *http.Transport, timeout time.Duration) *http.Client {
	here := t.Clone()
	here.Proxy = nil
	here.DialContext = (&net.Dialer{Timeout: timeout, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !ap.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("%w: %s", errNotLoopback, address)
		}
		return nil
	}}).DialContext
	return &http.Client{Timeout: timeout, Transport: guarded{h, here, t}}
}

// guarded sends requests for the hosts anywhere, and all others to this machine. Each
// request is looked at by itself: those that a redirection leads to, too.
type guarded struct {
	hosts          issuerHosts
	here, anywhere http.RoundTripper
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.hosts.have(r.URL.Hostname()) {
		return g.anywhere.RoundTrip(r)
	}
	return g.here.RoundTrip(r)
}
