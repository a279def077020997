package awsapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsapi/sigv4"
)

// ErrNoKey is what Keys answers for an access key that does not exist.
var ErrNoKey = errors.New("no such access key")

// Keys knows access keys. Lookup is called once a request, and answers
// ErrNoKey for unknown ones; any other error is ours and answered as such.
type Keys interface {
	Lookup(ctx context.Context, accessKeyID string) (Key, error)
}

// A Key is an access key and whose it is.
type Key struct {
	Secret       string
	SessionToken string    // of temporary keys; requests must carry it
	Expires      time.Time // zero: never
	Inactive     bool
	Principal    Principal
}

const (
	clockSkew     = 5 * time.Minute
	presignedLife = 15 * time.Minute // whatever X-Amz-Expires says, and as far ahead: STS does so, and tokens for Kubernetes rely on it
)

// A denial is why a request's signature is refused, before it is known how
// the service words that.
type denial struct {
	kind    denialKind
	message string
}

type denialKind uint8

const (
	denyMissing denialKind = iota
	denyIncomplete
	denyMismatch
	denyStale
	denyUnknownKey
	denyExpiredToken
)

func (d *denial) Error() string { return d.message }

// verify finds out who signed a request. The error is a *denial, or ours.
func (s *Server) verify(ctx context.Context, sig *sigv4.Signature, r *sigv4.Request, now time.Time) (Principal, error) {
	skew := clockSkew
	if sig.Presigned {
		skew = presignedLife
	}
	if err := sig.Fresh(now, skew); err != nil {
		return Principal{}, refused(err)
	}
	if s.region != nil && !s.region(sig.Region) {
		return Principal{}, &denial{denyMismatch, "Credential should be scoped to a valid region."}
	}
	key, err := s.keys.Lookup(ctx, sig.AccessKeyID)
	switch {
	case errors.Is(err, ErrNoKey), err == nil && key.Inactive:
		return Principal{}, &denial{denyUnknownKey, "The security token included in the request is invalid."}
	case err != nil:
		return Principal{}, fmt.Errorf("looking up access key %s: %w", sig.AccessKeyID, err)
	}
	if err := sig.Verify(r, key.Secret, &s.signingKeys); err != nil {
		return Principal{}, refused(err)
	}
	if subtle.ConstantTimeCompare([]byte(key.SessionToken), []byte(sig.Token)) != 1 {
		return Principal{}, &denial{denyUnknownKey, "The security token included in the request is invalid."}
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return Principal{}, &denial{denyExpiredToken, "The security token included in the request is expired"}
	}
	p := key.Principal
	p.AccessKeyID = sig.AccessKeyID
	return p, nil
}

// refused turns package sigv4's errors into denials.
func refused(err error) error {
	var e *sigv4.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := map[sigv4.Reason]denialKind{
		sigv4.Missing: denyMissing, sigv4.Incomplete: denyIncomplete, sigv4.Expired: denyStale, sigv4.Mismatch: denyMismatch,
	}[e.Reason]
	return &denial{kind, e.Message}
}

// word gives a denial the code, status and text of the service's protocol.
func (b *binding) word(d *denial) *Error {
	switch b.Protocol {
	case ProtocolEC2:
		switch d.kind {
		case denyMissing:
			return Errorf("MissingAuthenticationToken", http.StatusForbidden, "Request is missing Authentication Token")
		case denyIncomplete:
			return Errorf("IncompleteSignature", http.StatusBadRequest, "%s", d.message)
		case denyStale, denyExpiredToken:
			return Errorf("RequestExpired", http.StatusBadRequest, "Request has expired.")
		}
		return Errorf("AuthFailure", http.StatusUnauthorized, "AWS was not able to validate the provided access credentials")
	case ProtocolQuery:
		switch d.kind {
		case denyMissing:
			return Errorf("MissingAuthenticationToken", http.StatusForbidden, "Request is missing Authentication Token")
		case denyIncomplete:
			return Errorf("IncompleteSignature", http.StatusBadRequest, "%s", d.message)
		case denyUnknownKey:
			return Errorf("InvalidClientTokenId", http.StatusForbidden, "%s", d.message)
		case denyExpiredToken:
			return Errorf("ExpiredToken", http.StatusForbidden, "%s", d.message)
		}
		return Errorf("SignatureDoesNotMatch", http.StatusForbidden, "%s", d.message)
	}
	status := http.StatusForbidden
	if b.Protocol == ProtocolJSON {
		status = http.StatusBadRequest
	}
	switch d.kind {
	case denyMissing:
		return Errorf("MissingAuthenticationTokenException", status, "Missing Authentication Token")
	case denyIncomplete:
		return Errorf("IncompleteSignatureException", status, "%s", d.message)
	case denyUnknownKey:
		return Errorf("UnrecognizedClientException", status, "%s", d.message)
	case denyExpiredToken:
		return Errorf("ExpiredTokenException", status, "%s", d.message)
	}
	return Errorf("InvalidSignatureException", status, "%s", d.message)
}

// VerifyPresigned says who signed a URL, as STS would if it were sent there
// with these headers; the body is taken to be empty. It is how bearer tokens
// of Kubernetes are verified without an HTTP request. What the URL asks for,
// its host and its other parameters are the caller's to check; that it is
// scoped to the service is checked here. Errors that are not ours to mend are
// *Error, in STS's words.
func (s *Server) VerifyPresigned(ctx context.Context, method, rawURL, service string, header http.Header) (Principal, error) {
	sts := &binding{Service: &Service{Protocol: ProtocolQuery}}
	p, err := s.verifyPresigned(ctx, method, rawURL, service, header)
	var d *denial
	if errors.As(err, &d) {
		return Principal{}, sts.word(d)
	}
	return p, err
}

func (s *Server) verifyPresigned(ctx context.Context, method, rawURL, service string, header http.Header) (Principal, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Principal{}, &denial{denyIncomplete, "The URL is malformed"}
	}
	h := make(http.Header, len(header))
	for k, v := range header {
		h[http.CanonicalHeaderKey(k)] = v
	}
	delete(h, "Authorization")
	r := &sigv4.Request{Method: method, Path: u.EscapedPath(), RawQuery: u.RawQuery, Host: hostHeader(u), Header: h, BodyHash: sha256.Sum256(nil)}
	sig, err := sigv4.Parse(r)
	if err != nil {
		return Principal{}, refused(err)
	}
	if sig.Service != service {
		return Principal{}, &denial{denyMismatch, fmt.Sprintf("Credential should be scoped to correct service: '%s'.", service)}
	}
	return s.verify(ctx, sig, r, s.now())
}

// hostHeader is the Host header that a client sends for a URL: without the
// scheme's own port.
func hostHeader(u *url.URL) string {
	if port := u.Port(); port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		return strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Host
}
