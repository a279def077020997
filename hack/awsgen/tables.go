package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// api writes the interface, its empty implementation and the operation table.
func (g *generator) api(b *bytes.Buffer) error {
	md := g.m.Metadata
	fmt.Fprintf(b, "package %s\nimport (\n\"context\"\n\n\"ekster.dev/ekster/internal/awsapi\"\n)\n", g.name)
	b.WriteString("\n// API is what serves the operations.\ntype API interface {\n")
	for _, n := range g.served {
		fmt.Fprintf(b, "%s(ctx context.Context, call awsapi.Call, in *%sInput) (*%sOutput, error)\n", n, n, n)
	}
	b.WriteString("}\n\n// Unimplemented answers every operation with an error that names it. Embed it\n// to serve some of them.\ntype Unimplemented struct{}\n\nvar _ API = Unimplemented{}\n")
	for _, n := range g.served {
		fmt.Fprintf(b, "\n// %s is not supported yet.\n", n)
		fmt.Fprintf(b, "func (Unimplemented) %s(context.Context, awsapi.Call, *%sInput) (*%sOutput, error) {\nreturn nil, awsapi.NotServed(%q, %q)\n}\n", n, n, n, md.ServiceID, n)
	}
	signing := md.SigningName
	if signing == "" {
		signing = md.EndpointPrefix
	}
	b.WriteString("\n// Service binds an implementation to the operation table.\nfunc Service(api API) *awsapi.Service {\nreturn &awsapi.Service{\n")
	for _, f := range [][2]string{
		{"Name", g.name}, {"ID", md.ServiceID}, {"SigningName", signing}, {"Endpoint", md.EndpointPrefix}, {"Protocol", md.Protocol}, {"JSONVersion", md.JSONVersion},
		{"TargetPrefix", md.TargetPrefix}, {"Version", md.APIVersion}, {"Namespace", md.XMLNamespace},
		{"InternalCode", g.errorCode("ServerException", "InternalServerException", "InternalServerError", "InternalServiceError")},
		{"InvalidCode", g.errorCode("ValidationException", "InvalidParameterException")},
	} {
		if f[1] != "" {
			fmt.Fprintf(b, "%s: %q,\n", f[0], f[1])
		}
	}
	if md.AWSQueryCompatible != nil {
		b.WriteString("QueryCodes: map[string]string{\n")
		for _, e := range g.errs {
			if s := g.m.Shapes[e]; s.Error != nil && s.Error.Code != "" {
				fmt.Fprintf(b, "%q: %q,\n", e, s.Error.Code)
			}
		}
		b.WriteString("},\n")
	}
	b.WriteString("Shapes: shapes,\nOperations: []awsapi.Operation{\n")
	for _, n := range g.all {
		op := g.m.Operations[n]
		fmt.Fprintf(b, "{Name: %q", n)
		if md.Protocol == "rest-json" {
			fmt.Fprintf(b, ", Method: %q, Path: %q", op.HTTP.Method, op.HTTP.RequestURI)
		}
		if op.AuthType == "none" || slices.Contains(op.Auth, "smithy.api#noAuth") {
			b.WriteString(", Unsigned: true")
		}
		if slices.Contains(g.served, n) {
			fmt.Fprintf(b, ", Input: shape%sInput, Output: shape%sOutput", n, n)
			if op.Output != nil && op.Output.ResultWrapper != "" {
				fmt.Fprintf(b, ", ResultWrapper: %q", op.Output.ResultWrapper)
			}
			fmt.Fprintf(b, ", Handle: awsapi.Bind(api.%s)", n)
		}
		b.WriteString("},\n")
	}
	b.WriteString("},\n}\n}\n")
	return nil
}

