package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/daemon"
)

// A check is one thing that a host needs, and what mends its absence.
type check struct {
	name string
	ok   func() error
	mend string
	warn bool // Ekster runs without it, with a limit
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Say what this host lacks, and the command that mends it",
		Long:    "Say what this host lacks, and the command that mends it. Exits with 1 if Ekster cannot run.",
		Example: "  sudo ekster doctor",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			failed := 0
			for _, c := range a.checks() {
				err := c.ok()
				switch {
				case err == nil:
					fmt.Fprintf(a.out, "ok    %s\n", c.name)
				case c.warn:
					fmt.Fprintf(a.out, "warn  %s: %v\n      %s\n", c.name, err, c.mend)
				default:
					failed++
					fmt.Fprintf(a.out, "FAIL  %s: %v\n      %s\n", c.name, err, c.mend)
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d things are missing on this host", failed)
			}
			return nil
		},
	}
}

func (a *app) checks() []check {
	payload, payloadErr := daemon.FindPayload(a.payload)
	exists := func(path string) func() error {
		return func() error { _, err := os.Stat(path); return err }
	}
	return []check{
		{name: "root", ok: func() error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("running as uid %d", os.Geteuid())
			}
			return nil
		}, mend: "run it with sudo"},
		{name: "namespaces", ok: namespaces, mend: "run on a Linux kernel with net, mnt, pid, uts, ipc and cgroup namespaces (CONFIG_NAMESPACES)"},
		{name: "overlay file system", ok: filesystem("overlay"), mend: "modprobe overlay"},
		{name: "cgroups", ok: exists("/sys/fs/cgroup"), mend: "mount -t cgroup2 none /sys/fs/cgroup"},
		{name: "mount", ok: program("mount"), mend: "apt-get install mount"},
		{name: "nft (goes into the kube-proxy image)", ok: program("nft"), mend: "apt-get install nftables"},
		{name: "certificates", ok: exists("/etc/ssl/certs"), mend: "apt-get install ca-certificates", warn: true},
		{name: "payload: node runtime", ok: func() error { return orStat(payloadErr, payload.Node()+"/containerd") }, mend: "make build"},
		{name: "payload: images", ok: func() error { return orStat(payloadErr, payload.Images()+"/index.json") }, mend: "make build"},
		{name: "payload: a Kubernetes version", ok: func() error {
			if payloadErr == nil && len(payload.Minors()) == 0 {
				return fmt.Errorf("none in %s", payload)
			}
			return payloadErr
		}, mend: "make build"},
		{name: "inotify instances", ok: inotify, mend: "sysctl -w fs.inotify.max_user_instances=8192 (a node takes some 7, and more for its pods)", warn: true},
		{name: "memory", ok: memory, mend: "a cluster takes some 250 MiB, a node some 150 MiB", warn: true},
		{name: "setting OOM scores", ok: oomScore, mend: "grant CAP_SYS_RESOURCE; without it containers keep their OOM scores within the daemon's", warn: true},
	}
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
