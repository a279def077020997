package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A cgroup is one of our own in every hierarchy of the host, below which a kubelet makes
// those of its pods.
type cgroup struct {
	name string
	dirs []string
}

func newCgroup() (*cgroup, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	g := &cgroup{name: fmt.Sprint("ekster-bench-", os.Getpid())}
	for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
		left, right, _ := strings.Cut(s.Text(), " - ")
		l := strings.Fields(left)
		if len(l) < 5 || !strings.HasPrefix(right, "cgroup") {
			continue
		}
		dir := filepath.Join(l[4], g.name)
		if slices.Contains(g.dirs, dir) {
			continue
		}
		g.dirs = append(g.dirs, dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, g.remove())
		}
		// v1: without processors nothing could run there.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(l[4], file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), have, 0)
			}
			if err != nil {
				return nil, errors.Join(err, g.remove())
			}
		}
	}
	return g, nil
}

// remove deletes the cgroups, inner ones first.
func (g *cgroup) remove() error {
	var errs []error
	for _, root := range g.dirs {
		var all []string
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				all = append(all, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, dir := range slices.Backward(all) {
			if err := os.Remove(dir); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
