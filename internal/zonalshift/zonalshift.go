// Package zonalshift is the admission webhook that keeps the endpoints of a zone that traffic is
// shifted away from out of the EndpointSlices of a cluster, as EKS's EndpointSlice controller does
// during a zonal shift. It answers what the MutatingWebhookConfiguration asks that
// controller/zonalshift makes for the time of the shift:
//
//	POST /shift   AdmissionReview v1 ─▶ is there a shift that is not over? ─▶ the slice without
//	                                    the endpoints in its zone               store
//
// The EndpointSlice controller wants them in each time that it looks at a Service. What it
// writes is what is there already, then, and nothing is stored and nobody is told: it comes to
// rest (docs/decisions/0014-zonal-shift-by-webhook.md).
//
// The package starts and ends no shift and writes nothing.
package zonalshift

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	discovery "k8s.io/api/discovery/v1"

	"ekster.dev/ekster/internal/admission"
	"ekster.dev/ekster/internal/store"
)

// Config says where a Webhook finds what it needs.
type Config struct {
	Store *store.Store
	Now   func() time.Time
	Log   *slog.Logger
}

// Handler answers the reviews of one cluster, by its ARN.
func Handler(cfg Config, cluster string) http.Handler {
	review := func(_ context.Context, req *admissionv1.AdmissionRequest) ([]admission.Operation, error) {
		zone, err := cfg.zone(cluster)
		if err != nil || zone == "" {
			return nil, err
		}
		var slice discovery.EndpointSlice
		if err := json.Unmarshal(req.Object.Raw, &slice); err != nil {
			return nil, fmt.Errorf("reading an EndpointSlice of %s: %w", req.Namespace, err)
		}
		return without(slice, zone), nil
	}
	return admission.Handler(review, cfg.Log.With("cluster", cluster), "an EndpointSlice keeps the endpoints of a zone that traffic is shifted from")
}

// zone is the one that the cluster's traffic is shifted away from, "" for none.
func (c Config) zone(cluster string) (zone string, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(cluster)
		shift, shifted := tx.ZonalShifts.Get(cluster)
		if ok && shifted && !shift.Over(cl, c.Now()) {
			zone = shift.Zone
		}
		return nil
	})
	return zone, err
}

// without is the patch by which a slice loses the endpoints in a zone. They are taken out one by
// one, from behind: a newer API server's may have fields that are unknown here. It is pure.
func without(slice discovery.EndpointSlice, zone string) (patch []admission.Operation) {
	for i, e := range slices.Backward(slice.Endpoints) {
		if e.Zone != nil && *e.Zone == zone {
			patch = append(patch, admission.Operation{Op: "remove", Path: fmt.Sprintf("/endpoints/%d", i)})
		}
	}
	return patch
}
