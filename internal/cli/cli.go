// Package cli is the command line of Ekster: one file a command.
//
//	up      start the daemon          down     stop it and all that it runs
//	env     exports for AWS's tools   status   what there is, and what it waits for
//	doctor  what this host lacks      logs     of the daemon, a cluster, an instance
//	kubectl a cluster's, embedded     image    load images into the registry
//	account a new AWS account, or one less
//	fault   an outage: a zone that goes, capacity that runs out, a Spot instance taken back
//	quickstart  a cluster with nodes and a workload, from nothing
//
// Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong, 3 there is no
// running daemon or no such thing, 4 it takes root. Commands talk to the daemon over its unix socket and
// its AWS APIs; they read no records.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"ekster.dev/ekster/internal/daemon"
)

// Exit codes besides 0.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
)

// DefaultStateDir is where the daemon keeps everything unless told otherwise.
const DefaultStateDir = "/var/lib/ekster"

// errNotFound marks errors that mean that something is not there.
var errNotFound = errors.New("not found")

// errUsage marks errors of the command line.
var errUsage = errors.New("usage")

// errDenied marks errors that root would not get.
var errDenied = errors.New("it takes root (try sudo)")

// exitStatus is the exit code of a program that was run on the user's behalf.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// app is what every command has.
type app struct {
	out, err io.Writer
	stateDir string
	payload  string
}

func (a *app) dir() daemon.Dir { return daemon.Dir(a.stateDir) }

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	a := &app{out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if errors.Is(err, fs.ErrPermission) && !errors.Is(err, errDenied) && os.Geteuid() != 0 {
		err = fmt.Errorf("%w: %w", err, errDenied)
	}
	fmt.Fprintln(errOut, "ekster:", err)
	switch {
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errNotFound):
		return exitNotFound
	}
	return exitFailed
}

func (a *app) root() *cobra.Command { return a.rootWith(&upFlags{}) }

// rootWith has the flags of up written to f.
func (a *app) rootWith(f *upFlags) *cobra.Command {
	root := &cobra.Command{
		Use:   "ekster",
		Short: "An EKS that you own: the Amazon EKS API with real effects on this machine",
		Long: `Ekster serves the Amazon EKS API and the part of AWS around it (IAM, STS, EC2,
Auto Scaling, SSM) with real effects on this machine: real Kubernetes control
planes, and nodes that run real containers.

Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong, 3 there is
no running daemon or no such thing, 4 it takes root.`,
		Example:       "  sudo ekster up --detach\n  eval \"$(ekster env)\"\n  aws eks list-clusters",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          args(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	state := os.Getenv("EKSTER_STATE_DIR")
	if state == "" {
		state = DefaultStateDir
	}
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", state, "directory that holds everything [$EKSTER_STATE_DIR]")
	root.PersistentFlags().StringVar(&a.payload, "payload", os.Getenv("EKSTER_PAYLOAD"), "directory of what clusters are made of; beside the program unless given [$EKSTER_PAYLOAD]")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
	})
	root.AddCommand(a.up(f), a.down(), a.env(), a.status(), a.doctor(), a.logs(), a.kubectl(), a.image(), a.account(), a.fault(), a.quickstart())
	for _, c := range root.Commands() {
		c.DisableFlagsInUseLine = true
	}
	return root
}

// args wraps a check of positional arguments so that its errors count as usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, list []string) error {
		if err := check(c, list); err != nil {
			return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
		}
		return nil
	}
}
