package podidentity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admission "k8s.io/api/admission/v1"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const cluster = "arn:aws:eks:us-west-2:000000000000:cluster/c1"

// answer is what the webhook says to a review of a pod of app/web.
func answer(t *testing.T, h http.Handler) (status int, out admission.AdmissionReview) {
	t.Helper()
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","namespace":"app",
		"object":{"spec":{"serviceAccountName":"web","containers":[{"name":"main","image":"x"}]}}}}`
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(review)))
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		if out.Kind != "AdmissionReview" || out.Response == nil || out.Response.UID != "u1" || !out.Response.Allowed {
			t.Fatalf("answer %+v", out)
		}
	}
	return w.Code, out
}

func TestWebhook(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	put := func(f func(tx *store.Tx)) {
		t.Helper()
		if err := st.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	annotations, failure := map[string]string{}, error(nil)
	h := New(Config{
		Store: st, Log: slog.New(slog.DiscardHandler), Jitter: func(int64) int64 { return 200 },
		Annotations: func(_ context.Context, c resource.Cluster, namespace, account string) (map[string]string, error) {
			if c.ARN != cluster || namespace != "app" || account != "web" {
				t.Errorf("asked for %s %s/%s", c.ARN, namespace, account)
			}
			return annotations, failure
		},
	}).Handler(cluster)

	if status, _ := answer(t, h); status != http.StatusInternalServerError {
		t.Errorf("without the cluster: %d", status)
	}
	put(func(tx *store.Tx) {
		tx.Clusters.Put(cluster, resource.Cluster{ARN: cluster, Home: resource.Home{Account: "000000000000", Region: "us-west-2"}})
		// Another cluster's, another namespace's.
		for key, a := range map[string]resource.PodIdentityAssociation{
			"1": {Cluster: cluster + "2", Namespace: "app", ServiceAccount: "web"}, "2": {Cluster: cluster, Namespace: "other", ServiceAccount: "web"},
		} {
			tx.PodIdentityAssociations.Put(key, a)
		}
	})
	if _, out := answer(t, h); out.Response.Patch != nil || out.Response.PatchType != nil {
		t.Errorf("no identity: %s", out.Response.Patch)
	}
	annotations = map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/web"}
	if _, out := answer(t, h); !strings.Contains(string(out.Response.Patch), `"aws-iam-token"`) || *out.Response.PatchType != "JSONPatch" {
		t.Errorf("annotated: %s", out.Response.Patch)
	}
	put(func(tx *store.Tx) {
		tx.PodIdentityAssociations.Put("3", resource.PodIdentityAssociation{Cluster: cluster, Namespace: "app", ServiceAccount: "web"})
	})
	if _, out := answer(t, h); strings.Contains(string(out.Response.Patch), "aws-iam-token") || !strings.Contains(string(out.Response.Patch), `"expirationSeconds":86200`) {
		t.Errorf("associated: %s", out.Response.Patch)
	}
	failure = errors.New("no API server")
	if status, _ := answer(t, h); status != http.StatusInternalServerError {
		t.Errorf("without the service account: %d", status)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader("{}")))
	if w.Code != http.StatusBadRequest {
		t.Errorf("no review: %d", w.Code)
	}
}
