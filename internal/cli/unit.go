package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// unitPattern starts the daemon at boot and after a crash. What it runs outlives it
// (KillMode), and `ekster down` ends it without its being started again: it exits with 0.
const unitPattern = `[Unit]
Description=Ekster, the Amazon EKS API on this machine
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=%s
Restart=on-failure
KillMode=process
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
`

// printUnit prints the systemd unit of a daemon with these flags.
func (a *app) printUnit(f upFlags) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	argv := append([]string{self, "up", "--state-dir=" + dir}, f.argv()...)
	if a.payload != "" {
		payload, err := filepath.Abs(a.payload)
		if err != nil {
			return err
		}
		argv = append(argv, "--payload="+payload)
	}
	fmt.Fprintf(a.out, unitPattern, unitLine(argv))
	return nil
}

// unitLine writes a command line as systemd reads it, who replaces %x and ${X}.
func unitLine(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
		if strings.ContainsAny(word, " \t\"'\\;") {
			words[i] = strconv.Quote(words[i])
		}
	}
	return strings.Join(words, " ")
}
