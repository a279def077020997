package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers the OCI distribution API. Everything is reached by
//
//	GET|HEAD  /v2/                                    version check
//	GET|HEAD  /v2/<path>/manifests/<tag or digest>    PUT stores, DELETE untags
//	GET|HEAD  /v2/<path>/blobs/<digest>               with ranges
//	POST      /v2/<path>/blobs/uploads/               then PATCH, PUT, GET, DELETE …/<id>
//	GET       /v2/<path>/tags/list
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path, ok := strings.CutPrefix(req.URL.Path, "/v2")
	if !ok {
		http.NotFound(w, req)
		return
	}
	if path == "" || path == "/" {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
		return
	}
	if err := r.route(w, req, strings.TrimPrefix(path, "/")); err != nil {
		r.answerError(w, req, err)
	}
}

// ReadOnly is the registry for those who may pull and not push: nodes and pods.
func (r *Registry) ReadOnly() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			r.answerError(w, req, methodNotAllowed())
			return
		}
		r.ServeHTTP(w, req)
	})
}

func (r *Registry) route(w http.ResponseWriter, req *http.Request, path string) error {
	for _, kind := range []struct {
		mark   string
		handle func(http.ResponseWriter, *http.Request, string, string) error
	}{
		{"/blobs/uploads/", r.serveUpload},
		{"/blobs/uploads", r.serveUpload},
		{"/blobs/", r.serveBlob},
		{"/manifests/", r.serveManifest},
		{"/tags/list", r.serveTags},
	} {
		i := strings.LastIndex(path, kind.mark)
		if i < 1 {
			continue
		}
		repository := hostOf(req) + "/" + path[:i]
		if !repositoryForm.MatchString(repository) {
			return apiError{http.StatusBadRequest, "NAME_INVALID", fmt.Sprintf("invalid repository name %q", path[:i])}
		}
		return kind.handle(w, req, repository, path[i+len(kind.mark):])
	}
	return apiError{http.StatusNotFound, "NAME_UNKNOWN", "no such resource"}
}

// hostOf is the registry that the client means: a mirror is told by ?ns=.
func hostOf(req *http.Request) string {
	if ns := req.URL.Query().Get("ns"); ns != "" {
		return ns
	}
	host, port, err := net.SplitHostPort(req.Host)
	if err == nil && (port == "80" || port == "443") {
		return host
	}
	return req.Host
}

// An apiError is an error as the distribution specification spells it.
type apiError struct {
	status  int
	code    string
	message string
}

func (e apiError) Error() string { return e.code + ": " + e.message }

func (r *Registry) answerError(w http.ResponseWriter, req *http.Request, err error) {
	e := apiError{http.StatusInternalServerError, "UNKNOWN", "internal error"}
	if !errors.As(err, &e) {
		r.log.Error("registry request", "method", req.Method, "path", req.URL.Path, "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client may be gone: nothing to do about it
		"errors": []map[string]string{{"code": e.code, "message": e.message}},
	})
}

func methodNotAllowed() error {
	return apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported"}
}

func (r *Registry) serveManifest(w http.ResponseWriter, req *http.Request, repository, ref string) error {
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		return r.getManifest(w, req, repository, ref)
	case http.MethodPut:
		return r.putManifest(w, req, repository, ref)
	case http.MethodDelete:
		err := r.Untag(repository + ":" + ref)
		if errors.Is(err, ErrNotFound) {
			return unknownManifest(repository, ref)
		}
		if err == nil {
			w.WriteHeader(http.StatusAccepted)
		}
		return err
	}
	return methodNotAllowed()
}

