package addon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// clusterFolder is what EKS itself puts into every cluster; it is no add-on.
const clusterFolder = "cluster"

// SelfManaged are the add-ons that a cluster gets unless its creator does without
// (bootstrapSelfManagedAddons).
var SelfManaged = [...]string{"vpc-cni", "kube-proxy", "coredns"}

// roleAnnotation gives a service account the role that its pods assume.
const roleAnnotation = "eks.amazonaws.com/role-arn"

// Values is what differs between clusters.
type Values struct {
	ClusterName    string
	Region         string
	Endpoint       string // https://host[:port] of the API server, as nodes reach it
	DNSIP          string // of Service kube-dns
	AWSEndpointURL string // of the AWS API, as nodes reach it; "" is AWS itself
	WebhookURL     string // https://host[:port] of EKS's admission webhooks, as the API server reaches it; for Cluster alone
	WebhookCA      []byte // PEM, of the authority of its certificate; for Cluster alone
}

// An Installation is an add-on as somebody wants it in a cluster.
type Installation struct {
	Name          string
	Version       string
	Namespace     string // "" is the add-on's own
	Configuration string // configurationValues; "" is none
	ServiceRole   string // ARN of the role for its service accounts; "" is none
}

// page is what a template sees.
type page struct {
	Values
	Version   string
	Namespace string
	Image     string // of an add-on with one image
	Images    map[string]string
	Config    map[string]any
}

// DNSAddress is the address that EKS gives to Service kube-dns: the tenth of the
// service network.
func DNSAddress(serviceCIDR string) (string, error) {
	p, err := netip.ParsePrefix(serviceCIDR)
	if err != nil {
		return "", fmt.Errorf("service CIDR: %w", err)
	}
	a := p.Masked().Addr()
	for range 10 {
		a = a.Next()
	}
	if !p.Contains(a) {
		return "", fmt.Errorf("service CIDR %s: too small", serviceCIDR)
	}
	return a.String(), nil
}

// Cluster gives the objects that EKS puts into every cluster.
func Cluster(v Values) ([]*unstructured.Unstructured, error) {
	if u, err := url.Parse(v.WebhookURL); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("rendering the objects of %s: WebhookURL %q: want https://host[:port]", v.ClusterName, v.WebhookURL)
	}
	if block, _ := pem.Decode(v.WebhookCA); block == nil {
		return nil, fmt.Errorf("rendering the objects of %s: WebhookCA: want PEM", v.ClusterName)
	}
	return render(clusterFolder, page{Values: v})
}

// Render gives an add-on's objects, in the order of its folder's files. Equal arguments give
// equal objects.
func (c *Catalogue) Render(v Values, i Installation) ([]*unstructured.Unstructured, error) {
	a, ok := c.Find(i.Name)
	if !ok {
		return nil, fmt.Errorf("rendering add-on %q: no such add-on", i.Name)
	}
	if _, ok := a.Version(i.Version); !ok {
		return nil, fmt.Errorf("rendering add-on %s: no version %q", i.Name, i.Version)
	}
	config, err := a.configuration(i.Configuration)
	if err != nil {
		return nil, fmt.Errorf("rendering add-on %s for %s: %w", i.Name, v.ClusterName, err)
	}
	p := page{Values: v, Version: i.Version, Namespace: i.Namespace, Images: a.images(i.Version), Config: config}
	if p.Namespace == "" {
		p.Namespace = a.Namespace
	}
	for _, image := range p.Images {
		p.Image = image
	}
	if len(p.Images) != 1 {
		p.Image = ""
	}
	out, err := render(i.Name, p)
	if err != nil {
		return nil, err
	}
	if i.ServiceRole != "" {
		for _, u := range out {
			annotate(a, u, i.ServiceRole)
		}
	}
	return out, nil
}

// annotate gives the role to a service account of the add-on's that takes one.
func annotate(a *Addon, u *unstructured.Unstructured, role string) {
	for _, s := range a.ServiceAccounts {
		if u.GetKind() != "ServiceAccount" || u.GetName() != s.Name {
			continue
		}
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[roleAnnotation] = role
		u.SetAnnotations(annotations)
	}
}

func render(folder string, p page) ([]*unstructured.Unstructured, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("rendering %s for %s: %w", folder, p.ClusterName, err)
	}
	files, err := fs.Glob(folders, folder+"/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, f := range files {
		if path.Base(f) == "addon.yaml" {
			continue
		}
		objs, err := renderFile(f, p)
		if err != nil {
			return nil, fmt.Errorf("rendering %s for %s: %w", f, p.ClusterName, err)
		}
		out = append(out, objs...)
	}
	return out, nil
}

// check refuses what would break the YAML or the cluster, whoever wrote it.
func (v Values) check() error {
	for _, f := range []struct{ name, value string }{
		{"ClusterName", v.ClusterName}, {"Region", v.Region}, {"Endpoint", v.Endpoint}, {"DNSIP", v.DNSIP},
	} {
		if f.value == "" {
			return fmt.Errorf("no %s", f.name)
		}
		if strings.ContainsAny(f.value, "\n\"' {}#") {
			return fmt.Errorf("%s %q: has a character that no such value has", f.name, f.value)
		}
	}
	if _, err := netip.ParseAddr(v.DNSIP); err != nil {
		return fmt.Errorf("DNSIP: %w", err)
	}
	if u, err := url.Parse(v.Endpoint); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("endpoint %q: want https://host[:port]", v.Endpoint)
	}
	return nil
}

// functions are what templates have besides text/template's own. json writes any part of
// the configuration on one line, which is YAML at any depth of a page, and nothing in a
// value can end it.
var functions = template.FuncMap{
	"base64": base64.StdEncoding.EncodeToString,
	"json": func(v any) (string, error) {
		raw, err := json.Marshal(v)
		return string(raw), err
	},
}

func renderFile(file string, p page) ([]*unstructured.Unstructured, error) {
	t, err := template.New(path.Base(file)).Funcs(functions).ParseFS(folders, file)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, p); err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, doc := range strings.Split(text.String(), "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		raw, err := yaml.YAMLToJSONStrict([]byte(doc))
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			return nil, err
		}
		if u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "" {
			return nil, errors.New("an object without apiVersion, kind or name")
		}
		out = append(out, u)
	}
	return out, nil
}
