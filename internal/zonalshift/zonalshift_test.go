package zonalshift

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const cluster = "arn:aws:eks:us-west-2:000000000000:cluster/c1"

// patch is what the webhook says to a slice of three endpoints, two of which are in us-west-2b.
func patch(t *testing.T, h http.Handler) string {
	t.Helper()
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","namespace":"app",
		"object":{"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"zone":"us-west-2b"},{"addresses":["10.0.0.2"],"zone":"us-west-2a"},
			{"addresses":["10.0.0.3"],"zone":"us-west-2b"},{"addresses":["10.0.0.4"]}]}}}`
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/shift", strings.NewReader(review)))
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if out.Request != nil || out.Response == nil || out.Response.UID != "u1" || !out.Response.Allowed {
		t.Fatalf("answer %+v", out)
	}
	return string(out.Response.Patch)
}

func TestWebhook(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := time.Unix(1000, 0)
	h := Handler(Config{Store: st, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}, cluster)
	set := func(f func(*resource.Cluster, *resource.ZonalShift)) {
		t.Helper()
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			c := resource.Cluster{ARN: cluster, Spec: resource.ClusterSpec{ZonalShiftOn: true}}
			z := resource.ZonalShift{Cluster: cluster, Zone: "us-west-2b", Expires: now.Add(time.Minute)}
			f(&c, &z)
			tx.Clusters.Put(cluster, c)
			tx.ZonalShifts.Put(cluster, z)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := patch(t, h); got != "" {
		t.Errorf("without a shift: %s", got)
	}
	const without = `[{"op":"remove","path":"/endpoints/2"},{"op":"remove","path":"/endpoints/0"}]`
	for name, c := range map[string]struct {
		change func(*resource.Cluster, *resource.ZonalShift)
		want   string
	}{
		"shifted":      {func(*resource.Cluster, *resource.ZonalShift) {}, without},
		"another zone": {func(_ *resource.Cluster, z *resource.ZonalShift) { z.Zone = "us-west-2c" }, ""},
		"cancelled":    {func(_ *resource.Cluster, z *resource.ZonalShift) { z.Cancelled = true }, ""},
		"expired":      {func(_ *resource.Cluster, z *resource.ZonalShift) { z.Expires = now }, ""},
		"not enabled":  {func(c *resource.Cluster, _ *resource.ZonalShift) { c.Spec.ZonalShiftOn = false }, ""},
	} {
		set(c.change)
		if got := patch(t, h); got != c.want {
			t.Errorf("%s: patch %s, want %s", name, got, c.want)
		}
	}
}
