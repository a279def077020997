package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// hostState is what of the host's own namespaces a daemon must leave as it was.
type hostState struct{ links, tables map[string]bool }

func lookAround() (hostState, error) {
	s := hostState{map[string]bool{}, map[string]bool{}}
	links, err := netlink.LinkList()
	if err != nil {
		return s, fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		s.links[l.Attrs().Name] = true
	}
	tables, err := new(nftables.Conn).ListTables()
	if err != nil {
		return s, fmt.Errorf("listing nft tables: %w", err)
	}
	for _, t := range tables {
		s.tables[fmt.Sprintf("%d %s", t.Family, t.Name)] = true
	}
	return s, nil
}

// Leftovers lists what there is on this host of a daemon with that prefix: processes,
// mounts, namespaces, links, nft tables, cgroups, loop devices and files. After Purge it is
// to be empty.
func (d *Daemon) Leftovers(prefix string) ([]string, error) {
	var left []string
	for _, look := range []func(prefix string) ([]string, error){d.processes, d.mounts, d.files, d.loops, d.hostChanges} {
		more, err := look(prefix)
		if err != nil {
			return left, err
		}
		left = append(left, more...)
	}
	return left, nil
}

// processes finds what names the state directory in its arguments or its environment
// (every child carries a mark there), or sits in one of the daemon's cgroups.
func (d *Daemon) processes(prefix string) ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	self := fmt.Sprint("/proc/", os.Getpid())
	var left []string
	for _, dir := range dirs {
		if dir == self {
			continue
		}
		for _, by := range [][2]string{{"cmdline", d.State}, {"environ", d.State}, {"cgroup", "/ekster-" + prefix}} {
			file, mark := by[0], by[1]
			raw, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				continue // it has ended meanwhile
			}
			// A zombie has neither arguments nor environment; it is its parent's to reap.
			if bytes.Contains(raw, []byte(mark)) && !zombie(dir) {
				args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				left = append(left, fmt.Sprintf("process %s (%s): %s", filepath.Base(dir), file, bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
				break
			}
		}
	}
	return left, nil
}

func zombie(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return true
	}
	after := raw[bytes.LastIndexByte(raw, ')')+1:]
	return bytes.HasPrefix(bytes.TrimSpace(after), []byte("Z"))
}

func (d *Daemon) mounts(prefix string) ([]string, error) {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var left []string
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, d.State) || strings.Contains(line, "/run/netns/"+prefix+"-") {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left, nil
}

func (d *Daemon) files(prefix string) ([]string, error) {
	var left []string
	for _, pattern := range []string{"/run/netns/" + prefix + "-*", "/sys/fs/cgroup/ekster-" + prefix, "/sys/fs/cgroup/*/ekster-" + prefix, d.State} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			left = append(left, "file "+f)
		}
	}
	return left, nil
}

func (d *Daemon) loops(string) ([]string, error) {
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var left []string
	for _, f := range found {
		raw, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if bytes.Contains(raw, []byte(d.State)) {
			left = append(left, fmt.Sprintf("loop device %s of %s", strings.Split(f, "/")[3], bytes.TrimSpace(raw)))
		}
	}
	return left, nil
}

// hostChanges are links and tables in the host's own namespace that were not there before.
// Daemons make none there; who else works on this machine meanwhile may, under names that
// are not ours, so only those with our prefix or without anybody's count.
func (d *Daemon) hostChanges(prefix string) ([]string, error) {
	now, err := lookAround()
	if err != nil {
		return nil, err
	}
	var left []string
	for name := range now.links {
		if !d.before.links[name] && strings.Contains(name, prefix) {
			left = append(left, "link "+name)
		}
	}
	for name := range now.tables {
		if !d.before.tables[name] && (strings.Contains(name, prefix) || strings.Contains(name, "ekster")) {
			left = append(left, "nft table "+name)
		}
	}
	return left, nil
}
