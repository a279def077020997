// Package sigv4 reads and verifies AWS Signature Version 4, in the
// Authorization header and in presigned URLs.
//
//	Parse    what the request says about its signature, checked for form
//	Fresh    is it of now?
//	Verify   is it right, for this secret?
//
// The hash of the body is always computed and never believed, so
// UNSIGNED-PAYLOAD verifies for nothing; no service here allows it. Session
// tokens, keys and principals are the caller's business. SigV4A and chunked
// uploads are not understood.
package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Request is the part of an HTTP request that a signature covers.
type Request struct {
	Method        string
	Path          string // as sent: escaped
	RawQuery      string
	Host          string
	Header        http.Header
	ContentLength int64
	BodyHash      [32]byte // SHA-256
}

// A Signature is what a request says about how it was signed.
type Signature struct {
	AccessKeyID   string
	Region        string
	Service       string
	Time          time.Time // X-Amz-Date
	Token         string    // X-Amz-Security-Token
	SignedHeaders []string
	Presigned     bool

	date          string // of the credential scope
	stamp         string // X-Amz-Date as sent
	signedHeaders string
	signature     string
	query         []param // presigned: all but the signature; else all
}

// A Reason is why a signature is refused.
type Reason uint8

// The reasons. Each service has its own code for each.
const (
	Missing    Reason = iota // there is none
	Incomplete               // it lacks something or is malformed
	Expired                  // too old, or not yet valid
	Mismatch                 // it is not of this request and this secret
)

