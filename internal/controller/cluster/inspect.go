package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
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
	}
	found.Revision, found.Started, found.Ended = cl.Spec.Inspection, now, c.cfg.Now()
	return inspectEvery, c.setStatus(ctx, arn, func(s *resource.ClusterStatus) error { s.Inspection = found; return nil })
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
// been asked for since its API server started.
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
	metrics, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return out, fmt.Errorf("looking for deprecated APIs: %w", err)
	}
	if len(metrics) == 0 {
		return out, errors.New("the API server has no metrics")
	}
	out.Deprecated = deprecatedIn(string(metrics))
	return out, nil
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

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// deprecatedIn reads them from the API server's metrics. One that no version has removed
// yet is left out.
func deprecatedIn(metrics string) (out []resource.DeprecatedAPI) {
	for line := range strings.Lines(metrics) {
		if !strings.HasPrefix(line, "apiserver_requested_deprecated_apis{") {
			continue
		}
		at := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			at[m[1]] = m[2]
		}
		if at["removed_release"] != "" {
			out = append(out, resource.DeprecatedAPI{Group: at["group"], Version: at["version"], Resource: at["resource"], Removed: at["removed_release"]})
		}
	}
	return out
}
