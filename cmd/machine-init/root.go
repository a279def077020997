package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// Where the payload lies inside an instance.
const (
	nodeDir = "/opt/ekster/node"
	kubeDir = "/opt/ekster/kube"
	binDir  = "/opt/ekster/bin" // links into both, first in PATH
)

// root is the second stage: from the host's file system into the instance's.
func root(specFile string) error {
	if t, err := time.Parse(time.RFC3339Nano, os.Getenv(powerOnVar)); err == nil {
		powerOn = t
	}
	i, err := spec.Read(specFile)
	if err != nil {
		return fmt.Errorf("reading the instance: %w", err)
	}
	end, err := openEnding(i)
	if err != nil {
		return fmt.Errorf("opening the note of the instance's end: %w", err)
	}
	if err := buildRoot(i); err != nil {
		return fmt.Errorf("building the root file system: %w", err)
	}
	if err := enterRoot(i.Root); err != nil {
		return fmt.Errorf("entering the root file system: %w", err)
	}
	if err := mountCgroups(); err != nil {
		return fmt.Errorf("mounting cgroups: %w", err)
	}
	if err := dressUp(i); err != nil {
		return fmt.Errorf("setting up the hardware: %w", err)
	}
	// As systemd does: what CSI drivers and CNI plugins mount in a pod with
	// Bidirectional propagation appears on the node.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts: %w", err)
	}
	if err := writeEtc(i); err != nil {
		return fmt.Errorf("writing /etc: %w", err)
	}
	console("root file system is up")
	return initialise(i, end)
}

// fromHost are the files and directories of /etc that /usr cannot do without,
// taken read-only where the host has them.
var fromHost = []string{
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
	"/etc/protocols", "/etc/services", "/etc/ethertypes", "/etc/iproute2", "/etc/mke2fs.conf",
	"/etc/ssl/openssl.cnf", "/etc/localtime",
}

