package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/machine"
)

func (a *app) logs() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "logs (daemon | cluster NAME | instance ID [LOG]) [flags]",
		Short: "Show the log of the daemon, of a control plane or of an instance",
		Long: `Show a log. Of a cluster it is that of its control plane, whose parts (etcd,
kube-apiserver, kube-controller-manager, kube-scheduler) can be asked for by name, as
can its logs of the types audit and authenticator, if the cluster's logging has them; of
an instance its console, or one of the logs in its /var/log: kubelet, containerd.`,
		Example: "  sudo ekster logs daemon -f\n  sudo ekster logs cluster demo\n  sudo ekster logs instance i-0123456789abcdef0 kubelet",
		Args:    args(cobra.RangeArgs(1, 3)),
		RunE: func(c *cobra.Command, list []string) error {
			path, keep, err := a.logFile(c.Context(), list)
			if err != nil {
				return err
			}
			return a.show(c.Context(), path, keep, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return c
}

// logFile is the file that the words name, and which of its lines are meant.
func (a *app) logFile(ctx context.Context, words []string) (path string, keep func(string) bool, err error) {
	abs, err := filepath.Abs(a.stateDir)
	if err != nil {
		return "", nil, err
	}
	dir := daemon.Dir(abs)
	all := func(string) bool { return true }
	switch {
	case words[0] == "daemon" && len(words) == 1:
		return dir.Log(), all, nil
	case words[0] == "cluster" && len(words) >= 2:
		plane, err := a.planeDir(ctx, dir, words[1])
		if err != nil {
			return "", nil, err
		}
		if len(words) == 3 && (words[2] == controlplane.LogAudit || words[2] == controlplane.LogAuthenticator) {
			return controlplane.LogFile(plane, words[2]), all, nil
		}
		if len(words) == 3 {
			keep, err := component(words[2])
			return filepath.Join(plane, "control-plane.log"), keep, err
		}
		return filepath.Join(plane, "control-plane.log"), all, nil
	case words[0] == "instance" && len(words) >= 2:
		in := filepath.Join(dir.Instances(), words[1])
		if _, err := os.Stat(in); err != nil {
			return "", nil, fmt.Errorf("%w: no machine of instance %s is on this host", errNotFound, words[1])
		}
		if len(words) == 3 {
			path, err := machine.DaemonLog(in, words[2])
			return path, all, err
		}
		return machine.ConsoleLog(in), all, nil
	}
	return "", nil, fmt.Errorf("%w: logs of daemon, cluster NAME or instance ID (see ekster logs --help)", errUsage)
}

// component keeps the lines of one part of a control plane, which share one log.
func component(name string) (func(string) bool, error) {
	parts := []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	for _, p := range parts {
		if p == name {
			return func(line string) bool { return strings.Contains(line, p) }, nil
		}
	}
	return nil, fmt.Errorf("%w: a control plane has the parts %s", errUsage, strings.Join(parts, ", "))
}

func (a *app) show(ctx context.Context, path string, keep func(string) bool, follow bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no log %s", errNotFound, path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var rest string
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		rest += string(buf[:n])
		for {
			line, after, whole := strings.Cut(rest, "\n")
			if !whole {
				break
			}
			if rest = after; keep(line) {
				fmt.Fprintln(a.out, line)
			}
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n > 0:
		case !follow:
			if rest != "" && keep(rest) {
				fmt.Fprintln(a.out, rest)
			}
			return nil
		default:
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}
