package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/process"
)

// daemonName is the daemon's process record in the run directory.
const daemonName = "daemon"

// startTimeout is how long `up --detach` waits for a daemon that has much to find again.
const startTimeout = 60 * time.Second

type upFlags struct {
	port        int
	account     string
	detach      bool
	verbose     bool
	pullThrough bool
	etcd        []string
	joinTimeout time.Duration
	spotNotice  time.Duration
	vcpuLimits  map[string]int
	repairWait  time.Duration
	drain       time.Duration
	drained     time.Duration
	sessions    time.Duration
	issuers     []string
}

func (a *app) up() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up [flags]",
		Short: "Start the daemon",
		Long: `Start the daemon. With --detach the command returns when requests are answered;
otherwise it stays in the foreground and says so. Clusters and machines of an
earlier daemon on the same state directory are found again.`,
		Example: "  sudo ekster up --detach\n  sudo ekster up --state-dir ./state --port 4600",
		Args:    args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
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
			if os.Geteuid() != 0 {
				return errors.New("up needs root: it makes network namespaces and cgroups (try sudo)")
			}
			for lifecycle, most := range f.vcpuLimits {
				if lifecycle != "on-demand" && lifecycle != "spot" || most < 1 {
					return fmt.Errorf("%w: --vcpu-limit %s=%d is no limit of on-demand or spot", errUsage, lifecycle, most)
				}
			}
			if f.detach {
				return a.upDetached(c.Context(), f)
			}
			return a.serve(c.Context(), f)
		},
	}
	c.Flags().IntVar(&f.port, "port", 0, fmt.Sprintf("port of the AWS APIs on 127.0.0.1 (default %d, or as before)", daemon.DefaultPort))
	c.Flags().StringVar(&f.account, "account", "", fmt.Sprintf("12 digits of the account, at the first start (default %s)", daemon.DefaultAccount))
	c.Flags().BoolVar(&f.detach, "detach", false, "run in the background, return when ready")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "log every request")
	c.Flags().BoolVar(&f.pullThrough, "pull-through", true, "fetch images that are not here from their own registries")
	c.Flags().StringSliceVar(&f.etcd, "etcd", nil, "endpoints of an etcd cluster to keep the records in (default: embedded)")
	c.Flags().DurationVar(&f.joinTimeout, "join-timeout", daemon.DefaultJoinTimeout, "how long node groups wait for their nodes")
	c.Flags().StringToIntVar(&f.vcpuLimits, "vcpu-limit", nil, "vCPUs that an account may have in a region, as on-demand=32,spot=16 (default: as many as it asks for)")
	c.Flags().DurationVar(&f.spotNotice, "spot-notice", daemon.DefaultSpotNotice, "how long before its end a Spot instance is warned")
	c.Flags().DurationVar(&f.repairWait, "node-repair-wait", daemon.DefaultRepairWait, "for how long a node is unhealthy before its node group repairs it")
	c.Flags().DurationVar(&f.drain, "drain-timeout", daemon.DefaultDrainTimeout, "how long pods may take to leave a node before it ends all the same, or its update fails")
	c.Flags().DurationVar(&f.drained, "drained-pause", daemon.DefaultDrainedPause, "for how long a node that an update replaces is kept when its pods have left")
	c.Flags().StringSliceVar(&f.issuers, "allow-issuer", nil, "hosts beyond this machine that are asked for the keys of OIDC issuers (default: none for IAM, all for clusters)")
	c.Flags().DurationVar(&f.sessions, "max-session", 0, "end temporary credentials after this time at the latest, to see that programs renew them (default: as on AWS)")
	return c
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
	cfg := daemon.Config{
		Dir: daemon.Dir(dir), Port: f.port, Account: f.account, Payload: payload, Etcd: f.etcd, PullThrough: f.pullThrough,
		JoinTimeout: f.joinTimeout, SpotNotice: f.spotNotice, VCPULimits: f.vcpuLimits, RepairWait: f.repairWait, DrainTimeout: f.drain, DrainedPause: f.drained, MaxSession: f.sessions, AllowIssuers: f.issuers,
		Log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})),
	}
	return daemon.Run(ctx, cfg)
}

// upDetached starts the daemon as a process of its own and waits until it answers.
func (a *app) upDetached(ctx context.Context, f upFlags) error {
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
		fmt.Fprintf(a.out, "Ekster runs already: %s (pid %d)\n", st.Endpoint, st.PID)
		return nil
	}
	for _, d := range []string{dir.Run(), filepath.Dir(dir.Log())} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	argv := []string{"up", "--state-dir", abs, "--join-timeout", f.joinTimeout.String(), "--spot-notice", f.spotNotice.String(),
		"--node-repair-wait", f.repairWait.String(), "--drain-timeout", f.drain.String(), "--drained-pause", f.drained.String(),
		"--pull-through=" + strconv.FormatBool(f.pullThrough)}
	for lifecycle, most := range f.vcpuLimits {
		argv = append(argv, fmt.Sprintf("--vcpu-limit=%s=%d", lifecycle, most))
	}
	if a.payload != "" {
		argv = append(argv, "--payload", a.payload)
	}
	if f.port != 0 {
		argv = append(argv, "--port", strconv.Itoa(f.port))
	}
	if f.account != "" {
		argv = append(argv, "--account", f.account)
	}
	if f.sessions != 0 {
		argv = append(argv, "--max-session", f.sessions.String())
	}
	if f.verbose {
		argv = append(argv, "--verbose")
	}
	for _, host := range f.issuers {
		argv = append(argv, "--allow-issuer", host)
	}
	for _, e := range f.etcd {
		argv = append(argv, "--etcd", e)
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
