package machine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ekster.dev/ekster/internal/process"
)

// userData is a NodeConfig as a managed node group gives it.
func (w *world) userData(ca []byte) string {
	return fmt.Sprintf(`MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: text/x-shellscript

#!/bin/sh
echo run >>/root/script-ran
echo '%s' >/etc/cni/net.d/10-test.conflist

--//
Content-Type: application/node.eks.aws

---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates:
    InstanceIdNodeName: true # else EC2 is asked for the name
  cluster:
    apiServerEndpoint: https://%s:6443
    certificateAuthority: %s
    cidr: 10.100.0.0/16
    name: c1
  kubelet:
    config:
      registryPullQPS: 7
    flags:
    - --node-labels=eks.amazonaws.com/nodegroup=ng,eks.amazonaws.com/capacityType=ON_DEMAND

--//--
`, conflist, routerIP, base64.StdEncoding.EncodeToString(ca))
}

// registry serves images of the test's own program, as the mirror of all registries.
func (w *world) registry(t *testing.T) {
	t.Helper()
	program := filepath.Join(w.dir, "hello")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	err = archive.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(binary))})
	if err == nil {
		_, err = archive.Write(binary)
	}
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err == nil {
		image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH,
			RootFS: config.RootFS, Config: v1.Config{Entrypoint: []string{"/hello"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	push := httptest.NewServer(h)
	defer push.Close()
	for _, name := range []string{"pause:3.10", "team/hello:v1"} {
		if err := crane.Push(image, strings.TrimPrefix(push.URL, "http://")+"/"+name, crane.Insecure); err != nil {
			t.Fatal(err)
		}
	}
	w.serve(t, "198.18.0.1:5000", h)
}

// A plane is a kube-apiserver with its etcd in the router.
type plane struct {
	ca     []byte
	client *kubernetes.Clientset
}

func (w *world) plane(t *testing.T, kube string) plane {
	t.Helper()
	dir := filepath.Join(w.dir, "plane")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ca, caKey := certificate(t, nil, nil, pkix.Name{CommonName: "ca"})
	crt, key := certificate(t, ca, caKey, pkix.Name{CommonName: "kube-apiserver"}, routerIP)
	admin, adminKey := certificate(t, ca, caKey, pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}})
	for file, content := range map[string][]byte{
		"ca.crt": ca, "server.crt": crt, "server.key": key,
		"webhook": []byte(`{"clusters":[{"name":"a","cluster":{"server":"http://198.18.0.1:9000/"}}],` +
			`"contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],"current-context":"a","users":[{"name":"a"}]}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.serve(t, "198.18.0.1:9000", http.HandlerFunc(reviewToken))
	start := func(name string, args ...string) {
		_, _, err := process.Ensure(dir, name, process.Spec{Path: filepath.Join(kube, "kube"), Args: append([]string{name}, args...),
			Dir: dir, Log: filepath.Join(dir, name+".log"), Netns: w.router})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := process.Stop(context.Background(), dir, name, time.Second); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				logTail(t, filepath.Join(dir, name+".log"), 3000)
			}
		})
	}
	start("etcd", "--data-dir="+dir+"/etcd", "--listen-client-urls=http://198.18.0.1:2379", "--advertise-client-urls=http://198.18.0.1:2379",
		"--listen-peer-urls=http://198.18.0.1:2380", "--unsafe-no-fsync", "--logger=zap", "--log-level=error")
	start("kube-apiserver", "--etcd-servers=http://198.18.0.1:2379", "--secure-port=6443", "--bind-address="+routerIP, "--cert-dir="+dir,
		"--tls-cert-file=server.crt", "--tls-private-key-file=server.key", "--client-ca-file=ca.crt",
		"--authentication-token-webhook-config-file=webhook", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://ekster.test", "--service-account-key-file=server.crt", "--service-account-signing-key-file=server.key",
		"--service-cluster-ip-range=10.100.0.0/16", "--disable-admission-plugins=ServiceAccount")
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + routerIP + ":6443", QPS: 100, Burst: 100,
		TLSClientConfig: rest.TLSClientConfig{CAData: ca, CertData: admin, KeyData: adminKey},
		Dial:            w.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	poll(t, 60*time.Second, "kube-apiserver", func() error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(context.Background()).Error()
	})
	return plane{ca: ca, client: client}
}

// reviewToken is the authenticator: it takes the token apart as EKS does, but
// for asking STS.
func reviewToken(w http.ResponseWriter, r *http.Request) {
	var review struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Spec       map[string]any `json:"spec"`
		Status     map[string]any `json:"status"`
	}
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &review)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	token, _ := review.Spec["token"].(string)
	presigned, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "k8s-aws-v1."))
	u, parseErr := url.Parse(string(presigned))
	ok := err == nil && parseErr == nil && u.Host == "sts."+region+".amazonaws.com" &&
		strings.HasPrefix(u.Query().Get("X-Amz-Credential"), "ASIAEXAMPLE/") &&
		u.Query().Get("X-Amz-Security-Token") == "session"
	review.Status = map[string]any{"authenticated": ok}
	if ok {
		review.Status["user"] = map[string]any{"username": "system:node:" + nodeName, "groups": []string{"system:bootstrappers", "system:nodes"}}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(review)
}

func certificate(t *testing.T, ca, caKey []byte, subject pkix.Name, ips ...string) (crt, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, ip := range ips {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.ParseIP(ip))
	}
	parent, signer := tmpl, k
	if ca == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		block, _ := pem.Decode(ca)
		if parent, err = x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
		block, _ = pem.Decode(caKey)
		if signer, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &k.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}
