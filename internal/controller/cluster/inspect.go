package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// inspectEvery is how often EKS refreshes insights by itself.
const inspectEvery = 24 * time.Hour

// inspectTimeout bounds one look.
const inspectTimeout = 10 * time.Second

// inspect looks into a cluster that is ACTIVE when that was asked for or is due, and returns
// when it will be. A look that fails is recorded so, and is no error: nothing else waits for it.
func (c *Controller) inspect(ctx context.Context, arn string) (time.Duration, error) {
	cl, _, ok, err := c.get(arn)
	if err != nil || !ok || cl.Current() != resource.ClusterActive {
		return reconcile.Never, err
	}
	last, now := cl.Status.Inspection, c.cfg.Now()
	if left := inspectEvery - now.Sub(last.Ended); left > 0 && last.Revision >= cl.Spec.Inspection {
		return left, nil
	}
	found, err := c.look(ctx, cl)
	if err != nil {
		found = last
		found.Error = err.Error()
	} else {
		found.Deprecated = remember(last, found, now)
	}
	found.Revision, found.Started, found.Ended = cl.Spec.Inspection, now, c.cfg.Now()
	return inspectEvery, c.store.Update(ctx, func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(arn)
		if !ok {
			return nil
		}
		cl.Status.Inspection = found
		cl.Status.Inspection.Verdicts = c.judge(tx, cl, last.Verdicts)
		tx.Clusters.Put(arn, cl)
		return nil
	})
}

// judge returns what the insights say now, and since when they do.
func (c *Controller) judge(tx *store.Tx, cl resource.Cluster, before map[string]resource.Verdict) map[string]resource.Verdict {
	if c.cfg.Verdicts == nil {
		return nil
	}
	now := c.cfg.Now()
	out := map[string]resource.Verdict{}
	for id, status := range c.cfg.Verdicts(tx, cl, now) {
		out[id] = resource.Verdict{Status: status, Since: now}
		if v := before[id]; v.Status == status {
			out[id] = v
		}
	}
	return out
}

func (c *Controller) look(ctx context.Context, cl resource.Cluster) (resource.Inspection, error) {
	api, err := API(c.cfg.Dir, cl)
	if err != nil {
		return resource.Inspection{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	if c.cfg.Inspect != nil {
		return c.cfg.Inspect(ctx, api)
	}
	return Inspect(ctx, api)
}

// Inspect finds the version of a cluster's kube-proxy, and the deprecated APIs that have
// been asked for since its API server started (deprecated.go).
func Inspect(ctx context.Context, api *rest.Config) (resource.Inspection, error) {
	var out resource.Inspection
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return out, err
	}
	proxy, err := client.AppsV1().DaemonSets("kube-system").Get(ctx, "kube-proxy", metav1.GetOptions{})
	switch {
	case err == nil:
		out.KubeProxy = proxyVersion(proxy)
	case !apierrors.IsNotFound(err):
		return out, fmt.Errorf("looking for kube-proxy: %w", err)
	}
	out.Deprecated, out.Counter, err = deprecatedAPIs(ctx, client)
	return out, err
}

// proxyVersion is the tag of the DaemonSet's image.
func proxyVersion(d *apps.DaemonSet) string {
	for _, c := range d.Spec.Template.Spec.Containers {
		if i := strings.LastIndexByte(c.Image, ':'); i >= 0 && !strings.Contains(c.Image[i:], "/") {
			return c.Image[i+1:]
		}
	}
	return ""
}
