// Package pki makes the certificates and keys of control planes and of the daemon, and keeps them as PEM files:
//
//	<dir>/<name>.key   private key, PKCS #8, mode 0600; written first
//	<dir>/<name>.crt   certificate; so where there is a certificate, there is its key
//
// Everything is made once and found again: an authority for ten years, never replaced (a broken one is an error);
// a leaf for a year, replaced when it no longer says what is asked for or has less than a quarter of its time left.
//
// Certificates have ECDSA P-256 keys. Service accounts' tokens are signed with RSA 2048, as on EKS, whose issuers'
// key sets relying parties expect to hold RS256 keys.
//
// The package does not revoke, and does not tell anyone that a file was replaced.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"ekster.dev/ekster/internal/durable"
)

const (
	keyBlock  = "PRIVATE KEY"
	certBlock = "CERTIFICATE"
)

// KeyFile is where the key of the pair called name lies in dir.
func KeyFile(dir, name string) string { return filepath.Join(dir, name+".key") }

// CertFile is where its certificate lies.
func CertFile(dir, name string) string { return filepath.Join(dir, name+".crt") }

// EnsureRSAKey returns the RSA 2048 key kept in <dir>/<name>.key, made at the first call.
func EnsureRSAKey(dir, name string) (*rsa.PrivateKey, error) {
	file := KeyFile(dir, name)
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		made, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("generating %s: %w", file, err)
		}
		return made, writeKey(file, made)
	}
	if err != nil {
		return nil, err
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key %s is a %T, not an RSA key", file, key)
	}
	return rsaKey, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// newSerial returns a random positive serial number of 127 bits.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func readKey(file string) (crypto.Signer, error) {
	der, err := readPEM(file, keyBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parsing key %s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s, a %T, cannot sign", file, key)
	}
	return signer, nil
}

func writeKey(file string, key crypto.Signer) error {
	data, err := keyPEM(key)
	if err != nil {
		return fmt.Errorf("encoding key %s: %w", file, err)
	}
	return durable.WriteFile(file, data)
}

func keyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

func readCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, certBlock)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing certificate %s: %w", file, err)
	}
	return cert, nil
}

func readPEM(file, kind string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err // names the file
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s", file, kind)
	}
	return block.Bytes, nil
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: cert.Raw})
}
