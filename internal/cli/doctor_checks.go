package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/daemon"
)

// portFree says who is in the way of the front door, if it is not the daemon itself.
func (a *app) portFree(ctx context.Context) error {
	if _, err := a.ask(ctx, a.dir()); err == nil {
		return nil // it has the port that it wants
	}
	port := daemon.DefaultPort
	if s, err := a.dir().Settings(); err == nil {
		port = s.Port
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// leastDisk is what the images and two nodes take, and some room.
const leastDisk = 5 << 30

// diskSpace looks at the file system where the state directory is, or will be.
func (a *app) diskSpace() error {
	dir, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < leastDisk {
		return fmt.Errorf("%d MiB are free in %s", free>>20, dir)
	}
	return nil
}

func orStat(err error, path string) error {
	if err == nil {
		_, err = os.Stat(path)
	}
	return err
}

func namespaces() error {
	for _, n := range []string{"net", "mnt", "pid", "uts", "ipc", "cgroup"} {
		if _, err := os.Stat("/proc/self/ns/" + n); err != nil {
			return err
		}
	}
	return nil
}

func filesystem(name string) func() error {
	return func() error {
		raw, err := os.ReadFile("/proc/filesystems")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(raw)) {
			if f := strings.Fields(line); len(f) > 0 && f[len(f)-1] == name {
				return nil
			}
		}
		return fmt.Errorf("the kernel does not have %s", name)
	}
}

func program(name string) func() error {
	return func() error {
		_, err := exec.LookPath(name)
		if err == nil {
			return nil
		}
		if _, sbin := os.Stat("/usr/sbin/" + name); sbin == nil {
			return nil
		}
		return err
	}
}

// leastInotify is what some ten nodes with their pods take.
const leastInotify = 512

func inotify() error {
	raw, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err == nil && n < leastInotify {
		err = fmt.Errorf("only %d of them for root", n)
	}
	return err
}

func memory() error {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return err
	}
	const least = 2 << 30
	if total := s.Totalram * uint64(s.Unit); total < least {
		return fmt.Errorf("%d MiB in all", total>>20)
	}
	return nil
}

func oomScore() error {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	const sysResource = 24 // capability.h
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			var caps uint64
			if _, err := fmt.Sscanf(strings.TrimSpace(v), "%x", &caps); err != nil {
				return err
			}
			if caps&(1<<sysResource) == 0 {
				return fmt.Errorf("CAP_SYS_RESOURCE is missing")
			}
		}
	}
	return nil
}
