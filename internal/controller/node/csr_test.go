package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"testing"

	certificates "k8s.io/api/certificates/v1"
)

// request is a kubelet's, for one user and with what change alters.
func request(t *testing.T, user string, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: []string{"system:nodes"}}}
	change(x)
	der, err := x509.CreateCertificateRequest(rand.Reader, x, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestCheckRequest(t *testing.T) {
	st := newStore(t)
	const ip = "10.0.1.2"
	putInstance(t, st, "i-1", ip, "running")
	putInstance(t, st, "i-2", "10.0.1.3", "terminated")
	c := New(Config{Store: st})
	name := dns(ip)
	usages := []certificates.KeyUsage{"digital signature", "key encipherment", "server auth"}
	names := func(dns []string, ips ...string) func(*x509.CertificateRequest) {
		return func(x *x509.CertificateRequest) {
			x.DNSNames = dns
			for _, i := range ips {
				x.IPAddresses = append(x.IPAddresses, net.ParseIP(i))
			}
		}
	}
	good := names([]string{name}, ip)
	for what, c2 := range map[string]struct {
		user   string
		groups []string
		usages []certificates.KeyUsage
		change func(*x509.CertificateRequest)
		ok     bool
	}{
		"good":              {nodeUser + name, []string{"system:nodes", "system:authenticated"}, usages, good, true},
		"name only":         {nodeUser + name, []string{"system:nodes"}, usages, names([]string{name}), true},
		"secondary address": {nodeUser + name, []string{"system:nodes"}, usages, names([]string{name}, ip, secondary.String()), true},
		"a person":          {"jane", []string{"system:nodes"}, usages, good, false},
		"not in the group":  {nodeUser + name, []string{"system:authenticated"}, usages, good, false},
		"no instance":       {nodeUser + dns("10.0.1.4"), []string{"system:nodes"}, usages, names([]string{dns("10.0.1.4")}), false},
		"terminated":        {nodeUser + dns("10.0.1.3"), []string{"system:nodes"}, usages, names([]string{dns("10.0.1.3")}), false},
		"another's name":    {nodeUser + name, []string{"system:nodes"}, usages, names([]string{name, "kubernetes.default.svc"}, ip), false},
		"another's address": {nodeUser + name, []string{"system:nodes"}, usages, names([]string{name}, ip, "10.0.1.3"), false},
		"no names":          {nodeUser + name, []string{"system:nodes"}, usages, names(nil), false},
		"an e-mail address": {nodeUser + name, []string{"system:nodes"}, usages, func(x *x509.CertificateRequest) {
			good(x)
			x.EmailAddresses = []string{"a@b"}
		}, false},
		"a URI": {nodeUser + name, []string{"system:nodes"}, usages, func(x *x509.CertificateRequest) {
			good(x)
			x.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}}
		}, false},
		"another subject": {nodeUser + name, []string{"system:nodes"}, usages, func(x *x509.CertificateRequest) {
			good(x)
			x.Subject.CommonName = "system:node:another"
		}, false},
		"another organization": {nodeUser + name, []string{"system:nodes"}, usages, func(x *x509.CertificateRequest) {
			good(x)
			x.Subject.Organization = []string{"system:nodes", "system:masters"}
		}, false},
		"client auth":    {nodeUser + name, []string{"system:nodes"}, append(usages[:3:3], "client auth"), good, false},
		"no server auth": {nodeUser + name, []string{"system:nodes"}, usages[:2], good, false},
	} {
		r := &certificates.CertificateSigningRequest{Spec: certificates.CertificateSigningRequestSpec{
			Username: c2.user, Groups: c2.groups, Usages: c2.usages, Request: request(t, c2.user, c2.change),
		}}
		if err := c.check(arn, r); (err == nil) != c2.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.check(arn, &certificates.CertificateSigningRequest{Spec: certificates.CertificateSigningRequestSpec{
		Username: nodeUser + name, Groups: []string{"system:nodes"}, Usages: usages, Request: []byte("no PEM"),
	}}); err == nil {
		t.Error("what is no PEM is approved")
	}
}

// A kubelet gets its certificate; what asks for more is left to people.
func testCertificates(t *testing.T, w *world) {
	_, nodeName := w.launch()
	const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	ask := func(name string, change func(*x509.CertificateRequest)) {
		t.Helper()
		code, got := w.try(nodeUser+nodeName, http.MethodPost, path, object{
			"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": object{"name": name},
			"spec": object{
				"signerName": "kubernetes.io/kubelet-serving", "usages": []string{"digital signature", "server auth"},
				"request": request(t, nodeUser+nodeName, change),
			},
		})
		if code != http.StatusCreated {
			t.Fatalf("a node's request is answered %d %v", code, got["message"])
		}
	}
	ask("too-much", func(x *x509.CertificateRequest) { x.DNSNames = []string{nodeName, "kubernetes.default.svc"} })
	ask("good", func(x *x509.CertificateRequest) {
		x.DNSNames, x.IPAddresses = []string{nodeName}, []net.IP{net.ParseIP(address(nodeName))}
	})
	eventually(t, "the certificate is issued", func() bool { return field(w.get(path+"/good"), "status", "certificate") != nil })
	if got := field(w.get(path+"/too-much"), "status", "conditions"); got != nil {
		t.Errorf("a request for another's name has %v", got)
	}
}
