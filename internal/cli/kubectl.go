package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/daemon"
)

func (a *app) kubectl() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl [--cluster NAME] -- ARGS…",
		Short: "Run the kubectl that Ekster brings, as an administrator of a cluster",
		Long: `Run the kubectl of a cluster's own version, with a client certificate of the
cluster's administrators. --cluster is needed if there is more than one. All other
arguments are kubectl's.`,
		Example:            "  sudo ekster kubectl get nodes -o wide\n  sudo ekster kubectl --cluster demo -n kube-system get pods",
		DisableFlagParsing: true, // everything but our own flags is kubectl's
		RunE: func(c *cobra.Command, list []string) error {
			name, rest, help, err := a.kubectlArgs(list)
			if err != nil {
				return err
			}
			if help {
				return c.Help()
			}
			return a.runKubectl(c.Context(), name, rest)
		},
	}
}

// kubectlArgs takes our own flags off the front of the arguments.
func (a *app) kubectlArgs(list []string) (cluster string, rest []string, help bool, err error) {
	own := map[string]*string{"--cluster": &cluster, "--state-dir": &a.stateDir, "--payload": &a.payload}
	for len(list) > 0 {
		flag, value, joined := strings.Cut(list[0], "=")
		into := own[flag]
		switch {
		case len(list) == 1 && (flag == "--help" || flag == "-h"):
			return cluster, nil, true, nil
		case into == nil:
			if list[0] == "--" {
				list = list[1:]
			}
			return cluster, list, false, nil
		case joined:
			*into, list = value, list[1:]
		case len(list) > 1:
			*into, list = list[1], list[2:]
		default:
			return "", nil, false, fmt.Errorf("%w: %s needs a value", errUsage, flag)
		}
	}
	return cluster, nil, false, nil
}

func (a *app) runKubectl(ctx context.Context, name string, list []string) error {
	abs, err := filepath.Abs(a.stateDir)
	if err != nil {
		return err
	}
	dir := daemon.Dir(abs)
	cl, err := a.findCluster(ctx, dir, name)
	if err != nil {
		return err
	}
	payload, err := daemon.FindPayload(a.payload)
	if err != nil {
		return err
	}
	binary, ok := payload.Binary(cl.Version)
	if !ok {
		return fmt.Errorf("%w: the payload of Kubernetes %s (make payload)", errNotFound, cl.Version)
	}
	listen, err := endpointAddress(cl.Endpoint)
	if err != nil {
		return fmt.Errorf("cluster %s is %s and has no endpoint yet", cl.Name, cl.State)
	}
	config, err := controlplane.Kubeconfig(controlplane.Config{ID: cl.ARN, Dir: cl.Dir, ClusterName: cl.Name, Listen: listen})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "ekster-kubeconfig-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(config); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, append([]string{"kubectl"}, list...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+f.Name())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, a.out, a.err
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitStatus(exit.ExitCode())
	}
	return err
}

// findCluster is the cluster of that name, or the only one there is.
func (a *app) findCluster(ctx context.Context, dir daemon.Dir, name string) (daemon.ClusterStatus, error) {
	st, err := a.ask(ctx, dir)
	if err != nil {
		return daemon.ClusterStatus{}, a.unreached(err)
	}
	var names []string
	var found []daemon.ClusterStatus
	for _, c := range st.Clusters {
		names = append(names, c.Name)
		if name == "" || c.Name == name || c.ARN == name {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "" && len(names) > 0:
		return daemon.ClusterStatus{}, fmt.Errorf("%w: cluster %s (there are: %s)", errNotFound, name, strings.Join(names, ", "))
	case len(found) == 0:
		return daemon.ClusterStatus{}, fmt.Errorf("%w: there is no cluster (aws eks create-cluster, or ekster quickstart)", errNotFound)
	}
	return daemon.ClusterStatus{}, fmt.Errorf("%w: which cluster? --cluster with one of %s", errUsage, strings.Join(names, ", "))
}

// endpointAddress is the loopback address and port of an endpoint.
func endpointAddress(endpoint string) (netip.AddrPort, error) {
	host := strings.TrimPrefix(endpoint, "https://")
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, 443), nil
	}
	return netip.ParseAddrPort(host)
}
