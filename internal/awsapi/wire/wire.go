// Package wire decodes requests into, and encodes responses from, the structs
// in gen, in the four protocols of AWS: rest-json, json, query and ec2.
//
//	          request                           response
//	rest-json JSON + path, query, headers       JSON + headers, status
//	json      JSON                              JSON
//	query     form: Foo.member.1.Bar=x          XML: <Foo><member><Bar>
//	ec2       form: Foo.1.Bar=x                 XML: <fooSet><item><bar>
//
// It walks a schema.Type and a Go value side by side. It checks the syntax of
// a request only; what the model allows is schema.Validate's business. It
// knows neither HTTP routing nor the envelopes of errors, and decodes no
// responses.
package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// A SyntaxError is a request that does not say what it must: a string where
// a number belongs, or no JSON at all. Its text is for the caller.
type SyntaxError struct {
	Param   string // of a form; "" for documents
	Value   string
	Message string
}

func (e *SyntaxError) Error() string { return e.Message }

func syntaxf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Message: fmt.Sprintf(format, args...)}
}

// setText sets a scalar from its text in a form, a path or a header. dst is
// a member (a pointer, nil) or an element (the value itself).
func setText(t *schema.Type, dst reflect.Value, s string) error {
	switch t.Kind {
	case schema.String:
		return put(dst, s)
	case schema.Boolean:
		b, err := strconv.ParseBool(strings.ToLower(s))
		if err != nil {
			return &SyntaxError{Value: s, Message: "Boolean must be either true or false, not '" + s + "'"}
		}
		return put(dst, b)
	case schema.Integer:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return &SyntaxError{Value: s, Message: "'" + s + "' is not a valid integer"}
		}
		return put(dst, int32(n))
	case schema.Long:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return &SyntaxError{Value: s, Message: "'" + s + "' is not a valid integer"}
		}
		return put(dst, n)
	case schema.Float:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return &SyntaxError{Value: s, Message: "'" + s + "' is not a valid number"}
		}
		return put(dst, n)
	case schema.Timestamp:
		at, err := parseTime(s)
		if err != nil {
			return err
		}
		return put(dst, at)
	case schema.Blob:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return &SyntaxError{Value: s, Message: "Blob is not valid base64"}
		}
		dst.SetBytes(b)
		return nil
	}
	return &SyntaxError{Value: s, Message: "A scalar was found where a structure belongs"}
}

// put stores a scalar in a member or an element.
func put[T any](dst reflect.Value, v T) error {
	switch p := dst.Addr().Interface().(type) {
	case **T:
		*p = &v
	case *T:
		*p = v
	default:
		return fmt.Errorf("%s cannot hold a %T: gen and the table of shapes differ", dst.Type(), v)
	}
	return nil
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "20060102T150405Z", time.RFC1123, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return fromEpoch(f)
	}
	return time.Time{}, &SyntaxError{Value: s, Message: "'" + s + "' is not a valid timestamp"}
}

func fromEpoch(f float64) (time.Time, error) {
	if math.IsNaN(f) || math.Abs(f) > 1e12 {
		return time.Time{}, syntaxf("Timestamp is out of range")
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000).UTC(), nil
}

// member gives the value to decode into of a structure, list or map member;
// it allocates a structure's.
func member(f reflect.Value) reflect.Value {
	if f.Kind() != reflect.Pointer {
		return f
	}
	if f.IsNil() {
		f.Set(reflect.New(f.Type().Elem()))
	}
	return f.Elem()
}

const isoMillis = "2006-01-02T15:04:05.000Z"

// appendText appends a scalar as forms, headers and XML write it.
func appendText(b []byte, t *schema.Type, v reflect.Value) []byte {
	switch t.Kind {
	case schema.String:
		return append(b, v.String()...)
	case schema.Boolean:
		return strconv.AppendBool(b, v.Bool())
	case schema.Integer, schema.Long:
		return strconv.AppendInt(b, v.Int(), 10)
	case schema.Float:
		return strconv.AppendFloat(b, v.Float(), 'f', -1, 64)
	case schema.Timestamp:
		at := v.Interface().(time.Time).UTC()
		if at.Nanosecond() == 0 {
			return at.AppendFormat(b, "2006-01-02T15:04:05Z")
		}
		return at.AppendFormat(b, isoMillis)
	case schema.Blob:
		return base64.StdEncoding.AppendEncode(b, v.Bytes())
	}
	return b
}
