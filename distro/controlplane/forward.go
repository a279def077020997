package controlplane

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"
)

const (
	// daemonAbsent is how long a webhook's connection waits for a daemon that is being restarted, before the
	// webhook fails: a token is then refused, an access policy has no opinion.
	daemonAbsent = 1500 * time.Millisecond
	dialEvery    = 25 * time.Millisecond
)

// startForwarder carries webhook connections from a loopback port, the only kind of address a webhook can have,
// to the daemon's unix socket, and writes the kubeconfig files that name this port. The socket is dialled for
// every connection, so a daemon that was restarted is found again.
func startForwarder(cfg Config) (net.Listener, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for webhooks: %w", err)
	}
	for file, path := range cfg.Webhooks {
		if err := writeWebhook(filepath.Join(cfg.Dir, file), "http://"+ln.Addr().String()+path); err != nil {
			ln.Close()
			return nil, err
		}
	}
	go forwardAll(ln, cfg.AuthSocket)
	return ln, nil
}

// startAdmission does the same for admission webhooks, at the port that the cluster's objects name: it ends their
// TLS. The certificate is read for each connection, since it is renewed while the process runs. The namespace is
// the process's own, so nobody outside it reaches the port.
func startAdmission(cfg Config) (net.Listener, error) {
	a := cfg.Admission
	if !a.Listen.IsValid() {
		return nil, nil
	}
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(a.Listen))
	if err != nil {
		return nil, fmt.Errorf("listening for admission webhooks: %w", err)
	}
	go forwardAll(tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
			return &pair, err
		},
	}), cfg.AuthSocket)
	return ln, nil
}

func forwardAll(ln net.Listener, socket string) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go forward(conn, socket)
	}
}

func forward(conn net.Conn, socket string) {
	defer conn.Close()
	daemon, err := dialUnix(socket)
	if err != nil {
		klog.ErrorS(err, "Reaching the daemon for a webhook")
		return
	}
	defer daemon.Close()
	// Either end closing ends both: HTTP has no half-closed connections.
	done := make(chan struct{}, 2)
	go func() { io.Copy(daemon, conn); done <- struct{}{} }()
	go func() { io.Copy(conn, daemon); done <- struct{}{} }()
	<-done
}

func dialUnix(socket string) (net.Conn, error) {
	tick := time.NewTicker(dialEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(daemonAbsent); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn, nil
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		<-tick.C
	}
}

// writeWebhook writes a kubeconfig (JSON is YAML) that names nothing but a server.
func writeWebhook(file, server string) error {
	type named map[string]any
	data, err := json.MarshalIndent(named{
		"apiVersion":      "v1",
		"kind":            "Config",
		"clusters":        []named{{"name": "daemon", "cluster": named{"server": server}}},
		"contexts":        []named{{"name": "daemon", "context": named{"cluster": "daemon"}}},
		"current-context": "daemon",
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing a webhook's kubeconfig: %w", err)
	}
	return nil
}
