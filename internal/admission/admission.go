// Package admission is what the admission webhooks of clusters have in common: the talk with
// an API server.
//
//	POST, AdmissionReview v1 ─▶ Handler ─▶ a Review's JSON patch ─▶ AdmissionReview v1
//
// What a webhook changes is its own business (packages podidentity and zonalshift). Nothing is
// ever refused by it, and what it cannot answer is an error, by which the API server lets the
// object in as it is.
package admission

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"

	admission "k8s.io/api/admission/v1"
)

// An Operation is one of a JSON patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// A Review looks at one object and says how to change it; with no operation it stays as it is.
type Review func(ctx context.Context, req *admission.AdmissionRequest) ([]Operation, error)

// maxReview is what an API server sends at most: the old and the new state of an object of the
// largest size that it stores.
const maxReview = 8 << 20

// Handler answers an API server by review. failed says in the log what an error means.
func Handler(review Review, log *slog.Logger, failed string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var talk admission.AdmissionReview
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
		if err == nil {
			err = json.Unmarshal(raw, &talk)
		}
		if err != nil || talk.Request == nil {
			http.Error(w, "this is no AdmissionReview", http.StatusBadRequest)
			return
		}
		out, err := answer(r.Context(), review, talk.Request)
		if err == nil {
			talk.Request, talk.Response = nil, out
			raw, err = json.Marshal(talk)
		}
		if err != nil {
			log.Error(failed, "err", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw) // an API server that has hung up needs no answer
	})
}

func answer(ctx context.Context, review Review, req *admission.AdmissionRequest) (*admission.AdmissionResponse, error) {
	out := &admission.AdmissionResponse{UID: req.UID, Allowed: true}
	patch, err := review(ctx, req)
	if err != nil || len(patch) == 0 {
		return out, err
	}
	out.PatchType = new(admission.PatchTypeJSONPatch)
	out.Patch, err = json.Marshal(patch)
	return out, err
}
