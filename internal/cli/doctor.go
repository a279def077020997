package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/network"
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
		RunE: func(c *cobra.Command, _ []string) error {
			failed := 0
			for _, c := range a.checks(c.Context()) {
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

func (a *app) checks(ctx context.Context) []check {
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
		{name: "cgroup controllers", ok: machine.CgroupSupport, mend: "boot with cgroup_enable=memory on the kernel's command line; in a container, have its host delegate them"},
		{name: "veth links", ok: network.VethSupport, mend: "modprobe veth"},
		{name: "nftables in the kernel", ok: network.NFTablesSupport, mend: "modprobe nf_tables"},
		{name: "port of the AWS APIs", ok: func() error { return a.portFree(ctx) }, mend: "end who listens there (ss -ltnp), or ekster up --port with another one"},
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
		{name: "disks of instances", ok: machine.DiskSupport, mend: "modprobe loop; apt-get install e2fsprogs (without them --disk-size and volume sizes mean nothing: instances share the host's disk)", warn: true},
		{name: "disk space", ok: a.diskSpace, mend: "make room, or ekster up --state-dir on another file system (images and nodes take some 5 GiB)", warn: true},
		{name: "inotify instances", ok: inotify, mend: "sysctl -w fs.inotify.max_user_instances=8192 (a node takes some 7, and more for its pods)", warn: true},
		{name: "memory", ok: memory, mend: "a cluster takes some 250 MiB, a node some 150 MiB", warn: true},
		{name: "setting OOM scores", ok: oomScore, mend: "grant CAP_SYS_RESOURCE; without it containers keep their OOM scores within the daemon's", warn: true},
	}
}
