// Package controlplane runs Kubernetes control planes: from a Config to a ready API server.
//
// A control plane is one process, `kube control-plane`, in the network namespace of its ENIs. It starts its parts
// in this order, and Status.Waiting says where it is:
//
//	keys and certificates ─▶ configuration files ─▶ process ─▶ etcd ─▶ kube-apiserver ─▶ controller-manager, scheduler
//	     (pki.go)                (files.go)                            └── /readyz ──┘
//
// Everything of it lies in one directory, and belongs to it alone:
//
//	<Dir>/pki/                 authorities, certificates, the service accounts' signing key
//	<Dir>/control-plane.json   what the process reads: its listeners and its parts' flags
//	<Dir>/*.yaml, *.kubeconfig authentication, authorization, clients' files
//	<Dir>/etcd/                the cluster's data
//	<Dir>/control-plane.log    what the parts say
//	<Dir>/audit.log            what the API server was asked for, if Config.Audit
//	<Dir>/authenticator.log    whom package clusterauth let in, if the cluster's logging wants it
//	<Dir>/process/             which process it is (package process)
//
// The files are a pure function of the Config (files.go); a digest of them is in the process's environment, so a
// Config that changed (a version, an address) leads to a restart, and one that did not leaves the process alone.
// The issuers of people's tokens are the exception: the API server reads their file again when it changes.
//
// Creation, a crash, a daemon's restart and an upgrade are all Ensure. The package makes no network namespace and
// knows no AWS; the webhooks' server behind Config.AuthSocket is the caller's.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ekster.dev/ekster/internal/process"
)

// Config is a control plane as it is wanted.
type Config struct {
	ID          string // names it in logs and errors
	Dir         string // absolute; made by Ensure, removed by Remove
	Binary      string // the multi-call binary `kube` of the wanted Kubernetes version
	ClusterName string
	Region      string

	Netns       string         // path of its network namespace; "" means the host's, for tests
	Listen      netip.AddrPort // on the host's loopback
	Addresses   []netip.Addr   // of its ENIs; the first is the endpoint of the Service "kubernetes"
	ServiceCIDR netip.Prefix   // the Services' addresses
	SANs        []string       // further names and addresses of the API server: its endpoint's

	Audit bool // the API server writes its audit log
	Tier  Tier // what it is to stand

	IssuerURL  string   // of service account tokens
	Issuers    []Issuer // of people's tokens; needs Netns
	AuthSocket string   // unix socket with /authenticate, /authorize and what AdmissionURL leads to; may come and go
}

// Status is what is so.
type Status struct {
	Ready   bool
	Waiting string // what Ensure found not to be up yet; "" when ready
	CA      []byte // PEM, of the API server's certificate
	JWKS    []byte // key set of service account tokens
	PID     int
	Starts  int // how often the process has been started

	Reloading bool // Config.Issuers have changed, and the ready API server goes by the former ones still
}

const (
	processName = "control-plane"
	logFile     = "control-plane.log"
	stopGrace   = 10 * time.Second
	probeEvery  = 25 * time.Millisecond
)

// Planes runs control planes. Its methods may be called for different planes at the same time.
type Planes struct {
	log *slog.Logger

	mu     sync.Mutex
	probes map[string]*probe    // by directory
	young  map[string]int       // by directory: Starts of a process that has not been ready yet
	loaded map[string]time.Time // by directory: the change of the issuers' file that is known to be in force
	held   map[string]*held     // by directory: the listeners of the process that was ready last
}

// New returns a Planes that knows nothing yet; what runs from before is found by Ensure.
func New(log *slog.Logger) *Planes {
	return &Planes{log: log, probes: map[string]*probe{}, young: map[string]int{}, loaded: map[string]time.Time{}, held: map[string]*held{}}
}

// Ensure brings the control plane nearer to cfg, and returns how far it is: it writes what is missing, starts the
// process or replaces it by one with the new configuration, and asks it once whether it is ready. It does not
// wait for that; call it again, or WaitReady. One caller at a time for one directory.
//
// A process that ended before it was ever ready is an error, with the last lines of its log, of the call that
// finds out; the call after that starts it again. So a caller's back-off spaces the attempts.
func (p *Planes) Ensure(ctx context.Context, cfg Config) (Status, error) {
	status, err := p.ensure(ctx, cfg)
	if err != nil {
		return Status{}, fmt.Errorf("control plane %s: %w", cfg.ID, err)
	}
	return status, nil
}

