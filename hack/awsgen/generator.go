package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A generator writes the package of one service.
type generator struct {
	name   string
	m      *model
	served []string // operations, sorted
	all    []string // operations, sorted

	structs map[string]structure // by Go name
	named   map[string]*shape    // lists, maps and scalars that keep their name, by model name
	errs    []string             // model names of error shapes, sorted
	consts  map[string]bool      // Go names taken
}

// A structure is a struct to write: a shape of the model under a Go name.
// The input and output of an operation get structs of their own, even where
// the model uses one shape twice.
type structure struct {
	doc   string
	model string
	shape *shape
}

func newGenerator(name string, m *model, lines []string) (*generator, error) {
	g := &generator{name: name, m: m, all: sortedKeys(m.Operations), structs: map[string]structure{}, named: map[string]*shape{}, consts: map[string]bool{}}
	errs := map[string]bool{}
	for _, line := range lines {
		if e, ok := strings.CutPrefix(line, "+"); ok {
			if s := m.Shapes[e]; s == nil || !s.Exception {
				return nil, fmt.Errorf("served: %s is no error of the model", e)
			}
			errs[e] = true
			continue
		}
		if _, ok := m.Operations[line]; !ok {
			return nil, fmt.Errorf("served: the model has no operation %s", line)
		}
		g.served = append(g.served, line)
	}
	slices.Sort(g.served)
	for _, n := range g.served {
		op := m.Operations[n]
		for _, io := range []struct {
			ref       *ref
			kind, doc string
		}{{op.Input, "Input", "is what %s takes."}, {op.Output, "Output", "is what %s answers."}} {
			s, model := &shape{Type: "structure"}, ""
			if io.ref != nil {
				s, model = m.Shapes[io.ref.Shape], io.ref.Shape
			}
			if err := g.addStruct(n+io.kind, model, s, fmt.Sprintf(io.doc, n)); err != nil {
				return nil, err
			}
		}
		for _, e := range op.Errors {
			errs[e.Shape] = true
		}
	}
	g.errs = sortedKeys(errs)
	for _, e := range g.errs {
		if err := g.addShape(e); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *generator) addStruct(goName, model string, s *shape, doc string) error {
	if prior, ok := g.structs[goName]; ok {
		if prior.model == model && prior.doc == doc {
			return nil
		}
		return fmt.Errorf("two structs would be called %s", goName)
	}
	g.structs[goName] = structure{doc, model, s}
	for _, m := range s.Members {
		if err := g.addShape(m.Shape); err != nil {
			return fmt.Errorf("%s.%s: %w", goName, m.name, err)
		}
	}
	return nil
}

// addShape records a shape and all that it reaches.
func (g *generator) addShape(name string) error {
	s := g.m.Shapes[name]
	if s == nil {
		return fmt.Errorf("the model has no shape %s", name)
	}
	if s.Type == "structure" {
		doc := "is part of inputs and outputs."
		if s.Exception {
			doc = "is an error of the service."
		}
		return g.addStruct(goName(name), name, s, doc)
	}
	if _, ok := g.named[name]; ok {
		return nil
	}
	if plain(s) {
		_, err := kindOf(s)
		return err
	}
	g.named[name] = s
	for _, r := range []*ref{s.Member, s.Key, s.Value} {
		if r == nil {
			continue
		}
		if err := g.addShape(r.Shape); err != nil {
			return err
		}
	}
	return nil
}

// plain says that a shape is a scalar without constraints; those share one
// table entry for each type.
func plain(s *shape) bool {
	return s.Type != "structure" && s.Type != "list" && s.Type != "map" &&
		s.Min == nil && s.Max == nil && s.Pattern == "" && len(s.enum()) == 0
}

// maxEnum is the longest enum that is worth constants and a check: EC2's
// instance types are 1,400, and the service knows them from its own data.
const maxEnum = 200

func (s *shape) enum() []string {
	if len(s.Enum) > maxEnum {
		return nil
	}
	return s.Enum
}

// goType is the Go type of a member of the shape; elem is that of elements of
// lists and maps, which are no pointers.
func (g *generator) goType(name string, elem bool) (string, error) {
	s := g.m.Shapes[name]
	ptr := "*"
	if elem {
		ptr = ""
	}
	switch s.Type {
	case "structure":
		return ptr + goName(name), nil
	case "list":
		t, err := g.goType(s.Member.Shape, true)
		return "[]" + t, err
	case "map":
		t, err := g.goType(s.Value.Shape, true)
		return "map[string]" + t, err
	case "string":
		return ptr + "string", nil
	case "boolean":
		return ptr + "bool", nil
	case "integer":
		return ptr + "int32", nil
	case "long":
		return ptr + "int64", nil
	case "float", "double":
		return ptr + "float64", nil
	case "timestamp":
		return ptr + "time.Time", nil
	case "blob":
		return "[]byte", nil
	}
	return "", fmt.Errorf("shape %s: unknown type %s", name, s.Type)
}

func kindOf(s *shape) (string, error) {
	k, ok := map[string]string{
		"structure": "Structure", "list": "List", "map": "Map", "string": "String", "boolean": "Boolean", "integer": "Integer",
		"long": "Long", "float": "Float", "double": "Float", "timestamp": "Timestamp", "blob": "Blob",
	}[s.Type]
	if !ok {
		return "", fmt.Errorf("unknown type %s", s.Type)
	}
	return k, nil
}

func (g *generator) doc(b *bytes.Buffer) error {
	fmt.Fprintf(b, "// Package %s holds the types of the %s API and the interface of the\n", g.name, g.m.Metadata.ServiceFullName)
	fmt.Fprintf(b, "// operations that are served: generated, and without behaviour.\npackage %s\n", g.name)
	return nil
}

func (g *generator) types(b *bytes.Buffer) error {
	var body bytes.Buffer
	for _, n := range sortedKeys(g.structs) {
		if s := g.structs[n]; !s.shape.Exception {
			if err := g.structure(&body, n, s); err != nil {
				return err
			}
		}
	}
	g.header(b, body.Bytes(), nil)
	b.Write(body.Bytes())
	return nil
}

func (g *generator) header(b *bytes.Buffer, body []byte, imports []string) {
	if bytes.Contains(body, []byte("time.Time")) {
		imports = append(imports, "time")
	}
	fmt.Fprintf(b, "package %s\n", g.name)
	for _, i := range imports {
		fmt.Fprintf(b, "import %q\n", i)
	}
}

func (g *generator) structure(b *bytes.Buffer, name string, s structure) error {
	fmt.Fprintf(b, "\n// %s %s\ntype %s struct {\n", name, s.doc, name)
	for _, m := range s.shape.Members {
		t, err := g.goType(m.Shape, false)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%s %s", goName(m.name), t)
		if slices.Contains(s.shape.Required, m.name) {
			b.WriteString(" // required")
		}
		b.WriteByte('\n')
	}
	b.WriteString("}\n")
	return nil
}

func (g *generator) errors(b *bytes.Buffer) error {
	if len(g.errs) == 0 {
		return nil
	}
	var body bytes.Buffer
	for _, e := range g.errs {
		s := g.m.Shapes[e]
		name, code, status := goName(e), e, 400
		if s.Fault {
			status = 500
		}
		if s.Error != nil {
			if s.Error.Code != "" && g.m.Metadata.AWSQueryCompatible == nil {
				code = s.Error.Code
			}
			if s.Error.Status != 0 {
				status = s.Error.Status
			}
		}
		if err := g.structure(&body, name, structure{"is an error of the service.", e, s}); err != nil {
			return err
		}
		message := `""`
		for _, m := range s.Members {
			if strings.EqualFold(m.name, "message") {
				message = "deref(e." + goName(m.name) + ")"
			}
		}
		fmt.Fprintf(&body, "\nfunc (e *%s) Error() string { return e.ErrorCode() + \": \" + e.ErrorMessage() }\n", name)
		fmt.Fprintf(&body, "// ErrorCode is the code that clients see.\nfunc (e *%s) ErrorCode() string { return %q }\n", name, code)
		fmt.Fprintf(&body, "// HTTPStatus is the status of the response.\nfunc (e *%s) HTTPStatus() int { return %d }\n", name, status)
		fmt.Fprintf(&body, "// ErrorMessage is the text for the caller.\nfunc (e *%s) ErrorMessage() string { return %s }\n", name, message)
	}
	if bytes.Contains(body.Bytes(), []byte("deref(")) {
		body.WriteString("\nfunc deref(s *string) string {\nif s == nil {\nreturn \"\"\n}\nreturn *s\n}\n")
	}
	g.header(b, body.Bytes(), nil)
	b.Write(body.Bytes())
	return nil
}

func (g *generator) enums(b *bytes.Buffer) error {
	for n := range g.structs {
		g.consts[n] = true
	}
	var body bytes.Buffer
	for _, n := range sortedKeys(g.named) {
		values := g.named[n].enum()
		if len(values) == 0 {
			continue
		}
		fmt.Fprintf(&body, "\n// Values of %s.\nconst (\n", goName(n))
		for _, v := range values {
			name := goName(n) + enumName(v)
			for g.consts[name] {
				name += "_"
			}
			g.consts[name] = true
			fmt.Fprintf(&body, "%s = %q\n", name, v)
		}
		body.WriteString(")\n")
	}
	if body.Len() > 0 {
		g.header(b, body.Bytes(), nil)
		b.Write(body.Bytes())
	}
	return nil
}
