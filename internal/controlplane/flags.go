package controlplane

import (
	"path/filepath"
	"slices"

	"ekster.dev/ekster/internal/pki"
)

// apiServerFlags, controllerManagerFlags and schedulerFlags are what EKS's control planes run with, as far as a
// client can see it. What follows from the parts sharing one process is added by distro/controlplane.

func apiServerFlags(cfg Config) []string {
	dir := pkiDir(cfg.Dir)
	return append([]string{
		"--advertise-address=" + cfg.Addresses[0].String(),
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + cfg.ServiceCIDR.String(),
		"--tls-cert-file=" + pki.CertFile(dir, serverPair),
		"--tls-private-key-file=" + pki.KeyFile(dir, serverPair),

		"--authentication-config=" + filepath.Join(cfg.Dir, authenticationFile),
		"--client-ca-file=" + pki.CertFile(dir, caPair),
		"--authentication-token-webhook-config-file=" + filepath.Join(cfg.Dir, authenticateFile),
		"--authentication-token-webhook-version=v1",
		// How late a removed access entry is noticed.
		"--authentication-token-webhook-cache-ttl=1s",
		"--authorization-config=" + filepath.Join(cfg.Dir, authorizationFile),
		// On by default are all others that EKS names.
		"--enable-admission-plugins=NodeRestriction,ExtendedResourceToleration",

		"--service-account-issuer=" + cfg.IssuerURL,
		"--service-account-jwks-uri=" + cfg.IssuerURL + "/keys",
		"--service-account-signing-key-file=" + pki.KeyFile(dir, serviceTokenPair),
		"--service-account-key-file=" + pki.KeyFile(dir, serviceTokenPair),
		// The audience of pods' tokens on EKS; without it, it would be the issuer.
		"--api-audiences=https://kubernetes.default.svc",

		"--kubelet-client-certificate=" + pki.CertFile(dir, kubeletPair),
		"--kubelet-client-key=" + pki.KeyFile(dir, kubeletPair),
		// Nodes' names resolve inside the VPC only, if at all.
		"--kubelet-preferred-address-types=InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",

		"--enable-aggregator-routing=true",
		// Watches end soon after the process has been asked to stop, and it after them: the next one waits for it.
		"--shutdown-watch-termination-grace-period=1s",
		"--requestheader-client-ca-file=" + pki.CertFile(dir, frontCAPair),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki.CertFile(dir, frontPair),
		"--proxy-client-key-file=" + pki.KeyFile(dir, frontPair),
	}, append(auditFlags(cfg), cfg.Tier.apiServerFlags()...)...)
}

func controllerManagerFlags(cfg Config) []string {
	dir := pkiDir(cfg.Dir)
	return slices.Concat([]string{
		"--kubeconfig=" + filepath.Join(cfg.Dir, controllersFile),
		"--secure-port=0", // nobody asks: when it ends, the process ends
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--cloud-provider=external",
		"--allocate-node-cidrs=false",
		"--cluster-name=" + cfg.ClusterName,
		"--service-cluster-ip-range=" + cfg.ServiceCIDR.String(),
		"--root-ca-file=" + pki.CertFile(dir, caPair),
		"--service-account-private-key-file=" + pki.KeyFile(dir, serviceTokenPair),
	}, cfg.Tier.controllerFlags(), []string{
		// The one signer that is EKS's too: client certificates are never signed there.
		"--cluster-signing-kubelet-serving-cert-file=" + pki.CertFile(dir, caPair),
		"--cluster-signing-kubelet-serving-key-file=" + pki.KeyFile(dir, caPair),
	})
}

func schedulerFlags(cfg Config) []string {
	return append([]string{
		"--kubeconfig=" + filepath.Join(cfg.Dir, schedulerFile),
		"--secure-port=0",
		"--leader-elect=false",
	}, cfg.Tier.schedulerFlags()...)
}
