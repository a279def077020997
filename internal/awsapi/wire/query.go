package wire

import (
	"errors"
	"reflect"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// DecodeForm decodes a query request into a struct; v is a pointer to it.
func DecodeForm(t *schema.Type, form *Form, d Dialect, v any) error {
	return formStructure(t, form, d, "", reflect.ValueOf(v).Elem())
}

func formStructure(t *schema.Type, form *Form, d Dialect, path string, v reflect.Value) error {
	for i := range t.Fields {
		f := &t.Fields[i]
		name := d.name(f.Member)
		c := form.children[name]
		if c == nil {
			continue
		}
		if path != "" {
			name = path + "." + name
		}
		if err := formMember(f.Type, c, d, name, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func formMember(t *schema.Type, form *Form, d Dialect, path string, v reflect.Value) error {
	switch t.Kind {
	case schema.Structure:
		form.read = true
		return formStructure(t, form, d, path, member(v))
	case schema.List:
		return formList(t, form, d, path, v)
	case schema.Map:
		return formMap(t, form, d, path, v)
	}
	if !form.isSet {
		return nil
	}
	form.read = true
	return named(setText(t, v, form.value), path)
}

func formList(t *schema.Type, form *Form, d Dialect, path string, v reflect.Value) error {
	if form.isSet && form.value == "" { // "Foo=": an empty list
		form.read = true
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	if d == Query && !t.Flattened {
		name := "member"
		if t.Shape.Elem.Wire != "" {
			name = t.Shape.Elem.Wire
		}
		if form = form.children[name]; form == nil {
			return nil
		}
		path += "." + name
	}
	list, err := form.elements(path)
	if err != nil || len(list) == 0 {
		return err
	}
	out := reflect.MakeSlice(v.Type(), len(list), len(list))
	for i, e := range list {
		if err := formMember(t.Elem, e.form, d, path, out.Index(i)); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

func formMap(t *schema.Type, form *Form, d Dialect, path string, v reflect.Value) error {
	if d == Query && !t.Flattened {
		if form = form.children["entry"]; form == nil {
			return nil
		}
		path += ".entry"
	}
	key, val := "key", "value"
	if t.Shape.Key.Wire != "" {
		key = t.Shape.Key.Wire
	}
	if t.Shape.Elem.Wire != "" {
		val = t.Shape.Elem.Wire
	}
	list, err := form.elements(path)
	if err != nil || len(list) == 0 {
		return err
	}
	out := reflect.MakeMapWithSize(v.Type(), len(list))
	for _, e := range list {
		k := e.form.Get(key)
		ev := reflect.New(v.Type().Elem()).Elem()
		if c := e.form.children[val]; c != nil {
			if err := formMember(t.Elem, c, d, path, ev); err != nil {
				return err
			}
		}
		out.SetMapIndex(reflect.ValueOf(k), ev)
	}
	v.Set(out)
	return nil
}

// named adds the parameter to a syntax error.
func named(err error, path string) error {
	var s *SyntaxError
	if errors.As(err, &s) && s.Param == "" {
		s.Param = path
	}
	return err
}
