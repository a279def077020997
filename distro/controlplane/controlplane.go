// Package controlplane runs a cluster's whole control plane in one process:
//
//	listen on the host's loopback ── in the namespace that the process was started in
//	enter the network namespace      exec of itself, the listener inherited (netns.go)
//	  │
//	  ├─ etcd ─────────────┐         unix socket etcd.sock in the working directory
//	  ├─ webhook forwarder ┤         loopback TCP → the daemon's unix socket (forward.go)
//	  │                    ▼
//	  │          kube-apiserver      one listener made of the host's and the namespace's (listen.go)
//	  │                    │ /readyz
//	  │        ┌───────────┴──────────┐
//	  └─ kube-controller-manager  kube-scheduler
//
// One process instead of four shares the Go heap, the types and the binary's pages, and has one thing that can
// die: when any part ends, the process exits with the reason, and whoever started it starts it whole again.
//
// What each part is told (its flags) is not decided here: it comes in the Config, written by internal/controlplane.
// This package decides only what follows from living in one process, and what has no flag.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	utilversion "k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

// inFlight is how long requests under way have to end after the process was told to stop. New connections wait for the
// next process by then (see pause).
const inFlight = 300 * time.Millisecond

// shutdownGrace bounds how long the other parts have after one has ended by itself.
const shutdownGrace = 8 * time.Second

// Name is the sub-command of the multi-call binary that leads to Main.
const Name = "control-plane"

// Main runs the control plane that the configuration file describes, in the file's directory, until it is told
// to stop by SIGTERM or SIGINT (nil) or a part ends (the reason).
func Main(configFile string) error {
	cfg, err := LoadConfig(configFile)
	if err != nil {
		return err
	}
	host, err := cfg.enter()
	if err != nil {
		return err
	}
	if err := os.Chdir(cfg.Dir); err != nil {
		return fmt.Errorf("entering the directory of the control plane: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return run(ctx, cfg, host)
}

// errStopped is why a part's context ends when the process was told to stop.
var errStopped = errors.New("told to stop")

// run starts the parts in order, and returns when one of them has ended or ctx is done.
func run(ctx context.Context, cfg Config, host listener) error {
	debug.SetGCPercent(gcPercentStarting)
	// client-go warns of deprecated APIs, which the parts use on purpose.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	opts, err := newOptions(cfg)
	if err != nil {
		return err
	}
	if err := opts.apply(); err != nil {
		return err
	}
	defer klog.Flush()
	klog.InfoS("Starting control plane", "version", utilversion.Get().GitVersion)

	ln, err := cfg.listen(host)
	if err != nil {
		return err
	}
	forward, err := startForwarder(cfg)
	if err != nil {
		return err
	}
	defer forward.Close()
	admission, err := startAdmission(cfg)
	if err != nil {
		return err
	}
	if admission != nil {
		defer admission.Close()
	}

	store, err := startEtcd(cfg)
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	defer store.Close()

	parts := newParts(ctx)
	parts.start("etcd", func(ctx context.Context) error { return waitEtcd(ctx, store) })
	parts.start("kube-apiserver", func(ctx context.Context) error { return opts.runAPIServer(ctx, ln) })
	go func() {
		if err := waitReady(parts.ctx, cfg); err != nil {
			return // stopped before it was ready; the part that ended says why
		}
		klog.InfoS("kube-apiserver is ready")
		parts.start("kube-controller-manager", opts.runControllerManager)
		parts.start("kube-scheduler", opts.runScheduler)
		trimAfterStart(parts.ctx)
	}()
	err = parts.wait()
	if errors.Is(err, errStopped) {
		leave(ln)
	}
	return err
}

// leave ends the process as soon as requests under way have had a moment. It ends no part in order: the API server would
// answer 503 for the seconds that its watches take to end, while etcd, which alone has anything to lose, has every
// acknowledged write on disk.
func leave(ln *merged) {
	ln.pause()
	<-time.After(inFlight)
	klog.InfoS("Stopped")
	klog.Flush()
	os.Exit(0)
}

// A part is one running component.
type part struct {
	name string
	done chan struct{}
	err  error
}

// parts runs components until the first one ends or the process is told to stop; then it stops the rest.
type parts struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan *part
	outer  context.Context
	all    chan *part
}

func newParts(outer context.Context) *parts {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(outer))
	return &parts{ctx: ctx, cancel: cancel, outer: outer, ended: make(chan *part, 8), all: make(chan *part, 8)}
}

func (p *parts) start(name string, run func(context.Context) error) *part {
	one := &part{name: name, done: make(chan struct{})}
	p.all <- one
	go func() {
		defer utilruntime.HandleCrash()
		one.err = run(p.ctx)
		close(one.done)
		p.ended <- one
	}()
	return one
}

// wait returns errStopped when the process was told to stop, with all parts running, and otherwise, once the others have
// been stopped, why the first part ended.
func (p *parts) wait() error {
	var reason error
	select {
	case <-p.outer.Done():
		klog.InfoS("Stopping")
		return errStopped
	case one := <-p.ended:
		reason = fmt.Errorf("%s ended: %w", one.name, orUnexplained(one.err))
		klog.ErrorS(one.err, "A part ended", "part", one.name)
	}
	p.cancel(reason)
	deadline := time.After(shutdownGrace)
	for len(p.all) > 0 {
		one := <-p.all
		select {
		case <-one.done:
		case <-deadline:
			klog.InfoS("Did not stop in time", "part", one.name)
			return reason
		}
	}
	return reason
}

func orUnexplained(err error) error {
	if err == nil {
		return errors.New("without giving a reason")
	}
	return err
}
