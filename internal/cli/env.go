package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/region"
)

// profile is the name of what `env --write-profile` writes.
const profile = "ekster"

func (a *app) env() *cobra.Command {
	var write bool
	c := &cobra.Command{
		Use:     "env [flags]",
		Short:   "Print the exports that point AWS's tools at Ekster",
		Example: "  eval \"$(ekster env)\"\n  ekster env --write-profile && aws --profile ekster eks list-clusters",
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			creds, settings, err := a.credentials()
			if err != nil {
				return err
			}
			endpoint := fmt.Sprintf("http://127.0.0.1:%d", settings.Port)
			if write {
				return asInvoker(func(home string) error { return a.writeProfile(home, creds, endpoint) })
			}
			a.printExports(creds, endpoint)
			return nil
		},
	}
	c.Flags().BoolVar(&write, "write-profile", false, "write a profile \"ekster\" into ~/.aws instead")
	return c
}

func (a *app) credentials() (daemon.Credentials, daemon.Settings, error) {
	settings, err := a.dir().Settings()
	if errors.Is(err, fs.ErrNotExist) {
		return daemon.Credentials{}, settings, fmt.Errorf("%w: no daemon has been started on %s (ekster up)", errNotFound, a.stateDir)
	}
	if err != nil {
		return daemon.Credentials{}, settings, err
	}
	creds, err := a.dir().Credentials()
	if errors.Is(err, fs.ErrNotExist) {
		return creds, settings, fmt.Errorf("%w: the daemon on %s has not come to make its root user yet (ekster up)", errNotFound, a.stateDir)
	}
	return creds, settings, err
}

func (a *app) writeProfile(home string, creds daemon.Credentials, endpoint string) error {
	dir := filepath.Join(home, ".aws")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for file, section := range map[string]struct {
		title string
		lines []string
	}{
		"credentials": {"[" + profile + "]", []string{"aws_access_key_id = " + creds.AccessKeyID, "aws_secret_access_key = " + creds.SecretAccessKey}},
		"config":      {"[profile " + profile + "]", []string{"region = " + region.Default, "endpoint_url = " + endpoint}},
	} {
		path := filepath.Join(dir, file)
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, []byte(replaceSection(string(old), section.title, section.lines)), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(a.out, "Wrote profile %q to %s: aws --profile %s …\n", profile, dir, profile)
	return nil
}

// replaceSection returns an INI text in which the section of that title has just these
// lines; everything else stays as it was.
func replaceSection(text, title string, lines []string) string {
	var out []string
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "[") {
			inside = trimmed == title
		}
		if !inside {
			out = append(out, line)
		}
	}
	for len(out) > 0 && strings.TrimSpace(out[len(out)-1]) == "" {
		out = out[:len(out)-1]
	}
	if len(out) > 0 {
		out = append(out, "")
	}
	out = append(append(out, title), lines...)
	return strings.Join(out, "\n") + "\n"
}