func unknownManifest(repository, ref string) error {
	return apiError{http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown: " + repository + " " + ref}
}

func (r *Registry) getManifest(w http.ResponseWriter, req *http.Request, repository, ref string) error {
	digest := ref
	var err error
	if !digestForm.MatchString(ref) {
		if !tagForm.MatchString(ref) {
			return unknownManifest(repository, ref)
		}
		digest, err = r.resolve(repository, ref)
	}
	if err == nil && r.hasBlob(digest) {
		return r.writeManifest(w, req, digest)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if r.upstream == nil {
		return unknownManifest(repository, ref)
	}
	digest, err = r.fetchManifest(req.Context(), repository, ref)
	if err != nil {
		r.log.Info("image not found here nor upstream", "repository", repository, "reference", ref, "err", err)
		return unknownManifest(repository, ref)
	}
	return r.writeManifest(w, req, digest)
}

func (r *Registry) writeManifest(w http.ResponseWriter, req *http.Request, digest string) error {
	m, body, err := r.manifest(digest)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", m.MediaType)
	h.Set("Docker-Content-Digest", digest)
	h.Set("Etag", `"`+digest+`"`)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may be gone: nothing to do about it
	}
	return nil
}

func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, repository, ref string) error {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	if err != nil {
		return fmt.Errorf("reading manifest of %s: %w", repository, err)
	}
	if len(body) > maxManifest {
		return apiError{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "manifest too large"}
	}
	m, err := parseManifest(body)
	if err != nil {
		return apiError{http.StatusBadRequest, "MANIFEST_INVALID", "manifest invalid: " + err.Error()}
	}
	for _, d := range append(append(m.Layers, m.Manifests...), m.Config) {
		if d.Digest.Hex != "" && len(d.URLs) == 0 && !r.hasBlob(d.Digest.String()) {
			return apiError{http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry: " + d.Digest.String()}
		}
	}
	want := ""
	if digestForm.MatchString(ref) {
		want = ref
	} else if !tagForm.MatchString(ref) {
		return apiError{http.StatusBadRequest, "MANIFEST_INVALID", "invalid tag " + ref}
	}
	digest, err := r.putBlob(strings.NewReader(string(body)), want)
	if errors.Is(err, errDigest) {
		return apiError{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	}
	if err != nil {
		return err
	}
	if want == "" {
		if err := r.putTag(repository, ref, digest); err != nil {
			return err
		}
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Location", req.URL.Path)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (r *Registry) serveBlob(w http.ResponseWriter, req *http.Request, repository, digest string) error {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return methodNotAllowed()
	}
	unknown := apiError{http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry: " + digest}
	if !digestForm.MatchString(digest) {
		return unknown
	}
	f, err := r.blob(digest)
	if errors.Is(err, ErrNotFound) && r.upstream != nil {
		if err := r.fetchBlob(req.Context(), repository, digest); err != nil {
			r.log.Info("blob not found here nor upstream", "repository", repository, "digest", digest, "err", err)
			return unknown
		}
		f, err = r.blob(digest)
	}
	if errors.Is(err, ErrNotFound) {
		return unknown
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Etag", `"`+digest+`"`)
	http.ServeContent(w, req, "", time.Time{}, f)
	return nil
}

func (r *Registry) serveTags(w http.ResponseWriter, req *http.Request, repository, rest string) error {
	if req.Method != http.MethodGet || rest != "" {
		return methodNotAllowed()
	}
	all, err := r.List(req.Context())
	if err != nil {
		return err
	}
	tags := []string{}
	for _, img := range all {
		if tag, ok := strings.CutPrefix(img.Name, repository+":"); ok {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return apiError{http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry"}
	}
	_, name, _ := strings.Cut(repository, "/")
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": tags}) // the client may be gone
	return nil
}

func (r *Registry) uploadPath(id string) string { return filepath.Join(r.dir, "uploads", id) }

// openUpload opens a push under way; the id is what newUpload made.
func (r *Registry) openUpload(id string) (*os.File, error) {
	if id == "" || strings.ContainsAny(id, "/.") {
		return nil, apiError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"}
	}
	f, err := os.OpenFile(r.uploadPath(id), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, apiError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"}
	}
	return f, err
}
