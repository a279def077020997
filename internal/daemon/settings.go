package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ekster.dev/ekster/internal/durable"
	"ekster.dev/ekster/internal/pki"
)

// Settings are what a state directory remembers of how its daemon was first started.
// They name things on the host, so they do not change afterwards.
type Settings struct {
	Prefix   string       `json:"prefix"`   // of everything on the host: namespaces, cgroups
	Account  string       `json:"account"`  // the default account's id
	Port     int          `json:"port"`     // of the front door, on 127.0.0.1
	Loopback netip.Prefix `json:"loopback"` // where endpoints get their addresses
	// Epoch counts the times that `ekster down` has stopped everything: machines booted
	// in an earlier epoch were stopped and are started again, those of this one that do
	// not run have died.
	Epoch int `json:"epoch"`
}

// Public is where instances get their public addresses: the half of Loopback that
// endpoints, which start from the other end, do not come to.
func (s Settings) Public() netip.Prefix {
	a := s.Loopback.Masked().Addr().As4()
	a[2] |= 128
	return netip.PrefixFrom(netip.AddrFrom4(a), 17)
}

// DefaultPort and DefaultAccount are what a new state directory gets.
const (
	DefaultPort    = 4566
	DefaultAccount = "000000000000"
)

// A Dir is a state directory:
//
//	config.json               Settings
//	root-credentials.json     the root user's access key, mode 0600
//	tls/                      the authority of the front door and its certificate
//	etcd/                     the records (package store)
//	registry/                 images that were loaded (package image)
//	clusters/<hex>/           a control plane each (package controlplane)
//	instances/<id>/           a machine each (package machine)
//	run/                      sockets, and the daemon's own process record
//	log/daemon.log
type Dir string

func (d Dir) join(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Log is the daemon's log file.
func (d Dir) Log() string { return d.join("log", "daemon.log") }

// Run is the directory of sockets and process records.
func (d Dir) Run() string { return d.join("run") }

// Socket is where the running daemon answers `ekster status`.
func (d Dir) Socket() string { return d.join("run", "daemon.sock") }

// Clusters is the directory of control planes.
func (d Dir) Clusters() string { return d.join("clusters") }

// Instances is the directory of machines.
func (d Dir) Instances() string { return d.join("instances") }

// Registry is the directory of loaded images.
func (d Dir) Registry() string { return d.join("registry") }

// CA is the PEM file of the authority that signed the front door's certificate.
func (d Dir) CA() string { return pki.CertFile(d.join("tls"), "ca") }

// Credentials are the root user's.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	Account         string `json:"account"`
}

// Credentials reads the root user's access key; the error wraps fs.ErrNotExist before
// the first start.
func (d Dir) Credentials() (Credentials, error) {
	var c Credentials
	return c, d.read("root-credentials.json", &c)
}

// Settings reads the settings; the error wraps fs.ErrNotExist before the first start.
func (d Dir) Settings() (Settings, error) {
	var s Settings
	return s, d.read("config.json", &s)
}

func (d Dir) read(name string, into any) error {
	raw, err := os.ReadFile(d.join(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("reading %s: %w", d.join(name), err)
	}
	return nil
}

func (d Dir) write(name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.join(name), append(raw, '\n'))
}

// ensureSettings reads the settings, or makes them from the wishes of the first start.
// A later start may change the port: nothing that outlives the daemon knows it.
func (d Dir) ensureSettings(port int, account string) (Settings, error) {
	s, err := d.Settings()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	if err == nil {
		if account != "" && account != s.Account {
			return s, fmt.Errorf("%s belongs to account %s and cannot become one of account %s", d, s.Account, account)
		}
		if port == 0 || port == s.Port {
			return s, nil
		}
		s.Port = port
		return s, d.write("config.json", s)
	}
	abs, err := filepath.Abs(string(d))
	if err != nil {
		return s, err
	}
	h := fnv.New32a()
	h.Write([]byte(abs))
	sum := h.Sum32()
	s = Settings{
		Prefix: fmt.Sprintf("ek%04x", sum&0xffff), Account: account, Port: port,
		// 127.64.0.0 to 127.191.0.0: away from what people use by hand, and from Debian's 127.0.1.1.
		Loopback: netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(64 + sum>>16&127), 0, 0}), 16),
	}
	if s.Account == "" {
		s.Account = DefaultAccount
	}
	if s.Port == 0 {
		s.Port = DefaultPort
	}
	if len(s.Account) != 12 || strings.Trim(s.Account, "0123456789") != "" {
		return s, fmt.Errorf("an account id has 12 digits, not %q", s.Account)
	}
	return s, d.write("config.json", s)
}

// NextEpoch records that everything has been stopped on purpose.
func (d Dir) NextEpoch() error {
	s, err := d.Settings()
	if err != nil {
		return err
	}
	s.Epoch++
	return d.write("config.json", s)
}
