package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/machine"
	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/process"
)

// downTimeout bounds how long everything may take to stop.
const downTimeout = 2 * time.Minute

func (a *app) down() *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use:   "down [flags]",
		Short: "Stop the daemon and all that it runs",
		Long: `Stop the daemon, every control plane and every machine. Their data stays, and the
next "ekster up" brings them back. With --purge nothing is left: no process,
mount, namespace, link, rule, cgroup or file.`,
		Example: "  sudo ekster down\n  sudo ekster down --purge",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("down ends processes and removes namespaces: %w", errDenied)
			}
			ctx, cancel := context.WithTimeout(c.Context(), downTimeout)
			defer cancel()
			return a.stop(ctx, purge)
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "delete everything, also all data")
	return c
}

func (a *app) stop(ctx context.Context, purge bool) error {
	abs, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	dir := daemon.Dir(abs)
	settings, err := dir.Settings()
	if errors.Is(err, fs.ErrNotExist) {
		if purge {
			_, err := dir.Purge()
			return err
		}
		return fmt.Errorf("%w: no daemon has been started on %s", errNotFound, abs)
	}
	if err != nil {
		return err
	}
	if err := a.stopDaemon(ctx, dir); err != nil {
		return err
	}
	if !purge {
		// From here on what does not run has been stopped, and has not died.
		if err := dir.NextEpoch(); err != nil {
			return err
		}
	}
	if err := stopAll(ctx, dir, purge); err != nil {
		return err
	}
	host, err := network.New(settings.Prefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if err := host.Purge(ctx); err != nil {
		return fmt.Errorf("removing the networks: %w", err)
	}
	if purge {
		left, err := dir.Purge()
		if err != nil {
			return err
		}
		if len(left) > 0 {
			fmt.Fprintf(a.out, "Ekster is gone from this machine. %s stays: not Ekster's in it is %s.\n", abs, strings.Join(left, ", "))
			return nil
		}
		fmt.Fprintf(a.out, "Ekster is gone from this machine, with all that was in %s.\n", abs)
		return nil
	}
	fmt.Fprintln(a.out, "Ekster is down. Its data stays: `ekster up` brings everything back.")
	return nil
}

// stopDaemon ends the daemon, started detached or in the foreground.
func (a *app) stopDaemon(ctx context.Context, dir daemon.Dir) error {
	if err := process.Stop(ctx, dir.Run(), daemonName, 10*time.Second); err != nil {
		return fmt.Errorf("stopping the daemon: %w", err)
	}
	st, err := a.ask(ctx, dir)
	if err != nil {
		return nil //nolint:nilerr // nobody is there
	}
	p, err := os.FindProcess(st.PID)
	if err != nil {
		return err
	}
	if err := p.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stopping the daemon: %w", err)
	}
	return process.Process{PID: st.PID}.Wait(ctx)
}

// stopAll stops every machine and every control plane, side by side; with purge their
// data goes too.
func stopAll(ctx context.Context, dir daemon.Dir, purge bool) error {
	planes := controlplane.New(slog.New(slog.DiscardHandler))
	endMachine, endPlane := machine.Stop, planes.Stop
	if purge {
		endMachine, endPlane = machine.Remove, planes.Remove
	}
	// Machines first: their kubelets then still find an API server to say goodbye to.
	if err := forEach(ctx, dir.Instances(), endMachine); err != nil {
		return fmt.Errorf("stopping the machines: %w", err)
	}
	if err := forEach(ctx, dir.Clusters(), endPlane); err != nil {
		return fmt.Errorf("stopping the control planes: %w", err)
	}
	return nil
}

func forEach(ctx context.Context, dir string, f func(context.Context, string) error) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, e := range entries {
		wg.Go(func() { errs[i] = f(ctx, filepath.Join(dir, e.Name())) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
