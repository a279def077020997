package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"ekster.dev/ekster/internal/durable"
)

const (
	caYears   = 10 // EKS's cluster authorities live as long
	leafLife  = 365 * 24 * time.Hour
	leafRenew = leafLife / 4
	// backdate lets a certificate be valid for a peer whose clock is late.
	backdate = 5 * time.Minute
)

// A CA is a certificate authority.
type CA struct {
	Cert *x509.Certificate
	PEM  []byte // Cert, for trust stores
	key  crypto.Signer
	now  func() time.Time
}

// EnsureCA returns the authority kept as name in dir, made at the first call with that common name. A half
// that is missing or does not fit is an error once the certificate exists: others may trust it already.
func EnsureCA(dir, name, commonName string) (*CA, error) {
	cert, err := readCert(CertFile(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return newCA(dir, name, commonName)
	}
	if err != nil {
		return nil, err
	}
	key, err := readKey(KeyFile(dir, name))
	if err != nil {
		return nil, fmt.Errorf("key of authority %s: %w", name, err)
	}
	if !sameKey(cert.PublicKey, key) {
		return nil, fmt.Errorf("authority %s in %s: the key is not the certificate's", name, dir)
	}
	return &CA{Cert: cert, PEM: certPEM(cert), key: key, now: time.Now}, nil
}

func newCA(dir, name, commonName string) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(caYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	ca := &CA{Cert: cert, PEM: certPEM(cert), key: key, now: time.Now}
	if err := writeKey(KeyFile(dir, name), key); err != nil {
		return nil, err
	}
	return ca, durable.WriteFile(CertFile(dir, name), ca.PEM)
}

// A Leaf is what a certificate is to say. Server and Client are what it may be used for.
type Leaf struct {
	CommonName    string
	Organizations []string
	DNSNames      []string
	IPs           []netip.Addr
	Server        bool
	Client        bool
}

// EnsureLeaf returns, as PEM, the certificate and key kept as name in dir, issued anew if there are none, if they
// say something else than leaf, come from another authority or end soon.
func (ca *CA) EnsureLeaf(dir, name string, leaf Leaf) (cert, key []byte, err error) {
	have, certErr := readCert(CertFile(dir, name))
	signer, keyErr := readKey(KeyFile(dir, name))
	if certErr != nil || keyErr != nil || !ca.fits(have, signer, leaf) {
		if have, signer, err = ca.issue(dir, name, leaf); err != nil {
			return nil, nil, fmt.Errorf("issuing certificate %s: %w", name, err)
		}
	}
	if key, err = keyPEM(signer); err != nil {
		return nil, nil, fmt.Errorf("key of certificate %s: %w", name, err)
	}
	return certPEM(have), key, nil
}

func (ca *CA) issue(dir, name string, leaf Leaf) (*x509.Certificate, crypto.Signer, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		DNSNames:              leaf.DNSNames,
		IPAddresses:           leaf.ips(),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           leaf.usages(),
		BasicConstraintsValid: true,
	}
	cert, err := sign(template, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	if err := writeKey(KeyFile(dir, name), key); err != nil {
		return nil, nil, err
	}
	return cert, key, durable.WriteFile(CertFile(dir, name), certPEM(cert))
}

// fits says whether a certificate and key that were found serve as leaf.
func (ca *CA) fits(cert *x509.Certificate, key crypto.Signer, leaf Leaf) bool {
	return sameKey(cert.PublicKey, key) &&
		cert.CheckSignatureFrom(ca.Cert) == nil &&
		cert.NotAfter.Sub(ca.now()) > leafRenew &&
		cert.Subject.CommonName == leaf.CommonName &&
		slices.Equal(cert.Subject.Organization, leaf.Organizations) &&
		slices.Equal(cert.DNSNames, leaf.DNSNames) &&
		slices.EqualFunc(cert.IPAddresses, leaf.ips(), net.IP.Equal) &&
		slices.Equal(cert.ExtKeyUsage, leaf.usages())
}

func (l Leaf) ips() []net.IP {
	var ips []net.IP
	for _, ip := range l.IPs {
		ips = append(ips, net.IP(ip.AsSlice()))
	}
	return ips
}

func (l Leaf) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if l.Server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if l.Client {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}

func sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func sameKey(pub crypto.PublicKey, key crypto.Signer) bool {
	p, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(key.Public())
}