// table writes the shapes as package schema wants them.
func (g *generator) table(b *bytes.Buffer) error {
	type entry struct {
		name  string // without "shape"
		model string
		shape *shape
	}
	var entries []entry
	for n, s := range g.structs {
		model := s.model
		if model == "" {
			model = n
		}
		entries = append(entries, entry{n, model, s.shape})
	}
	for n, s := range g.named {
		entries = append(entries, entry{g.tableName(n), n, s})
	}
	for _, t := range []string{"string", "boolean", "integer", "long", "float", "double", "timestamp", "blob"} {
		entries = append(entries, entry{plainName(t), "", &shape{Type: t}})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	fmt.Fprintf(b, "package %s\nimport \"ekster.dev/ekster/internal/awsapi/schema\"\n\nconst (\n", g.name)
	for i, e := range entries {
		fmt.Fprintf(b, "shape%s", e.name)
		if i == 0 {
			b.WriteString(" = iota")
		}
		b.WriteByte('\n')
	}
	b.WriteString(")\n\n// shapes is read only.\nvar shapes = []schema.Shape{\n")
	for _, e := range entries {
		if err := g.entry(b, e.name, e.model, e.shape); err != nil {
			return fmt.Errorf("shape %s: %w", e.name, err)
		}
	}
	b.WriteString("}\n")
	return nil
}

// tableName tells a scalar or list from a struct of the same Go name.
func (g *generator) tableName(model string) string {
	n := goName(model)
	if _, ok := g.structs[n]; ok {
		return n + "_"
	}
	return n
}

func plainName(typ string) string { return "_" + typ }

func (g *generator) constOf(model string) string {
	s := g.m.Shapes[model]
	switch {
	case s.Type == "structure":
		return "shape" + goName(model)
	case plain(s):
		return "shape" + plainName(s.Type)
	default:
		return "shape" + g.tableName(model)
	}
}

func (g *generator) entry(b *bytes.Buffer, name, model string, s *shape) error {
	kind, err := kindOf(s)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "shape%s: {Kind: schema.%s", name, kind)
	if model != "" && (s.Type == "structure" || s.Type == "list" || s.Type == "map") {
		fmt.Fprintf(b, ", Name: %q", model)
	}
	if s.Min != nil {
		fmt.Fprintf(b, ", HasMin: true, Min: %v", *s.Min)
	}
	if s.Max != nil {
		fmt.Fprintf(b, ", HasMax: true, Max: %v", *s.Max)
	}
	if s.Pattern != "" {
		fmt.Fprintf(b, ", Pattern: %q", s.Pattern)
	}
	if len(s.enum()) > 0 {
		fmt.Fprintf(b, ", Enum: %#v", s.Enum)
	}
	if s.Flattened {
		b.WriteString(", Flattened: true")
	}
	if s.Exception {
		b.WriteString(", Exception: true")
	}
	if s.Payload != "" {
		fmt.Fprintf(b, ", Payload: %q", s.Payload)
	}
	for _, r := range []struct {
		field string
		ref   *ref
	}{{"Elem", s.Member}, {"Key", s.Key}, {"Elem", s.Value}} {
		if r.ref == nil {
			continue
		}
		fmt.Fprintf(b, ", %s: ", r.field)
		b.WriteString("schema.Member")
		if err := g.member(b, "", r.ref, false); err != nil {
			return err
		}
	}
	if len(s.Members) > 0 {
		b.WriteString(", Members: []schema.Member{\n")
		for _, m := range s.Members {
			if err := g.member(b, m.name, &m.ref, slices.Contains(s.Required, m.name)); err != nil {
				return err
			}
			b.WriteString(",\n")
		}
		b.WriteString("}")
	}
	b.WriteString("},\n")
	return nil
}

func (g *generator) member(b *bytes.Buffer, name string, r *ref, required bool) error {
	b.WriteString("{")
	if name != "" {
		fmt.Fprintf(b, "Name: %q, ", name)
	}
	fmt.Fprintf(b, "Shape: %s", g.constOf(r.Shape))
	if r.LocationName != "" {
		fmt.Fprintf(b, ", Wire: %q", r.LocationName)
	}
	if r.QueryName != "" {
		fmt.Fprintf(b, ", Query: %q", r.QueryName)
	}
	if r.Location != "" {
		in, ok := map[string]string{"uri": "URI", "querystring": "Querystring", "header": "Header", "headers": "Headers", "statusCode": "StatusCode"}[r.Location]
		if !ok {
			return fmt.Errorf("member %s: unknown location %s", name, r.Location)
		}
		fmt.Fprintf(b, ", In: schema.%s", in)
	}
	if required {
		b.WriteString(", Required: true")
	}
	if r.IdempotencyToken {
		b.WriteString(", Token: true")
	}
	b.WriteString("}")
	return nil
}

// errorCode is the first of these errors that the service has, for what every
// operation can answer; "" leaves it to the protocol.
func (g *generator) errorCode(names ...string) string {
	for _, n := range names {
		if s := g.m.Shapes[n]; s != nil && s.Exception {
			return n
		}
	}
	return ""
}
