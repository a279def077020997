package awsapi

import (
	"fmt"
	"net/url"
	"strings"

	"ekster.dev/ekster/internal/awsapi/schema"
)

// A binding is a Service made ready: its shapes compiled and its operations
// indexed.
type binding struct {
	*Service
	types  []schema.Type
	byName map[string]*Operation
	routes []route // rest-json
	errors map[string]*schema.Type
}

// A route is the path of a rest-json operation, by segments.
type route struct {
	op       *Operation
	segments []segment
}

type segment struct {
	text   string // literal, or the label's name
	label  bool
	greedy bool // {name+}: the rest of the path
}

func bind(s *Service) (*binding, error) {
	types, err := schema.Compile(s.Shapes)
	if err != nil {
		return nil, fmt.Errorf("shapes of %s: %w", s.Name, err)
	}
	b := &binding{Service: s, types: types, byName: make(map[string]*Operation, len(s.Operations)), errors: map[string]*schema.Type{}}
	for i := range types {
		if types[i].Exception {
			b.errors[strings.ToUpper(types[i].Name[:1])+types[i].Name[1:]] = &types[i]
		}
	}
	for i := range s.Operations {
		op := &s.Operations[i]
		b.byName[op.Name] = op
		if s.Protocol == ProtocolRestJSON {
			b.routes = append(b.routes, newRoute(op))
		}
	}
	return b, nil
}

func newRoute(op *Operation) route {
	path, _, _ := strings.Cut(op.Path, "?")
	r := route{op: op}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		s := segment{text: part}
		if name, ok := strings.CutPrefix(part, "{"); ok {
			s.text, s.label = strings.TrimSuffix(name, "}"), true
			s.text, s.greedy = strings.CutSuffix(s.text, "+")
		}
		r.segments = append(r.segments, s)
	}
	return r
}

// match finds a rest-json operation by method and escaped path, literal
// segments before labels, and gives the labels unescaped.
func (b *binding) match(method, path string) (*Operation, map[string]string) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	parts := strings.Split(path, "/")
	var best *route
	for i := range b.routes {
		r := &b.routes[i]
		if r.op.Method == method && r.fits(parts) && (best == nil || r.before(best)) {
			best = r
		}
	}
	if best == nil {
		return nil, nil
	}
	labels := make(map[string]string, 2)
	for i, s := range best.segments {
		if !s.label {
			continue
		}
		text := parts[i]
		if s.greedy {
			text = strings.Join(parts[i:], "/")
		}
		v, err := url.PathUnescape(text)
		if err != nil {
			return nil, nil // net/http has refused such a path already
		}
		labels[s.text] = v
	}
	return best.op, labels
}

func (r *route) fits(parts []string) bool {
	for i, s := range r.segments {
		if i >= len(parts) {
			return false
		}
		if s.greedy {
			return parts[i] != ""
		}
		if s.label && parts[i] == "" || !s.label && s.text != parts[i] {
			return false
		}
	}
	return len(parts) == len(r.segments)
}

// before says that r is more literal than o, from the left.
func (r *route) before(o *route) bool {
	for i := range min(len(r.segments), len(o.segments)) {
		if a, b := r.segments[i].label, o.segments[i].label; a != b {
			return b
		}
	}
	return len(r.segments) > len(o.segments)
}

// serviceFor finds the service of a request: the credential scope decides;
// without one its target, action, host or path do, in this order.
func (s *Server) serviceFor(scope string, q *request) *binding {
	var candidates []*binding
	if scope != "" {
		candidates = s.bySigningName[scope]
		if len(candidates) == 1 {
			return candidates[0]
		}
	} else {
		candidates = s.services
	}
	if target := q.http.Header.Get("X-Amz-Target"); target != "" {
		prefix, _, _ := strings.Cut(target, ".")
		for _, b := range candidates {
			if b.TargetPrefix == prefix {
				return b
			}
		}
	}
	if q.action != "" {
		for _, b := range candidates {
			if _, ok := b.byName[q.action]; ok && b.form() && (q.version == "" || q.version == b.Version) {
				return b
			}
		}
	}
	label, _, _ := strings.Cut(q.http.Host, ".")
	for _, b := range candidates {
		if strings.EqualFold(label, b.Endpoint) {
			return b
		}
	}
	for _, b := range candidates {
		if b.Protocol != ProtocolRestJSON {
			continue
		}
		if op, _ := b.match(q.http.Method, q.path()); op != nil {
			return b
		}
	}
	if scope != "" && len(candidates) > 0 {
		return candidates[0]
	}
	return nil
}

// form says that the service's requests are forms.
func (b *binding) form() bool { return b.Protocol == ProtocolQuery || b.Protocol == ProtocolEC2 }

// strangers is a service that answers in the form the request seems to be in,
// when it is none of ours.
func strangers(scope string, q *request) *binding {
	s := &Service{Name: scope, ID: scope, SigningName: scope, Protocol: ProtocolRestJSON}
	switch {
	case q.http.Header.Get("X-Amz-Target") != "":
		s.Protocol, s.JSONVersion = ProtocolJSON, "1.1"
	case q.action != "":
		s.Protocol = ProtocolQuery
	}
	return &binding{Service: s}
}
