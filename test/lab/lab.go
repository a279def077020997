// Package lab runs an Ekster of one's own: a daemon started from the built bin/ekster with
// its own state directory and port, and the clients that its users have.
//
//	Daemon   up, down, purge, status, env of one state directory (lab.go, command.go)
//	Cloud    the AWS SDK with the credentials of `ekster env` (cloud.go), what every
//	         cluster needs of IAM and EC2 (landscape.go), clusters and groups (cluster.go)
//	Payload  one of a daemon's own, in which a Kubernetes version can be broken (payload.go)
//	Kube     client-go that presents IAM tokens, as `aws eks get-token` makes them (kube.go)
//	Host     what a daemon has on the machine: to prove that nothing is left (leftovers.go)
//
// Tests (package test) and measurements (bench) share it. It asserts nothing: everything
// that goes wrong is an error of the caller. It goes through the same doors as a user and
// looks into the state directory only for what has no door (process records).
package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Daemon is an Ekster on a state directory of its own.
type Daemon struct {
	Bin   string // the program
	State string // the state directory
	Port  int
	Pin   string // CPU list for taskset; "" for all
	Env   []string
	Flags []string // more of `ekster up`

	own    string    // the payload that OwnPayload has made
	before hostState // of the host, before the first start
}

// Root is the top of the repository that this runs in: tests start in their package's
// folder, and a binary built with -trimpath does not know where its source was.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder above %s is the repository", start)
		}
	}
}

// Missing says why no lab can be run here, as a sentence; "" if one can.
func Missing() string {
	if os.Geteuid() != 0 {
		return "needs root: daemons make network namespaces and cgroups"
	}
	return ""
}

// New prepares a daemon with a new state directory and a free port. It is not started. The
// program is the built bin/ekster, unless EKSTER_BIN names another one.
func New() (*Daemon, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	d := &Daemon{Bin: filepath.Join(root, "bin", "ekster")}
	if other := os.Getenv("EKSTER_BIN"); other != "" {
		d.Bin = other
	}
	for _, path := range []string{d.Bin, filepath.Join(d.Node(), "containerd"), filepath.Join(d.payload(), "images", "index.json")} {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("not built (make build): %w", err)
		}
	}
	if d.before, err = lookAround(); err != nil {
		return nil, err
	}
	// Not below /tmp, which may be a tmpfs: overlayfs and disk images want a disk.
	if d.State, err = os.MkdirTemp("/var/tmp", "ekster-lab-"); err != nil {
		return nil, err
	}
	if d.Port, err = FreePort(); err != nil {
		return nil, err
	}
	return d, nil
}

// Gone says whether the state directory is no more.
func (d *Daemon) Gone() bool {
	_, err := os.Stat(d.State)
	return os.IsNotExist(err)
}

// FreePort is a port of 127.0.0.1 that nobody listened on a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Versions are the Kubernetes versions that the payload beside the program has.
func (d *Daemon) Versions() []string {
	found, err := filepath.Glob(filepath.Join(d.payload(), "kubernetes", "*", "version"))
	if err != nil {
		return nil // the pattern is a good one
	}
	for i, f := range found {
		found[i] = filepath.Base(filepath.Dir(f))
	}
	slices.Sort(found)
	return found
}

// GitVersion is what the API server of a Kubernetes version says it is.
func (d *Daemon) GitVersion(minor string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(d.payload(), "kubernetes", minor, "version"))
	return strings.TrimSpace(string(raw)), err
}

// Kube is the multi-call program of a Kubernetes version.
func (d *Daemon) Kube(minor string) string {
	return filepath.Join(d.payload(), "kubernetes", minor, "kube")
}

// Node is the directory of the node runtime.
func (d *Daemon) Node() string { return filepath.Join(d.payload(), "node") }

func (d *Daemon) payload() string { return filepath.Join(filepath.Dir(d.Bin), "payload") }

// Until asks f until it says true. An error of f ends it, as does the end of within; the
// error then says what was waited for, and last what f wanted to have said about it.
func Until(ctx context.Context, within time.Duration, what string, f func(ctx context.Context) (done bool, last string, err error)) error {
	return until(ctx, within, 100*time.Millisecond, what, f)
}

// Promptly is Until for measurements: it asks forty times a second.
func Promptly(ctx context.Context, within time.Duration, what string, f func(ctx context.Context) (done bool, last string, err error)) error {
	return until(ctx, within, 25*time.Millisecond, what, f)
}

func until(ctx context.Context, within, every time.Duration, what string, f func(ctx context.Context) (bool, string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		done, now, err := f(ctx)
		if now != "" && ctx.Err() == nil { // else it tells of the deadline only
			last = now
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if done && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err := fmt.Errorf("waiting for %s: not so after %s", what, within)
			if last != "" {
				err = fmt.Errorf("%w: %s", err, last)
			}
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("%w: %w", err, ctx.Err())
			}
			return err
		}
	}
}
