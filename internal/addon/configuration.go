package addon

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"sigs.k8s.io/yaml"
)

// ErrNotParseable is the error of configuration values that are neither JSON nor YAML.
var ErrNotParseable = errors.New("neither JSON nor YAML")

// A ConfigurationError says where configuration values are not what the schema allows:
// a line each, "$.path: what is wrong", in the words that EKS uses.
type ConfigurationError struct{ Lines []string }

func (e *ConfigurationError) Error() string { return strings.Join(e.Lines, ", ") }

// CheckConfiguration says whether configurationValues are what the add-on takes. Its errors
// are ErrNotParseable and *ConfigurationError.
func (a *Addon) CheckConfiguration(text string) error {
	_, err := a.configuration(text)
	return err
}

// configuration is what the templates see: the caller's values over the defaults.
func (a *Addon) configuration(text string) (map[string]any, error) {
	given := map[string]any{}
	if strings.TrimSpace(text) != "" {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotParseable, err)
		}
		if err := a.schema.Validate(plain(v)); err != nil {
			var invalid *jsonschema.ValidationError
			if !errors.As(err, &invalid) {
				return nil, err
			}
			return nil, &ConfigurationError{slices.Compact(slices.Sorted(slices.Values(lines(invalid))))}
		}
		given, _ = v.(map[string]any)
	}
	return merge(a.Defaults, given), nil
}

// plain is v as encoding/json has it, which is what the validator wants.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		return v
	}
	return out
}

// merge is over on top of under; maps are merged, all else is replaced. Neither is changed.
func merge(under, over map[string]any) map[string]any {
	out := maps.Clone(under)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		a, isMap := out[k].(map[string]any)
		b, both := v.(map[string]any)
		if isMap && both {
			out[k] = merge(a, b)
			continue
		}
		out[k] = v
	}
	return out
}

// lines are what is wrong at the leaves of an error.
func lines(e *jsonschema.ValidationError) []string {
	at := "$"
	for _, p := range e.InstanceLocation {
		if _, err := strconv.Atoi(p); err == nil {
			at += "[" + p + "]"
			continue
		}
		at += "." + p
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		var out []string
		for _, c := range e.Causes {
			out = append(out, lines(c)...)
		}
		return out
	case *kind.AdditionalProperties:
		var out []string
		for _, p := range k.Properties {
			out = append(out, at+"."+p+": is not defined in the schema and the schema does not allow additional properties")
		}
		return out
	case *kind.Required:
		var out []string
		for _, p := range k.Missing {
			out = append(out, at+"."+p+": is missing but it is required")
		}
		return out
	case *kind.Type:
		return []string{fmt.Sprintf("%s: %s found, %s expected", at, k.Got, strings.Join(k.Want, " or "))}
	case *kind.Enum:
		var want []string
		for _, w := range k.Want {
			want = append(want, fmt.Sprint(w))
		}
		return []string{fmt.Sprintf("%s: does not have a value in the enumeration [%s]", at, strings.Join(want, ", "))}
	case *kind.Minimum:
		return []string{fmt.Sprintf("%s: must have a minimum value of %s", at, k.Want.RatString())}
	case *kind.Maximum:
		return []string{fmt.Sprintf("%s: must have a maximum value of %s", at, k.Want.RatString())}
	case *kind.Pattern:
		return []string{fmt.Sprintf("%s: does not match the regex pattern %s", at, k.Want)}
	}
	return []string{at + ": does not match the schema"}
}
