package wire

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// AppendJSON appends the body members of a struct as a JSON object; v is a
// pointer to it. Nil members are left out, empty lists and maps are not.
func AppendJSON(b []byte, t *schema.Type, v any) []byte {
	return jsonObject(b, t, reflect.ValueOf(v).Elem())
}

func jsonObject(b []byte, t *schema.Type, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.In != schema.Body {
			continue
		}
		fv := v.Field(i)
		if fv.IsNil() {
			continue
		}
		if fv.Kind() == reflect.Pointer {
			fv = fv.Elem()
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = AppendString(b, f.WireName())
		b = append(b, ':')
		b = jsonAppend(b, f.Type, fv)
	}
	return append(b, '}')
}

func jsonAppend(b []byte, t *schema.Type, v reflect.Value) []byte {
	switch t.Kind {
	case schema.Structure:
		return jsonObject(b, t, v)
	case schema.List:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = jsonAppend(b, t.Elem, v.Index(i))
		}
		return append(b, ']')
	case schema.Map:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, k)
			b = append(b, ':')
			b = jsonAppend(b, t.Elem, v.MapIndex(reflect.ValueOf(k)))
		}
		return append(b, '}')
	case schema.String:
		return AppendString(b, v.String())
	case schema.Float:
		f := v.Float()
		switch {
		case math.IsNaN(f):
			return append(b, `"NaN"`...)
		case math.IsInf(f, 1):
			return append(b, `"Infinity"`...)
		case math.IsInf(f, -1):
			return append(b, `"-Infinity"`...)
		}
		return strconv.AppendFloat(b, f, 'g', -1, 64)
	case schema.Timestamp:
		at := v.Interface().(time.Time)
		b = strconv.AppendInt(b, at.Unix(), 10)
		if ms := at.Nanosecond() / 1e6; ms != 0 && at.Unix() >= 0 {
			b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
		}
		return b
	case schema.Blob:
		b = append(b, '"')
		b = appendText(b, t, v)
		return append(b, '"')
	}
	return appendText(b, t, v)
}

func sortedKeys(m reflect.Value) []string {
	keys := make([]string, 0, m.Len())
	for it := m.MapRange(); it.Next(); {
		keys = append(keys, it.Key().String())
	}
	slices.Sort(keys)
	return keys
}

const hexDigits = "0123456789abcdef"

// AppendString appends a JSON string.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
