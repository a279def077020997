// Package imds serves the EC2 instance metadata service, http://169.254.169.254, and
// http://[fd00:ec2::254] for instances whose metadata options enable it.
//
// Who asks is told by the address the request comes from; the caller of New
// maps it to an Instance, plain data that is looked up anew for each request,
// so that a changed interface or tag shows at once. From it a tree is built
// (tree.go) and the path is looked up in it:
//
//	PUT /latest/api/token            a session token, for the asking instance only
//	GET /latest/dynamic/…            the identity document
//	GET /latest/meta-data/…          all else
//	GET /latest/user-data            as given at launch
//
// Tokens carry their own expiry and are signed with the handler's key: there is
// no table of them, and a restarted daemon with the same key accepts them.
//
// The answer to PUT leaves with the instance's hop limit as its TTL (hops.go): what is
// further away than that, as a pod is from its node at limit 1, gets no token and hangs,
// as on EC2.
//
// It does not sign identity documents (pkcs7, signature: 404), and serves no spot
// notices but those in Instance and no maintenance events.
package imds

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Header names of the token protocol.
const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

const maxTTL = 21600

// Config is a Handler's.
type Config struct {
	// Instance tells which instance has the address; false: none, the request
	// is refused.
	Instance func(ctx context.Context, remote netip.Addr) (Instance, bool)
	Key      []byte // signs tokens; nil: a random one
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// A Handler serves IMDS to many instances.
type Handler struct{ c Config }

// New returns a handler; c.Instance is required.
func New(c Config) *Handler {
	if c.Key == nil {
		c.Key = make([]byte, 32)
		rand.Read(c.Key) // never fails
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Handler{c}
}

// versions are the names besides "latest" under which the same tree is served.
var versions = regexp.MustCompile(`^(1\.0|20\d\d-\d\d-\d\d)$`)

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	in, ok := h.c.Instance(r.Context(), addr.Unmap())
	switch {
	case !ok:
		refuse(w, http.StatusNotFound)
	case in.Disabled, addr.Unmap().Is6() && !in.IPv6Enabled:
		refuse(w, http.StatusForbidden)
	case r.Method == http.MethodPut:
		h.giveToken(w, r, in)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "OPTIONS, GET, HEAD, PUT")
		refuse(w, http.StatusMethodNotAllowed)
	case !h.admit(w, r, in):
		refuse(w, http.StatusUnauthorized)
	default:
		in.version = "2.0"
		if r.Header.Get(tokenHeader) == "" {
			in.version = "1.0"
		}
		h.get(w, r, in)
	}
}

// giveToken answers PUT /latest/api/token. What came through a proxy is
// refused: that is what the PUT is for.
func (h *Handler) giveToken(w http.ResponseWriter, r *http.Request, in Instance) {
	if strings.Trim(r.URL.Path, "/") != "latest/api/token" {
		refuse(w, http.StatusNotFound)
		return
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		refuse(w, http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTTL {
		refuse(w, http.StatusBadRequest)
		return
	}
	if err := limitHops(r.Context(), in.HopLimit); err != nil {
		h.c.Log.Error("limiting the hops of a metadata token", "instance", in.ID, "limit", in.HopLimit, "err", err)
		refuse(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, h.sign(in.ID, h.c.Now().Add(time.Duration(ttl)*time.Second)))
}

// sign makes a token: the expiry and a MAC over it and the instance.
func (h *Handler) sign(id string, expires time.Time) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	mac := hmac.New(sha256.New, h.c.Key)
	mac.Write(raw)
	io.WriteString(mac, id)
	return base64.URLEncoding.EncodeToString(mac.Sum(raw))
}

// admit says whether the request may read: with a good token, or without any
// where the instance allows version 1. A bad token is never admitted.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, in Instance) bool {
	given := r.Header.Get(tokenHeader)
	if given == "" {
		return !in.TokensRequired
	}
	raw, err := base64.URLEncoding.DecodeString(given)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
	left := expires.Sub(h.c.Now())
	if left <= 0 || !hmac.Equal([]byte(given), []byte(h.sign(in.ID, expires))) {
		return false
	}
	w.Header().Set(ttlHeader, strconv.Itoa(int((left+time.Second-1)/time.Second)))
	return true
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request, in Instance) {
	parts := split(r.URL.Path)
	if len(parts) == 0 {
		text(w, "1.0\n2021-03-23\n2024-04-11\nlatest")
		return
	}
	if parts[0] != "latest" && !versions.MatchString(parts[0]) {
		refuse(w, http.StatusNotFound)
		return
	}
	n, ok := in.tree().find(parts[1:])
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	body, err := n.read(r.Context(), h.c.Now())
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			h.c.Log.Error("reading instance metadata", "instance", in.ID, "path", r.URL.Path, "err", err)
		}
		refuse(w, http.StatusInternalServerError)
		return
	}
	if len(parts) == 2 && parts[1] == "user-data" {
		w.Header().Set("Content-Type", "application/octet-stream")
	}
	text(w, body)
}

// split makes names of a path. A slash at its end changes nothing.
func split(p string) []string {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

func text(w http.ResponseWriter, body string) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain")
	}
	w.Header().Set("Accept-Ranges", "none")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	io.WriteString(w, body)
}

// refuse answers with the page that IMDS's clients see for an error.
func refuse(w http.ResponseWriter, code int) {
	title := fmt.Sprintf("%d - %s", code, http.StatusText(code))
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(code)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>%s</title>
 </head>
 <body>
  <h1>%s</h1>
 </body>
</html>
`, title, title)
}
