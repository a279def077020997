package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// What asks pid 1 for the end of the instance, as systemd has it: SIGRTMIN+4 and +5.
const (
	sigPowerOff = syscall.Signal(38)
	sigReboot   = syscall.Signal(39)
)

// powerCommands are the commands by which the instance's users end it, and the signal each
// sends to pid 1. They are links to this program, before those of the host's /usr, which
// would look for systemd.
var powerCommands = map[string]syscall.Signal{"poweroff": sigPowerOff, "halt": sigPowerOff, "shutdown": sigPowerOff, "reboot": sigReboot}

// power is a command called name, which asks pid 1 for the end at once.
func power(name string, args []string) error {
	how := powerCommands[name]
	for _, a := range args {
		switch {
		case a == "-r", a == "--reboot":
			how = sigReboot
		case a == "-h", a == "-H", a == "-P", a == "-p", a == "-f", a == "--halt", a == "--poweroff", a == "--force", a == "now", a == "+0":
		case strings.HasPrefix(a, "-"), strings.HasPrefix(a, "+"), strings.Contains(a, ":"):
			return fmt.Errorf("%s: %s is not supported: an instance ends at once", name, a)
		default: // a message to those who are logged in
		}
	}
	if err := unix.Kill(1, how); err != nil {
		return fmt.Errorf("%s: asking pid 1: %w", name, err)
	}
	return nil
}

// ending is the file outside of the instance's root into which pid 1 writes what kind of end an
// orderly one is: once it is gone, nobody could ask it.
type ending struct{ file *os.File }

// openEnding is called while the host's files can be seen.
func openEnding(i spec.Instance) (ending, error) {
	f, err := os.OpenFile(spec.EndingFile(filepath.Dir(i.Root)), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	return ending{f}, err
}

func (e ending) note(sig os.Signal) {
	how := spec.PoweredOff
	if sig == sigReboot {
		how = spec.Rebooted
	}
	if _, err := e.file.WriteString(how); err != nil {
		console("noting the end: %v", err)
	}
}
