package admission

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admission "k8s.io/api/admission/v1"
)

func TestHandler(t *testing.T) {
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","object":{}}}`
	const answer = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u1","allowed":true`
	for name, c := range map[string]struct {
		patch  []Operation
		err    error
		body   string
		status int
		answer string
	}{
		"nothing to change": {nil, nil, review, http.StatusOK, answer + "}}"},
		// [{"op":"remove","path":"/a"},{"op":"add","path":"/b","value":[]}]
		"a patch": {[]Operation{{Op: "remove", Path: "/a"}, {Op: "add", Path: "/b", Value: []any{}}}, nil, review, http.StatusOK,
			answer + `,"patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2EifSx7Im9wIjoiYWRkIiwicGF0aCI6Ii9iIiwidmFsdWUiOltdfV0=","patchType":"JSONPatch"}}`},
		"an error":  {nil, errors.New("secret"), review, http.StatusInternalServerError, "internal error\n"},
		"no review": {nil, nil, `{}`, http.StatusBadRequest, "this is no AdmissionReview\n"},
		"no JSON":   {nil, nil, `<`, http.StatusBadRequest, "this is no AdmissionReview\n"},
	} {
		h := Handler(func(context.Context, *admission.AdmissionRequest) ([]Operation, error) { return c.patch, c.err }, slog.New(slog.DiscardHandler), "failed")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body)))
		if w.Code != c.status || w.Body.String() != c.answer {
			t.Errorf("%s: %d %s\nwant %d %s", name, w.Code, w.Body, c.status, c.answer)
		}
	}
}
