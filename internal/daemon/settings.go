package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"

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
//	root-credentials.json     the root user's access key, mode 0600; of who ran `sudo ekster up`
//	tls/                      the authority of the front door and its certificate
//	etcd/                     the records (package store)
//	registry/                 images that were loaded (package image)
//	clusters/<hex>/           a control plane each (package controlplane)
//	instances/<id>/           a machine each (package machine)
//	run/                      sockets, and the daemon's own process record
//	log/daemon.log            and daemon.log.1, the one before
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
	return c, d.read(credentialsFile, &c)
}

// Settings reads the settings; the error wraps fs.ErrNotExist before the first start, and
// ErrNotOurs if somebody else has a file of that name there.
func (d Dir) Settings() (Settings, error) {
	var s Settings
	if err := d.read(settingsFile, &s); err != nil {
		return Settings{}, err
	}
	if err := s.check(); err != nil {
		return Settings{}, fmt.Errorf("%s %w: %s has the %w", d, ErrNotOurs, settingsFile, err)
	}
	return s, nil
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

// settingsFor reads the settings, or makes them from the wishes of the first start; they are
// not kept yet. A later start may change the port: nothing that outlives the daemon knows it.
// Of the names on the host that the path of the directory gives, the first are taken that
// are not taken.
func (d Dir) settingsFor(port int, account string, taken func(Settings) (bool, error)) (Settings, error) {
	s, err := d.Settings()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	if err == nil {
		if account != "" && account != s.Account {
			return s, fmt.Errorf("%s belongs to account %s and cannot become one of account %s", d, s.Account, account)
		}
		s.Port = cmp.Or(port, s.Port)
		return s, nil
	}
	abs, err := filepath.Abs(string(d))
	if err != nil {
		return s, err
	}
	s = Settings{Account: cmp.Or(account, DefaultAccount), Port: cmp.Or(port, DefaultPort)}
	if err := CheckAccount(s.Account); err != nil {
		return s, err
	}
	for try := range 100 {
		h := fnv.New32a()
		h.Write([]byte(abs))
		if try > 0 {
			fmt.Fprintf(h, "\x00%d", try)
		}
		sum := h.Sum32()
		s.Prefix = fmt.Sprintf("ek%04x", sum&0xffff)
		// 127.64.0.0 to 127.191.0.0: away from what people use by hand, and from Debian's 127.0.1.1.
		s.Loopback = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, byte(64 + sum>>16&127), 0, 0}), 16)
		if other, err := taken(s); err != nil || !other {
			return s, err
		}
	}
	return s, errors.New("other daemons have all names that this one could have on this host")
}

// keep writes the settings unless they are what is there.
func (d Dir) keep(s Settings) error {
	if have, err := d.Settings(); err == nil && have == s {
		return nil
	}
	return d.writeSettings(s)
}

// writeSettings lets everybody read them whom the directory lets in: there is no secret in
// them, and `ekster env` needs the port.
func (d Dir) writeSettings(s Settings) error {
	if err := d.write(settingsFile, s); err != nil {
		return err
	}
	return os.Chmod(d.join(settingsFile), 0o644)
}

// NextEpoch records that everything has been stopped on purpose.
func (d Dir) NextEpoch() error {
	s, err := d.Settings()
	if err != nil {
		return err
	}
	s.Epoch++
	return d.writeSettings(s)
}
