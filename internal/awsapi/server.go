package awsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/awsapi/sigv4"
	"ekster.dev/ekster/internal/awsapi/wire"
)

// Config is what a Server is made of.
type Config struct {
	Services []*Service
	Keys     Keys
	// Authorize says whether the call's caller may make it: nil, or an error
	// for the caller. It is asked before the input is checked against the
	// model, so that a caller learns nothing from what it may not do.
	Authorize func(ctx context.Context, call Call, input any) error
	// Region says whether there is a region of this name, for which a request may be signed; nil:
	// any will do. Global services may be signed for all of them: SDKs that are given an
	// endpoint sign for their own region, whatever AWS's endpoint would want.
	Region  func(name string) bool
	Log     *slog.Logger     // requests at debug, our own errors at error
	Now     func() time.Time // nil: time.Now
	MaxBody int64            // 0: DefaultMaxBody
}

// DefaultMaxBody is how long a request's body may be. The longest that a service takes is a megabyte, of
// SQS's messages; as JSON or as a form that is up to three times as long, and there are names beside it.
const DefaultMaxBody = 4 << 20

// maxDrain is how much of a body that is too long is read and thrown away, so
// that its sender sees the answer and no broken connection.
const maxDrain = 32 << 20

// A Server is the front door. It is an http.Handler, safe for concurrent use.
type Server struct {
	services      []*binding
	bySigningName map[string][]*binding
	keys          Keys
	authorize     func(context.Context, Call, any) error
	region        func(string) bool
	log           *slog.Logger
	now           func() time.Time
	maxBody       int64
	signingKeys   sigv4.KeyCache
	buffers       sync.Pool // *bytes.Buffer, for bodies both ways
}

// NewServer makes a Server; an error is a mistake in a service's tables.
func NewServer(c Config) (*Server, error) {
	if c.Keys == nil || c.Authorize == nil || c.Log == nil {
		return nil, errors.New("a server needs Keys, Authorize and Log")
	}
	s := &Server{
		bySigningName: map[string][]*binding{}, keys: c.Keys, authorize: c.Authorize, region: c.Region, log: c.Log, now: c.Now, maxBody: c.MaxBody,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.maxBody == 0 {
		s.maxBody = DefaultMaxBody
	}
	for _, svc := range c.Services {
		b, err := bind(svc)
		if err != nil {
			return nil, err
		}
		s.services = append(s.services, b)
		s.bySigningName[b.SigningName] = append(s.bySigningName[b.SigningName], b)
	}
	return s, nil
}

// A request is an HTTP request with its body read, and what of it says which
// operation it is for.
type request struct {
	http    *http.Request
	body    []byte
	action  string // Action=
	version string // Version=
	form    *wire.Form
	formErr error
}

func (q *request) path() string { return q.http.URL.EscapedPath() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.now()
	call := Call{RequestID: uuid.NewString(), Time: now, UserAgent: r.UserAgent(), Secure: r.TLS != nil, SourceIP: sourceIP(r.RemoteAddr)}
	buf := s.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer s.release(buf)

	q, tooLong, err := s.read(r, buf)
	if err != nil {
		s.log.Debug("request broken off", "id", call.RequestID, "err", err)
		panic(http.ErrAbortHandler) // to return would answer 200 to who can still read
	}
	arrived := time.Now()
	sreq := sigv4.FromHTTP(r, sha256.Sum256(q.body))
	sig, sigErr := sigv4.Parse(sreq)
	scope := ""
	if sig != nil {
		scope, call.Region = sig.Service, sig.Region
	} else {
		call.Region = regionOf(r.Host)
	}
	b := s.serviceFor(scope, q)
	var rsp response
	switch {
	case b == nil:
		b = strangers(scope, q)
		rsp = s.fail(r.Context(), b, q, &call, unknownService(b, scope, sigErr))
	case tooLong:
		rsp = s.fail(r.Context(), b, q, &call, b.tooLong(s.maxBody))
	default:
		call.Service = b.SigningName
		rsp = s.serve(r.Context(), b, q, sreq, sig, sigErr, &call)
	}
	if len(q.body) > 0 && len(rsp.body) > pacedAnswer {
		pace(r.Context(), arrived)
	}
	rsp.write(w, call.RequestID)
	if s.log.Enabled(r.Context(), slog.LevelDebug) {
		s.log.Debug("request", "id", call.RequestID, "service", call.Service, "operation", call.Operation, "caller", call.Caller.ARN,
			"status", rsp.status, "error", rsp.code, "took", s.now().Sub(now), "from", call.SourceIP)
	}
}

// pacedAnswer is the length from which answers to requests with a body are paced: a
// little below the 4 KiB that Go's HTTP client reads at once.
const pacedAnswer = 3 << 10

// leastTime is what a paced answer takes at least, from the arrival of its request.
const leastTime = time.Millisecond

// pace lets a request with a long answer take a millisecond. The AWS SDK for Go (smithy-go
// 1.28) closes its request's body as soon as an answer begins; if the transport beneath has
// not yet looked for the body's end, it takes that for a broken request and drops the
// connection under the answer. No server far away is quick enough for that, and there is
// nothing to be seen from here that would tell when the client is ready.
func pace(ctx context.Context, arrived time.Time) {
	left := leastTime - time.Since(arrived)
	if left <= 0 {
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *Server) release(buf *bytes.Buffer) {
	if buf.Cap() <= 64<<10 { // one large body must not stay for ever
		s.buffers.Put(buf)
	}
}

// read reads the body into buf. The request keeps no reference to buf once
// it is decoded.
func (s *Server) read(r *http.Request, buf *bytes.Buffer) (q *request, tooLong bool, err error) {
	q = &request{http: r}
	if r.ContentLength != 0 {
		n, err := buf.ReadFrom(io.LimitReader(r.Body, s.maxBody+1))
		if err != nil {
			return nil, false, err
		}
		if tooLong = n > s.maxBody; tooLong {
			if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxDrain)); err != nil {
				return nil, false, err
			}
			buf.Reset()
		}
	}
	q.body = buf.Bytes()
	if r.Header.Get("X-Amz-Target") != "" {
		return q, tooLong, nil
	}
	form := r.URL.RawQuery
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form += "&" + string(q.body)
	}
	if strings.Contains(form, "Action=") {
		if q.form, q.formErr = wire.ParseForm(form); q.formErr == nil {
			q.action, q.version = q.form.Get("Action"), q.form.Get("Version")
		}
	}
	return q, tooLong, nil
}

