package schema

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Reason is why a value is not allowed.
type Reason uint8

// The reasons.
const (
	Missing Reason = iota
	TooShort
	TooLong
	TooSmall
	TooLarge
	NoMatch
	NotInEnum
)

// A Violation is one value that the model does not allow.
type Violation struct {
	Path   string // with a small first letter, as AWS names it: tags.1.member.key
	Value  string // as AWS prints it: 'x', null; "" where it prints none
	Reason Reason
	Type   *Type
	// Part says that elements, keys or values of the container at Path are
	// what is wrong: "Member", "Map keys", "Map value".
	Part string
}

// maxViolations bounds the work and the text for hostile input.
const maxViolations = 20

// Validate checks a pointer to a struct against its type and returns what is
// wrong with it, in the model's order.
func Validate(t *Type, v any) []Violation {
	if !t.checked {
		return nil
	}
	var w walk
	w.structure(t, reflect.ValueOf(v).Elem(), "")
	return w.found
}

type walk struct{ found []Violation }

func (w *walk) add(v Violation) {
	if len(w.found) < maxViolations {
		w.found = append(w.found, v)
	}
}

func (w *walk) structure(t *Type, v reflect.Value, path string) {
	for i := range t.Fields {
		f := &t.Fields[i]
		if !f.Required && !f.Type.checked {
			continue
		}
		fv := v.Field(i)
		if fv.IsNil() {
			if f.Required {
				w.add(Violation{Path: join(path, f.Name), Value: "null", Reason: Missing, Type: f.Type})
			}
			continue
		}
		if f.Type.checked {
			if fv.Kind() == reflect.Pointer {
				fv = fv.Elem()
			}
			w.value(f.Type, fv, join(path, f.Name))
		}
	}
}

// value checks a non-nil value.
func (w *walk) value(t *Type, v reflect.Value, path string) {
	if t.Kind == Structure {
		w.structure(t, v, path)
		return
	}
	if reason, bad := t.check(v); bad {
		w.add(Violation{Path: path, Value: show(v), Reason: reason, Type: t})
	}
	switch t.Kind {
	case List:
		if !t.Elem.checked {
			return
		}
		for i := range v.Len() {
			e := v.Index(i)
			if t.Elem.Kind == Structure || t.Elem.Kind == List || t.Elem.Kind == Map {
				w.value(t.Elem, e, path+"."+strconv.Itoa(i+1)+".member")
			} else if reason, bad := t.Elem.check(e); bad {
				w.add(Violation{Path: path, Value: show(v), Reason: reason, Type: t.Elem, Part: "Member"})
				return
			}
		}
	case Map:
		if !t.Elem.checked && !t.Key.checked {
			return
		}
		for it := v.MapRange(); it.Next(); {
			if reason, bad := t.Key.check(it.Key()); bad {
				w.add(Violation{Path: path, Reason: reason, Type: t.Key, Part: "Map keys"})
				return
			}
			if t.Elem.Kind == Structure || t.Elem.Kind == List || t.Elem.Kind == Map {
				w.value(t.Elem, it.Value(), path+"."+it.Key().String()+".member")
			} else if reason, bad := t.Elem.check(it.Value()); bad {
				w.add(Violation{Path: path, Reason: reason, Type: t.Elem, Part: "Map value"})
				return
			}
		}
	}
}

// check checks the constraints of the type itself, not of its elements.
func (t *Type) check(v reflect.Value) (Reason, bool) {
	switch t.Kind {
	case String:
		s := v.String()
		if t.HasMin || t.HasMax {
			if r, bad := t.length(utf8.RuneCountInString(s)); bad {
				return r, true
			}
		}
		if t.enum != nil && !t.enum[s] {
			return NotInEnum, true
		}
		if t.pattern != nil && !t.pattern.MatchString(s) {
			return NoMatch, true
		}
	case List, Map, Blob:
		return t.length(v.Len())
	case Integer, Long:
		return t.number(float64(v.Int()))
	case Float:
		return t.number(v.Float())
	}
	return 0, false
}

func (t *Type) length(n int) (Reason, bool) {
	switch {
	case t.HasMin && float64(n) < t.Min:
		return TooShort, true
	case t.HasMax && float64(n) > t.Max:
		return TooLong, true
	}
	return 0, false
}

func (t *Type) number(n float64) (Reason, bool) {
	switch {
	case t.HasMin && n < t.Min:
		return TooSmall, true
	case t.HasMax && n > t.Max:
		return TooLarge, true
	}
	return 0, false
}

func join(path, name string) string {
	name = strings.ToLower(name[:1]) + name[1:]
	if path == "" {
		return name
	}
	return path + "." + name
}

// show prints a value as AWS does in validation errors.
func show(v reflect.Value) string {
	if v.Kind() == reflect.Map {
		return "" // AWS prints maps in hash order; better nothing than a riddle
	}
	return "'" + plain(v) + "'"
}

func plain(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Slice:
		var b strings.Builder
		b.WriteByte('[')
		for i := range min(v.Len(), 50) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(plain(v.Index(i)))
		}
		b.WriteByte(']')
		return b.String()
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return t.UTC().Format(time.RFC3339)
		}
		return v.Type().Name()
	}
	return fmt.Sprint(v.Interface())
}

// Constraint is what a violated constraint asks for, in AWS's words.
func (v *Violation) Constraint() string {
	if v.Part != "" {
		return v.Part + " must satisfy constraint: [" + strings.Join(v.Type.constraints(), ", ") + "]"
	}
	return v.Type.wording(v.Reason)
}

func (t *Type) wording(r Reason) string {
	switch r {
	case Missing:
		return "Member must not be null"
	case TooShort:
		return "Member must have length greater than or equal to " + number(t.Min)
	case TooLong:
		return "Member must have length less than or equal to " + number(t.Max)
	case TooSmall:
		return "Member must have value greater than or equal to " + number(t.Min)
	case TooLarge:
		return "Member must have value less than or equal to " + number(t.Max)
	case NoMatch:
		return "Member must satisfy regular expression pattern: " + t.Pattern
	case NotInEnum:
		return "Member must satisfy enum value set: [" + strings.Join(t.Enum, ", ") + "]"
	}
	return "Member must be valid"
}

func (t *Type) constraints() []string {
	var all []string
	isNumber := t.Kind == Integer || t.Kind == Long || t.Kind == Float
	if t.HasMax && isNumber {
		all = append(all, t.wording(TooLarge))
	} else if t.HasMax {
		all = append(all, t.wording(TooLong))
	}
	if t.HasMin && isNumber {
		all = append(all, t.wording(TooSmall))
	} else if t.HasMin {
		all = append(all, t.wording(TooShort))
	}
	if t.Pattern != "" {
		all = append(all, t.wording(NoMatch))
	}
	if len(t.Enum) > 0 {
		all = append(all, t.wording(NotInEnum))
	}
	return all
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Message is AWS's text for a request with these violations.
func Message(vs []Violation) string {
	var b strings.Builder
	if len(vs) == 1 {
		b.WriteString("1 validation error detected: ")
	} else {
		fmt.Fprintf(&b, "%d validation errors detected: ", len(vs))
	}
	for i := range vs {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString("Value ")
		if vs[i].Value != "" {
			b.WriteString(vs[i].Value + " ")
		}
		b.WriteString("at '" + vs[i].Path + "' failed to satisfy constraint: " + vs[i].Constraint())
	}
	return b.String()
}

// Allows says whether a string is allowed where the type is a string.
func (t *Type) Allows(s string) bool {
	_, bad := t.check(reflect.ValueOf(s))
	return t.Kind == String && !bad
}
