// Command build-images puts the programs that hack/build-images.sh compiled into
// the images of the payload. The table in images says what each image holds.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ekster.dev/ekster/internal/image"
)

const registry = "registry.ekster.internal/"

func main() {
	programs := flag.String("programs", "", "directory of the compiled programs")
	kubernetes := flag.String("kubernetes", "", "directory with <minor>/{kube-proxy,version}")
	modules := flag.String("modules", "images", "directory whose <name>/go.mod say the versions of programs that are others'")
	out := flag.String("out", "", "OCI layout directory to write")
	flag.Parse()
	if err := build(*programs, *kubernetes, *modules, *out); err != nil {
		fmt.Fprintln(os.Stderr, "build-images:", err)
		os.Exit(1)
	}
}

func build(programs, kubernetes, modules, out string) error {
	specs, err := images(programs, modules)
	if err != nil {
		return err
	}
	proxies, err := kubeProxies(kubernetes)
	if err != nil {
		return err
	}
	if len(proxies) == 0 {
		fmt.Fprintln(os.Stderr, "build-images: no kube-proxy in", kubernetes, "yet: build the payload's Kubernetes first, then this again")
	}
	var list []image.Named
	for _, s := range append(specs, proxies...) {
		img, err := image.Build(s)
		if err != nil {
			return err
		}
		list = append(list, image.Named{Name: s.Name, Image: img})
	}
	if err := image.WriteLayout(out, list); err != nil {
		return err
	}
	for _, n := range list {
		layers, err := n.Image.Layers()
		if err != nil {
			return err
		}
		size, err := layers[0].Size()
		if err != nil {
			return err
		}
		fmt.Printf("%8.1f MB  %s\n", float64(size)/1e6, n.Name)
	}
	return nil
}

func images(programs, modules string) ([]image.Spec, error) {
	coredns, err := required(filepath.Join(modules, "coredns", "go.mod"), "github.com/coredns/coredns")
	if err != nil {
		return nil, err
	}
	metrics, err := required(filepath.Join(modules, "metrics-server", "go.mod"), "sigs.k8s.io/metrics-server")
	if err != nil {
		return nil, err
	}
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	program := func(name string) image.File {
		return image.File{Path: "/" + name, Source: filepath.Join(programs, name), Mode: 0o755}
	}
	return []image.Spec{
		{
			Name:       registry + "pause:3.10",
			Entrypoint: []string{"/pause"}, User: "65535:65535",
			Files: []image.File{program("pause")},
		}, {
			Name:       registry + "hello:v1",
			Entrypoint: []string{"/hello"}, Cmd: []string{"serve"}, User: "65532:65532", Env: []string{path},
			Files: []image.File{program("hello")},
		}, {
			Name:       registry + "eks/coredns:" + coredns + "-eksbuild.1",
			Entrypoint: []string{"/coredns"}, WorkingDir: "/", Env: []string{path},
			Files: append([]image.File{program("coredns")}, roots()...),
		}, {
			Name:       registry + "eks/metrics-server:" + metrics + "-eksbuild.1",
			Entrypoint: []string{"/metrics-server"}, WorkingDir: "/", User: "65534:65534", Env: []string{path},
			Files: append([]image.File{program("metrics-server")}, roots()...),
		}, {
			Name:       registry + "amazon-k8s-cni:v1.23.1-eksbuild.1",
			Entrypoint: []string{"/vpc-cni"}, Cmd: []string{"agent"}, Env: []string{path},
			Files: append([]image.File{program("vpc-cni")}, roots()...),
		}, {
			Name:       registry + "eks/eks-pod-identity-agent:v1.3.10-eksbuild.1",
			Entrypoint: []string{"/eks-pod-identity-agent"}, Env: []string{path},
			Files: append([]image.File{program("eks-pod-identity-agent")}, roots()...),
		}, {
			Name:       registry + "aws-identity:v1",
			Entrypoint: []string{"/aws-identity"}, User: "65532:65532", Env: []string{path},
			Files: append([]image.File{program("aws-identity")}, roots()...),
		},
	}, nil
}

// roots is the host's bundle of CA certificates, if it has one: for endpoints
// beyond the machine.
func roots() []image.File {
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	if _, err := os.Stat(bundle); err != nil {
		return nil
	}
	return []image.File{{Path: bundle, Source: bundle, Mode: 0o644}}
}

// kubeProxies is one image per Kubernetes minor of the payload: kube-proxy, and
// nft, which it programs the services with.
func kubeProxies(kubernetes string) ([]image.Spec, error) {
	found, err := filepath.Glob(filepath.Join(kubernetes, "*", "kube-proxy"))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	nft, err := exec.LookPath("nft")
	if err != nil {
		return nil, fmt.Errorf("kube-proxy needs nft: %w", err)
	}
	tools, err := image.Program(nft)
	if err != nil {
		return nil, err
	}
	var out []image.Spec
	for _, p := range found {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(p), "version"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // being built
		}
		if err != nil {
			return nil, err
		}
		version, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
		out = append(out, image.Spec{
			Name:       registry + "eks/kube-proxy:" + version + "-eksbuild.1",
			Entrypoint: []string{"/usr/local/bin/kube-proxy"},
			Env:        []string{"PATH=/usr/local/bin:" + filepath.Dir(nft)},
			Files:      append([]image.File{{Path: "/usr/local/bin/kube-proxy", Source: p, Mode: 0o755}}, tools...),
		})
	}
	return out, nil
}

// required reads the version of a module from a go.mod.
func required(mod, path string) (string, error) {
	b, err := os.ReadFile(mod)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) >= 2 && f[0] == path {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", mod, path)
}
