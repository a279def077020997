package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commandTimeout bounds every command but those that bring their own.
const commandTimeout = 3 * time.Minute

// Run runs `ekster ARGS --state-dir STATE` and returns what it printed on its standard
// output. The error has the arguments and the standard error.
func (d *Daemon) Run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	path, argv := d.Bin, append(append([]string{}, args[:1]...), append([]string{"--state-dir", d.State}, args[1:]...)...)
	if d.Pin != "" {
		path, argv = "taskset", append([]string{"-c", d.Pin, d.Bin}, argv...)
	}
	return Output(ctx, d.environ(), path, argv...)
}

// environ is ours without what would lead a client to another AWS or cluster.
func (d *Daemon) environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "EKSTER_") && !strings.HasPrefix(kv, "KUBECONFIG=") {
			env = append(env, kv)
		}
	}
	return append(env, d.Env...)
}

// Output runs a program and returns its standard output; the error has the standard error.
func Output(ctx context.Context, env []string, path string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, argv...)
	var out, errOut bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errOut
	// What it starts in the background may keep its output open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", path, strings.Join(argv, " "), err, errOut.String(), out.String())
	}
	return out.String(), nil
}

// Up starts the daemon detached and returns when it answers.
func (d *Daemon) Up(ctx context.Context) error {
	_, err := d.Run(ctx, append([]string{"up", "--detach", "--pull-through=false", "--port", strconv.Itoa(d.Port)}, d.Flags...)...)
	return err
}

// Down stops the daemon and all that it runs; data stays.
func (d *Daemon) Down(ctx context.Context) error {
	_, err := d.Run(ctx, "down")
	return err
}

// Purge stops everything and deletes it.
func (d *Daemon) Purge(ctx context.Context) error {
	_, err := d.Run(ctx, "down", "--purge")
	return err
}

// Exports is what `ekster env` exports.
func (d *Daemon) Exports(ctx context.Context) (map[string]string, error) {
	out, err := d.Run(ctx, "env")
	if err != nil {
		return nil, err
	}
	return exports(out), nil
}

// exports reads what a shell is to export.
func exports(out string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(out) {
		if kv, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			k, v, _ := strings.Cut(kv, "=")
			vars[k] = v
		}
	}
	return vars
}

// Logs is the end of the daemon's own log, for the report of a failure.
func (d *Daemon) Logs() string {
	raw, err := os.ReadFile(filepath.Join(d.State, "log", "daemon.log"))
	if err != nil {
		return err.Error()
	}
	const most = 6 << 10
	return string(raw[max(0, len(raw)-most):])
}
