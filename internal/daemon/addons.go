package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/addon"
	addoncontroller "ekster.dev/ekster/internal/controller/addon"
	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/internal/resource"
)

// How long the workloads of add-ons may be incomplete: new ones, which then show as
// DEGRADED until they are whole, and updated ones, whose update then has failed.
const (
	addonSettle        = time.Minute
	addonUpdateTimeout = 15 * time.Minute
)

func (d *Daemon) addonController() *addoncontroller.Controller {
	return addoncontroller.New(addoncontroller.Config{
		Store: d.store, Catalogue: d.addons, API: d.api, AWSEndpointURL: apiURL,
		Settle: addonSettle, UpdateTimeout: addonUpdateTimeout, Now: time.Now, Log: d.log,
	})
}

// applyDefaults gives a new cluster what EKS puts into every one, and unless its creator
// does without, the self-managed add-ons. Those are created and not applied: they are the
// user's, and an EKS add-on that takes their place meets them as it would a user's.
func (d *Daemon) applyDefaults(ctx context.Context, api *rest.Config, cl resource.Cluster, server netip.AddrPort) error {
	dns, err := addon.DNSAddress(cl.Spec.ServiceCIDR.String())
	if err != nil {
		return err
	}
	values := addon.Values{
		ClusterName: cl.Name, Region: cl.Region, Endpoint: "https://" + server.String(), DNSIP: dns, AWSEndpointURL: apiURL,
		WebhookURL: controlplane.AdmissionURL, WebhookCA: api.CAData,
	}
	objects, err := addon.Cluster(values)
	if err != nil {
		return err
	}
	// Forty objects at once: the client's own limit of five a second is for clients that
	// share an API server with others.
	api.QPS, api.Burst = -1, -1
	client, err := dynamic.NewForConfig(api)
	if err != nil {
		return err
	}
	if err := kubeapply.Apply(ctx, client, objects, true); err != nil || !cl.Spec.SelfManagedAddons {
		return err
	}
	objects = nil
	for _, name := range addon.SelfManaged {
		a, ok := d.addons.Find(name)
		if !ok {
			return fmt.Errorf("the catalogue has no add-on %s", name)
		}
		version, ok := a.DefaultVersion(cl.Spec.Version)
		if !ok {
			return fmt.Errorf("add-on %s has no version for Kubernetes %s", name, cl.Spec.Version)
		}
		more, err := d.addons.Render(values, addon.Installation{Name: name, Version: version.Version})
		if err != nil {
			return err
		}
		objects = append(objects, more...)
	}
	return kubeapply.Create(ctx, client, objects)
}
