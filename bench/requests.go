package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"ekster.dev/ekster/test/lab"
)

const (
	connections = 16
	loadFor     = 5 * time.Second
	warmUpFor   = time.Second
)

// Cores of the server and of its client. With one processor both have it.
func cores() (server, client string) { return "0", strconv.Itoa(min(1, runtime.NumCPU()-1)) }

// requests is figure 5. The server's process is tied to one core and the client's to
// another; the server's processor time over the wall's says how busy its core was.
func (r *run) requests(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		if _, err := r.createCluster(ctx, cloud, land, "bench"); err != nil {
			return err
		}
		st, err := d.Status(ctx)
		if err != nil {
			return err
		}
		server, _ := cores()
		// Only now, and the daemon alone: the control plane would have inherited it.
		if _, err := lab.Output(ctx, os.Environ(), "taskset", "-a", "-c", "-p", server, strconv.Itoa(st.PID)); err != nil {
			return err
		}
		peer, err := r.peer(ctx)
		if err != nil {
			return err
		}
		r.report.add(line{Figure: "5", What: "a Go server that checks nothing", Unit: "/s", Value: peer.Rate, Note: peer.note()})
		for _, op := range []string{"GetCallerIdentity", "DescribeCluster"} {
			got, err := load(ctx, cloud, st.PID, op)
			if err != nil {
				return fmt.Errorf("%s: %w", op, err)
			}
			r.report.atLeast(line{Figure: "5", What: op + ", signed", Unit: "/s", Value: got.Rate, Floor: peer.Rate, Ratio: got.Rate / peer.Rate, Note: got.note()}, 15000)
			// What it would be if nobody else wanted the machine. It is reckoned and not seen, so it has no limit.
			r.report.add(line{Figure: "5", What: op + ", to each second that the server's core worked", Unit: "/s",
				Value: got.Rate / got.busy, Floor: peer.Rate / peer.busy, Ratio: got.Rate / got.busy / peer.Rate * peer.busy})
			r.report.atMost(line{Figure: "5", What: op + ", p99", Unit: "ms", Value: got.P99}, 10)
		}
		return nil
	})
}

// A loadResult is what the client saw, and how busy the server was.
type loadResult struct {
	Requests int     `json:"requests"`
	Errors   int     `json:"errors"`
	Rate     float64 `json:"rate"` // a second
	P50      float64 `json:"p50"`  // milliseconds
	P99      float64 `json:"p99"`
	busy     float64 // of the server's core
}

func (l loadResult) note() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, server's core %.0f %% busy", l.P50, l.P99, 100*l.busy)
}

// load runs the client as a process of its own.
func load(ctx context.Context, cloud *lab.Cloud, server int, op string) (l loadResult, err error) {
	creds, err := cloud.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return l, err
	}
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+creds.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+creds.SecretAccessKey, "GOMAXPROCS=1")
	return drive(ctx, env, server, *cloud.Config.BaseEndpoint, op)
}

func drive(ctx context.Context, env []string, server int, url, op string) (l loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return l, err
	}
	_, client := cores()
	for _, d := range []time.Duration{warmUpFor, loadFor} {
		before, err := cpuSeconds(server)
		if err != nil {
			return l, err
		}
		out, err := lab.Output(ctx, env, "taskset", "-c", client, self, "load", url, op, d.String())
		if err != nil {
			return l, err
		}
		after, err := cpuSeconds(server)
		if err != nil {
			return l, err
		}
		if err := json.Unmarshal([]byte(out), &l); err != nil {
			return l, err
		}
		// The client signs its requests before it starts its clock: a little of this
		// interval is not the load's, in which the server does nothing.
		l.busy = (after - before) / d.Seconds()
	}
	if l.Errors > 0 {
		err = fmt.Errorf("%d of %d requests were refused", l.Errors, l.Requests)
	}
	return l, err
}

// peer measures a Go server on the same core that answers GetCallerIdentity's bytes
// without looking at the question: what net/http itself does on this machine.
func (r *run) peer(ctx context.Context) (l loadResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return l, err
	}
	port, err := lab.FreePort()
	if err != nil {
		return l, err
	}
	address := fmt.Sprint("127.0.0.1:", port)
	server, _ := cores()
	cmd := exec.CommandContext(ctx, "taskset", "-c", server, self, "peer", address)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return l, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		if waited := cmd.Wait(); err == nil && cmd.ProcessState == nil {
			err = waited
		}
	}()
	err = lab.Promptly(ctx, 5*time.Second, "the peer", func(ctx context.Context) (bool, string, error) {
		_, err := lab.Get(ctx, "http://"+address+"/")
		return err == nil, fmt.Sprint(err), nil
	})
	if err != nil {
		return l, err
	}
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=none", "GOMAXPROCS=1")
	l, err = drive(ctx, env, cmd.Process.Pid, "http://"+address, "GetCallerIdentity")
	return l, errors.Join(err, ctx.Err())
}
