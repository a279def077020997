package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ekster.dev/ekster/internal/machine/spec"
)

// The user that EC2's images have for people.
const (
	userName = "ec2-user"
	userHome = "/home/" + userName
	userID   = 1000
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
	files["/etc/resolv.conf"] = resolvConf(i.NameServers, i.Domains)
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n" +
			"ec2-user:x:1000:1000:EC2 Default User:" + userHome + ":/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"/etc/group":  "root:x:0:\nadm:x:4:ec2-user\ntty:x:5:\nwheel:x:10:ec2-user\nec2-user:x:1000:\nnogroup:x:65534:\n",
		"/etc/shadow": "root:*:19000::::::\nec2-user:!!:19000::::::\nnobody:*:19000::::::\n",
	} {
		if err := writeOnce(path, content); err != nil {
			return err
		}
	}
	if err := os.Mkdir(userHome, 0o700); err == nil {
		if err := os.Chown(userHome, userID, userID); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := symlink("../usr/lib/os-release", "/etc/os-release"); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"containerd": nodeDir, "containerd-shim-runc-v2": nodeDir, "runc": nodeDir, "machine-init": nodeDir, "machine-sshd": nodeDir,
		"kubelet": kubeDir + "/kube", "kubectl": kubeDir + "/kube",
	} {
		if to == nodeDir {
			to += "/" + name
		}
		if err := symlink(to, binDir+"/"+name); err != nil {
			return err
		}
	}
	for name := range powerCommands {
		if err := symlink(nodeDir+"/machine-init", binDir+"/"+name); err != nil {
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

// hostBundles are where distributions keep the certificates that all trust.
var hostBundles = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// writeTrust writes the bundle where the TLS clients of all distributions, and
// pods that mount the node's, look for it: the host's certificates, if it has
// any, and the instance's own.
func writeTrust(at func(string) string, extra string) error {
	var bundle []byte
	for _, path := range hostBundles {
		raw, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		bundle = append(bytes.TrimSpace(raw), '\n')
		break
	}
	bundle = append(bundle, extra...)
	const first = "/etc/ssl/certs/ca-certificates.crt"
	if err := os.MkdirAll(filepath.Dir(at(first)), 0o755); err != nil {
		return err
	}
	if prior, err := os.ReadFile(at(first)); err != nil || !bytes.Equal(prior, bundle) {
		if err := os.WriteFile(at(first), bundle, 0o644); err != nil {
			return err
		}
	}
	for _, path := range []string{"/etc/ssl/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/pki/tls/cert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"} {
		if err := symlink(first, at(path)); err != nil {
			return err
		}
	}
	return writeContainerTrust(at, extra, bundle)
}
