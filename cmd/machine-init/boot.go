package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// boot is the first stage: it goes into the instance's cgroup, which package
// machine has made, and from there into a cgroup namespace, in which that
// cgroup is the root.
func boot(specFile string) error {
	console("power on, %s", powerOn.UTC().Format(time.RFC3339Nano))
	i, err := spec.Read(specFile)
	if err != nil {
		return fmt.Errorf("reading the instance: %w", err)
	}
	hierarchies, err := cgroups()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		procs := filepath.Join(h.mount, i.Cgroup, "cgroup.procs")
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return fmt.Errorf("joining cgroup %s: %w", i.Cgroup, err)
		}
	}
	// unshare acts on this thread alone; what the exec leaves is this thread.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("taking a cgroup namespace: %w", err)
	}
	env := append(os.Environ(), powerOnVar+"="+powerOn.Format(time.RFC3339Nano))
	self := filepath.Join(i.Node, "machine-init") // not /proc/self/exe, lest ps says "exe"
	err = syscall.Exec(self, []string{"machine-init", "root", specFile}, env)
	return fmt.Errorf("executing the next stage: %w", err)
}

// A hierarchy is one mounted cgroup tree.
type hierarchy struct {
	mount   string
	options string // of a v1 mount: controllers or name=; "" is v2
}

// cgroups lists the mounted hierarchies of this mount namespace, each once.
func cgroups() ([]hierarchy, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseCgroups(raw)
}

func parseCgroups(mountinfo []byte) ([]hierarchy, error) {
	var all []hierarchy
	seen := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		left, right, ok := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 || (r[0] != "cgroup" && r[0] != "cgroup2") {
			continue
		}
		h := hierarchy{mount: l[4]}
		if r[0] == "cgroup" {
			h.options = controllers(r[2])
		}
		if !seen[h.options] {
			seen[h.options] = true
			all = append(all, h)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy is mounted")
	}
	return all, nil
}

// controllers takes from a v1 mount's super block options what names the
// hierarchy.
func controllers(options string) string {
	var keep []string
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "rw", "ro", "xattr", "none", "noprefix", "clone_children", "cpuset_v2_mode", "seclabel":
		default:
			if !strings.HasPrefix(o, "release_agent=") {
				keep = append(keep, o)
			}
		}
	}
	return strings.Join(keep, ",")
}
