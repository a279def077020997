// Command build-vpc-cni puts the programs of AWS's own VPC CNI, which hack/build-vpc-cni.sh
// has compiled, into its two images: as upstream's Dockerfiles lay them out, with the host's
// iptables, of which upstream's base image has its own.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ekster.dev/ekster/internal/image"
)

func main() {
	programs := flag.String("programs", "", "directory with app/ and init/")
	version := flag.String("version", "", "the images' tag")
	out := flag.String("out", "", "OCI layout directory to write")
	flag.Parse()
	if err := build(*programs, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "build-vpc-cni:", err)
		os.Exit(1)
	}
}

func build(programs, version, out string) error {
	var list []image.Named
	for _, s := range []image.Spec{
		{Name: "registry.ekster.internal/amazon-k8s-cni:" + version, Entrypoint: []string{"/app/aws-vpc-cni"}, WorkingDir: "/app"},
		{Name: "registry.ekster.internal/amazon-k8s-cni-init:" + version, Cmd: []string{"/init/aws-vpc-cni-init"}, WorkingDir: "/init"},
	} {
		s.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		files, err := filepath.Glob(filepath.Join(programs, filepath.Base(s.WorkingDir), "*"))
		if err != nil {
			return err
		}
		for _, f := range files {
			s.Files = append(s.Files, image.File{Path: filepath.Join(s.WorkingDir, filepath.Base(f)), Source: f})
		}
		if s.WorkingDir == "/app" {
			s.Files = append(s.Files, image.File{Path: "/tmp", Mode: fs.ModeDir | 0o777})
			tools, err := iptables()
			if err != nil {
				return err
			}
			s.Files = append(s.Files, tools...)
		}
		img, err := image.Build(s)
		if err != nil {
			return err
		}
		list = append(list, image.Named{Name: s.Name, Image: img})
	}
	return image.WriteLayout(out, list)
}

// iptables is the program by the names that the agent calls, with its extensions, which it
// loads by name.
func iptables() ([]image.File, error) {
	seen := map[string]bool{}
	var all []image.File
	add := func(files []image.File) {
		for _, f := range files {
			if !seen[f.Path] {
				seen[f.Path] = true
				all = append(all, f)
			}
		}
	}
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save"} {
		files, err := image.Program(filepath.Join("/usr/sbin", name))
		if err != nil {
			return nil, err
		}
		add(files)
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return nil, err
	}
	for _, so := range extensions {
		add([]image.File{{Path: so, Source: so, Mode: 0o644}})
	}
	if len(extensions) == 0 {
		return nil, fmt.Errorf("iptables has no extensions")
	}
	return all, nil
}
