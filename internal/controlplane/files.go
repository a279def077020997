package controlplane

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"ekster.dev/ekster/internal/durable"
	"ekster.dev/ekster/internal/pki"
)

// Files in a control plane's directory, besides those in pki/.
const (
	configFile         = "control-plane.json"
	authenticationFile = "authentication.yaml"
	authorizationFile  = "authorization.yaml"
	nameFile           = "cluster-name"
	auditPolicyFile    = "audit-policy.yaml"
	controllersFile    = "controller-manager.kubeconfig"
	schedulerFile      = "scheduler.kubeconfig"
	// Written by the process itself, which alone knows its forwarder's port.
	authenticateFile = "authenticate.kubeconfig"
	authorizeFile    = "authorize.kubeconfig"
)

// guestListen is where the API server listens in its namespace: port 443 of every ENI.
var guestListen = netip.MustParseAddrPort("0.0.0.0:443")

// files maps a file's name to what it holds.
type files map[string][]byte

// object is a piece of a JSON or YAML document.
type object = map[string]any

// processConfig is what `kube control-plane` reads: distro/controlplane.Config, which is in another Go module.
type processConfig struct {
	Dir               string            `json:"dir"`
	Listen            netip.AddrPort    `json:"listen"`
	Netns             string            `json:"netns,omitempty"`
	GuestListen       netip.AddrPort    `json:"guestListen,omitzero"`
	AuthSocket        string            `json:"authSocket"`
	Webhooks          map[string]string `json:"webhooks"`
	Admission         admission         `json:"admission,omitzero"`
	CA                string            `json:"ca"`
	EtcdQuota         int64             `json:"etcdQuota,omitempty"`
	APIServer         []string          `json:"kube-apiserver"`
	ControllerManager []string          `json:"kube-controller-manager"`
	Scheduler         []string          `json:"kube-scheduler"`
}

type admission struct {
	Listen netip.AddrPort `json:"listen"`
	Cert   string         `json:"cert"`
	Key    string         `json:"key"`
}

// filesFor says what the files of a control plane hold, whose authority's certificate is ca. Pure.
func filesFor(cfg Config, ca []byte) files {
	p := processConfig{
		Dir:               cfg.Dir,
		Listen:            cfg.Listen,
		Netns:             cfg.Netns,
		AuthSocket:        cfg.AuthSocket,
		Webhooks:          map[string]string{authenticateFile: "/authenticate", authorizeFile: "/authorize"},
		CA:                pki.CertFile(pkiDir(cfg.Dir), caPair),
		EtcdQuota:         cfg.Tier.Database,
		APIServer:         apiServerFlags(cfg),
		ControllerManager: controllerManagerFlags(cfg),
		Scheduler:         schedulerFlags(cfg),
	}
	server := cfg.Listen
	if cfg.Netns != "" {
		p.GuestListen = guestListen
		dir := pkiDir(cfg.Dir)
		p.Admission = admission{admissionListen, pki.CertFile(dir, serverPair), pki.KeyFile(dir, serverPair)}
		server = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), guestListen.Port())
	}
	f := files{
		configFile:         mustJSON(p),
		authenticationFile: mustYAML(authentication(cfg.Issuers, ca)),
		authorizationFile:  mustYAML(authorization(cfg)),
		controllersFile:    mustYAML(kubeconfig(cfg, server, controllersPair)),
		schedulerFile:      mustYAML(kubeconfig(cfg, server, schedulerPair)),
	}
	if cfg.Audit {
		f[auditPolicyFile] = mustYAML(auditPolicy())
	}
	return f
}

// authorization is EKS's order: nodes, access policies, RBAC. The policies' webhook is asked for who has come with an
// IAM principal's token, which nodes do too (AmazonEKSAutoNodePolicy is theirs; what the node authorizer allows does not get
// here, which is nearly all that they ask for). Service accounts and components cannot have any: their names begin with system: as well.
// Its answers are kept so briefly that an access entry's change is felt at once, and its absence denies nothing.
func authorization(cfg Config) object {
	return object{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "AuthorizationConfiguration",
		"authorizers": []object{
			{"type": "Node", "name": "node"},
			{"type": "Webhook", "name": "eks-access", "webhook": object{
				"authorizedTTL":              "1s",
				"unauthorizedTTL":            "1s",
				"timeout":                    "3s",
				"subjectAccessReviewVersion": "v1",
				"matchConditionSubjectAccessReviewVersion": "v1",
				"failurePolicy": "NoOpinion",
				"connectionInfo": object{
					"type":           "KubeConfigFile",
					"kubeConfigFile": filepath.Join(cfg.Dir, authorizeFile),
				},
				"matchConditions": []object{{"expression": `!request.user.startsWith("system:") || request.user.startsWith("system:node:")`}},
			}},
			{"type": "RBAC", "name": "rbac"},
		},
	}
}

// kubeconfig names certificates by file, so that a renewed one is taken up while the process runs.
func kubeconfig(cfg Config, server netip.AddrPort, pair string) object {
	dir := pkiDir(cfg.Dir)
	return object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []object{{"name": "self", "cluster": object{
			"server":                "https://" + server.String(),
			"certificate-authority": pki.CertFile(dir, caPair),
		}}},
		"users": []object{{"name": pair, "user": object{
			"client-certificate": pki.CertFile(dir, pair),
			"client-key":         pki.KeyFile(dir, pair),
		}}},
		"contexts":        []object{{"name": "self", "context": object{"cluster": "self", "user": pair}}},
		"current-context": "self",
	}
}

// mustJSON and mustYAML encode values that are built here from strings: they always can be.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func mustYAML(v object) []byte {
	data, err := yaml.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// write writes the files that are not there as they should be.
func (f files) write(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		file := filepath.Join(dir, name)
		have, err := os.ReadFile(file)
		if err == nil && bytes.Equal(have, f[name]) {
			continue
		}
		if err := durable.WriteFile(file, f[name]); err != nil {
			return err
		}
	}
	return nil
}

// name is the file that says whose a directory is. It is none of the process's.
func name(cfg Config) files { return files{nameFile: []byte(cfg.ClusterName + "\n")} }

// ClusterName is the name of the cluster whose control plane is in dir. The error wraps
// fs.ErrNotExist if none has come to be there.
func ClusterName(dir string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, nameFile))
	return strings.TrimSuffix(string(raw), "\n"), err
}

// digest names the content of the files that a running process does not read again.
func (f files) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name == authenticationFile { // the API server watches it
			continue
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(f[name]), f[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}
