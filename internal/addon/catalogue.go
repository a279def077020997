package addon

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// Every folder but testdata is a set of objects; one with addon.yaml is an add-on.
//
//go:embed */*.yaml */*.json
var folders embed.FS

// A Catalogue is the add-ons that there are.
type Catalogue struct {
	addons []*Addon // by name
}

// An Addon is what is known of an EKS add-on: its folder's addon.yaml and schema.json.
type Addon struct {
	Name      string `json:"-"` // the folder's
	Type      string `json:"type"`
	Publisher string `json:"publisher"`
	Owner     string `json:"owner"`
	// Namespace is where its objects are; another can be asked for if OtherNamespaces.
	Namespace       string           `json:"namespace"`
	OtherNamespaces bool             `json:"otherNamespaces"`
	ComputeTypes    []string         `json:"computeTypes"`
	Architectures   []string         `json:"architectures"`
	ServiceAccounts []ServiceAccount `json:"serviceAccounts"`

	RequiresConfiguration  bool `json:"requiresConfiguration"`
	RequiresIAMPermissions bool `json:"requiresIamPermissions"`

	// Images are what its templates call .Images; one without a tag has the version's.
	Images map[string]string `json:"images"`
	// Defaults is the configuration where the caller says nothing.
	Defaults map[string]any `json:"defaults"`
	Versions []Version      `json:"versions"` // newest first

	// Schema is the JSON schema of its configurationValues.
	Schema string `json:"-"`
	schema *jsonschema.Schema
}

// A ServiceAccount is one that an add-on's pods run as.
type ServiceAccount struct {
	Name            string   `json:"name"`
	ManagedPolicies []string `json:"recommendedManagedPolicies"` // ARNs; none: it needs no AWS permissions
}

// A Version of an add-on.
type Version struct {
	Version    string   `json:"version"`
	Kubernetes []string `json:"kubernetes"` // minor versions that it runs on
	Default    []string `json:"default"`    // those among them whose default it is
	Image      string   `json:"image"`      // tag of its images; "": Version
}

// Load reads the catalogue, and refuses one that contradicts itself.
func Load() (*Catalogue, error) {
	files, err := fs.Glob(folders, "*/addon.yaml")
	if err != nil {
		return nil, err
	}
	c := &Catalogue{}
	for _, f := range files {
		a, err := load(path.Dir(f))
		if err != nil {
			return nil, fmt.Errorf("add-on %s: %w", path.Dir(f), err)
		}
		c.addons = append(c.addons, a)
	}
	return c, nil
}

func load(name string) (*Addon, error) {
	a := &Addon{Name: name}
	raw, err := folders.ReadFile(name + "/addon.yaml")
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(raw, a); err != nil {
		return nil, err
	}
	raw, err = folders.ReadFile(name + "/schema.json")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := json.Compact(&text, raw); err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	a.Schema = text.String()
	doc, err := jsonschema.UnmarshalJSON(&text)
	if err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, doc); err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	if a.schema, err = compiler.Compile(name); err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	return a, a.check()
}

func (a *Addon) check() error {
	if a.Type == "" || a.Publisher == "" || a.Owner == "" || a.Namespace == "" || len(a.Versions) == 0 || len(a.ComputeTypes) == 0 || len(a.Architectures) == 0 {
		return fmt.Errorf("addon.yaml is incomplete")
	}
	defaults := map[string]string{}
	for _, v := range a.Versions {
		for _, minor := range v.Default {
			if !slices.Contains(v.Kubernetes, minor) {
				return fmt.Errorf("%s is the default of Kubernetes %s, on which it does not run", v.Version, minor)
			}
			if other := defaults[minor]; other != "" {
				return fmt.Errorf("both %s and %s are the default of Kubernetes %s", other, v.Version, minor)
			}
			defaults[minor] = v.Version
		}
	}
	for _, v := range a.Versions {
		for _, minor := range v.Kubernetes {
			if defaults[minor] == "" {
				return fmt.Errorf("no version is the default of Kubernetes %s", minor)
			}
		}
	}
	if err := a.schema.Validate(plain(a.Defaults)); err != nil {
		return fmt.Errorf("its defaults are not what its schema allows: %w", err)
	}
	return nil
}

// All are the add-ons, by name. They must not be changed.
func (c *Catalogue) All() []*Addon { return c.addons }

// Find returns the add-on of that name.
func (c *Catalogue) Find(name string) (*Addon, bool) {
	i := slices.IndexFunc(c.addons, func(a *Addon) bool { return a.Name == name })
	if i < 0 {
		return nil, false
	}
	return c.addons[i], true
}

// Version returns the version of that name.
func (a *Addon) Version(name string) (Version, bool) {
	i := slices.IndexFunc(a.Versions, func(v Version) bool { return v.Version == name })
	if i < 0 {
		return Version{}, false
	}
	return a.Versions[i], true
}

// DefaultVersion is the version that a cluster of a Kubernetes minor version gets unless
// another is asked for.
func (a *Addon) DefaultVersion(minor string) (Version, bool) {
	i := slices.IndexFunc(a.Versions, func(v Version) bool { return slices.Contains(v.Default, minor) })
	if i < 0 {
		return Version{}, false
	}
	return a.Versions[i], true
}

// RunsOn says whether the version runs on a Kubernetes minor version.
func (v Version) RunsOn(minor string) bool { return slices.Contains(v.Kubernetes, minor) }

// images are the full names of a version's images.
func (a *Addon) images(version string) map[string]string {
	out := map[string]string{}
	v, _ := a.Version(version)
	for name, image := range a.Images {
		if !strings.Contains(path.Base(image), ":") {
			image += ":" + cmp.Or(v.Image, version)
		}
		out[name] = image
	}
	return out
}
