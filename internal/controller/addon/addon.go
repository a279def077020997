// Package addon makes the records of EKS add-ons real: their objects in the cluster.
//
//	CREATING ─ objects applied ─ workloads whole ─▶ ACTIVE
//	   │  │                    └─ not in time ────▶ DEGRADED ◀─▶ ACTIVE
//	   │  ├─ a field is another's ─▶ CREATE_FAILED, ConfigurationConflict, with no objects
//	   │  └─ an object is refused ─▶ CREATE_FAILED, with those that were applied before
//	Spec.Revision ahead ─ UPDATING ─ the same line ─▶ ACTIVE, the update Successful
//	                          └─ a field is another's ─▶ UPDATE_FAILED, the update Failed
//	Deleting ─ objects deleted, unless they are preserved ─ updates and record deleted
//	         └─ they cannot be, or do not go in time ─▶ DELETE_FAILED
//	the API server does not answer in time ─ CREATE_FAILED, UPDATE_FAILED, DELETE_FAILED,
//	                                         ClusterUnreachable
//
// Objects are applied as EKS's user eks:addon-manager with the field manager "eks". Whose a
// field is decides what resolveConflicts means: with NONE nothing is changed if somebody else
// owns a field that would be, OVERWRITE takes such fields, PRESERVE (of an update) leaves
// them. The objects of a self-managed add-on are somebody else's until they are taken over.
//
// As on EKS, what a user changes afterwards stays until the next update, and the health of
// an add-on is that of its Deployments and DaemonSets. It does not make pod identity
// associations (service/eks does), and does not move versions by itself.
package addon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	catalogue "ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// manager is EKS's user for add-ons. The ClusterRoleBinding eks:addon-cluster-admin gives it
// its rights; who deletes that stops EKS from managing add-ons.
const manager = "eks:addon-manager"

// attempt bounds one round of requests to an API server.
const attempt = 30 * time.Second

// Config says what the controller works with.
type Config struct {
	Store          *store.Store
	Catalogue      *catalogue.Catalogue
	API            func(resource.Cluster) (*rest.Config, error) // as a member of system:masters
	AWSEndpointURL string                                       // of the AWS API, as nodes reach it
	Settle         time.Duration                                // how long workloads may be incomplete until an add-on is DEGRADED
	UpdateTimeout  time.Duration                                // how long, until an update has failed; and whatever else the API server does not do
	Now            func() time.Time
	Log            *slog.Logger
}

// Controller reconciles add-ons, by their ARNs.
type Controller struct {
	cfg   Config
	store *store.Store
	queue *reconcile.Queue
}

// New returns the controller; Run starts it.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, store: cfg.Store}
	c.queue = reconcile.New("addon", c.Reconcile, cfg.Log)
	return c
}

// Run reconciles every add-on once and then those that change, until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	return reconcile.Serve(ctx, c.queue, c.store, 8, func(tx *store.Tx) *store.Table[resource.Addon] { return tx.Addons }, c.changed)
}

func (c *Controller) changed(tx *store.Tx, ch store.Change) {
	if ch.Table != store.Clusters {
		return
	}
	for arn, a := range tx.Addons.All() {
		if a.Cluster == ch.Key {
			c.queue.Wake(arn)
		}
	}
}

// Errors are those of the add-ons that could not be brought on.
func (c *Controller) Errors() map[string]error { return c.queue.Errors() }

// Reconcile brings the cluster's objects nearer to the add-on's record.
func (c *Controller) Reconcile(ctx context.Context, arn string) (time.Duration, error) {
	w, ok, err := c.work(arn)
	if err != nil || !ok {
		return reconcile.Never, err
	}
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	again, err := c.bring(ctx, w)
	if err == nil {
		return again, nil
	}
	if issue, ok := c.tooLate(w.addon, err); ok {
		return reconcile.Never, c.fail(parent, w.addon, issue)
	}
	return reconcile.Never, fmt.Errorf("add-on %s of cluster %s: %w", w.addon.Name, w.cluster.Name, err)
}

func (c *Controller) bring(ctx context.Context, w work) (time.Duration, error) {
	a := w.addon
	switch {
	case a.Deleting && a.Status.State == resource.AddonDeleteFailed:
		return reconcile.Never, nil // until it is asked for again
	case a.Deleting:
		return c.remove(ctx, w)
	case a.Status.AppliedRevision == a.Spec.Revision && (a.Status.State == resource.AddonCreateFailed || a.Status.State == resource.AddonUpdateFailed):
		return reconcile.Never, nil
	case a.Status.Applied.Revision != a.Spec.Revision:
		return c.install(ctx, w)
	}
	return c.observe(ctx, w)
}

