package eventbus

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ekster.dev/ekster/internal/resource"
)

// input is what a target gets of an event: all of it, a part, something constant, or a
// template filled in.
func input(t resource.EventTarget, r resource.EventRule, document string, value any, now time.Time) (string, error) {
	switch {
	case t.Input != "":
		return t.Input, nil
	case t.InputPath != "":
		v, ok, err := at(value, t.InputPath)
		if err != nil || !ok {
			return "", err
		}
		return marshal(v)
	case t.InputTemplate != "":
		return fill(t, r, document, value, now)
	}
	return document, nil
}

func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// CheckPath refuses paths that are not understood: $, and $.a.b.
func CheckPath(path string) error {
	_, _, err := at(nil, path)
	return err
}

// at finds what a path leads to in a decoded event.
func at(value any, path string) (any, bool, error) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok || strings.ContainsAny(path, "[]*?@()'\" ") || strings.Contains(path, "..") || rest == "." {
		return nil, false, fmt.Errorf("invalid path %s", path)
	}
	if rest == "" {
		return value, true, nil
	}
	if rest, ok = strings.CutPrefix(rest, "."); !ok {
		return nil, false, fmt.Errorf("invalid path %s", path)
	}
	for name := range strings.SplitSeq(rest, ".") {
		m, isObject := value.(map[string]any)
		if value, ok = m[name]; !isObject || !ok {
			return nil, false, nil
		}
	}
	return value, true, nil
}

// fill puts values into a template's <names>. Strings stand without their quotes, since the template
// has them where it is JSON; what the event lacks is empty.
// See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
func fill(t resource.EventTarget, r resource.EventRule, document string, value any, now time.Time) (string, error) {
	var b strings.Builder
	rest := t.InputTemplate
	for {
		text, after, ok := strings.Cut(rest, "<")
		b.WriteString(text)
		if !ok {
			return b.String(), nil
		}
		name, behind, ok := strings.Cut(after, ">")
		if !ok {
			b.WriteString("<" + after)
			return b.String(), nil
		}
		rest = behind
		switch name {
		case "aws.events.rule-arn":
			b.WriteString(r.ARN)
			continue
		case "aws.events.rule-name":
			b.WriteString(r.Name)
			continue
		case "aws.events.event", "aws.events.event.json":
			b.WriteString(document)
			continue
		case "aws.events.event.ingestion-time":
			b.WriteString(now.UTC().Format(time.RFC3339))
			continue
		}
		path, known := t.InputPaths[name]
		if !known {
			b.WriteString("<" + name + ">")
			continue
		}
		v, _, err := at(value, path)
		if err != nil {
			return "", err
		}
		switch v := v.(type) {
		case nil:
		case string:
			quoted, err := marshal(v)
			if err != nil {
				return "", err
			}
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			text, err := marshal(v)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		}
	}
}
