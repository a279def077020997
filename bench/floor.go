package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"ekster.dev/ekster/test/lab"
)

// A floor is upstream's control plane, started by hand: etcd and kube-apiserver, without
// what secures it.
type floor struct {
	dir   string
	kube  string // the multi-call program
	port  int
	token string
	procs map[string]*exec.Cmd
	took  float64 // seconds to /readyz
}

const floorTimeout = time.Minute

// startFloor starts both at once and returns when /readyz says ok.
func startFloor(ctx context.Context, kube string) (*floor, error) {
	dir, err := os.MkdirTemp("/var/tmp", "ekster-floor-")
	if err != nil {
		return nil, err
	}
	f := &floor{dir: dir, kube: kube, token: "floor", procs: map[string]*exec.Cmd{}}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *floor) start(ctx context.Context) error {
	if err := f.secrets(); err != nil {
		return err
	}
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = lab.FreePort(); err != nil {
			return err
		}
	}
	f.port = ports[2]
	client, peer := fmt.Sprint("http://127.0.0.1:", ports[0]), fmt.Sprint("http://127.0.0.1:", ports[1])
	began := time.Now()
	err := errors.Join(
		f.run("etcd", f.kube, "etcd", "--data-dir="+f.path("etcd"), "--listen-client-urls="+client, "--advertise-client-urls="+client,
			"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer),
		f.run("kube-apiserver", f.kube, "kube-apiserver", "--etcd-servers="+client, "--bind-address=127.0.0.1", fmt.Sprint("--secure-port=", f.port),
			"--cert-dir="+f.path("certs"), "--service-cluster-ip-range=10.0.0.0/24", "--service-account-issuer=https://floor",
			"--service-account-signing-key-file="+f.path("sa.key"), "--service-account-key-file="+f.path("sa.key"),
			"--token-auth-file="+f.path("tokens.csv"), "--authorization-mode=AlwaysAllow"),
	)
	if err != nil {
		return err
	}
	web := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a floor has no authority
	defer web.CloseIdleConnections()
	err = lab.Promptly(ctx, floorTimeout, "the floor's /readyz", func(ctx context.Context) (bool, string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url()+"/readyz", nil)
		if err != nil {
			return false, "", err
		}
		req.Header.Set("Authorization", "Bearer "+f.token) // with AlwaysAllow nobody is anonymous
		res, err := web.Do(req)
		if err != nil {
			return false, err.Error(), nil
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK, res.Status, nil
	})
	f.took = seconds(began)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, f.log("kube-apiserver"))
	}
	return err
}

func (f *floor) url() string             { return fmt.Sprint("https://127.0.0.1:", f.port) }
func (f *floor) path(name string) string { return filepath.Join(f.dir, name) }

// secrets writes what the programs want to read.
func (f *floor) secrets() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return errors.Join(
		os.WriteFile(f.path("sa.key"), block, 0o600),
		os.WriteFile(f.path("tokens.csv"), []byte(f.token+",floor,floor,system:masters\n"), 0o600),
	)
}

// kubeconfig writes a client's file, once the port is known.
func (f *floor) kubeconfig() (string, error) {
	path := f.path("kubeconfig")
	return path, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: floor, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: floor, user: {token: %s}}]
contexts: [{name: floor, context: {cluster: floor, user: floor}}]
current-context: floor
`, f.url(), f.token), 0o600)
}

// rest starts the other two of the four processes.
func (f *floor) rest() error {
	config, err := f.kubeconfig()
	if err != nil {
		return err
	}
	return errors.Join(
		f.run("kube-controller-manager", f.kube, "kube-controller-manager", "--kubeconfig="+config, "--secure-port=0",
			"--service-account-private-key-file="+f.path("sa.key"), "--root-ca-file="+f.path("certs/apiserver.crt"), "--use-service-account-credentials=true"),
		f.run("kube-scheduler", f.kube, "kube-scheduler", "--kubeconfig="+config, "--secure-port=0"),
	)
}

// run starts a program with its output in a log of its own.
func (f *floor) run(name, path string, argv ...string) error {
	log, err := os.Create(f.path(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, argv...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	f.procs[name] = cmd
	return nil
}

func (f *floor) log(name string) string {
	raw, err := os.ReadFile(f.path(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-2048):])
}

// end kills some of the processes.
func (f *floor) end(names ...string) {
	for _, n := range names {
		if cmd := f.procs[n]; cmd != nil {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()         // by that signal
			delete(f.procs, n)
		}
	}
}

// stop ends and deletes everything.
func (f *floor) stop() error {
	for n := range f.procs {
		f.end(n)
	}
	return os.RemoveAll(f.dir)
}
