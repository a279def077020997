package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Config is the file that the process reads. Package internal/controlplane writes it.
type Config struct {
	// Dir is the working directory: relative paths below and in flags start there, and etcd keeps its data in etcd/.
	Dir string `json:"dir"`
	// Listen is opened in the namespace the process is started in: a loopback address of the host.
	Listen netip.AddrPort `json:"listen"`
	// Netns is the path of the network namespace to live in; "" means to stay.
	Netns string `json:"netns,omitempty"`
	// GuestListen is opened inside Netns; set if and only if Netns is.
	GuestListen netip.AddrPort `json:"guestListen,omitzero"`
	// AuthSocket is the unix socket of the webhooks' server. It may come and go.
	AuthSocket string `json:"authSocket"`
	// Webhooks are the kubeconfig files to write before the start, file name to path of the URL: the port of the
	// forwarder, which they name, is only known to the process.
	Webhooks map[string]string `json:"webhooks"`
	// Admission is where admission webhooks, whose URLs are objects of the cluster, reach the same socket.
	Admission Admission `json:"admission,omitzero"`
	// CA is the file with the certificate authority that the API server's certificate can be verified by.
	CA string `json:"ca"`
	// EtcdQuota is how many bytes etcd holds; 0 means standardQuota.
	EtcdQuota int64 `json:"etcdQuota,omitempty"`

	APIServer         []string `json:"kube-apiserver"`
	ControllerManager []string `json:"kube-controller-manager"`
	Scheduler         []string `json:"kube-scheduler"`
}

// Admission is a listener with TLS, which the API server asks of admission webhooks. The zero value is none.
type Admission struct {
	Listen netip.AddrPort `json:"listen"` // inside the namespace
	Cert   string         `json:"cert"`   // file
	Key    string         `json:"key"`    // file
}

// LoadConfig reads a Config and refuses what it does not know.
func LoadConfig(file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("reading the control plane's configuration: %w", err)
	}
	var cfg Config
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return Config{}, fmt.Errorf("decoding %s: %w", file, err)
	}
	if err := cfg.validate(); err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", file, err)
	}
	return cfg, nil
}

func (c Config) validate() error {
	var errs []error
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("dir %q is not absolute", c.Dir))
	}
	if !c.Listen.IsValid() {
		errs = append(errs, errors.New("listen is missing"))
	}
	if (c.Netns != "") != c.GuestListen.IsValid() {
		errs = append(errs, errors.New("netns and guestListen belong together"))
	}
	if c.AuthSocket == "" {
		errs = append(errs, errors.New("authSocket is missing"))
	}
	if c.EtcdQuota < 0 {
		errs = append(errs, fmt.Errorf("etcdQuota %d is negative", c.EtcdQuota))
	}
	return errors.Join(errs...)
}

// local is where the parts of the process reach the API server.
func (c Config) local() netip.AddrPort {
	if c.Netns == "" {
		return c.Listen
	}
	if c.GuestListen.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.GuestListen.Port())
	}
	return c.GuestListen
}
