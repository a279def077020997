package main

import (
	"os"
	"path/filepath"
)

// Where the instance's own authority is, in the instance and in every container of it.
const (
	trustDir    = "/etc/ekster/trust"
	trustedCA   = trustDir + "/ca/ekster.pem" // it alone, in a folder of its own
	trustBundle = trustDir + "/bundle.pem"    // together with the host's
)

// baseSpecFile is nodeadm's.
const baseSpecFile = "/etc/containerd/base-runtime-spec.json"

// trustEnv has every container's TLS clients trust the authority that signs the AWS APIs'
// certificates, without a change to images or manifests: Go's and .NET's by the folders,
// Node.js's by the file, Python's (botocore among them) by the bundle. The first two add
// to what an image trusts; the bundle replaces it by what the node trusts. A variable that
// an image or a container sets itself wins.
// See docs/decisions/0010-pods-trust-by-their-node.md, also for why AWS_CA_BUNDLE is not here.
var trustEnv = []string{
	"SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:" + trustDir + "/ca",
	"NODE_EXTRA_CA_CERTS=" + trustedCA,
	"REQUESTS_CA_BUNDLE=" + trustBundle,
}

// writeContainerTrust writes what baseSpec mounts into containers.
func writeContainerTrust(at func(string) string, own string, bundle []byte) error {
	if err := os.MkdirAll(at(filepath.Dir(trustedCA)), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(at(trustedCA), []byte(own), 0o644); err != nil {
		return err
	}
	return os.WriteFile(at(trustBundle), bundle, 0o644)
}

// baseSpec is what containerd makes containers from: its default, and the trust.
func baseSpec() map[string]any {
	type object = map[string]any
	mount := func(at, kind, source string, options ...string) object {
		return object{"destination": at, "type": kind, "source": source, "options": options}
	}
	capabilities := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	return object{
		"ociVersion": "1.2.1",
		"root":       object{"path": "rootfs"},
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "cwd": "/", "env": trustEnv, "noNewPrivileges": true,
			"capabilities": object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
		},
		"mounts": []object{
			mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			mount(trustDir, "bind", trustDir, "rbind", "ro", "nosuid", "nodev", "noexec"),
		},
		"linux": object{
			"resources": object{"devices": []object{{"allow": false, "access": "rwm"}}},
			"namespaces": []object{
				{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"},
			},
		},
	}
}
