package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/process"
)

// daemonName is the daemon's process record in the run directory.
const daemonName = "daemon"

// startTimeout is how long `up --detach` waits for a daemon that has much to find again.
const startTimeout = 60 * time.Second

func (a *app) up(f *upFlags) *cobra.Command {
	var unit bool
	c := &cobra.Command{
		Use:   "up [flags]",
		Short: "Start the daemon",
		Long: `Start the daemon. With --detach the command returns when requests are answered;
otherwise it stays in the foreground and says so. Clusters and machines of an
earlier daemon on the same state directory are found again; to start it at every boot,
install what --print-unit prints.`,
		Example: "  sudo ekster up --detach\n  sudo ekster up --state-dir ./state --port 4600\n  ekster up --print-unit | sudo tee /etc/systemd/system/ekster.service",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkPort(c, f.port); err != nil {
				return err
			}
			if c.Flags().Changed("account") {
				if err := daemon.CheckAccount(f.account); err != nil {
					return fmt.Errorf("%w: --account: %w", errUsage, err)
				}
			}
			if f.sessions != 0 && f.sessions < minSession {
				return fmt.Errorf("%w: --max-session is at least %s, not %s", errUsage, minSession, f.sessions)
			}
			if f.drain <= 0 || f.drained <= 0 {
				return fmt.Errorf("%w: --drain-timeout and --drained-pause are more than nothing, not %s and %s", errUsage, f.drain, f.drained)
			}
			for _, host := range f.issuers {
				if err := daemon.CheckIssuerHost(host); err != nil {
					return fmt.Errorf("%w: --allow-issuer: %w", errUsage, err)
				}
			}
			for lifecycle, most := range f.vcpuLimits {
				if lifecycle != "on-demand" && lifecycle != "spot" || most < 1 {
					return fmt.Errorf("%w: --vcpu-limit %s=%d is no limit of on-demand or spot", errUsage, lifecycle, most)
				}
			}
			if unit {
				return a.printUnit(*f)
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("up makes network namespaces and cgroups: %w", errDenied)
			}
			if f.detach {
				return a.upDetached(c.Context(), *f, given(c))
			}
			return a.serve(c.Context(), *f)
		},
	}
	f.add(c.Flags())
	c.Flags().BoolVar(&unit, "print-unit", false, "print a systemd unit that starts the daemon like this at every boot, and do nothing")
	return c
}

var portUsage = fmt.Sprintf("port of the AWS APIs on 127.0.0.1 (default %d, or as before)", daemon.DefaultPort)

// checkPort refuses what is no port, if one was asked for.
func checkPort(c *cobra.Command, port int) error {
	if c.Flags().Changed("port") && (port < 1 || port > 65535) {
		return fmt.Errorf("%w: --port is 1 to 65535, not %d", errUsage, port)
	}
	return nil
}

// given are the names of the flags that say something of the daemon and were on the command line.
func given(c *cobra.Command) (names []string) {
	inherited := c.InheritedFlags()
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "detach" && inherited.Lookup(f.Name) == nil {
			names = append(names, f.Name)
		}
	})
	return names
}

// minSession is the shortest --max-session: nodes, too, have to live with it.
const minSession = 10 * time.Second

// serve runs the daemon in this process.
func (a *app) serve(ctx context.Context, f upFlags) error {
	payload, err := daemon.FindPayload(a.payload)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	dir, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	var reader *daemon.Owner
	if user, ok := invoker(); ok {
		reader = &user
	}
	cfg := daemon.Config{
		Dir: daemon.Dir(dir), Port: f.port, Account: f.account, Payload: payload, Etcd: f.etcd, PullThrough: f.pullThrough,
		JoinTimeout: f.joinTimeout, SpotNotice: f.spotNotice, VCPULimits: f.vcpuLimits, RepairWait: f.repairWait, DrainTimeout: f.drain, DrainedPause: f.drained, MaxSession: f.sessions, AllowIssuers: f.issuers,
		Reader: reader,
		Log:    slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})),
	}
	return daemon.Run(ctx, cfg)
}

// upDetached starts the daemon as a process of its own and waits until it answers. One that
// runs already stays as it is: if it was not started with the flags that were given, that is
// an error.
func (a *app) upDetached(ctx context.Context, f upFlags, given []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	dir := daemon.Dir(abs)
	if st, err := a.ask(ctx, dir); err == nil {
		unlike, err := f.unlike(st, given)
		if err != nil {
			return err
		}
		if len(unlike) > 0 {
			return fmt.Errorf("Ekster runs already (%s, pid %d), and was started otherwise than with --%s: end it first (ekster down, or kill %d, which leaves clusters and machines running)",
				st.Endpoint, st.PID, strings.Join(unlike, ", --"), st.PID)
		}
		fmt.Fprintf(a.out, "Ekster runs already: %s (pid %d)\n", st.Endpoint, st.PID)
		return nil
	}
	if err := dir.Claim(); err != nil {
		return err
	}
	for _, d := range []string{dir.Run(), filepath.Dir(dir.Log())} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	argv := append([]string{"up", "--state-dir", abs}, f.argv()...)
	if a.payload != "" {
		argv = append(argv, "--payload", a.payload)
	}
	began := time.Now()
	offset := fileSize(dir.Log())
	p, _, err := process.Ensure(dir.Run(), daemonName, process.Spec{Path: self, Args: argv, Env: os.Environ(), Dir: "/", Log: dir.Log()})
	if err != nil {
		return err
	}
	st, err := a.awaitReady(ctx, dir, p)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(dir.Log(), offset))
	}
	fmt.Fprintf(a.out, "Ekster is ready after %s: %s (account %s, pid %d)\n", time.Since(began).Round(time.Millisecond), st.Endpoint, st.Account, st.PID)
	return nil
}

func (a *app) awaitReady(ctx context.Context, dir daemon.Dir, p process.Process) (daemon.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	gone := make(chan error, 1)
	go func() { gone <- p.Wait(ctx) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if st, err := a.ask(ctx, dir); err == nil {
			return st, nil
		}
		select {
		case err := <-gone:
			if err == nil {
				return daemon.Status{}, errors.New("the daemon has ended at once; its log says:")
			}
		case <-ctx.Done():
			return daemon.Status{}, fmt.Errorf("the daemon is not ready after %s; its log says:", startTimeout)
		case <-tick.C:
		}
	}
}

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// tail is the end of what was written to a file since offset.
func tail(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4096
	if fi, err := f.Stat(); err == nil && fi.Size()-offset > most {
		offset = fi.Size() - most
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return string(raw)
}
