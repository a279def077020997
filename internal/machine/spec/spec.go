// Package spec is the file by which package machine tells machine-init, the
// first process of an instance, what the instance is made of. Both sides are
// built from it, so it imports next to nothing.
//
// What the instance is to do (its user data, its role) is not in it: that
// comes from the instance metadata service, as it does on EC2.
package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ekster.dev/ekster/internal/durable"
)

// An Instance is the hardware and the place of one instance.
type Instance struct {
	ID        string `json:"id"`
	Hostname  string `json:"hostname"` // the private DNS name
	Region    string `json:"region"`
	VCPU      int    `json:"vcpu"`
	MemoryMiB int    `json:"memoryMiB"`
	MaxPods   int    `json:"maxPods"` // by the ENI formula; 0: unknown type

	Root   string `json:"root"`   // directory on the host that becomes /
	Disk   string `json:"disk"`   // image of an ext4 file system mounted there; "": the directory is the disk
	Cgroup string `json:"cgroup"` // below the root of each hierarchy, "/ekster-x/i-1"
	Node   string `json:"node"`   // directory with containerd, runc, machine-init
	Kube   string `json:"kube"`   // directory with kube; "": no kubelet
	// Bottlerocket says that user data is Bottlerocket's settings.
	Bottlerocket bool     `json:"bottlerocket,omitempty"`
	Mirror       string   `json:"mirror"` // URL of the registry that mirrors all others
	Pause        string   `json:"pause"`  // the sandbox image
	NameServers  []string `json:"nameServers"`
	Domains      []string `json:"domains"` // searched for names without a dot
	Trusted      string   `json:"trusted"` // PEM certificates, besides the host's
}

// How an instance has ended itself, as its pid 1 notes it in the EndingFile.
const (
	PoweredOff = "power off"
	Rebooted   = "reboot"
)

// EndingFile is where machine-init notes how the instance in dir has ended in order; it is
// empty while it runs, and if it dies.
func EndingFile(dir string) string { return filepath.Join(dir, "ending") }

// Write stores i in file, whole or not at all.
func Write(file string, i Instance) error {
	raw, err := json.MarshalIndent(i, "", "\t")
	if err != nil {
		return err
	}
	return durable.WriteFile(file, raw)
}

// ErrTorn says that a file holds no Instance.
var ErrTorn = errors.New("it holds no description of an instance")

// Read loads what Write stored; the error wraps ErrTorn if the file is not what Write writes.
func Read(file string) (Instance, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return Instance{}, err
	}
	var i Instance
	if err := json.Unmarshal(raw, &i); err != nil {
		return Instance{}, fmt.Errorf("reading %s: %w: %w", file, ErrTorn, err)
	}
	return i, nil
}
