package nodeconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Settings are what a Bottlerocket instance's user data asks for: settings in TOML,
// optionally gzipped. Those that make it a node are read as the NodeConfig that would.
type Settings struct {
	Node    NodeConfig
	HasNode bool     // there is a cluster to join
	Ignored []string // settings of Bottlerocket's that are passed over
}

// ParseSettings reads Bottlerocket's user data. Settings that Bottlerocket does not have are
// refused, as it refuses them.
func ParseSettings(raw []byte) (Settings, error) {
	settings, err := decodeSettings(raw)
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch {
		case name == "kubernetes":
			k, ok := settings[name].(map[string]any)
			if !ok {
				return Settings{}, errors.New("settings.kubernetes is no table")
			}
			if err := s.kubernetes(k); err != nil {
				return Settings{}, err
			}
		case slices.Contains(otherSettings, name):
			s.Ignored = append(s.Ignored, "settings."+name)
		default:
			return Settings{}, fmt.Errorf("settings: unknown field %q", name)
		}
	}
	return s, nil
}

func decodeSettings(raw []byte) (map[string]any, error) {
	raw, err := unpack(raw)
	if err != nil {
		return nil, err
	}
	var whole struct {
		Settings map[string]any `toml:"settings"`
	}
	d := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields()
	if err := d.Decode(&whole); err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	return whole.Settings, nil
}

// MergeSettings writes settings as user data, with the user's own over them.
func MergeSettings(settings map[string]any, own []byte) ([]byte, error) {
	users, err := decodeSettings(own)
	if err != nil {
		return nil, err
	}
	return toml.Marshal(map[string]any{"settings": mergeObjects(settings, users, "")})
}

// otherSettings are what Bottlerocket has besides, about parts of it that are not here.
var otherSettings = []string{
	"autoscaling", "aws", "boot", "bootstrap-commands", "bootstrap-containers", "cloudformation", "container-registry", "container-runtime",
	"container-runtime-plugins", "dns", "host-containers", "kernel", "kubelet-device-plugins", "metrics", "motd", "network", "ntp",
	"nvidia-container-runtime", "oci-defaults", "oci-hooks", "pki", "updates", "xfs",
}

// kubeletSettings are the settings that are members of the kubelet's configuration.
var kubeletSettings = map[string]string{
	"allowed-unsafe-sysctls": "allowedUnsafeSysctls", "cluster-domain": "clusterDomain", "container-log-max-files": "containerLogMaxFiles",
	"container-log-max-size": "containerLogMaxSize", "cpu-cfs-quota-enforced": "cpuCFSQuota", "cpu-manager-policy": "cpuManagerPolicy",
	"cpu-manager-policy-options": "cpuManagerPolicyOptions", "cpu-manager-reconcile-period": "cpuManagerReconcilePeriod", "event-burst": "eventBurst",
	"event-qps": "eventRecordQPS", "eviction-hard": "evictionHard", "eviction-max-pod-grace-period": "evictionMaxPodGracePeriod",
	"eviction-soft": "evictionSoft", "eviction-soft-grace-period": "evictionSoftGracePeriod", "image-gc-high-threshold-percent": "imageGCHighThresholdPercent",
	"image-gc-low-threshold-percent": "imageGCLowThresholdPercent", "kube-api-burst": "kubeAPIBurst", "kube-api-qps": "kubeAPIQPS",
	"kube-reserved": "kubeReserved", "max-pods": "maxPods", "memory-manager-policy": "memoryManagerPolicy", "pod-pids-limit": "podPidsLimit",
	"provider-id": "providerID", "registry-burst": "registryBurst", "registry-qps": "registryPullQPS", "reserved-cpus": "reservedSystemCPUs",
	"seccomp-default": "seccompDefault", "server-tls-bootstrap": "serverTLSBootstrap", "single-process-oom-kill": "singleProcessOOMKill",
	"system-reserved": "systemReserved", "topology-manager-policy": "topologyManagerPolicy", "topology-manager-scope": "topologyManagerScope",
}

// passedOver are settings of Bottlerocket's kubelet that change nothing here.
var passedOver = []string{
	"bootstrap-token", "cloud-provider", "credential-providers", "device-ownership-from-security-context", "hostname-override-source",
	"ids-per-pod", "memory-manager-reserved-memory", "nvidia", "server-certificate", "server-key", "shutdown-grace-period",
	"shutdown-grace-period-for-critical-pods", "static-pods",
}

func (s *Settings) kubernetes(k map[string]any) error {
	s.Node = NodeConfig{APIVersion: APIVersion, Kind: Kind}
	cl, config := &s.Node.Spec.Cluster, map[string]any{}
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(k)) {
		var err error
		switch v := k[name]; name {
		case "api-server":
			cl.APIServerEndpoint, err = settingText(v)
		case "cluster-name":
			cl.Name, err = settingText(v)
			s.HasNode = true
		case "cluster-certificate":
			var text string
			if text, err = settingText(v); err == nil {
				cl.CertificateAuthority, err = base64.StdEncoding.DecodeString(text)
			}
		case "cluster-dns-ip":
			s.Node.DNS, err = settingAddresses(v)
		case "node-labels":
			var labels []string
			labels, err = settingPairs(v, "%s=%s")
			flags = append(flags, "--node-labels="+strings.Join(labels, ","))
		case "node-taints":
			var taints []string
			taints, err = settingPairs(v, "%s=%s")
			flags = append(flags, "--register-with-taints="+strings.Join(taints, ","))
		case "log-level":
			flags = append(flags, fmt.Sprintf("--v=%v", v))
		case "hostname-override":
			flags = append(flags, fmt.Sprintf("--hostname-override=%v", v))
		case "node-ip":
			flags = append(flags, fmt.Sprintf("--node-ip=%v", v))
		case "authentication-mode":
			if v != "aws" {
				err = fmt.Errorf("%v is not supported, aws is", v)
			}
		case "standalone-mode":
			if v != false {
				err = errors.New("a node without a cluster is not supported")
			}
		default:
			member, known := kubeletSettings[name]
			switch {
			case known:
				config[member] = settingNumber(v)
			case slices.Contains(passedOver, name):
				s.Ignored = append(s.Ignored, "settings.kubernetes."+name)
			default:
				return fmt.Errorf("settings.kubernetes: unknown field %q", name)
			}
		}
		if err != nil {
			return fmt.Errorf("settings.kubernetes.%s: %w", name, err)
		}
	}
	s.Node.Spec.Kubelet.Flags = flags
	// As JSON has it, which is what a NodeConfig's own is read from.
	raw, err := json.Marshal(config)
	if err == nil {
		err = json.Unmarshal(raw, &s.Node.Spec.Kubelet.Config)
	}
	return err
}

func settingText(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%v is no string", v)
	}
	return s, nil
}

// settingNumber is a setting's number where it is given as a string, which Bottlerocket
// allows of some.
func settingNumber(v any) any {
	if s, ok := v.(string); ok {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	}
	return v
}

// settingAddresses are one address, or a list.
func settingAddresses(v any) (out []netip.Addr, err error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, one := range list {
		a, err := netip.ParseAddr(fmt.Sprint(one))
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// settingPairs are the entries of a table in the order of their keys. An entry may have
// several values, as taints of one key have.
func settingPairs(v any, format string) (out []string, err error) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%v is no table", v)
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		values, ok := table[key].([]any)
		if !ok {
			values = []any{table[key]}
		}
		for _, value := range values {
			text, err := settingText(value)
			if err != nil {
				return nil, err
			}
			out = append(out, fmt.Sprintf(format, key, text))
		}
	}
	return out, nil
}