// An Error is why a signature is refused, in AWS's words.
type Error struct {
	Reason  Reason
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(r Reason, format string, args ...any) *Error {
	return &Error{r, fmt.Sprintf(format, args...)}
}

// Unsigned says that an error means that there is no signature at all.
func Unsigned(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == Missing
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	stampForm  = "20060102T150405Z"
)

// Parse reads the signature of a request.
func Parse(r *Request) (*Signature, error) {
	query, err := parseQuery(r.RawQuery)
	if err != nil {
		return nil, err
	}
	s := &Signature{query: query}
	auth := r.Header["Authorization"]
	presigned := get(query, "X-Amz-Algorithm") != "" || get(query, "X-Amz-Signature") != "" || get(query, "X-Amz-Credential") != ""
	switch {
	case len(auth) == 0 && !presigned:
		return nil, &Error{Missing, "Request is missing Authentication Token"}
	case len(auth) > 1, len(auth) == 1 && presigned:
		return nil, &Error{Incomplete, "Only one authentication mechanism allowed; more than one was given"}
	case presigned:
		err = s.fromQuery()
	default:
		err = s.fromHeader(auth[0], r.Header)
	}
	if err != nil {
		return nil, err
	}
	if s.Time, err = time.Parse(stampForm, s.stamp); err != nil {
		return nil, refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", s.stamp)
	}
	if s.stamp[:8] != s.date {
		return nil, refuse(Mismatch, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", s.date, s.stamp[:8], s.stamp)
	}
	if err := s.headers(r.Header); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Signature) fromHeader(auth string, h http.Header) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(auth), " ")
	if name != algorithm {
		return refuse(Incomplete, "Unsupported AWS 'algorithm': '%s'.", clip(name))
	}
	var credential string
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return refuse(Incomplete, "'%s' not a valid key=value pair (missing equal-sign) in Authorization header.", clip(part))
		}
		var dst *string
		switch key {
		case "Credential":
			dst = &credential
		case "SignedHeaders":
			dst = &s.signedHeaders
		case "Signature":
			dst = &s.signature
		default:
			return refuse(Incomplete, "Authorization header has an unknown parameter '%s'.", clip(key))
		}
		if *dst != "" {
			return refuse(Incomplete, "Authorization header has the parameter '%s' twice.", key)
		}
		*dst = value
	}
	if len(h["X-Amz-Date"]) > 1 || len(h["X-Amz-Security-Token"]) > 1 {
		return &Error{Incomplete, "A signature header is given twice."}
	}
	s.stamp = h.Get("X-Amz-Date")
	if s.stamp == "" {
		if at, err := http.ParseTime(h.Get("Date")); err == nil {
			s.stamp = at.UTC().Format(stampForm)
		}
	}
	s.Token = h.Get("X-Amz-Security-Token")
	var lacks []string
	for _, p := range []struct{ name, value string }{{"Credential", credential}, {"Signature", s.signature}, {"SignedHeaders", s.signedHeaders}} {
		if p.value == "" {
			lacks = append(lacks, "Authorization header requires '"+p.name+"' parameter.")
		}
	}
	if s.stamp == "" {
		lacks = append(lacks, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if lacks != nil {
		return &Error{Incomplete, strings.Join(lacks, " ")}
	}
	return s.scope(credential)
}

func (s *Signature) fromQuery() error {
	s.Presigned = true
	var credential, alg, expires string
	kept := s.query[:0]
	for _, p := range s.query {
		var dst *string
		switch p.key {
		case "X-Amz-Algorithm":
			dst = &alg
		case "X-Amz-Credential":
			dst = &credential
		case "X-Amz-Date":
			dst = &s.stamp
		case "X-Amz-Expires":
			dst = &expires
		case "X-Amz-SignedHeaders":
			dst = &s.signedHeaders
		case "X-Amz-Signature":
			dst = &s.signature
		case "X-Amz-Security-Token":
			dst = &s.Token
		}
		if dst != nil {
			if *dst != "" {
				return refuse(Incomplete, "AWS query-string parameter '%s' is given twice.", p.key)
			}
			*dst = p.value
		}
		if p.key != "X-Amz-Signature" {
			kept = append(kept, p)
		}
	}
	s.query = kept
	var lacks []string
	for _, p := range []struct{ name, value string }{
		{"X-Amz-Algorithm", alg}, {"X-Amz-Credential", credential}, {"X-Amz-Signature", s.signature}, {"X-Amz-SignedHeaders", s.signedHeaders}, {"X-Amz-Date", s.stamp},
	} {
		if p.value == "" {
			lacks = append(lacks, "AWS query-string parameters must include '"+p.name+"'.")
		}
	}
	if lacks != nil {
		return &Error{Incomplete, strings.Join(lacks, " ") + " Re-examine the query-string parameters."}
	}
	if alg != algorithm {
		return refuse(Incomplete, "Unsupported AWS 'algorithm': '%s'.", clip(alg))
	}
	if expires != "" {
		if n, err := strconv.Atoi(expires); err != nil || n < 0 || n > 604800 {
			return refuse(Incomplete, "X-Amz-Expires must be a number of seconds between 0 and 604800, not '%s'.", clip(expires))
		}
	}
	return s.scope(credential)
}

func (s *Signature) scope(credential string) error {
	// Access key ids have no slashes, so that the scope is the last four.
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	s.AccessKeyID, s.date, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	if parts[4] != terminator {
		return refuse(Mismatch, "Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, clip(parts[4]))
	}
	if s.AccessKeyID == "" || s.Region == "" || s.Service == "" {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	return nil
}

// headers checks which headers are signed: the host, and whatever steers AWS.
func (s *Signature) headers(h http.Header) error {
	s.SignedHeaders = strings.Split(s.signedHeaders, ";")
	host := false
	for i, n := range s.SignedHeaders {
		host = host || n == "host"
		if n == "" || n != strings.ToLower(n) || i > 0 && s.SignedHeaders[i-1] >= n {
			return refuse(Incomplete, "SignedHeaders must be lower case, sorted and without duplicates, got '%s'.", clip(s.signedHeaders))
		}
	}
	if !host {
		return &Error{Mismatch, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	for key := range h {
		if len(key) > 6 && key[:6] == "X-Amz-" && !s.signed(key) {
			return refuse(Mismatch, "'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(key))
		}
	}
	return nil
}

func (s *Signature) signed(key string) bool {
	for _, n := range s.SignedHeaders {
		if strings.EqualFold(n, key) {
			return true
		}
	}
	return false
}

// Fresh says whether the signature is of now, give or take skew. For
// presigned URLs AWS's query services take 15 minutes, whatever X-Amz-Expires
// says; the caller passes that as skew.
func (s *Signature) Fresh(now time.Time, skew time.Duration) error {
	now = now.UTC().Truncate(time.Second)
	minutes := int(skew / time.Minute)
	if oldest := now.Add(-skew); s.Time.Before(oldest) {
		return refuse(Expired, "Signature expired: %s is now earlier than %s (%s - %d min.)", s.stamp, oldest.Format(stampForm), now.Format(stampForm), minutes)
	}
	if newest := now.Add(skew); s.Time.After(newest) {
		return refuse(Expired, "Signature not yet current: %s is still later than %s (%s + %d min.)", s.stamp, newest.Format(stampForm), now.Format(stampForm), minutes)
	}
	return nil
}

// clip bounds what of a hostile request is repeated to its sender.
func clip(s string) string {
	if len(s) > 128 {
		return s[:128]
	}
	return s
}