// serve takes a request of a known service to its handler.
func (s *Server) serve(ctx context.Context, b *binding, q *request, sreq *sigv4.Request, sig *sigv4.Signature, sigErr error, call *Call) (rsp response) {
	op, labels := b.operation(q)
	if op != nil {
		call.Operation = op.Name
	}
	fail := func(err error) response { return s.fail(ctx, b, q, call, err) }
	defer func() {
		if p := recover(); p != nil {
			rsp = fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if op != nil && op.Unsigned {
		call.Caller.Type = TypeAnonymous
	} else if err := s.authenticate(ctx, sreq, sig, sigErr, call); err != nil {
		return fail(err)
	}
	switch {
	case q.formErr != nil && b.form():
		return fail(b.malformed(q.formErr))
	case op == nil:
		return fail(b.unknownOperation(q))
	case op.Handle.Call == nil:
		return fail(NotServed(b.ID, op.Name))
	}
	in := op.Handle.New()
	if err := b.decode(op, q, labels, in); err != nil {
		return fail(b.malformed(err))
	}
	if err := s.authorize(ctx, *call, in); err != nil {
		return fail(err)
	}
	if vs := schema.Validate(&b.types[op.Input], in); len(vs) > 0 {
		return fail(b.invalid(vs))
	}
	out, err := op.Handle.Call(ctx, *call, in)
	if err != nil {
		return fail(err)
	}
	return b.succeed(op, q, call.RequestID, out)
}

func (s *Server) authenticate(ctx context.Context, sreq *sigv4.Request, sig *sigv4.Signature, sigErr error, call *Call) error {
	if sigErr != nil {
		return refused(sigErr)
	}
	p, err := s.verify(ctx, sig, sreq, call.Time)
	if err != nil {
		return err
	}
	call.Caller, call.Account = p, p.Account
	call.Request = &SignedRequest{
		AccessKeyID: sig.AccessKeyID, Date: sig.Time, SignedHeaders: sig.SignedHeaders, Presigned: sig.Presigned, SessionToken: sig.Token, Host: sreq.Host,
	}
	return nil
}

// operation finds the operation that a request names; nil if there is none.
func (b *binding) operation(q *request) (*Operation, map[string]string) {
	switch b.Protocol {
	case ProtocolRestJSON:
		return b.match(q.http.Method, q.path())
	case ProtocolJSON:
		prefix, name, _ := strings.Cut(q.http.Header.Get("X-Amz-Target"), ".")
		if prefix != b.TargetPrefix {
			return nil, nil
		}
		return b.byName[name], nil
	default:
		return b.byName[q.action], nil
	}
}

// decode decodes the input of an operation; in is a pointer to it.
func (b *binding) decode(op *Operation, q *request, labels map[string]string, in any) error {
	t := &b.types[op.Input]
	switch b.Protocol {
	case ProtocolRestJSON:
		return wire.DecodeREST(t, &wire.REST{Labels: labels, Query: q.http.URL.Query(), Header: q.http.Header, Body: q.body}, in)
	case ProtocolJSON:
		return wire.DecodeJSON(t, q.body, in)
	case ProtocolEC2:
		if err := wire.DecodeForm(t, q.form, wire.EC2, in); err != nil {
			return err
		}
		if name := q.form.Unread(); name != "" {
			return &unknownParameter{name}
		}
		return nil
	default:
		return wire.DecodeForm(t, q.form, wire.Query, in)
	}
}

// regionOf is the region of an unsigned request: that of AWS's own host names,
// else the one that global endpoints are in.
func regionOf(host string) string {
	labels := strings.Split(host, ".")
	if len(labels) > 3 && labels[2] == "amazonaws" {
		return labels[1]
	}
	return "us-east-1"
}

func sourceIP(addr string) netip.Addr {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Addr{} // in-process callers have none
	}
	return ap.Addr().Unmap()
}
