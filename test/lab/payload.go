package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// Broken is what a broken control plane says before it ends.
const Broken = "this control plane is broken on purpose"

// OwnPayload has the daemon, which is not started yet, work from a payload of its own: links
// in dir to what is built, so that Break can put something else in a version's place.
func (d *Daemon) OwnPayload(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "kubernetes"), 0o755); err != nil {
		return err
	}
	parts := []string{"node", "images"}
	for _, v := range d.Versions() {
		parts = append(parts, filepath.Join("kubernetes", v))
	}
	for _, part := range parts {
		if err := os.Symlink(filepath.Join(d.payload(), part), filepath.Join(dir, part)); err != nil {
			return err
		}
	}
	d.own, d.Flags = dir, append(d.Flags, "--payload", dir)
	return nil
}

// Break has control planes of a version end as soon as they are started, until mend is called.
func (d *Daemon) Break(minor string) (mend func() error, err error) {
	if d.own == "" {
		return nil, fmt.Errorf("the daemon has no payload of its own to break")
	}
	link := filepath.Join(d.own, "kubernetes", minor)
	whole, err := os.Readlink(link)
	if err != nil {
		return nil, err
	}
	version, err := os.ReadFile(filepath.Join(whole, "version"))
	if err != nil {
		return nil, err
	}
	if err := os.Remove(link); err != nil {
		return nil, err
	}
	if err := os.Mkdir(link, 0o755); err != nil {
		return nil, err
	}
	script := "#!/bin/sh\necho '" + Broken + "' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(link, "kube"), []byte(script), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(link, "version"), version, 0o644); err != nil {
		return nil, err
	}
	return func() error {
		if err := os.RemoveAll(link); err != nil {
			return err
		}
		return os.Symlink(whole, link)
	}, nil
}
