// Command machine-init is the first process of an instance.
//
// Its stages, each in the file of its name:
//
//	boot     started by package machine in fresh mount, pid, uts and ipc
//	         namespaces and the instance's network namespace: joins the
//	         instance's cgroup, takes a cgroup namespace, executes itself as
//	root     builds the root file system on the instance's disk, with the
//	         host's /usr read-only, moves into it, dresses /proc and /sys up as
//	         the instance type's hardware (hardware.go), then is
//	init     reads IMDS, does what user data asks for (cloudinit.go), writes the
//	         configuration of containerd and the kubelet (node.go), starts and
//	         supervises the daemons, reaps, and ends everything on SIGTERM
//
// "machine-init token" is the kubelet's credential plugin, "machine-init
// private-dns-name" asks EC2 for the node's name (details.go). As poweroff, shutdown and
// reboot it asks pid 1 for the instance's end (power.go).
//
// Its standard output is the instance's console. It imports little: this
// process is there once for every instance, for its whole life.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "machine-init: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if name := filepath.Base(os.Args[0]); powerCommands[name] != 0 {
		return power(name, args)
	}
	if len(args) > 0 && args[0] == "token" {
		return token(args[1:], os.Stdout)
	}
	if len(args) > 0 && args[0] == "private-dns-name" {
		return privateDNSName(args[1:])
	}
	if len(args) < 2 {
		return fmt.Errorf("usage: machine-init boot SPEC [GENERATION] | token --cluster-name NAME --region REGION")
	}
	switch args[0] {
	case "boot":
		return boot(args[1])
	case "root":
		return root(args[1])
	}
	return fmt.Errorf("%s is no stage of an instance's boot", args[0])
}

// powerOn is when the boot began; stages after the first are told.
var powerOn = time.Now()

const powerOnVar = "EKSTER_POWER_ON"

// console writes a line to the instance's console, with the time since power on.
func console(format string, args ...any) {
	fmt.Printf("[%9.3f] "+format+"\n", append([]any{time.Since(powerOn).Seconds()}, args...)...)
}
