package zonalshift

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/resource"
)

// apiServer has two slices, one Service with a selector and one without. It asks its webhook some
// requests after it was told to.
type apiServer struct {
	t       *testing.T
	slices  map[string]map[string]any
	webhook map[string]any
	deaf    int // so many writes without asking the webhook
	log     []string
}

const slicesPath = "/apis/discovery.k8s.io/v1/namespaces/app/endpointslices/"

func newAPIServer(t *testing.T) *apiServer {
	slice := func(name string, zones ...string) map[string]any {
		var endpoints []any
		for i, z := range zones {
			endpoints = append(endpoints, map[string]any{"addresses": []any{fmt.Sprint("10.0.0.", i)}, "zone": z, "news": "kept"})
		}
		return map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": map[string]any{"name": name, "namespace": "app"}, "endpoints": endpoints}
	}
	return &apiServer{t: t, slices: map[string]map[string]any{"both": slice("both", zone, "us-west-2a"), "elsewhere": slice("elsewhere", "us-west-2a")}}
}

func (a *apiServer) RoundTrip(q *http.Request) (*http.Response, error) {
	var body map[string]any
	if q.Body != nil && q.Method != http.MethodGet && q.Method != http.MethodDelete {
		if err := json.NewDecoder(q.Body).Decode(&body); err != nil {
			return nil, err
		}
	}
	code, out := a.serve(q, body)
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: q}, nil
}

func (a *apiServer) serve(q *http.Request, body map[string]any) (int, any) {
	name := strings.TrimPrefix(q.URL.Path, slicesPath)
	switch {
	case q.Method == http.MethodPost:
		a.webhook = body
		return http.StatusCreated, body
	case q.Method == http.MethodDelete:
		a.webhook = nil
		return http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"}
	case q.Method == http.MethodPatch:
		meta, _ := body["metadata"].(map[string]any)
		a.log = append(a.log, fmt.Sprintf("%s %v", q.URL.Path, meta["annotations"]))
		return http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "x"}}
	case q.Method == http.MethodPut:
		a.log = append(a.log, "put "+name)
		if a.deaf--; a.deaf < 0 && a.webhook != nil {
			body["endpoints"] = slices.DeleteFunc(body["endpoints"].([]any), func(e any) bool { return e.(map[string]any)["zone"] == zone })
		}
		a.slices[name] = body
		return http.StatusOK, body
	case strings.HasSuffix(q.URL.Path, "/endpointslices"):
		if got := q.URL.Query().Get("labelSelector"); got != "endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io" {
			a.t.Errorf("asks for the slices %q", got)
		}
		return http.StatusOK, map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "items": []any{a.slices["both"], a.slices["elsewhere"]}}
	}
	service := func(name string, spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": "app"}, "spec": spec}
	}
	return http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "ServiceList", "items": []any{
		service("web", map[string]any{"selector": map[string]any{"app": "web"}}), service("foreign", map[string]any{}),
	}}
}

func TestTraffic(t *testing.T) {
	api := newAPIServer(t)
	api.deaf = 1
	a := APIServers{API: func(resource.Cluster) (*rest.Config, error) {
		return &rest.Config{Host: "http://api.test", Transport: api}, nil
	}}
	for i, want := range []bool{false, true, true} {
		if done, err := a.Shift(t.Context(), resource.Cluster{}, zone); done != want || err != nil {
			t.Fatalf("time %d: %t, %v", i+1, done, err)
		}
	}
	if want := []string{"put both", "put both"}; !slices.Equal(api.log, want) {
		t.Errorf("it wrote %q, want %q", api.log, want)
	}
	left, _ := api.slices["both"]["endpoints"].([]any)
	if len(left) != 1 || left[0].(map[string]any)["news"] != "kept" {
		t.Errorf("the slice has %v", left)
	}
	if got := fmt.Sprint(api.webhook["webhooks"]); !strings.Contains(got, "https://127.0.0.1:23443/shift") || !strings.Contains(got, "Ignore") {
		t.Errorf("webhook %s", got)
	}
	api.log = nil
	if err := a.Restore(t.Context(), resource.Cluster{}); err != nil {
		t.Fatal(err)
	}
	at := "/api/v1/namespaces/app/services/web map[ekster.dev/zonal-shift-over:"
	if want := []string{at + "true]", at + "<nil>]"}; !slices.Equal(api.log, want) || api.webhook != nil {
		t.Errorf("it did %q, want %q; webhook %v", api.log, want, api.webhook)
	}
}
