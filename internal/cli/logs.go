package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/daemon"
	"ekster.dev/ekster/internal/machine"
)

func (a *app) logs() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use:   "logs (daemon | cluster NAME [PART] | instance ID [LOG]) [flags]",
		Short: "Show the log of the daemon, of a control plane or of an instance",
		Long: `Show a log. Of a cluster it is that of its control plane, whose parts (etcd,
kube-apiserver, kube-controller-manager, kube-scheduler) can be asked for by name: they
are one process, and a line of which it cannot be told who wrote it, as it comes from a
library that several use, is shown for each of them. So can its logs of the types audit
and authenticator, if the cluster's logging has them. Of an instance it is its console,
or one of the logs in its /var/log: kubelet, containerd.`,
		Example: "  sudo ekster logs daemon -f\n  sudo ekster logs cluster demo kube-scheduler\n  sudo ekster logs instance i-0123456789abcdef0 kubelet",
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
		plane, err := a.planeLogs(ctx, dir, words[1])
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
		if _, err := os.Stat(in); errors.Is(err, fs.ErrPermission) {
			return "", nil, err
		} else if err != nil {
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
