package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
	"ekster.dev/ekster/internal/nodeconfig"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	certsDir         = "/etc/containerd/certs.d"
	dropInDir        = "/etc/containerd/config.d"
	kubeletDropInDir = "/etc/kubernetes/kubelet/config.json.d"
	kubeletConfig    = "/etc/kubernetes/kubelet/config.json"
	kubeletCA        = "/etc/kubernetes/pki/ca.crt"
	kubeconfigFile   = "/var/lib/kubelet/kubeconfig"
)

// configureContainerd writes containerd's files; user is the NodeConfig's TOML.
func configureContainerd(i spec.Instance, user string) error {
	return writeFiles(map[string]string{
		"/etc/containerd/config.toml":     containerdConfig(i, lacksResource()),
		certsDir + "/_default/hosts.toml": hostsConfig(i.Mirror),
		dropInDir + "/10-nodeconfig.toml": user,
		baseSpecFile:                      asJSON(baseSpec()),
	})
}

// containerdConfig keeps to what differs from the defaults.
func containerdConfig(i spec.Instance, restrictOOM bool) string {
	return fmt.Sprintf(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
imports = [%q]
# What instances do not use costs start-up time and memory.
disabled_plugins = [
	"io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs",
	"io.containerd.snapshotter.v1.native", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
	"io.containerd.image-verifier.v1.bindir", "io.containerd.mount-handler.v1.erofs",
]

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
discard_unpacked_layers = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = %q
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = %q

[plugins.'io.containerd.cri.v1.runtime']
# Set where the host lacks CAP_SYS_RESOURCE: no pod would start otherwise.
restrict_oom_score_adj = %t
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = %q
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "%s/runc"
SystemdCgroup = false
`, dropInDir+"/*.toml", i.Pause, certsDir, restrictOOM, baseSpecFile, binDir)
}

// hostsConfig sends every registry's requests to the mirror, which is told by
// the query (?ns=) whose they are. Without a mirror every registry is itself.
func hostsConfig(mirror string) string {
	if mirror == "" {
		return ""
	}
	config := fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror)
	if strings.HasPrefix(mirror, "https:") {
		// With http, any TLS setting would have containerd try https first.
		config += "skip_verify = true\n"
	}
	return config
}

// lacksResource says whether this process has no CAP_SYS_RESOURCE.
func lacksResource() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return true
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) == 0
}

// configureKubelet writes the kubelet's files and returns its arguments.
func configureKubelet(i spec.Instance, f facts, c nodeconfig.NodeConfig) ([]string, error) {
	config, err := kubeletConfiguration(i, f, c, lacksResource())
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		kubeletCA:      string(c.Spec.Cluster.CertificateAuthority),
		kubeletConfig:  asJSON(config),
		kubeconfigFile: asJSON(kubeconfig(f.Region, c.Spec.Cluster)),
	}
	args := kubeletArgs(f, c)
	drop := filepath.Join(kubeletDropInDir, "40-nodeadm.conf")
	if user := c.Spec.Kubelet.Config; len(user) > 0 {
		user["apiVersion"], user["kind"] = "kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"
		files[drop] = asJSON(user)
	} else if err := os.RemoveAll(drop); err != nil {
		return nil, err
	}
	return args, writeFiles(files)
}

// kubeletArgs ends with the user's flags, which so win over ours.
func kubeletArgs(f facts, c nodeconfig.NodeConfig) []string {
	args := []string{
		"--config=" + kubeletConfig,
		"--kubeconfig=" + kubeconfigFile,
		"--cloud-provider=external",
		"--hostname-override=" + nodeName(f, c),
		"--node-ip=" + nodeIP(f, c),
		"--node-labels=" + nodeLabels(f),
	}
	if len(c.Spec.Kubelet.Config) > 0 {
		args = append(args, "--config-dir="+kubeletDropInDir)
	}
	return append(args, c.Spec.Kubelet.Flags...)
}

func nodeName(f facts, c nodeconfig.NodeConfig) string {
	if c.InstanceIDNodeName() {
		return f.InstanceID
	}
	return f.hostname
}

// nodeIP is of the family of the cluster's services.
func nodeIP(f facts, c nodeconfig.NodeConfig) string {
	if strings.Contains(c.Spec.Cluster.CIDR, ":") && f.ipv6 != "" {
		return f.ipv6
	}
	return f.PrivateIP
}

// nodeLabels are what the cloud controller will set too; a node that has them
// from the start is schedulable by zone at once.
func nodeLabels(f facts) string {
	labels := []string{
		"node.kubernetes.io/instance-type=" + f.InstanceType,
		"topology.kubernetes.io/region=" + f.Region,
		"topology.kubernetes.io/zone=" + f.AvailabilityZone,
	}
	if f.zoneID != "" {
		labels = append(labels, "topology.k8s.aws/zone-id="+f.zoneID)
	}
	return strings.Join(labels, ",")
}

// kubeletConfiguration is nodeadm's, but for what a guest without systemd and
// with the host's kernel cannot do: cgroups by systemd, kernel defaults,
// graceful shutdown by logind.
func kubeletConfiguration(i spec.Instance, f facts, c nodeconfig.NodeConfig, restrictOOM bool) (map[string]any, error) {
	dns, err := c.ClusterDNS()
	if err != nil {
		return nil, err
	}
	pods := maxPods(i, c)
	oom := -999
	if restrictOOM {
		oom = 0 // the kubelet would try for 200 ms to lower it
	}
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"address":    "0.0.0.0",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true, "cacheTTL": "2m0s"},
			"x509":      map[string]any{"clientCAFile": kubeletCA},
		},
		"authorization": map[string]any{
			"mode":    "Webhook",
			"webhook": map[string]any{"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
		},
		"cgroupDriver":             "cgroupfs",
		"cgroupRoot":               "/",
		"clusterDNS":               []string{dns.String()},
		"clusterDomain":            "cluster.local",
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"evictionHard":             map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
		"failCgroupV1":             false,
		"hairpinMode":              "hairpin-veth",
		"kubeReserved":             kubeReserved(i.VCPU, pods),
		"logging":                  map[string]any{"verbosity": 2},
		"maxPods":                  pods,
		"oomScoreAdj":              oom,
		"protectKernelDefaults":    false,
		"providerID":               "aws:///" + f.AvailabilityZone + "/" + f.InstanceID,
		"readOnlyPort":             0,
		"rotateCertificates":       false,
		"serializeImagePulls":      false,
		"serverTLSBootstrap":       true,
		"tlsCipherSuites": []string{
			"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
			"TLS_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_GCM_SHA256",
		},
	}, nil
}

// maxPods is what kubeReserved is computed from: the user's number if there is
// one, else the instance type's, else nodeadm's default.
func maxPods(i spec.Instance, c nodeconfig.NodeConfig) int {
	if n, ok := c.Spec.Kubelet.Config["maxPods"].(float64); ok && n > 0 {
		return int(n)
	}
	if i.MaxPods > 0 {
		return i.MaxPods
	}
	return 110
}

// kubeReserved is the EKS AMI's formula.
func kubeReserved(vcpu, pods int) map[string]string {
	tenthMillis := 0 // of a core, in 1/10 of a millicore
	for core := range vcpu {
		switch core {
		case 0:
			tenthMillis += 600
		case 1:
			tenthMillis += 100
		case 2, 3:
			tenthMillis += 50
		default:
			tenthMillis += 25
		}
	}
	return map[string]string{
		"cpu":               fmt.Sprintf("%dm", tenthMillis/10),
		"memory":            fmt.Sprintf("%dMi", 11*pods+255),
		"ephemeral-storage": "1Gi",
	}
}

// kubeconfig has the kubelet get its tokens from this program.
func kubeconfig(region string, cl nodeconfig.Cluster) map[string]any {
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []any{map[string]any{"name": "kubernetes", "cluster": map[string]any{
			"certificate-authority": kubeletCA, "server": cl.APIServerEndpoint}}},
		"contexts":        []any{map[string]any{"name": "kubelet", "context": map[string]any{"cluster": "kubernetes", "user": "kubelet"}}},
		"current-context": "kubelet",
		"users": []any{map[string]any{"name": "kubelet", "user": map[string]any{"exec": map[string]any{
			"apiVersion":      "client.authentication.k8s.io/v1beta1",
			"command":         binDir + "/machine-init",
			"args":            []string{"token", "--cluster-name", cl.Name, "--region", region},
			"interactiveMode": "Never",
		}}}},
	}
}

// asJSON is for values that came from JSON or from this file.
func asJSON(v any) string {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // a channel or a function in a map
	}
	return string(raw) + "\n"
}

func writeFiles(files map[string]string) error {
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
