// Package clusterauth says who somebody is to a cluster and what access policies let them
// do. It answers the two webhooks of every cluster's API server, on a unix socket a cluster:
//
//	POST /authenticate   TokenReview v1          token.go ─▶ who signed it ─▶ mapping.go
//	POST /authorize      SubjectAccessReview v1  authorize.go ─▶ package accesspolicy
//	others               Config.More's
//
// A token is a presigned URL of STS's GetCallerIdentity with the cluster's name among its
// signed headers. Its signature is verified in process. The principal that signed it becomes
// a Kubernetes user by the first of these that knows it:
//
//	the implicit master   the cluster's creator, where nothing that users can see lets it in
//	access entries        modes API and API_AND_CONFIG_MAP        access entries of the store
//	aws-auth              modes CONFIG_MAP and API_AND_CONFIG_MAP  awsauth.go
//
// All is read from the store and from the live aws-auth for each question, so a change takes
// effect at once. Why somebody is refused is in the log, and nowhere else.
//
// The package watches nothing, keeps nothing of a question, and costs nothing while none is
// asked. It knows neither service account tokens nor certificates: API servers check those
// themselves.
package clusterauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// Config says where an Authenticators finds what it needs.
type Config struct {
	Store *store.Store
	// Verify says who signed a presigned URL; awsapi.Server.VerifyPresigned does.
	Verify func(ctx context.Context, method, url, service string, header http.Header) (awsapi.Principal, error)
	// Dir is where the sockets are; it must exist, and be short enough for a socket's path.
	Dir string
	// AWSAuth returns the data of the ConfigMap kube-system/aws-auth of a cluster, by its
	// ARN, and whether there is one.
	AWSAuth func(cluster string) (map[string]string, bool)
	// Hosts are further hosts, with their ports, for which tokens may be signed: other names
	// of the front door. AWS's own for STS, loopback addresses and what machines call the
	// AWS APIs are always fine.
	Hosts []string
	// More adds to what a cluster's socket answers, by the cluster's ARN; nil: nothing.
	More func(cluster string, mux *http.ServeMux)
	// LogFile is where a cluster's authenticator log goes, "" if it is to have none; nil: none has.
	LogFile func(cluster string) string
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Authenticators answers the webhooks of clusters.
type Authenticators struct {
	cfg Config

	mu   sync.Mutex
	open map[string]*http.Server // by the cluster's ARN
}

// New returns an Authenticators without any cluster.
func New(cfg Config) *Authenticators {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Authenticators{cfg: cfg, open: map[string]*http.Server{}}
}

// maxSocketPath is what sockaddr_un holds, less its terminating zero.
const maxSocketPath = 107

// Open listens for the cluster, if it does not yet, and returns the socket's path: always
// the same for one cluster. A socket that a former daemon has left is replaced.
func (a *Authenticators) Open(cluster string) (socket string, err error) {
	socket = a.socket(cluster)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[cluster] != nil {
		return socket, nil
	}
	if len(socket) > maxSocketPath {
		return "", fmt.Errorf("the socket's path %s is longer than %d bytes", socket, maxSocketPath)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("a socket left behind: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return "", err
	}
	// Close removes the socket, in order with Open. The listener itself would do it whenever
	// the server's goroutine gets to know, and take away the next one's.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(socket, 0o600); err != nil {
		return "", errors.Join(err, l.Close())
	}
	srv := &http.Server{
		Handler:           a.handler(cluster),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(a.cfg.Log.Handler(), slog.LevelDebug),
	}
	a.open[cluster] = srv
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.cfg.Log.Error("the authenticator of a cluster has ended", "cluster", cluster, "err", err)
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.open[cluster] == srv { // so that the next Open listens again
				delete(a.open, cluster)
			}
		}
	}()
	return socket, nil
}

// Close ends the cluster's listener and removes its socket. One that is not open is fine.
func (a *Authenticators) Close(cluster string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if srv := a.open[cluster]; srv != nil {
		delete(a.open, cluster)
		if err := srv.Close(); err != nil {
			a.cfg.Log.Warn("closing the authenticator of a cluster", "cluster", cluster, "err", err)
		}
	}
	if err := os.Remove(a.socket(cluster)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.cfg.Log.Warn("removing the authenticator's socket", "cluster", cluster, "err", err)
	}
}

func (a *Authenticators) socket(cluster string) string {
	sum := sha256.Sum256([]byte(cluster))
	return filepath.Join(a.cfg.Dir, hex.EncodeToString(sum[:6])+".sock")
}

// maxReview is more than any review has: a token is at most 4 KiB, a user's groups and extras are few.
const maxReview = 1 << 20

func (a *Authenticators) handler(cluster string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /authenticate", func(w http.ResponseWriter, r *http.Request) {
		var review authentication.TokenReview
		if !a.read(w, r, &review) {
			return
		}
		review.Status = a.authenticate(r.Context(), cluster, review.Spec.Token)
		review.Spec = authentication.TokenReviewSpec{} // the token goes nowhere else
		a.write(w, review)
	})
	mux.HandleFunc("POST /authorize", func(w http.ResponseWriter, r *http.Request) {
		var review authorization.SubjectAccessReview
		if !a.read(w, r, &review) {
			return
		}
		review.Status = a.authorize(cluster, review.Spec)
		review.Spec = authorization.SubjectAccessReviewSpec{}
		a.write(w, review)
	})
	if a.cfg.More != nil {
		a.cfg.More(cluster, mux)
	}
	return mux
}

func (a *Authenticators) read(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		http.Error(w, "reading the review: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func (a *Authenticators) write(w http.ResponseWriter, review any) {
	body, err := json.Marshal(review)
	if err != nil {
		a.cfg.Log.Error("answering a review", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a client that has hung up needs no answer
}
