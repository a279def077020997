package controlplane

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"ekster.dev/ekster/internal/pki"
)

// Names of the pairs in <Dir>/pki.
const (
	caPair           = "ca"                 // clients, the API server and kubelets
	frontCAPair      = "front-proxy-ca"     // aggregated API servers know the API server by it
	serverPair       = "apiserver"          // the API server's certificate
	kubeletPair      = "kubelet-client"     // the API server as it calls kubelets
	frontPair        = "front-proxy-client" // the API server as it calls aggregated ones
	controllersPair  = "controller-manager"
	schedulerPair    = "scheduler"
	adminPair        = "admin"           // the daemon itself
	serviceTokenPair = "service-account" // a key only
)

// keys is what of a control plane's keys others need.
type keys struct {
	ca, jwks            []byte
	adminCert, adminKey []byte
}

// ensureKeys makes what is missing of the control plane's keys. A control plane has authorities of its own, as
// a cluster on EKS has.
func ensureKeys(cfg Config) (keys, error) {
	dir := pkiDir(cfg.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return keys{}, fmt.Errorf("making its directory: %w", err)
	}
	ca, err := pki.EnsureCA(dir, caPair, "kubernetes")
	if err != nil {
		return keys{}, err
	}
	frontCA, err := pki.EnsureCA(dir, frontCAPair, "front-proxy-ca")
	if err != nil {
		return keys{}, err
	}
	k := keys{ca: ca.PEM}
	for _, leaf := range leavesFor(cfg) {
		authority := ca
		if leaf.pair == frontPair {
			authority = frontCA
		}
		cert, key, err := authority.EnsureLeaf(dir, leaf.pair, leaf.Leaf)
		if err != nil {
			return keys{}, err
		}
		if leaf.pair == adminPair {
			k.adminCert, k.adminKey = cert, key
		}
	}
	signing, err := pki.EnsureRSAKey(dir, serviceTokenPair)
	if err != nil {
		return keys{}, err
	}
	k.jwks, err = pki.JWKS(&signing.PublicKey)
	return k, err
}

func pkiDir(dir string) string { return filepath.Join(dir, "pki") }

type namedLeaf struct {
	pair string
	pki.Leaf
}

// leavesFor says what each certificate says. Pure.
func leavesFor(cfg Config) []namedLeaf {
	client := func(pair, user string, groups ...string) namedLeaf {
		return namedLeaf{pair, pki.Leaf{CommonName: user, Organizations: groups, Client: true}}
	}
	return []namedLeaf{
		{serverPair, serverLeaf(cfg)},
		// EKS's names. Users that RBAC objects do not show, in the group that may do everything.
		client(kubeletPair, "kube-apiserver-kubelet-client", "system:masters"),
		client(adminPair, "eks:cluster-bootstrap", "system:masters"),
		client(controllersPair, "system:kube-controller-manager"),
		client(schedulerPair, "system:kube-scheduler"),
		client(frontPair, "front-proxy-client"),
	}
}

func serverLeaf(cfg Config) pki.Leaf {
	leaf := pki.Leaf{
		CommonName: "kube-apiserver",
		Server:     true,
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
		IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
	seen := map[netip.Addr]bool{leaf.IPs[0]: true}
	addIP := func(ip netip.Addr) {
		if !seen[ip] {
			seen[ip] = true
			leaf.IPs = append(leaf.IPs, ip)
		}
	}
	addIP(cfg.Listen.Addr())
	addIP(cfg.ServiceCIDR.Masked().Addr().Next()) // of the Service "kubernetes"
	for _, ip := range cfg.Addresses {
		addIP(ip)
	}
	for _, san := range cfg.SANs {
		if ip, err := netip.ParseAddr(san); err == nil {
			addIP(ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, san)
		}
	}
	return leaf
}
