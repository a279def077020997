package wire

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// A REST request, taken apart.
type REST struct {
	Labels map[string]string // of the path, unescaped
	Query  url.Values
	Header http.Header
	Body   []byte
}

// DecodeREST decodes a rest-json request into a struct; v is a pointer to it.
func DecodeREST(t *schema.Type, r *REST, v any) error {
	sv := reflect.ValueOf(v).Elem()
	hasBody := false
	for i := range t.Fields {
		f := &t.Fields[i]
		fv := sv.Field(i)
		var err error
		switch f.In {
		case schema.Body:
			hasBody = true
		case schema.URI:
			err = setText(f.Type, fv, r.Labels[f.WireName()])
		case schema.Querystring:
			err = restQuery(f, fv, r.Query)
		case schema.Header:
			if h := r.Header.Get(f.WireName()); h != "" {
				err = setText(f.Type, fv, h)
			}
		case schema.Headers:
			restHeaders(f, fv, r.Header)
		}
		if err != nil {
			return named(err, f.Name)
		}
	}
	if t.Payload != "" {
		return restPayload(t, sv, r.Body)
	}
	if !hasBody {
		return nil
	}
	return DecodeJSON(t, r.Body, v)
}

func restQuery(f *schema.Field, v reflect.Value, q url.Values) error {
	switch f.Type.Kind {
	case schema.List:
		values, ok := q[f.WireName()]
		if !ok {
			return nil
		}
		out := reflect.MakeSlice(v.Type(), len(values), len(values))
		for i, s := range values {
			if err := setText(f.Type.Elem, out.Index(i), s); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	case schema.Map: // every parameter
		out := reflect.MakeMapWithSize(v.Type(), len(q))
		for k, values := range q {
			ev := reflect.New(v.Type().Elem()).Elem()
			if err := setText(f.Type.Elem, ev, values[0]); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k), ev)
		}
		v.Set(out)
		return nil
	}
	if values, ok := q[f.WireName()]; ok {
		return setText(f.Type, v, values[0])
	}
	return nil
}

func restHeaders(f *schema.Field, v reflect.Value, h http.Header) {
	prefix := textproto.CanonicalMIMEHeaderKey(f.WireName())
	out := map[string]string{}
	for k, values := range h {
		if rest, ok := strings.CutPrefix(k, prefix); ok && len(values) > 0 {
			out[strings.ToLower(rest)] = values[0]
		}
	}
	if len(out) > 0 {
		v.Set(reflect.ValueOf(out))
	}
}

func restPayload(t *schema.Type, v reflect.Value, body []byte) error {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Name != t.Payload || len(body) == 0 {
			continue
		}
		switch f.Type.Kind {
		case schema.Blob:
			v.Field(i).SetBytes(bytes.Clone(body)) // the body's buffer is used again
			return nil
		case schema.String:
			return put(v.Field(i), string(body))
		default:
			return DecodeJSON(f.Type, body, member(v.Field(i)).Addr().Interface())
		}
	}
	return nil
}

// EncodeREST appends the body of a rest-json response, sets its headers, and
// gives the status if the output has one, else 200.
func EncodeREST(b []byte, t *schema.Type, v any, h http.Header) ([]byte, int) {
	sv := reflect.ValueOf(v).Elem()
	status := http.StatusOK
	for i := range t.Fields {
		f := &t.Fields[i]
		fv := sv.Field(i)
		if f.In == schema.Body || fv.IsNil() {
			continue
		}
		if fv.Kind() == reflect.Pointer {
			fv = fv.Elem()
		}
		switch f.In {
		case schema.Header:
			h.Set(f.WireName(), string(appendText(nil, f.Type, fv)))
		case schema.Headers:
			for it := fv.MapRange(); it.Next(); {
				h.Set(f.WireName()+it.Key().String(), it.Value().String())
			}
		case schema.StatusCode:
			status = int(fv.Int())
		}
	}
	if t.Payload != "" {
		return appendPayload(b, t, sv), status
	}
	return AppendJSON(b, t, v), status
}

// appendPayload appends the member that is the whole body.
func appendPayload(b []byte, t *schema.Type, v reflect.Value) []byte {
	for i := range t.Fields {
		f, fv := &t.Fields[i], v.Field(i)
		if f.Name != t.Payload || fv.IsNil() {
			continue
		}
		switch f.Type.Kind {
		case schema.Blob:
			return append(b, fv.Bytes()...)
		case schema.String:
			return append(b, fv.Elem().String()...)
		default:
			return AppendJSON(b, f.Type, fv.Interface())
		}
	}
	return b
}
