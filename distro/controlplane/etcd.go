package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"google.golang.org/grpc"
)

// EtcdSocket is where etcd listens, relative to the working directory: an absolute path could be longer than a
// unix socket's name may be.
const EtcdSocket = "unix://etcd.sock"

// etcdHTTPSocket takes etcd's HTTP server, /metrics and /health, off the gRPC socket: sharing one costs every call.
const etcdHTTPSocket = "unix://etcd-http.sock"

// standardQuota is how many bytes etcd holds unless the Config says otherwise.
const standardQuota = 8 << 30

// defragAbove is how many MiB of deleted objects' room a start gives back. The quota counts that room, so that whoever
// has cleaned up could otherwise never go to a smaller one.
const defragAbove = 256

// connBuffer is a connection's read and write buffer; the default is 32 KiB each.
const connBuffer = 4 << 10

// startEtcd starts a cluster of one. Nobody else is there to be heard from, so elections need not wait for a
// network; and a control plane's history is short, so its log is cut often and in small files, which makes
// restarts quick and keeps the log's tail, which etcd holds in memory, small. Every write is synced.
func startEtcd(cfg Config) (*embed.Etcd, error) {
	client, err := cfg.socket(EtcdSocket)
	if err != nil {
		return nil, err
	}
	http, err := cfg.socket(etcdHTTPSocket)
	if err != nil {
		return nil, err
	}
	wal.SegmentSizeBytes = 16 << 20

	e := embed.NewConfig()
	e.Dir = filepath.Join(cfg.Dir, "etcd")
	e.ListenClientUrls = []url.URL{*client}
	e.ListenClientHttpUrls = []url.URL{*http}
	// The advertised URLs, which must look like TCP's, stay the default: nobody reads them.
	e.ListenPeerUrls = nil
	e.TickMs, e.ElectionMs = 20, 100
	e.SnapshotCount, e.SnapshotCatchUpEntries = 2000, 200
	e.EnableGRPCGateway = false
	// The API server opens a connection for each of its 70 resources.
	e.GRPCAdditionalServerOptions = []grpc.ServerOption{
		grpc.ReadBufferSize(connBuffer), grpc.WriteBufferSize(connBuffer), grpc.SharedWriteBuffer(true),
	}
	// Not set by NewConfig, and then every request is reported as slow.
	e.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	e.Name = "etcd"
	e.InitialCluster = e.InitialClusterFromName(e.Name)
	e.LogLevel = "warn"
	e.LogOutputs = []string{"stderr"}
	e.QuotaBackendBytes = cmp.Or(cfg.EtcdQuota, standardQuota)
	e.BootstrapDefragThresholdMegabytes = defragAbove
	return embed.StartEtcd(e)
}

// waitEtcd returns when etcd has ended by itself, or nil when ctx is done.
func waitEtcd(ctx context.Context, e *embed.Etcd) error {
	select {
	case err := <-e.Err():
		return err
	case <-e.Server.StopNotify():
		return errors.New("etcd stopped")
	case <-ctx.Done():
		return nil
	}
}

// socket returns the URL, and removes what a killed process left there: it could not be bound again.
func (c Config) socket(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(c.Dir, u.Host)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	return u, nil
}
