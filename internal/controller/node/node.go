// Package node looks after the nodes of clusters, as EKS does from outside of them: with
// the parts of its cloud controller manager, certificate approver and node lifecycle that a
// cluster needs.
//
//	             ┌─ Nodes ──────────── new: addresses, labels, taint off   (initialize.go)
//	API server ──┤                     changed: the record of the node     (record.go)
//	  (watch.go) │                     instance terminated: Node deleted
//	             ├─ kubelets' CSRs ─── approved if they are the instance's (csr.go)
//	             └─ aws-auth ───────── kept for package clusterauth        (awsauth.go)
//
// For others it drains nodes (drain.go), changes their labels and taints (configure.go) and
// writes aws-auth.
//
// Every ACTIVE cluster has three watches over one connection; of what they bring only a few
// words a node are kept. A watch that breaks is made again, with a back-off. The package
// starts no instances, and does not decide who may join (clusterauth does).
package node

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Config says where a Controller finds clusters.
type Config struct {
	Store *store.Store
	// API returns how to talk to a cluster's API server, as one of system:masters.
	API func(resource.Cluster) (*rest.Config, error)
	Log *slog.Logger
}

// Controller watches the clusters. A key of its queue is a cluster's ARN, a kind of object
// and a name, joined by |.
type Controller struct {
	cfg   Config
	store *store.Store
	queue *reconcile.Queue
	log   *slog.Logger

	codecs func() (codecs, error) // made once

	ctx      context.Context // of Run
	wg       sync.WaitGroup
	mu       sync.Mutex
	clusters map[string]*cluster // that are watched
}

// Kinds of objects in keys.
const (
	kindNode = "node"
	kindCSR  = "csr"
)

func key(cluster, kind, name string) string { return cluster + "|" + kind + "|" + name }

// New returns the controller; Run starts it.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, store: cfg.Store, log: cfg.Log, codecs: sync.OnceValues(newCodecs), clusters: map[string]*cluster{}}
	c.queue = reconcile.New("node", c.Reconcile, cfg.Log)
	return c
}

// Run watches every cluster that is up, and those that come up, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	c.store.Subscribe(c.changed)
	err := c.store.View(func(tx *store.Tx) error {
		for _, cl := range tx.Clusters.All() {
			c.follow(cl)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.queue.Run(ctx, 4)
	c.wg.Wait()
	return nil
}

// Errors are those of objects that could not be dealt with, and of clusters that do not answer.
func (c *Controller) Errors() map[string]error {
	out := c.queue.Errors()
	c.mu.Lock()
	clusters := maps.Clone(c.clusters)
	c.mu.Unlock()
	for arn, cl := range clusters {
		if err := cl.lost(); err != nil {
			out[arn] = err
		}
	}
	return out
}

func (c *Controller) changed(changes []store.Change) {
	_ = c.store.View(func(tx *store.Tx) error {
		for _, ch := range changes {
			switch ch.Table {
			case store.Clusters:
				if cl, ok := tx.Clusters.Get(ch.Key); ok {
					c.follow(cl)
				} else {
					c.forget(ch.Key)
				}
			case store.Instances:
				c.wakeInstance(ch.Key)
			}
		}
		return nil
	})
}

// follow watches a cluster if it is up, and stops if it is not.
func (c *Controller) follow(rec resource.Cluster) {
	state := rec.Current()
	if state != resource.ClusterActive && state != resource.ClusterUpdating {
		c.forget(rec.ARN)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusters[rec.ARN] != nil || c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	cl := newCluster(rec.ARN, cancel)
	c.clusters[rec.ARN] = cl
	for _, s := range c.sources(cl) {
		c.wg.Go(func() { c.watch(ctx, cl, s) })
	}
}

func (c *Controller) forget(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl := c.clusters[arn]; cl != nil {
		cl.cancel()
		delete(c.clusters, arn)
	}
}

// wakeInstance wakes the node that an instance is, if it is one.
func (c *Controller) wakeInstance(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for arn, cl := range c.clusters {
		for _, name := range cl.nodesOf(id) {
			c.queue.Wake(key(arn, kindNode, name))
		}
	}
}

func (c *Controller) watched(arn string) *cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clusters[arn]
}

// Reconcile deals with one object of a cluster.
func (c *Controller) Reconcile(ctx context.Context, k string) (time.Duration, error) {
	arn, rest, _ := strings.Cut(k, "|")
	kind, name, _ := strings.Cut(rest, "|")
	cl := c.watched(arn)
	if cl == nil {
		return reconcile.Never, nil
	}
	var err error
	switch kind {
	case kindNode:
		err = c.reconcileNode(ctx, cl, name)
	case kindCSR:
		err = c.reconcileCSR(ctx, cl, name)
	}
	return reconcile.Never, err
}

// connect returns a client of the cluster's API server.
func (c *Controller) connect(arn string) (*client, error) {
	cl := c.watched(arn)
	if cl != nil {
		if api := cl.connection(); api != nil {
			return api, nil
		}
	}
	var rec resource.Cluster
	err := c.store.View(func(tx *store.Tx) error {
		var ok bool
		if rec, ok = tx.Clusters.Get(arn); !ok {
			return fmt.Errorf("there is no cluster %s", arn)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	cfg, err := c.cfg.API(rec)
	if err != nil {
		return nil, err
	}
	codecs, err := c.codecs()
	if err != nil {
		return nil, err
	}
	api, err := newClient(cfg, codecs)
	if err != nil {
		return nil, fmt.Errorf("a client for cluster %s: %w", rec.Name, err)
	}
	if cl != nil {
		cl.keep(api)
	}
	return api, nil
}
