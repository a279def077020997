package awsapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"ekster.dev/ekster/internal/awsapi/schema"
	"ekster.dev/ekster/internal/awsapi/wire"
)

// What the front door itself refuses, in each protocol's code and words.

// internal is what the caller learns of an error that is ours: nothing.
func (b *binding) internal() *Error {
	code := b.InternalCode
	switch {
	case code != "":
	case b.Protocol == ProtocolEC2:
		code = "InternalError"
	default:
		code = "InternalFailure"
	}
	return Errorf(code, http.StatusInternalServerError, "An internal error has occurred.")
}

func (b *binding) tooLong(limit int64) *Error {
	code := "RequestEntityTooLargeException"
	if b.form() {
		code = "RequestEntityTooLarge"
	}
	return Errorf(code, http.StatusRequestEntityTooLarge, "Request size exceeds the limit of %d bytes.", limit)
}

// unknownOperation is for what the service's model does not have either.
func (b *binding) unknownOperation(q *request) *Error {
	switch b.Protocol {
	case ProtocolEC2, ProtocolQuery:
		switch {
		case q.action == "":
			return Errorf("MissingAction", http.StatusBadRequest, "The request is missing an action or operation parameter.")
		case b.Protocol == ProtocolEC2:
			return Errorf("InvalidAction", http.StatusBadRequest, "The action %s is not valid for this web service.", q.action)
		}
		version := q.version
		if version == "" {
			version = b.Version
		}
		return Errorf("InvalidAction", http.StatusBadRequest, "Could not find operation %s for version %s", q.action, version)
	case ProtocolJSON:
		return Errorf("UnknownOperationException", http.StatusBadRequest, "The operation %q is not one of %s.", q.http.Header.Get("X-Amz-Target"), b.ID)
	}
	return Errorf("UnknownOperationException", http.StatusNotFound, "No operation of %s is %s %s.", b.ID, q.http.Method, q.path())
}

// unknownService is for requests whose service is none of ours.
func unknownService(b *binding, scope string, sigErr error) error {
	if scope == "" {
		if sigErr == nil {
			sigErr = errors.New("a signature without a service")
		}
		return refused(sigErr)
	}
	return Errorf(codeNotServed, http.StatusNotImplemented, "The service %s is not supported yet.", b.ID)
}

// An unknownParameter is a parameter that an EC2 operation does not have.
type unknownParameter struct{ name string }

func (e *unknownParameter) Error() string { return "unknown parameter " + e.name }

// malformed words an error of decoding.
func (b *binding) malformed(err error) error {
	var unknown *unknownParameter
	if errors.As(err, &unknown) {
		return Errorf("UnknownParameter", http.StatusBadRequest, "The parameter %s is not recognized", unknown.name)
	}
	var s *wire.SyntaxError
	if !errors.As(err, &s) {
		return err
	}
	switch b.Protocol {
	case ProtocolEC2:
		if s.Param == "" {
			return Errorf("MalformedQueryString", http.StatusBadRequest, "%s", s.Message)
		}
		return Errorf("InvalidParameterValue", http.StatusBadRequest, "Value (%s) for parameter %s is invalid. %s", s.Value, small(s.Param), s.Message)
	case ProtocolQuery:
		if s.Param == "" {
			return Errorf("MalformedQueryString", http.StatusBadRequest, "%s", s.Message)
		}
		return Errorf("MalformedInput", http.StatusBadRequest, "Value of parameter %s is invalid: %s", s.Param, s.Message)
	}
	return Errorf("SerializationException", http.StatusBadRequest, "%s", s.Message)
}

// invalid words what the model does not allow.
func (b *binding) invalid(vs []schema.Violation) *Error {
	if b.Protocol == ProtocolEC2 {
		return invalidEC2(&vs[0])
	}
	code := b.InvalidCode
	switch {
	case code != "":
	case b.form():
		code = "ValidationError"
	default:
		code = "ValidationException"
	}
	return Errorf(code, http.StatusBadRequest, "%s", schema.Message(vs))
}

// invalidEC2 has EC2's own words, and names one parameter at a time.
func invalidEC2(v *schema.Violation) *Error {
	name := v.Path
	if v.Reason == schema.Missing {
		parts := strings.Split(name, ".")
		for i, p := range parts {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
		return Errorf("MissingParameter", http.StatusBadRequest, "The request must contain the parameter %s", strings.Join(parts, "."))
	}
	value := strings.Trim(v.Value, "'")
	if (v.Reason == schema.TooSmall || v.Reason == schema.TooLarge) && v.Type.HasMin && v.Type.HasMax {
		return Errorf("InvalidParameterValue", http.StatusBadRequest, "Value ( %s ) for parameter %s is invalid. Expecting a value between %s and %s.",
			value, name, limit(v.Type.Min), limit(v.Type.Max))
	}
	if v.Reason == schema.NotInEnum {
		return Errorf("InvalidParameterValue", http.StatusBadRequest, "Value (%s) for parameter %s is invalid.", value, name)
	}
	return Errorf("InvalidParameterValue", http.StatusBadRequest, "Value (%s) for parameter %s is invalid. %s.", value, name, v.Constraint())
}

func limit(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func small(name string) string { return strings.ToLower(name[:1]) + name[1:] }
