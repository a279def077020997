package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// Options say where the records are kept.
type Options struct {
	Dir       string   // data directory of the embedded etcd
	Endpoints []string // of an etcd cluster; if there are any, nothing is embedded
}

// maxRequest bounds one transaction. Etcd's own bound is 1.5 MiB: ten messages of a queue, or one
// whose JSON is mostly escapes, are longer, and an event goes to as many queues as rules lead to.
const maxRequest = 64 << 20

// maxData bounds the records, and what is not yet compacted of their history. It is the most that etcd
// is tested with. At its own bound, 2 GiB, queues that nobody reads would make every write of everybody fail, and every
// receive adds its messages to the history once more.
const maxData = 8 << 30

// startTimeout bounds how long Open waits for etcd.
const startTimeout = 30 * time.Second

// Open returns the store with every record in memory. The embedded etcd listens on
// two unix sockets in its directory and nowhere else.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{rows: newTables(), patience: usual, closed: make(chan struct{})}
	s.read = s.rows.begin(false)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	if len(o.Endpoints) > 0 {
		err = s.dial(o.Endpoints)
	} else {
		err = s.embed(ctx, o.Dir)
	}
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Store) dial(endpoints []string) error {
	c, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 5 * time.Second, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		MaxCallSendMsgSize: maxRequest, // as much as we may send; how much such a cluster takes is its own setting
	})
	if err != nil {
		return fmt.Errorf("connecting to etcd at %v: %w", endpoints, err)
	}
	s.kv, s.close = c, c.Close
	return nil
}

func (s *Store) embed(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "data")
	cfg.LogLevel = "error"
	cfg.LogOutputs = []string{filepath.Join(dir, "etcd.log")}
	// A member without peers has nobody to wait for: short ticks elect it at once.
	cfg.TickMs, cfg.ElectionMs = 10, 50
	cfg.MaxTxnOps, cfg.MaxRequestBytes, cfg.QuotaBackendBytes = 1<<16, maxRequest, maxData
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModeRevision, "1000"
	// The advertised addresses name the member and are never dialled.
	name := url.URL{Scheme: "http", Host: "localhost:1"}
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "client.sock")}}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "peer.sock")}}
	cfg.AdvertiseClientUrls, cfg.AdvertisePeerUrls = []url.URL{name}, []url.URL{name}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	for _, u := range []url.URL{cfg.ListenClientUrls[0], cfg.ListenPeerUrls[0]} {
		if err := os.Remove(u.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("starting the embedded etcd in %s: %w", dir, err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return fmt.Errorf("starting the embedded etcd in %s: %w", dir, err)
	case <-ctx.Done():
		e.Close()
		return fmt.Errorf("starting the embedded etcd in %s: %w", dir, ctx.Err())
	}
	c := v3client.New(e.Server)
	s.kv = c
	s.close = func() error {
		// The in-process client has no connection; it can only report that its own
		// context has ended.
		_ = c.Close()
		e.Close()
		return nil
	}
	return nil
}
