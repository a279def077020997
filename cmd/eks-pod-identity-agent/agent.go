package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of EKS's agent.
const (
	maxKept    = 2000          // tokens whose credentials are kept
	renewAfter = 3 * time.Hour // and at half of their time, where that is sooner
	perSecond  = 3             // calls to the service
)

// assumeFunc asks the service for the credentials that a token is good for.
type assumeFunc func(ctx context.Context, token string) (credentials, error)

// credentials are as SDKs read them.
type credentials struct {
	AccessKeyID     string    `json:"AccessKeyId"`
	SecretAccessKey string    `json:"SecretAccessKey"`
	Token           string    `json:"Token"`
	AccountID       string    `json:"AccountId"`
	Expiration      time.Time `json:"Expiration"`
}

// kept is what is known of a token. mu is held while the service is asked about it.
type kept struct {
	mu      sync.Mutex
	value   credentials
	fetched time.Time
	used    time.Time // guarded by the agent's mu
}

// An agent answers SDKs.
type agent struct {
	assume assumeFunc
	log    *slog.Logger
	now    func() time.Time
	limit  *rate.Limiter

	mu     sync.Mutex
	tokens map[string]*kept
}

func newAgent(assume assumeFunc, log *slog.Logger) *agent {
	return &agent{assume: assume, log: log, now: time.Now, limit: rate.NewLimiter(perSecond, perSecond), tokens: map[string]*kept{}}
}

// ServeHTTP answers GET /v1/credentials. A Host that is another's is a browser or a proxy
// that was led here.
func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	address, err := netip.ParseAddr(trimBrackets(host))
	token := r.Header.Get("Authorization")
	switch {
	case err != nil || address != address4 && address != address6:
		http.Error(w, "Called agent through invalid address, please use either address: {169.254.170.23, [fd00:ec2::23]}, not: "+strconv.Quote(r.Host), http.StatusForbidden)
		return
	case r.Method != http.MethodGet || r.URL.Path != "/v1/credentials":
		http.NotFound(w, r)
		return
	case token == "":
		http.Error(w, "Service account token cannot be empty", http.StatusBadRequest)
		return
	}
	c, err := a.get(r.Context(), token)
	if err != nil {
		a.log.Warn("no credentials", "from", r.RemoteAddr, "err", err)
		status := http.StatusInternalServerError
		if e, ok := errors.AsType[*serviceError](err); ok {
			status = e.status
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c) // a client that has hung up needs no answer
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// get returns a token's credentials, kept or new ones. Where new ones cannot be had for a
// reason that may pass, those kept do until their end.
func (a *agent) get(ctx context.Context, token string) (credentials, error) {
	k := a.find(token)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := a.now()
	if k.fresh(now) {
		return k.value, nil
	}
	if err := a.limit.Wait(ctx); err != nil {
		return credentials{}, fmt.Errorf("waiting to call the service: %w", err)
	}
	c, err := a.assume(ctx, token)
	if err == nil {
		k.value, k.fetched = c, now
		return c, nil
	}
	if e, ok := errors.AsType[*serviceError](err); ok && e.final() {
		k.value = credentials{}
		return credentials{}, err
	}
	if now.Before(k.value.Expiration) {
		a.log.Warn("credentials are not renewed", "err", err)
		return k.value, nil
	}
	return credentials{}, err
}

func (k *kept) fresh(now time.Time) bool {
	life := k.value.Expiration.Sub(k.fetched)
	return k.value.AccessKeyID != "" && now.Sub(k.fetched) < min(renewAfter, life/2)
}

// find returns what is kept of the token, and forgets the token longest unused for one too many.
func (a *agent) find(token string) *kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.tokens[token]
	if k == nil {
		if len(a.tokens) >= maxKept {
			oldest := ""
			for t, k := range a.tokens {
				if oldest == "" || k.used.Before(a.tokens[oldest].used) {
					oldest = t
				}
			}
			delete(a.tokens, oldest)
		}
		k = &kept{}
		a.tokens[token] = k
	}
	k.used = a.now()
	return k
}
