package awsapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/awsapi/wire"
)

// A response is an HTTP response, whole.
type response struct {
	status int
	header http.Header
	body   []byte
	code   string // of an error, for the log
}

func (r *response) write(w http.ResponseWriter, requestID string) {
	h := w.Header()
	for k, v := range r.header {
		h[k] = v
	}
	h["X-Amzn-Requestid"] = []string{requestID}
	h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that has gone away needs no answer
}

func (b *binding) contentType(q *request) string {
	switch {
	case b.Protocol == ProtocolRestJSON || b.wantsJSON(q):
		return "application/json"
	case b.Protocol == ProtocolJSON:
		return "application/x-amz-json-" + b.JSONVersion
	case b.Protocol == ProtocolEC2:
		return "text/xml;charset=UTF-8"
	}
	return "text/xml"
}

// wantsJSON says that the client of a query service asked for JSON, as
// verifiers of Kubernetes tokens do.
func (b *binding) wantsJSON(q *request) bool {
	if b.Protocol != ProtocolQuery {
		return false
	}
	accept := q.http.Header["Accept"]
	return len(accept) > 0 && strings.HasPrefix(accept[0], "application/json")
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// succeed encodes an output; out is a pointer to it.
func (b *binding) succeed(op *Operation, q *request, requestID string, out any) response {
	t := &b.types[op.Output]
	rsp := response{status: http.StatusOK, header: http.Header{"Content-Type": {b.contentType(q)}}}
	buf := make([]byte, 0, 1024)
	switch {
	case b.Protocol == ProtocolRestJSON:
		rsp.body, rsp.status = wire.EncodeREST(buf, t, out, rsp.header)
	case b.Protocol == ProtocolJSON:
		rsp.body = wire.AppendJSON(buf, t, out)
	case b.Protocol == ProtocolEC2:
		buf = append(buf, xmlHead+"<"...)
		buf = append(buf, op.Name...)
		buf = append(buf, `Response xmlns="`...)
		buf = append(buf, b.Namespace...)
		buf = append(buf, `/">`+"\n<requestId>"...)
		buf = append(buf, requestID...)
		buf = append(buf, "</requestId>"...)
		if len(t.Fields) == 0 { // operations without output answer so
			buf = append(buf, "<return>true</return>"...)
		}
		buf = wire.AppendXML(buf, t, out)
		buf = append(buf, "</"...)
		buf = append(buf, op.Name...)
		rsp.body = append(buf, "Response>"...)
	case b.wantsJSON(q):
		buf = append(buf, `{"`...)
		buf = append(buf, op.Name...)
		buf = append(buf, `Response":{`...)
		if op.ResultWrapper != "" {
			buf = wire.AppendString(buf, op.ResultWrapper)
			buf = append(buf, ':')
			buf = wire.AppendJSON(buf, t, out)
			buf = append(buf, ',')
		}
		buf = append(buf, `"ResponseMetadata":{"RequestId":"`...)
		buf = append(buf, requestID...)
		rsp.body = append(buf, `"}}}`...)
	default:
		buf = append(buf, '<')
		buf = append(buf, op.Name...)
		buf = append(buf, `Response xmlns="`...)
		buf = append(buf, b.Namespace...)
		buf = append(buf, '"', '>')
		if op.ResultWrapper != "" {
			buf = append(append(append(buf, '<'), op.ResultWrapper...), '>')
			buf = wire.AppendXML(buf, t, out)
			buf = append(append(append(buf, "</"...), op.ResultWrapper...), '>')
		}
		buf = append(buf, "<ResponseMetadata><RequestId>"...)
		buf = append(buf, requestID...)
		buf = append(buf, "</RequestId></ResponseMetadata></"...)
		buf = append(buf, op.Name...)
		rsp.body = append(buf, "Response>\n"...)
	}
	return rsp
}

// fail is the one place where errors become responses.
func (s *Server) fail(ctx context.Context, b *binding, q *request, call *Call, err error) response {
	var d *denial
	if errors.As(err, &d) {
		err = b.word(d)
	}
	var known ModelledError // an *Error is one too
	told := errors.As(err, &known)
	more := !told || known.HTTPStatus() >= 500 && error(known) != err //nolint:errorlint // is it wrapped: there is more to know then than the caller learns
	if more && ctx.Err() == nil {
		s.log.Error("request failed", "id", call.RequestID, "service", call.Service, "operation", call.Operation, "caller", call.Caller.ARN, "err", err)
	}
	if !told {
		known = b.internal()
	}
	status := known.HTTPStatus()
	fault := FaultSender
	if status >= 500 {
		fault = FaultReceiver
	}
	var e *Error
	if errors.As(err, &e) && e.Fault != "" {
		fault = e.Fault
	}
	rsp := response{status: status, code: known.ErrorCode(), header: http.Header{"Content-Type": {b.contentType(q)}}}
	switch {
	case b.Protocol == ProtocolRestJSON:
		rsp.header["X-Amzn-Errortype"] = []string{known.ErrorCode()}
		rsp.body = b.jsonError(known, false)
	case b.Protocol == ProtocolJSON:
		rsp.header["X-Amzn-Errortype"] = []string{known.ErrorCode()}
		if b.QueryCodes != nil {
			rsp.header["X-Amzn-Query-Error"] = []string{cmp.Or(b.QueryCodes[known.ErrorCode()], known.ErrorCode()) + ";" + fault}
		}
		rsp.body = b.jsonError(known, true)
	case b.Protocol == ProtocolEC2:
		buf := append([]byte(nil), xmlHead+"<Response><Errors><Error><Code>"...)
		buf = wire.AppendEscaped(buf, known.ErrorCode())
		buf = append(buf, "</Code><Message>"...)
		buf = wire.AppendEscaped(buf, known.ErrorMessage())
		buf = append(buf, "</Message></Error></Errors><RequestID>"...)
		buf = append(buf, call.RequestID...)
		rsp.body = append(buf, "</RequestID></Response>"...)
	case b.wantsJSON(q):
		buf := append([]byte(nil), `{"Error":{"Code":`...)
		buf = wire.AppendString(buf, known.ErrorCode())
		buf = append(buf, `,"Message":`...)
		buf = wire.AppendString(buf, known.ErrorMessage())
		buf = append(buf, `,"Type":`...)
		buf = wire.AppendString(buf, fault)
		buf = append(buf, `},"RequestId":`...)
		rsp.body = append(wire.AppendString(buf, call.RequestID), '}')
	default:
		buf := append([]byte(nil), `<ErrorResponse xmlns="`...)
		buf = append(buf, b.Namespace...)
		buf = append(buf, "\"><Error><Type>"...)
		buf = append(buf, fault...)
		buf = append(buf, "</Type><Code>"...)
		buf = wire.AppendEscaped(buf, known.ErrorCode())
		buf = append(buf, "</Code><Message>"...)
		buf = wire.AppendEscaped(buf, known.ErrorMessage())
		buf = append(buf, "</Message></Error><RequestId>"...)
		buf = append(buf, call.RequestID...)
		rsp.body = append(buf, "</RequestId></ErrorResponse>\n"...)
	}
	return rsp
}

// jsonError is the error with the members of its shape; the code is in the
// body for the json protocol, and in a header for rest-json.
func (b *binding) jsonError(e ModelledError, typed bool) []byte {
	buf := []byte{'{'}
	if typed {
		buf = append(buf, `"__type":`...)
		buf = append(wire.AppendString(buf, e.ErrorCode()), ',')
	}
	if t := b.shapeOf(e); t != nil {
		members := wire.AppendJSON(nil, t, e)
		if len(members) > 2 { // not just {}
			return append(buf, members[1:]...)
		}
	}
	buf = append(buf, `"message":`...)
	return append(wire.AppendString(buf, e.ErrorMessage()), '}')
}

// shapeOf is the shape of a modelled error of this service; nil for an *Error
// and for other services' errors.
func (b *binding) shapeOf(e ModelledError) *schema.Type {
	t := reflect.TypeOf(e).Elem()
	if !strings.HasSuffix(t.PkgPath(), "/gen/"+b.Name) {
		return nil
	}
	return b.errors[t.Name()]
}
