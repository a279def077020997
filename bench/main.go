package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"ekster.dev/ekster/test/lab"
)

// A run is one measurement of everything.
type run struct {
	runs    int
	version string // of Kubernetes
	report  *report
}

// A figure is one of those in the package comment.
type figure struct {
	name    string
	measure func(*run, context.Context) error
}

var figures = []figure{
	{"1", (*run).clusterTime},
	{"2", (*run).nodeTime},
	{"3", (*run).planeMemory},
	{"4", (*run).daemonStart},
	{"5", (*run).requests},
	{"6", (*run).tenClusters},
	{"7", (*run).machineTime},
	{"8", (*run).throughput},
	{"9", (*run).decision},
	{"10", (*run).upgradeTime},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && helpers[os.Args[1]] != nil {
		fail(helpers[os.Args[1]](ctx, os.Args[2:]))
		return
	}
	out := flag.String("out", "bench/results.json", "file that the results go to; empty for none")
	only := flag.String("only", "", "figures to measure, as 1,3; empty for all")
	runs := flag.Int("runs", 5, "runs of which the median counts")
	strict := flag.Bool("strict", false, "exit with 3 if a limit is missed")
	timeout := flag.Duration("timeout", 20*time.Minute, "end of it all")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if why := lab.Missing(); why != "" {
		fail(fmt.Errorf("%s", why))
	}
	missed, err := measure(ctx, *only, *runs, *out)
	fail(err)
	if missed > 0 && *strict {
		os.Exit(3)
	}
}

// helpers are what this program starts itself as.
var helpers = map[string]func(context.Context, []string) error{
	"load":   loadMain, // the client of figure 5
	"peer":   peerMain, // the server that checks nothing
	"sink":   sinkMain, // of figure 8
	"source": sourceMain,
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs the figures, prints the table and writes the file. The figures that could be
// measured are reported also if one could not.
func measure(ctx context.Context, only string, runs int, out string) (missed int, err error) {
	probe, err := lab.New()
	if err != nil {
		return 0, err
	}
	if err := os.Remove(probe.State); err != nil {
		return 0, err
	}
	versions := probe.Versions()
	if len(versions) == 0 {
		return 0, fmt.Errorf("no Kubernetes version is built (make build)")
	}
	r := &run{runs: runs, version: versions[0], report: newReport()}
	for _, v := range versions {
		if v == "1.35" { // the default one, if it is there
			r.version = v
		}
	}
	for _, f := range figures {
		if only != "" && !strings.Contains(","+only+",", ","+f.name+",") {
			continue
		}
		began := time.Now()
		if err := f.measure(r, ctx); err != nil {
			r.report.failed(f.name, err)
		}
		fmt.Fprintf(os.Stderr, "figure %s took %s\n", f.name, time.Since(began).Round(time.Second))
		if ctx.Err() != nil {
			break
		}
	}
	r.report.print(os.Stdout)
	if out != "" {
		if err := r.report.write(out); err != nil {
			return 0, err
		}
	}
	return r.report.missed(), r.report.err()
}

// withDaemon runs f with a new daemon, which is purged afterwards whatever happened.
func withDaemon(ctx context.Context, f func(d *lab.Daemon, cloud *lab.Cloud) error) (err error) {
	d, err := lab.New()
	if err != nil {
		return err
	}
	defer func() {
		if purged := purge(context.WithoutCancel(ctx), d); err == nil {
			err = purged
		}
	}()
	if err := d.Up(ctx); err != nil {
		return err
	}
	cloud, err := d.Cloud(ctx)
	if err != nil {
		return err
	}
	return f(d, cloud)
}

func purge(ctx context.Context, d *lab.Daemon) error {
	prefix, err := d.Prefix()
	if err != nil {
		return err
	}
	if err := d.Purge(ctx); err != nil {
		return err
	}
	left, err := d.Leftovers(prefix)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left after purge:\n%s", strings.Join(left, "\n"))
	}
	return err
}