// buildRoot mounts the instance's disk at i.Root, and there all that needs the
// host's paths.
func buildRoot(i spec.Instance) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detaching from the host's mounts: %w", err)
	}
	if err := os.MkdirAll(i.Root, 0o755); err != nil {
		return err
	}
	if i.Disk != "" {
		if err := mountDisk(i.Disk, i.Root); err != nil {
			return err
		}
	} else if err := unix.Mount(i.Root, i.Root, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	at := func(path string) string { return filepath.Join(i.Root, path) }
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if err := takeFromHost(dir, at(dir)); err != nil {
			return err
		}
	}
	for _, path := range fromHost {
		if err := takeFromHost(path, at(path)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/etc/cni/net.d", "/opt/cni/bin", "/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods",
		"/var/log/containers", "/var/tmp", "/root", "/home", "/mnt", "/srv", binDir} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(at("/var/tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := bindReadOnly(i.Node, at(nodeDir)); err != nil {
		return err
	}
	if i.Kube != "" {
		if err := bindReadOnly(i.Kube, at(kubeDir)); err != nil {
			return err
		}
	}
	if err := writeTrust(at, i.Trusted); err != nil {
		return err
	}
	if err := symlink("/run", at("/var/run")); err != nil {
		return err
	}
	return mountFresh(at)
}

// mountFresh mounts the kernel's file systems and the volatile ones.
func mountFresh(at func(string) string) error {
	const hardened = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, m := range []struct {
		path, fstype string
		flags        uintptr
		data         string
		optional     bool
	}{
		{"/proc", "proc", hardened, "", false},
		{"/sys", "sysfs", hardened, "", false},
		{"/sys/fs/cgroup", "tmpfs", hardened, "mode=755,size=1m", false},
		{"/sys/fs/bpf", "bpf", hardened, "mode=700", true},
		{"/dev", "tmpfs", unix.MS_NOSUID, "mode=755,size=1m", false},
		{"/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5", false},
		{"/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
		{"/dev/mqueue", "mqueue", hardened, "", true},
		{"/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755", false},
		{"/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
	} {
		if err := os.MkdirAll(at(m.path), 0o755); err != nil && !m.optional {
			return err
		}
		if err := unix.Mount(m.fstype, at(m.path), m.fstype, m.flags, m.data); err != nil && !m.optional {
			return fmt.Errorf("mounting %s: %w", m.path, err)
		}
	}
	return makeDevices(at)
}

func makeDevices(at func(string) string) error {
	if err := os.MkdirAll(at("/dev/net"), 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name         string
		mode         uint32
		major, minor uint32
	}{
		{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"full", 0o666, 1, 7}, {"random", 0o666, 1, 8},
		{"urandom", 0o666, 1, 9}, {"kmsg", 0o644, 1, 11}, {"tty", 0o666, 5, 0},
		{"fuse", 0o666, 10, 229}, {"net/tun", 0o666, 10, 200},
	} {
		if _, err := os.Stat("/dev/" + d.name); errors.Is(err, os.ErrNotExist) {
			continue // this kernel has no such driver
		}
		path := at("/dev/" + d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("making %s: %w", path, err)
		}
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil { // umask
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := symlink(to, at("/dev/"+name)); err != nil {
			return err
		}
	}
	return nil
}

// takeFromHost shows path at target as the host has it: a link as the same
// link (merged /usr), anything else read-only, nothing where there is nothing.
func takeFromHost(path, target string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return symlink(to, target)
	}
	return bindReadOnly(path, target)
}

// bindReadOnly shows what is at path also at target, mounts below it included,
// all of them read-only.
func bindReadOnly(path, target string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := mountPoint(target, st.IsDir()); err != nil {
		return err
	}
	if err := unix.Mount(path, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s: %w", path, err)
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, attr); err != nil {
		return fmt.Errorf("making %s read-only: %w", path, err)
	}
	return nil
}

func mountPoint(target string, dir bool) error {
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// symlink makes or corrects a link: the disk may be one of an earlier boot.
func symlink(to, path string) error {
	if prior, err := os.Readlink(path); err == nil && prior == to {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.Symlink(to, path)
}

// enterRoot makes dir the root and lets go of the host's mounts.
func enterRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	// The old root ends up on top of the new one, at the same place.
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

// mountCgroups mounts the hierarchies again: in this cgroup namespace each
// one's root is the instance's cgroup.
func mountCgroups() error {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	v1 := false
	for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 || f[1] == "" {
			continue
		}
		v1 = true
		name, named := strings.CutPrefix(f[1], "name=")
		options := f[1]
		if named {
			options = "none," + f[1]
		}
		dir := filepath.Join("/sys/fs/cgroup", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("cgroup", dir, "cgroup", flags, options); err != nil {
			return fmt.Errorf("%s: %w", f[1], err)
		}
		for one := range strings.SplitSeq(name, ",") {
			if one != name {
				if err := symlink(name, filepath.Join("/sys/fs/cgroup", one)); err != nil {
					return err
				}
			}
		}
	}
	if v1 {
		return nil
	}
	return mountUnified(flags)
}

// mountUnified is for hosts with cgroups v2. There a cgroup with members
// cannot hand controllers to its children: pid 1 moves aside, the daemons
// follow as its children.
func mountUnified(flags uintptr) error {
	const dir = "/sys/fs/cgroup"
	if err := unix.Mount("cgroup2", dir, "cgroup2", flags, ""); err != nil {
		return err
	}
	if err := os.MkdirAll(dir+"/init.scope", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/init.scope/cgroup.procs", []byte("1"), 0); err != nil {
		return err
	}
	have, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(have)) {
		if err := os.WriteFile(dir+"/cgroup.subtree_control", []byte("+"+c), 0); err != nil {
			return fmt.Errorf("enabling %s: %w", c, err)
		}
	}
	return nil
}
