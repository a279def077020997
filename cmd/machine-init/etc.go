package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// machineID is stable for an instance, and in the form EC2 gives it.
func machineID(id string) string {
	return "ec2" + fmt.Sprintf("%x", sha256.Sum256([]byte(id)))[:29]
}

// productUUID is the same as a UUID: what the kubelet reports as systemUUID.
func productUUID(id string) string {
	sum := sha256.Sum256([]byte(id))
	sum[0], sum[1] = 0xec, 0x20|sum[1]&0x0f
	return formatUUID(sum[:16])
}

// writeEtc writes the instance's /etc. What users may have changed (accounts)
// is written at the first boot only.
func writeEtc(i spec.Instance) error {
	files := map[string]string{
		"/etc/hostname":   i.Hostname + "\n",
		"/etc/hosts":      "127.0.0.1 localhost\n::1 localhost\n",
		"/etc/machine-id": machineID(i.ID) + "\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n" +
			"networks: files\nprotocols: files\nservices: files\n",
	}
	files["/etc/resolv.conf"] = resolvConf([]string{i.DNS}, i.Domains)
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"/etc/group":  "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
		"/etc/shadow": "root:*:19000::::::\nnobody:*:19000::::::\n",
	} {
		if err := writeOnce(path, content); err != nil {
			return err
		}
	}
	if err := symlink("../usr/lib/os-release", "/etc/os-release"); err != nil {
		return err
	}
	if err := writeTrust(i.Trusted); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"containerd": nodeDir, "containerd-shim-runc-v2": nodeDir, "runc": nodeDir, "machine-init": nodeDir,
		"kubelet": kubeDir + "/kube", "kubectl": kubeDir + "/kube",
	} {
		if to == nodeDir {
			to += "/" + name
		}
		if err := symlink(to, binDir+"/"+name); err != nil {
			return err
		}
	}
	return unix.Sethostname([]byte(i.Hostname))
}

func resolvConf(nameservers, domains []string) string {
	var b strings.Builder
	if d := strings.TrimSpace(strings.Join(domains, " ")); d != "" {
		b.WriteString("search " + d + "\n")
	}
	for _, n := range nameservers {
		if n != "" {
			b.WriteString("nameserver " + n + "\n")
		}
	}
	b.WriteString("options timeout:2 attempts:5\n")
	return b.String()
}

func writeOnce(path, content string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// writeTrust makes the bundle that TLS clients of all distributions find: the
// host's certificates, which /usr holds, and the instance's own.
func writeTrust(extra string) error {
	const dir = "/etc/ssl/certs"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	bundle, err := hostCertificates()
	if err != nil {
		return err
	}
	bundle = append(bundle, extra...)
	for _, path := range []string{dir + "/ca-certificates.crt", dir + "/ca-bundle.crt"} {
		if prior, err := os.ReadFile(path); err == nil && bytes.Equal(prior, bundle) {
			continue
		}
		if err := os.WriteFile(path, bundle, 0o644); err != nil {
			return err
		}
	}
	for path, to := range map[string]string{
		"/etc/ssl/cert.pem":                                 "certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt":                  dir + "/ca-bundle.crt",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": dir + "/ca-bundle.crt",
	} {
		if err := symlink(to, path); err != nil {
			return err
		}
	}
	return nil
}

// hostCertificates joins the certificates below /usr/share; a host without
// them has none to give.
func hostCertificates() ([]byte, error) {
	const dir = "/usr/share/ca-certificates/mozilla"
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, e := range entries {
		raw, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		all = append(append(all, bytes.TrimSpace(raw)...), '\n')
	}
	return all, nil
}
