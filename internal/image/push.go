package image

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/uuid"
)

// serveUpload is the push side for blobs: POST begins (or does all at once with
// ?digest=), PATCH appends, PUT ends, GET tells how far it is, DELETE gives up.
func (r *Registry) serveUpload(w http.ResponseWriter, req *http.Request, repository, id string) error {
	if id == "" {
		if req.Method != http.MethodPost {
			return methodNotAllowed()
		}
		return r.beginUpload(w, req, repository)
	}
	f, err := r.openUpload(id)
	if err != nil {
		return err
	}
	defer f.Close()
	switch req.Method {
	case http.MethodGet:
		return answerUpload(w, req, f, id, http.StatusNoContent)
	case http.MethodDelete:
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("giving up upload %s: %w", id, err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPatch:
		if err := appendUpload(f, req); err != nil {
			return err
		}
		return answerUpload(w, req, f, id, http.StatusAccepted)
	case http.MethodPut:
		if err := appendUpload(f, req); err != nil {
			return err
		}
		return r.endUpload(w, req, f)
	}
	return methodNotAllowed()
}

func (r *Registry) beginUpload(w http.ResponseWriter, req *http.Request, repository string) error {
	q := req.URL.Query()
	if mount := q.Get("mount"); mount != "" && r.hasBlob(mount) {
		return answerBlob(w, req, mount)
	}
	id := uuid.NewString()
	f, err := os.OpenFile(r.uploadPath(id), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("beginning an upload to %s: %w", repository, err)
	}
	defer f.Close()
	if q.Get("digest") == "" {
		return answerUpload(w, req, f, id, http.StatusAccepted)
	}
	if err := appendUpload(f, req); err != nil {
		return err
	}
	return r.endUpload(w, req, f)
}

func appendUpload(f *os.File, req *http.Request) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("appending to upload: %w", err)
	}
	if from, _, ok := strings.Cut(strings.TrimPrefix(req.Header.Get("Content-Range"), "bytes "), "-"); ok && from != fmt.Sprint(end) {
		return apiError{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", fmt.Sprintf("the upload continues at %d", end)}
	}
	if _, err := io.Copy(f, req.Body); err != nil {
		return fmt.Errorf("appending to upload: %w", err)
	}
	return nil
}

func (r *Registry) endUpload(w http.ResponseWriter, req *http.Request, f *os.File) error {
	digest := req.URL.Query().Get("digest")
	if !digestForm.MatchString(digest) {
		return apiError{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("invalid digest %q", digest)}
	}
	_, err := r.adopt(f, digest)
	if errors.Is(err, errDigest) {
		return apiError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	}
	if err != nil {
		return err
	}
	return answerBlob(w, req, digest)
}

// blobsURL is the blobs collection that the request went to.
func blobsURL(req *http.Request) string {
	return req.URL.Path[:strings.LastIndex(req.URL.Path, "/blobs/uploads")] + "/blobs/"
}

// nsOf keeps ?ns= on the addresses a client is sent to.
func nsOf(req *http.Request) string {
	if ns := req.URL.Query().Get("ns"); ns != "" {
		return "?ns=" + ns
	}
	return ""
}

func answerBlob(w http.ResponseWriter, req *http.Request, digest string) error {
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Location", blobsURL(req)+digest+nsOf(req))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func answerUpload(w http.ResponseWriter, req *http.Request, f *os.File, id string, status int) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("upload %s: %w", id, err)
	}
	w.Header().Set("Location", blobsURL(req)+"uploads/"+id+nsOf(req))
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(st.Size()-1, 0)))
	w.WriteHeader(status)
	return nil
}
