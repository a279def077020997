// Package floor measures what a control plane is compared with: plain etcd and kube-apiserver, as two processes of
// the multi-call binary with next to no flags. It is for benchmarks; nothing else imports it.
package floor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ekster.dev/ekster/internal/pki"
)

// A Result is one measurement.
type Result struct {
	Ready time.Duration    // from the start of etcd, the first of the two, to /readyz
	PSS   map[string]int64 // bytes by component, after Config.Idle
}

// Config says what to measure. Dir is an empty directory for data and logs, the caller's to delete.
type Config struct {
	Binary string
	Dir    string
	Idle   time.Duration // to wait, once ready, before memory is read
}

// Measure starts both, waits and ends them.
func Measure(ctx context.Context, cfg Config) (_ Result, err error) {
	ports, err := freePorts(3)
	if err != nil {
		return Result{}, err
	}
	client, peer, secure := ports[0], ports[1], ports[2]
	if _, err := pki.EnsureRSAKey(cfg.Dir, "sa"); err != nil {
		return Result{}, err
	}
	key := pki.KeyFile(cfg.Dir, "sa")
	began := time.Now()
	running := map[string]*exec.Cmd{}
	defer func() {
		for name, cmd := range running {
			err = errors.Join(err, stop(name, cmd))
		}
	}()
	for _, c := range []struct {
		name string
		args []string
	}{
		{"etcd", []string{
			"--data-dir", filepath.Join(cfg.Dir, "etcd"),
			"--listen-client-urls", "http://" + client, "--advertise-client-urls", "http://" + client,
			"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer,
			"--initial-cluster", "default=http://" + peer,
		}},
		{"kube-apiserver", []string{
			"--etcd-servers=http://" + client,
			"--bind-address=127.0.0.1", "--secure-port=" + secure[strings.LastIndexByte(secure, ':')+1:],
			"--advertise-address=192.0.2.1",
			"--cert-dir=" + filepath.Join(cfg.Dir, "certs"),
			"--service-account-issuer=https://floor.example.com",
			"--service-account-key-file=" + key, "--service-account-signing-key-file=" + key,
			"--authorization-mode=RBAC",
		}},
	} {
		cmd, err := start(cfg, c.name, c.args)
		if err != nil {
			return Result{}, err
		}
		running[c.name] = cmd
	}
	if err := waitReady(ctx, "https://"+secure+"/readyz"); err != nil {
		return Result{}, fmt.Errorf("waiting for kube-apiserver (its log is in %s): %w", cfg.Dir, err)
	}
	res := Result{Ready: time.Since(began), PSS: map[string]int64{}}
	select {
	case <-time.After(cfg.Idle):
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	for name, cmd := range running {
		if res.PSS[name], err = PSS(cmd.Process.Pid); err != nil {
			return Result{}, fmt.Errorf("memory of %s: %w", name, err)
		}
	}
	return res, nil
}

// PSS returns a process's proportional share of memory in bytes.
func PSS(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "Pss:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss in smaps_rollup of %d", pid)
}

func start(cfg Config, name string, args []string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(cfg.Dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(cfg.Binary, append([]string{name}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = cfg.Dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return cmd, nil
}

func stop(name string, cmd *exec.Cmd) error {
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("ending %s: %w", name, err)
	}
	cmd.Wait() //nolint:errcheck // it says that it was killed
	return nil
}

// waitReady polls as often as package controlplane does. The certificate is one that the server signs itself.
func waitReady(ctx context.Context, url string) error {
	client := &http.Client{
		Timeout:   250 * time.Millisecond,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := client.Get(url); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}
