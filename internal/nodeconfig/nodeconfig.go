// Package nodeconfig reads the user data of an EKS node as nodeadm does on
// Amazon Linux 2023, and as Bottlerocket reads its settings (bottlerocket.go).
//
// User data is one of
//
//   - a NodeConfig (YAML or JSON, one or several documents),
//   - a script that begins with #!, a cloud-config that begins with #cloud-config, a
//     boothook that begins with #cloud-boothook,
//   - a MIME multipart message whose parts are any of these, as their content types say:
//     application/node.eks.aws is a NodeConfig, text/x-shellscript a script,
//     text/cloud-config and text/cloud-boothook what cloud-init takes them for,
//
// each of them optionally gzipped. Several NodeConfigs are merged in their
// order, the last wins: objects by member, kubelet flags by appending, all
// else by replacing. Members that this package does not know are refused, as
// nodeadm refuses them; those of a cloud-config are named in CloudConfig.Ignored.
//
// It does not read drop-in files and does not run anything. Parts of other types are
// named in UserData.Ignored.
package nodeconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"sigs.k8s.io/yaml"
)

// APIVersion and Kind of the documents read.
const (
	APIVersion = "node.eks.aws/v1alpha1"
	Kind       = "NodeConfig"
)

// A NodeConfig is what a node is to become: the member of which cluster, with
// which settings.
type NodeConfig struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata,omitempty"`
	Spec       Spec           `json:"spec"`

	// DNS are the addresses of the cluster's DNS service where they are not those that follow
	// from the CIDR of the services: Bottlerocket's settings have them, and no CIDR.
	DNS []netip.Addr `json:"-"`
}

// A Spec is all that a NodeConfig says.
type Spec struct {
	Cluster      Cluster         `json:"cluster"`
	Kubelet      Kubelet         `json:"kubelet"`
	Containerd   Containerd      `json:"containerd"`
	Instance     Instance        `json:"instance"`
	FeatureGates map[string]bool `json:"featureGates,omitempty"`
}

// Cluster says which cluster to join, and how to reach it.
type Cluster struct {
	Name                 string `json:"name"`
	APIServerEndpoint    string `json:"apiServerEndpoint"`
	CertificateAuthority []byte `json:"certificateAuthority"` // base64 on the wire
	CIDR                 string `json:"cidr"`                 // of the services
	EnableOutpost        *bool  `json:"enableOutpost,omitempty"`
	ID                   string `json:"id,omitempty"`
}

// Kubelet changes the kubelet's configuration and flags.
type Kubelet struct {
	Config            map[string]any `json:"config,omitempty"` // a KubeletConfiguration
	Flags             []string       `json:"flags,omitempty"`
	MaxPodsExpression string         `json:"maxPodsExpression,omitempty"`
}

// Containerd changes containerd's configuration.
type Containerd struct {
	Config          string         `json:"config,omitempty"` // TOML
	BaseRuntimeSpec map[string]any `json:"baseRuntimeSpec,omitempty"`
}

// Instance changes the machine itself.
type Instance struct {
	LocalStorage map[string]any               `json:"localStorage,omitempty"`
	Environment  map[string]map[string]string `json:"environment,omitempty"`
	Network      *InstanceResolver            `json:"network,omitempty"`
}

// An InstanceResolver overrides what DHCP said about DNS.
type InstanceResolver struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Domains     []string `json:"domains,omitempty"`
}

// InstanceIDNodeName says that the node's name is the instance's id and not
// its private DNS name.
func (c NodeConfig) InstanceIDNodeName() bool { return c.Spec.FeatureGates["InstanceIdNodeName"] }

// ClusterDNS is the address of the cluster's DNS service: the tenth of the
// service CIDR, unless DNS says otherwise.
func (c NodeConfig) ClusterDNS() (netip.Addr, error) {
	if len(c.DNS) > 0 {
		return c.DNS[0], nil
	}
	p, err := netip.ParsePrefix(c.Spec.Cluster.CIDR)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cluster.cidr: %w", err)
	}
	a := p.Masked().Addr()
	for range 10 {
		a = a.Next()
	}
	return a, nil
}

// Validate tells all that is missing or wrong.
func (c NodeConfig) Validate() error {
	var errs []error
	cl := c.Spec.Cluster
	if cl.Name == "" {
		errs = append(errs, errors.New("Name is missing in cluster configuration"))
	}
	if cl.APIServerEndpoint == "" {
		errs = append(errs, errors.New("Apiserver endpoint is missing in cluster configuration"))
	} else if u, err := url.Parse(cl.APIServerEndpoint); err != nil || u.Host == "" {
		errs = append(errs, fmt.Errorf("cluster.apiServerEndpoint %q is no URL", cl.APIServerEndpoint))
	}
	if len(cl.CertificateAuthority) == 0 {
		errs = append(errs, errors.New("Certificate authority is missing in cluster configuration"))
	}
	if len(c.DNS) > 0 {
		// There is no need of the CIDR.
	} else if cl.CIDR == "" {
		errs = append(errs, errors.New("CIDR is missing in cluster configuration"))
	} else if _, err := c.ClusterDNS(); err != nil {
		errs = append(errs, err)
	}
	if cl.EnableOutpost != nil && *cl.EnableOutpost {
		errs = append(errs, errors.New("cluster.enableOutpost: Outposts are not supported"))
	}
	if c.Spec.Kubelet.MaxPodsExpression != "" {
		errs = append(errs, errors.New("kubelet.maxPodsExpression is not supported; give maxPods in kubelet.config"))
	}
	if c.Spec.Containerd.BaseRuntimeSpec != nil {
		errs = append(errs, errors.New("containerd.baseRuntimeSpec is not supported"))
	}
	return errors.Join(errs...)
}

// merge reads documents into one NodeConfig; false when there is none.
func merge(docs [][]byte) (NodeConfig, bool, error) {
	var whole map[string]any
	for _, doc := range docs {
		var next map[string]any
		if err := yaml.Unmarshal(doc, &next); err != nil {
			return NodeConfig{}, false, fmt.Errorf("reading a NodeConfig: %w", err)
		}
		if next["apiVersion"] != APIVersion || next["kind"] != Kind {
			return NodeConfig{}, false, fmt.Errorf("a document of kind %v, %v, where %s, %s was expected",
				next["apiVersion"], next["kind"], APIVersion, Kind)
		}
		if _, err := decode(next); err != nil { // so that the error is about this document
			return NodeConfig{}, false, err
		}
		whole = mergeObjects(whole, next, "")
	}
	if whole == nil {
		return NodeConfig{}, false, nil
	}
	c, err := decode(whole)
	return c, err == nil, err
}

func decode(m map[string]any) (NodeConfig, error) {
	var c NodeConfig
	raw, err := json.Marshal(m)
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		err = dec.Decode(&c)
	}
	var bad base64.CorruptInputError
	if errors.As(err, &bad) {
		return c, fmt.Errorf("cluster.certificateAuthority is not base64: %w", err)
	}
	if err != nil {
		return c, fmt.Errorf("reading a NodeConfig: %w", err)
	}
	return c, nil
}

func mergeObjects(into, from map[string]any, path string) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for k, v := range from {
		at := path + "/" + k
		switch v := v.(type) {
		case map[string]any:
			sub, _ := into[k].(map[string]any)
			into[k] = mergeObjects(sub, v, at)
		case []any:
			// Flags given twice are decided by the kubelet: the last wins there too.
			if prior, ok := into[k].([]any); ok && at == "/spec/kubelet/flags" {
				v = append(append([]any{}, prior...), v...)
			}
			into[k] = v
		default:
			into[k] = v
		}
	}
	return into
}
