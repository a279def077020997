package wire

import (
	"reflect"
	"unicode/utf8"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// AppendXML appends the members of a struct as XML elements, in the model's
// order; v is a pointer to it. The dialect does not matter in responses: the
// model names every element. A list of the answer itself is there also when it
// is nil: AWS answers an empty set, and without it clients that query the
// answer (aws --query 'length(…)') stumble over nothing.
func AppendXML(b []byte, t *schema.Type, v any) []byte {
	return xmlMembers(b, t, reflect.ValueOf(v).Elem(), true)
}

func xmlStructure(b []byte, t *schema.Type, v reflect.Value) []byte {
	return xmlMembers(b, t, v, false)
}

func xmlMembers(b []byte, t *schema.Type, v reflect.Value, emptyLists bool) []byte {
	for i := range t.Fields {
		f := &t.Fields[i]
		fv := v.Field(i)
		if fv.IsNil() {
			if emptyLists && f.Type.Kind == schema.List && !f.Type.Flattened {
				b = closing(open(b, f.WireName()), f.WireName())
			}
			continue
		}
		if fv.Kind() == reflect.Pointer {
			fv = fv.Elem()
		}
		name := f.WireName()
		if f.Type.Flattened {
			b = xmlElements(b, f.Type, fv, name)
			continue
		}
		b = xmlElement(b, f.Type, fv, name)
	}
	return b
}

func xmlElement(b []byte, t *schema.Type, v reflect.Value, name string) []byte {
	b = open(b, name)
	switch t.Kind {
	case schema.Structure:
		b = xmlStructure(b, t, v)
	case schema.List:
		item := "member"
		if t.Shape.Elem.Wire != "" {
			item = t.Shape.Elem.Wire
		}
		b = xmlElements(b, t, v, item)
	case schema.Map:
		b = xmlElements(b, t, v, "entry")
	case schema.String:
		b = AppendEscaped(b, v.String())
	default:
		b = appendText(b, t, v)
	}
	return closing(b, name)
}

// xmlElements appends each element of a list or map under the same name.
func xmlElements(b []byte, t *schema.Type, v reflect.Value, name string) []byte {
	if t.Kind == schema.List {
		for i := range v.Len() {
			b = xmlElement(b, t.Elem, v.Index(i), name)
		}
		return b
	}
	key, val := "key", "value"
	if t.Shape.Key.Wire != "" {
		key = t.Shape.Key.Wire
	}
	if t.Shape.Elem.Wire != "" {
		val = t.Shape.Elem.Wire
	}
	for _, k := range sortedKeys(v) {
		b = open(b, name)
		b = open(b, key)
		b = AppendEscaped(b, k)
		b = closing(b, key)
		b = xmlElement(b, t.Elem, v.MapIndex(reflect.ValueOf(k)), val)
		b = closing(b, name)
	}
	return b
}

func open(b []byte, name string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	return append(b, '>')
}

func closing(b []byte, name string) []byte {
	b = append(b, '<', '/')
	b = append(b, name...)
	return append(b, '>')
}

// AppendEscaped appends XML character data. Characters that XML cannot hold
// become U+FFFD.
func AppendEscaped(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		var esc string
		switch {
		case r == '&':
			esc = "&amp;"
		case r == '<':
			esc = "&lt;"
		case r == '>':
			esc = "&gt;"
		case r == '"':
			esc = "&quot;"
		case r == '\r':
			esc = "&#xD;"
		case r == '\n':
			esc = "&#xA;"
		case r == '\t':
			esc = "&#x9;"
		case r < ' ' || r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF:
			esc = "\ufffd"
		default:
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		b = append(b, esc...)
		i += n
		start = i
	}
	return append(b, s[start:]...)
}
