package machine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A hierarchy is one mounted cgroup tree: every v1 controller has one, v2 has
// one for all, and a host may have both.
type hierarchy struct {
	mount string
	v2    bool
}

func cgroupPath(c Config) string { return filepath.Join("/", c.CgroupParent, c.ID) }

// ensureCgroups makes the instance's cgroup in every hierarchy and sets its
// limits: all of its memory, and no more processor time than it has vCPUs.
func ensureCgroups(c Config) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		parent := filepath.Join(h.mount, c.CgroupParent)
		dir := filepath.Join(h.mount, cgroupPath(c))
		if err := makeCgroup(dir); err != nil {
			return err
		}
		for _, d := range []string{parent, dir} {
			if err := prepare(h, d); err != nil {
				return err
			}
		}
		for file, value := range limits(c, runtime.NumCPU()) {
			err := set(filepath.Join(dir, file), value)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // the file of another hierarchy
				return fmt.Errorf("setting %s to %s: %w", file, value, err)
			}
		}
	}
	return nil
}

// makeCgroup tries again when the removal of the last other instance took the
// parent away in between.
func makeCgroup(dir string) error {
	var err error
	for range 5 {
		if err = os.MkdirAll(dir, 0o755); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// prepare makes a new cgroup fit for members and children.
func prepare(h hierarchy, dir string) error {
	if h.v2 {
		return delegate(filepath.Dir(dir))
	}
	// A new v1 cpuset is empty, and takes no members.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(have)) > 0 {
			continue
		}
		parents, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := set(filepath.Join(dir, file), string(parents)); err != nil {
			return fmt.Errorf("copying %s: %w", file, err)
		}
	}
	return nil
}

// delegate gives dir's children all controllers that dir has (v2).
func delegate(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(have)) {
		if err := set(filepath.Join(dir, "cgroup.subtree_control"), "+"+c); err != nil {
			return fmt.Errorf("delegating %s: %w", c, err)
		}
	}
	return nil
}

// set writes a cgroup's file, and does not try to make it where there is none.
func set(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// limits are the files to write, v1's and v2's names alike.
func limits(c Config, hostCPUs int) map[string]string {
	const period = 100000
	memory := strconv.FormatInt(int64(c.MemoryMiB)<<20, 10)
	l := map[string]string{
		"memory.limit_in_bytes": memory,
		"memory.max":            memory,
		"cpu.cfs_quota_us":      "-1",
		"cpu.max":               "max",
	}
	if c.VCPU < hostCPUs {
		l["cpu.cfs_quota_us"] = strconv.Itoa(c.VCPU * period)
		l["cpu.max"] = fmt.Sprintf("%d %d", c.VCPU*period, period)
	}
	return l
}

// removeCgroups kills what is left in the cgroup at path, in all hierarchies
// and below, and removes it; then its parent, if that was the last one in it.
func removeCgroups(ctx context.Context, path string) error {
	if path == "" || path == "/" {
		return nil
	}
	all, err := hierarchies()
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var last error
		for _, h := range all {
			if err := removeTree(filepath.Join(h.mount, path)); err != nil {
				last = err
			}
		}
		if last == nil {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(last, ctx.Err())
		case <-tick.C:
		}
	}
	for _, h := range all {
		// Another instance is in it, then: not an error.
		err := unix.Rmdir(filepath.Join(h.mount, filepath.Dir(path)))
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// removeTree removes dir and the cgroups in it, children first, killing their
// members. It may fail while these are dying.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for f := range strings.FieldsSeq(string(raw)) {
		pid, err := strconv.Atoi(f)
		if err != nil || pid <= 1 {
			continue // 0: of a foreign pid namespace
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("killing %d: %w", pid, err)
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "removing cgroup", Path: dir, Err: err}
	}
	return nil
}

func hierarchies() ([]hierarchy, error) {
	mounts, err := mounts()
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	seen := map[string]bool{} // one may be mounted twice: machine-init takes the first, too
	for _, m := range mounts {
		if (m.fstype == "cgroup" || m.fstype == "cgroup2") && !seen[m.device] {
			seen[m.device] = true
			all = append(all, hierarchy{mount: m.path, v2: m.fstype == "cgroup2"})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted")
	}
	return all, nil
}

// CgroupSupport says which controllers this host lacks of those that bound instances, and
// that a kubelet does not start without.
func CgroupSupport() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var v2 []byte
	for _, h := range all {
		if h.v2 {
			if v2, err = os.ReadFile(filepath.Join(h.mount, "cgroup.controllers")); err != nil {
				return err
			}
		}
	}
	v1, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return err
	}
	return lackControllers(string(v1), string(v2))
}

// lackControllers finds the controllers in /proc/cgroups, where they are of v1 if they have
// a hierarchy, and in v2's list.
func lackControllers(v1, v2 string) error {
	have := strings.Fields(v2)
	for line := range strings.Lines(v1) {
		if f := strings.Fields(line); len(f) == 4 && f[1] != "0" && f[3] == "1" {
			have = append(have, f[0])
		}
	}
	var lacks []string
	for _, c := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !slices.Contains(have, c) {
			lacks = append(lacks, c)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("no controller %s", strings.Join(lacks, ", "))
	}
	return nil
}

type mount struct{ device, path, fstype string }

func mounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mount
	s := bufio.NewScanner(f)
	for s.Scan() {
		left, right, ok := strings.Cut(s.Text(), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if ok && len(l) >= 5 && len(r) >= 1 {
			all = append(all, mount{device: l[2], path: unescape(l[4]), fstype: r[0]})
		}
	}
	return all, s.Err()
}

// unescape undoes mountinfo's \040 and its like.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// unmountBelow detaches what is mounted at or below dir in this mount
// namespace. An instance's own mounts are never there; a copy of them may be
// where somebody looked into it.
func unmountBelow(dir string) error {
	all, err := mounts()
	if err != nil {
		return err
	}
	for n := len(all) - 1; n >= 0; n-- { // the latest first
		if p := all[n].path; p == dir || strings.HasPrefix(p, dir+"/") {
			if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
	}
	return nil
}
