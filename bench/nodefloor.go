package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// private gives a program a mount namespace in which what it writes outside its directory
// is thrown away: containerd and the kubelet have paths of their own that no flag moves.
const private = `mount -t tmpfs none /var/lib && mount -t tmpfs none /var/log && mount -t tmpfs none /run && exec "$0" "$@"`

// nodeReady starts containerd and a kubelet on the floor's control plane and returns the
// seconds until the node is Ready: the network is a configuration file, there are no pods.
func (f *floor) nodeReady(ctx context.Context, node, name string) (took float64, err error) {
	pods, err := newCgroup()
	if err != nil {
		return 0, err
	}
	defer func() {
		f.end("kubelet", "containerd")
		err = errors.Join(err, pods.remove())
	}()
	dir := f.path(name)
	socket := filepath.Join(dir, "containerd.sock")
	config, err := f.nodeFiles(dir, socket, pods.name)
	if err != nil {
		return 0, err
	}
	kube, err := lab.Plain(f.url(), f.token)
	if err != nil {
		return 0, err
	}
	inPrivate := func(program string, argv ...string) (string, []string) {
		return "unshare", append([]string{"-m", "sh", "-c", private, program}, argv...)
	}
	began := time.Now()
	path, argv := inPrivate(filepath.Join(node, "containerd"), "--config", filepath.Join(dir, "containerd.toml"))
	if err := f.run("containerd", path, argv...); err != nil {
		return 0, err
	}
	// A kubelet without a runtime ends at once.
	err = lab.Promptly(ctx, floorTimeout, "the floor's containerd", func(ctx context.Context) (bool, string, error) {
		c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err != nil {
			return false, err.Error(), nil
		}
		return true, "", c.Close()
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, f.log("containerd"))
	}
	path, argv = inPrivate(f.kube, "kubelet", "--config="+filepath.Join(dir, "kubelet.yaml"), "--kubeconfig="+config, "--hostname-override="+name, "--root-dir="+filepath.Join(dir, "kubelet"))
	if err := f.run("kubelet", path, argv...); err != nil {
		return 0, err
	}
	err = lab.Promptly(ctx, floorTimeout, "the floor's node to be Ready", func(ctx context.Context) (bool, string, error) {
		n, err := kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, "it has not registered", nil
		}
		if err != nil {
			return false, "", err
		}
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionTrue, c.Message, nil
			}
		}
		return false, "it has no conditions", nil
	})
	took = seconds(began)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, f.log("kubelet"))
	}
	return took, err
}

// nodeFiles writes the configuration of both and returns the kubelet's kubeconfig.
func (f *floor) nodeFiles(dir, socket, cgroup string) (kubeconfig string, err error) {
	for _, d := range []string{"cni", "bin", "root", "state", "opt", "kubelet"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	port, err := lab.FreePort()
	if err != nil {
		return "", err
	}
	if kubeconfig, err = f.kubeconfig(); err != nil {
		return "", err
	}
	write := func(name, text string) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
	}
	return kubeconfig, errors.Join(
		write("cni/10-floor.conflist", `{"cniVersion":"0.4.0","name":"floor","plugins":[{"type":"bridge"}]}`),
		write("containerd.toml", fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
[grpc]
address = %[3]q
[ttrpc]
address = %[4]q
[plugins.'io.containerd.internal.v1.opt']
path = %[5]q
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [%[6]q]
conf_dir = %[7]q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket, socket+".ttrpc", filepath.Join(dir, "opt"), filepath.Join(dir, "bin"), filepath.Join(dir, "cni"))),
		write("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: %d
healthzPort: 0
readOnlyPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://%s
cgroupDriver: cgroupfs
cgroupRoot: /%s
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
`, port, socket, cgroup)),
	)
}