func (p *Planes) ensure(ctx context.Context, cfg Config) (Status, error) {
	if err := cfg.validate(); err != nil {
		return Status{}, err
	}
	keys, err := ensureKeys(cfg)
	if err != nil {
		return Status{}, err
	}
	files := filesFor(cfg, keys.ca)
	if err := errors.Join(files.write(cfg.Dir), name(cfg).write(cfg.Dir)); err != nil {
		return Status{}, err
	}
	if err := p.diedYoung(cfg.Dir); err != nil {
		return Status{}, err
	}
	proc, started, err := process.EnsureWith(processDir(cfg.Dir), processName, specFor(cfg, files), p.forNext(cfg))
	if err != nil {
		return Status{}, fmt.Errorf("starting its process: %w", err)
	}
	if started {
		p.setYoung(cfg.Dir, proc.Starts)
		p.log.Info("control plane started", "id", cfg.ID, "pid", proc.PID, "starts", proc.Starts, "binary", cfg.Binary)
	}
	status := Status{CA: keys.ca, JWKS: keys.jwks, PID: proc.PID, Starts: proc.Starts}
	probe, err := p.probe(cfg, keys)
	if err != nil {
		return Status{}, err
	}
	status.Waiting = probe.ask(ctx)
	status.Ready = status.Waiting == ""
	if status.Ready && p.grewUp(cfg.Dir) {
		p.log.Info("control plane ready", "id", cfg.ID, "pid", proc.PID, "after", time.Since(proc.Started).Round(time.Millisecond))
	}
	if !status.Ready {
		return status, nil
	}
	if err := p.hold(cfg, proc.PID); err != nil {
		return status, err
	}
	status.Reloading, err = p.reloading(ctx, cfg, proc)
	return status, err
}

// WaitReady calls Ensure until the control plane is ready or ctx is done.
func (p *Planes) WaitReady(ctx context.Context, cfg Config) (Status, error) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		status, err := p.Ensure(ctx, cfg)
		if err != nil || status.Ready {
			return status, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return status, fmt.Errorf("control plane %s: waiting for %s: %w", cfg.ID, status.Waiting, ctx.Err())
		}
	}
}

// Remove stops the control plane in dir and deletes all of it, its data too. Nothing there is fine.
func (p *Planes) Remove(ctx context.Context, dir string) error {
	if err := p.Stop(ctx, dir); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("deleting control plane %s: %w", dir, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.probes, dir)
	delete(p.young, dir)
	delete(p.loaded, dir)
	return nil
}

// Stop ends the control plane's process and keeps its directory; Ensure starts it again with its data.
func (p *Planes) Stop(ctx context.Context, dir string) error {
	defer p.letGo(dir)
	err := process.Stop(ctx, processDir(dir), processName, stopGrace)
	if err != nil {
		return fmt.Errorf("stopping control plane %s: %w", dir, err)
	}
	return nil
}

func processDir(dir string) string { return filepath.Join(dir, "process") }

func (p *Planes) setYoung(dir string, starts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.young[dir] = starts
}

// grewUp forgets that the process has not been ready, and says whether that was so.
func (p *Planes) grewUp(dir string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, young := p.young[dir]
	delete(p.young, dir)
	return young
}

// diedYoung returns an error, once, if the process ended before it was ready.
func (p *Planes) diedYoung(dir string) error {
	p.mu.Lock()
	starts, young := p.young[dir]
	p.mu.Unlock()
	if !young {
		return nil
	}
	_, alive, err := process.Find(processDir(dir), processName)
	if err != nil || alive {
		return err
	}
	p.grewUp(dir)
	return fmt.Errorf("its process (start %d) ended before it was ready:\n%s", starts, tail(filepath.Join(dir, logFile)))
}

// tail returns the end of a log, for an error's text.
func tail(file string) string {
	const most = 2 << 10
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-most):])
}

func (c Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(c.Dir) {
		wrong("directory %q is not absolute", c.Dir)
	}
	if c.Binary == "" {
		wrong("no binary")
	}
	if !c.Listen.IsValid() || !c.Listen.Addr().IsLoopback() || c.Listen.Port() == 0 {
		wrong("%s is not a loopback address and port", c.Listen)
	}
	if len(c.Addresses) == 0 {
		wrong("no addresses")
	}
	if !c.ServiceCIDR.IsValid() {
		wrong("no range of service addresses")
	}
	if c.IssuerURL == "" {
		wrong("no issuer")
	}
	if !filepath.IsAbs(c.AuthSocket) {
		wrong("socket %q is not absolute", c.AuthSocket)
	}
	return errors.Join(errs...)
}

// specFor is the process of a control plane: its environment names nothing of the daemon's, and holds the digest
// by which another configuration is another process.
func specFor(cfg Config, files files) process.Spec {
	return process.Spec{
		Path: cfg.Binary,
		Args: []string{"control-plane", "--config", filepath.Join(cfg.Dir, configFile)},
		Env:  []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "EKSTER_CONFIG=" + files.digest()},
		Dir:  cfg.Dir,
		Log:  filepath.Join(cfg.Dir, logFile),
	}
}
