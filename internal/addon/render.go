package addon

import (
	"bytes"
	"embed"
	"encoding/base64"
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

//go:embed cluster vpc-cni kube-proxy coredns eks-pod-identity-agent
var templates embed.FS

// The sets of objects, by EKS's names for them.
const (
	Cluster   = "cluster"
	VPCCNI    = "vpc-cni"
	KubeProxy = "kube-proxy"
	CoreDNS   = "coredns"

	PodIdentityAgent = "eks-pod-identity-agent"
)

// All is what a cluster gets whose add-ons are self-managed
// (bootstrapSelfManagedAddons); one without gets Cluster alone.
var All = [...]string{Cluster, VPCCNI, KubeProxy, CoreDNS}

// Values is what differs between clusters.
type Values struct {
	ClusterName    string
	Region         string
	Endpoint       string // https://host[:port] of the API server, as nodes reach it
	DNSIP          string // of Service kube-dns
	AWSEndpointURL string // of the AWS API, as nodes reach it; "" is AWS itself
	WebhookURL     string // https://host[:port] of EKS's admission webhooks, as the API server reaches it
	WebhookCA      []byte // PEM, of the authority of its certificate
	Images         Images
}

// Images is the full names of the images.
type Images struct{ VPCCNI, KubeProxy, CoreDNS, PodIdentityAgent string }

// PayloadImages names the images that hack/build-images.sh makes, for a version
// like v1.35.4-eks-0123abc or v1.35.4.
func PayloadImages(kubernetesVersion string) Images {
	version, _, _ := strings.Cut(kubernetesVersion, "-")
	return Images{
		VPCCNI:    "registry.ekster.internal/amazon-k8s-cni:v1.23.1-eksbuild.1",
		KubeProxy: "registry.ekster.internal/eks/kube-proxy:" + version + "-eksbuild.1",
		CoreDNS:   "registry.ekster.internal/eks/coredns:v1.13.2-eksbuild.1",

		PodIdentityAgent: "registry.ekster.internal/eks/eks-pod-identity-agent:v1.3.10-eksbuild.1",
	}
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

// Render gives the objects of the named sets, in the order of the names.
func Render(v Values, names ...string) ([]*unstructured.Unstructured, error) {
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("rendering add-ons of %s: %w", v.ClusterName, err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		files, err := fs.Glob(templates, name+"/*.yaml")
		if err != nil || len(files) == 0 {
			return nil, errors.Join(fmt.Errorf("rendering add-on %q: no such add-on", name), err)
		}
		for _, f := range files {
			objs, err := renderFile(f, v)
			if err != nil {
				return nil, fmt.Errorf("rendering %s for %s: %w", f, v.ClusterName, err)
			}
			out = append(out, objs...)
		}
	}
	return out, nil
}

// check refuses what would break the YAML or the cluster, whoever wrote it.
func (v Values) check() error {
	for _, f := range []struct{ name, value string }{
		{"ClusterName", v.ClusterName}, {"Endpoint", v.Endpoint}, {"DNSIP", v.DNSIP},
		{"Images.VPCCNI", v.Images.VPCCNI}, {"Images.KubeProxy", v.Images.KubeProxy}, {"Images.CoreDNS", v.Images.CoreDNS},
		{"Images.PodIdentityAgent", v.Images.PodIdentityAgent}, {"Region", v.Region},
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
	for _, endpoint := range []string{v.Endpoint, v.WebhookURL} {
		if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("endpoint %q: want https://host[:port]", endpoint)
		}
	}
	if block, _ := pem.Decode(v.WebhookCA); block == nil {
		return errors.New("WebhookCA: want PEM")
	}
	return nil
}

func renderFile(file string, v Values) ([]*unstructured.Unstructured, error) {
	t, err := template.New(path.Base(file)).Option("missingkey=error").
		Funcs(template.FuncMap{"base64": base64.StdEncoding.EncodeToString}).ParseFS(templates, file)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, v); err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, doc := range strings.Split(text.String(), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(doc), &u.Object); err != nil {
			return nil, err
		}
		if _, ok := resources[u.GroupVersionKind().GroupKind().String()]; !ok {
			return nil, fmt.Errorf("kind %s: not in the table of resources", u.GroupVersionKind())
		}
		out = append(out, u)
	}
	return out, nil
}
