package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strconv"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// DecodeJSON decodes a JSON document into the body members of a struct;
// v is a pointer to it. No document at all is an empty one.
func DecodeJSON(t *schema.Type, doc []byte, v any) error {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return syntaxf("The request body is not valid JSON: %s", jsonReason(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return syntaxf("The request body is not valid JSON: data after the document")
	}
	return jsonValue(t, reflect.ValueOf(v).Elem(), tree)
}

func jsonReason(err error) string {
	var s *json.SyntaxError
	switch {
	case errors.As(err, &s):
		return s.Error() + " at position " + strconv.FormatInt(s.Offset, 10)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected end of document"
	}
	return err.Error()
}

func jsonStructure(t *schema.Type, v reflect.Value, obj map[string]any) error {
	for name, val := range obj {
		i, ok := t.FieldNamed(name)
		if !ok || val == nil || t.Fields[i].In != schema.Body {
			continue // AWS ignores what it does not know
		}
		f := &t.Fields[i]
		fv := v.Field(i)
		switch f.Type.Kind {
		case schema.Structure, schema.List, schema.Map:
			fv = member(fv)
		}
		if err := jsonValue(f.Type, fv, val); err != nil {
			return err
		}
	}
	return nil
}

func jsonValue(t *schema.Type, v reflect.Value, val any) error {
	switch t.Kind {
	case schema.Structure:
		obj, ok := val.(map[string]any)
		if !ok {
			return mismatch(val, "a structure")
		}
		return jsonStructure(t, v, obj)
	case schema.List:
		list, ok := val.([]any)
		if !ok {
			return mismatch(val, "a list")
		}
		out := reflect.MakeSlice(v.Type(), 0, len(list))
		for _, e := range list {
			if e == nil {
				continue
			}
			out = reflect.Append(out, reflect.Zero(v.Type().Elem()))
			if err := jsonValue(t.Elem, out.Index(out.Len()-1), e); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	case schema.Map:
		obj, ok := val.(map[string]any)
		if !ok {
			return mismatch(val, "a map")
		}
		out := reflect.MakeMapWithSize(v.Type(), len(obj))
		for k, e := range obj {
			if e == nil {
				continue
			}
			ev := reflect.New(v.Type().Elem()).Elem()
			if err := jsonValue(t.Elem, ev, e); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k), ev)
		}
		v.Set(out)
		return nil
	}
	return jsonScalar(t, v, val)
}

func jsonScalar(t *schema.Type, v reflect.Value, val any) error {
	switch t.Kind {
	case schema.String:
		if s, ok := val.(string); ok {
			return put(v, s)
		}
		return mismatch(val, "a String")
	case schema.Boolean:
		if b, ok := val.(bool); ok {
			return put(v, b)
		}
		return mismatch(val, "a Boolean")
	case schema.Integer, schema.Long:
		num, ok := val.(json.Number)
		if !ok {
			return mismatch(val, "an Integer")
		}
		n, err := strconv.ParseInt(num.String(), 10, 64)
		if err != nil {
			f, ferr := num.Float64()
			if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
				return syntaxf("NUMBER_VALUE cannot be converted to an Integer")
			}
			n = int64(f)
		}
		if t.Kind == schema.Long {
			return put(v, n)
		}
		if n != int64(int32(n)) {
			return syntaxf("NUMBER_VALUE cannot be converted to an Integer")
		}
		return put(v, int32(n))
	case schema.Float:
		switch x := val.(type) {
		case json.Number:
			f, err := x.Float64()
			if err != nil {
				return syntaxf("NUMBER_VALUE cannot be converted to a Double")
			}
			return put(v, f)
		case string:
			if x == "NaN" || x == "Infinity" || x == "-Infinity" {
				f, _ := strconv.ParseFloat(x, 64) // these three parse
				return put(v, f)
			}
		}
		return mismatch(val, "a Double")
	case schema.Timestamp:
		switch x := val.(type) {
		case json.Number:
			f, err := x.Float64()
			if err != nil {
				return syntaxf("NUMBER_VALUE cannot be converted to a Timestamp")
			}
			at, err := fromEpoch(f)
			if err != nil {
				return err
			}
			return put(v, at)
		case string:
			at, err := parseTime(x)
			if err != nil {
				return err
			}
			return put(v, at)
		}
		return mismatch(val, "a Timestamp")
	case schema.Blob:
		s, ok := val.(string)
		if !ok {
			return mismatch(val, "a Blob")
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return syntaxf("STRING_VALUE is not valid base64")
		}
		v.SetBytes(b)
		return nil
	}
	return mismatch(val, "a value of an unknown kind")
}

func mismatch(val any, want string) error {
	switch x := val.(type) {
	case map[string]any:
		return syntaxf("Start of structure or map found where not expected.")
	case []any:
		return syntaxf("Start of list found where not expected")
	case string:
		return syntaxf("STRING_VALUE cannot be converted to %s", want)
	case json.Number:
		return syntaxf("NUMBER_VALUE cannot be converted to %s", want)
	case bool:
		if x {
			return syntaxf("TRUE_VALUE cannot be converted to %s", want)
		}
		return syntaxf("FALSE_VALUE cannot be converted to %s", want)
	}
	return syntaxf("NULL_VALUE cannot be converted to %s", want)
}