// work is an add-on, its cluster and a client of the cluster's API server.
type work struct {
	addon   resource.Addon
	cluster resource.Cluster
	values  catalogue.Values
	client  dynamic.Interface
}

// work gathers what there is to work on; nothing if the cluster has no API server for it.
// A cluster that is deleted takes its add-ons along.
func (c *Controller) work(arn string) (w work, ok bool, err error) {
	var server netip.Addr
	err = c.store.View(func(tx *store.Tx) error {
		if w.addon, ok = tx.Addons.Get(arn); !ok {
			return nil
		}
		if w.cluster, ok = tx.Clusters.Get(w.addon.Cluster); !ok || len(w.cluster.Spec.Interfaces) == 0 {
			ok = false
			return nil
		}
		var eni resource.NetworkInterface
		if eni, ok = tx.Interfaces.Get(w.cluster.Spec.Interfaces[0]); ok {
			server = eni.Addresses[0]
		}
		return nil
	})
	if err != nil || !ok || w.cluster.Deleting || w.cluster.Status.Endpoint == "" {
		return w, false, err
	}
	dns, err := catalogue.DNSAddress(w.cluster.Spec.ServiceCIDR.String())
	if err != nil {
		return w, false, fmt.Errorf("cluster %s: %w", w.cluster.Name, err)
	}
	w.values = catalogue.Values{
		ClusterName: w.cluster.Name, Region: w.cluster.Region, Endpoint: "https://" + netip.AddrPortFrom(server, 443).String(),
		DNSIP: dns, AWSEndpointURL: c.cfg.AWSEndpointURL,
	}
	api, err := c.cfg.API(w.cluster)
	if err != nil {
		return w, false, fmt.Errorf("cluster %s: %w", w.cluster.Name, err)
	}
	api = rest.CopyConfig(api)
	api.QPS, api.Burst = -1, -1
	api.Impersonate.UserName = manager
	if w.client, err = dynamic.NewForConfig(api); err != nil {
		return w, false, fmt.Errorf("cluster %s: %w", w.cluster.Name, err)
	}
	return w, true, nil
}

// objects are those of an add-on as spec wants it; none for the zero value.
func (c *Controller) objects(w work, spec resource.AddonSpec) ([]*unstructured.Unstructured, error) {
	if spec.Version == "" {
		return nil, nil
	}
	return c.cfg.Catalogue.Render(w.values, catalogue.Installation{
		Name: w.addon.Name, Version: spec.Version, Namespace: spec.Namespace, Configuration: spec.Configuration, ServiceRole: spec.ServiceRole,
	})
}

// remove takes the add-on's objects out of the cluster, unless they are to stay, and then
// its record.
func (c *Controller) remove(ctx context.Context, w work) (time.Duration, error) {
	if err := c.begin(ctx, w.addon); err != nil {
		return reconcile.Never, err
	}
	if !w.addon.Preserve {
		objects, err := c.objects(w, w.addon.Status.Applied)
		if err != nil {
			return reconcile.Never, err
		}
		if err := kubeapply.Delete(ctx, w.client, objects); err != nil {
			return c.refused(ctx, w, err)
		}
		for _, u := range objects {
			now, err := kubeapply.Get(ctx, w.client, u)
			if err != nil {
				return reconcile.Never, err
			}
			if now == nil {
				continue
			}
			if c.late(w.addon) {
				return reconcile.Never, c.fail(ctx, w.addon, resource.Issue{Code: "InternalFailure", ResourceIDs: []string{u.GetName()},
					Message: kubeapply.Name(u) + " has been deleted and does not go. Its finalizers: " + strings.Join(now.GetFinalizers(), ", ")})
			}
			return 100 * time.Millisecond, c.waiting(ctx, w.addon.ARN, kubeapply.Name(u)+" to go")
		}
	}
	return reconcile.Never, c.store.Update(ctx, func(tx *store.Tx) error {
		for id, u := range tx.Updates.All() {
			if u.Cluster == w.cluster.ARN && u.Addon == w.addon.Name {
				tx.Updates.Delete(id)
			}
		}
		tx.Addons.Delete(w.addon.ARN)
		return nil
	})
}
