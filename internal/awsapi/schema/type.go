package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// A Type is a Shape whose references are resolved: what the codecs and
// Validate walk along, side by side with a Go value.
type Type struct {
	*Shape
	Fields []Field // Structure; field i of the Go struct
	Key    *Type   // Map
	Elem   *Type   // List, Map

	index   map[string]int // Structure: wire name in JSON → field
	pattern *regexp.Regexp
	enum    map[string]bool
	checked bool // something here or below can be invalid
}

// A Field is a member of a structure with its type.
type Field struct {
	*Member
	Type *Type
}

// Compile resolves a table of shapes. The result has the table's indices.
func Compile(shapes []Shape) ([]Type, error) {
	types := make([]Type, len(shapes))
	resolve := func(i int) (*Type, error) {
		if i < 0 || i >= len(types) {
			return nil, fmt.Errorf("shape %d is not in the table", i)
		}
		return &types[i], nil
	}
	for i := range shapes {
		s, t := &shapes[i], &types[i]
		t.Shape = s
		var err error
		if s.Pattern != "" {
			if t.pattern, err = compilePattern(s.Pattern); err != nil {
				return nil, fmt.Errorf("pattern of shape %d (%s): %w", i, s.Name, err)
			}
		}
		if len(s.Enum) > 0 {
			t.enum = make(map[string]bool, len(s.Enum))
			for _, v := range s.Enum {
				t.enum[v] = true
			}
		}
		switch s.Kind {
		case List:
			if t.Elem, err = resolve(s.Elem.Shape); err != nil {
				return nil, err
			}
		case Map:
			if t.Key, err = resolve(s.Key.Shape); err != nil {
				return nil, err
			}
			if t.Elem, err = resolve(s.Elem.Shape); err != nil {
				return nil, err
			}
		case Structure:
			t.Fields = make([]Field, len(s.Members))
			t.index = make(map[string]int, len(s.Members))
			for j := range s.Members {
				m := &s.Members[j]
				ft, err := resolve(m.Shape)
				if err != nil {
					return nil, err
				}
				t.Fields[j] = Field{m, ft}
				t.index[m.WireName()] = j
			}
		}
	}
	markChecked(types)
	return types, nil
}

// FieldNamed finds a member by its name on the wire.
func (t *Type) FieldNamed(wire string) (int, bool) {
	i, ok := t.index[wire]
	return i, ok
}

// markChecked finds the types worth walking for Validate: a fixed point, as
// shapes may be recursive.
func markChecked(types []Type) {
	for i := range types {
		s := types[i].Shape
		types[i].checked = s.HasMin || s.HasMax || s.Pattern != "" || len(s.Enum) > 0
	}
	for changed := true; changed; {
		changed = false
		for i := range types {
			t := &types[i]
			if t.checked {
				continue
			}
			is := t.Elem != nil && t.Elem.checked || t.Key != nil && t.Key.checked
			for _, f := range t.Fields {
				is = is || f.Required || f.Type.checked
			}
			t.checked, changed = is, changed || is
		}
	}
}

// compilePattern compiles a pattern of a model, which is a Java regular
// expression that has to match the whole value.
func compilePattern(p string) (*regexp.Regexp, error) {
	// Java writes what lies beyond 16 bits as a range of surrogate pairs.
	p = strings.ReplaceAll(p, `\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`)
	var b strings.Builder
	b.WriteString(`^(?:`)
	for i := 0; i < len(p); i++ {
		if p[i] != '\\' || i+1 == len(p) {
			b.WriteByte(p[i])
			continue
		}
		i++
		if p[i] == 'u' && i+4 < len(p) {
			b.WriteString(`\x{` + p[i+1:i+5] + `}`)
			i += 4
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(p[i])
	}
	b.WriteString(`)$`)
	return regexp.Compile(b.String())
}
