package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Payload is the directory of what clusters are made of: Kubernetes by minor version,
// the node runtime, and the images that every cluster needs.
type Payload string

// FindPayload is the payload beside the running program, unless dir names another.
func FindPayload(dir string) (Payload, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		return Payload(abs), err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return Payload(filepath.Join(filepath.Dir(self), "payload")), nil
}

// Kubernetes returns the directory of a minor version's programs, if it is there.
func (p Payload) Kubernetes(minor string) (string, bool) {
	dir := filepath.Join(string(p), "kubernetes", minor)
	_, err := os.Stat(filepath.Join(dir, "version"))
	return dir, err == nil
}

// Binary returns a minor version's multi-call program, if it is there.
func (p Payload) Binary(minor string) (string, bool) {
	dir, ok := p.Kubernetes(minor)
	return filepath.Join(dir, "kube"), ok
}

// Version is a minor version's full one, as v1.35.4-eks-0a1b2c3.
func (p Payload) Version(minor string) (string, error) {
	dir, _ := p.Kubernetes(minor)
	raw, err := os.ReadFile(filepath.Join(dir, "version"))
	return strings.TrimSpace(string(raw)), err
}

// Minors are the versions that are there, oldest first.
func (p Payload) Minors() []string {
	entries, err := os.ReadDir(filepath.Join(string(p), "kubernetes"))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if _, ok := p.Kubernetes(e.Name()); ok {
			out = append(out, e.Name())
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // 1.9 before 1.10
		}
		return strings.Compare(a, b)
	})
	return out
}

// Node is the directory of the node runtime.
func (p Payload) Node() string { return filepath.Join(string(p), "node") }

// Images is the layout of the images.
func (p Payload) Images() string { return filepath.Join(string(p), "images") }
