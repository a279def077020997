package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// Token is what `aws eks get-token` prints for the cluster: a presigned request to STS
// that has the cluster's name among its signed headers.
func (c *Cloud) Token(ctx context.Context, cluster string) (string, error) {
	return c.TokenAt(ctx, cluster, time.Now())
}

// TokenAt is a token signed at another time.
func (c *Cloud) TokenAt(ctx context.Context, cluster string, at time.Time) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, aws.ToString(c.Config.BaseEndpoint)+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("x-k8s-aws-id", cluster)
	creds, err := c.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	empty := sha256.Sum256(nil)
	url, _, err := v4.NewSigner().PresignHTTP(ctx, creds, req, hex.EncodeToString(empty[:]), "sts", c.Config.Region, at)
	if err != nil {
		return "", err
	}
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(url)), nil
}

// tokens puts a fresh token into each request, and keeps one for as long as kubectl does.
type tokens struct {
	next  http.RoundTripper
	fresh func(ctx context.Context) (string, error)

	mu    sync.Mutex
	token string
	until time.Time
}

func (t *tokens) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.get(req.Context())
	if err != nil {
		return nil, fmt.Errorf("signing a token: %w", err)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return t.next.RoundTrip(req)
}

func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return t.token, nil
	}
	token, err := t.fresh(ctx)
	if err != nil {
		return "", err
	}
	t.token, t.until = token, time.Now().Add(10*time.Minute)
	return token, nil
}

// A Kube is a client of a cluster.
type Kube struct {
	*kubernetes.Clientset
	Config *rest.Config
}

// Kube is a client of the cluster as whom the cloud is.
func (c *Cloud) Kube(cl *types.Cluster) (*Kube, error) {
	name := *cl.Name
	return c.kube(cl, func(ctx context.Context) (string, error) { return c.Token(ctx, name) })
}

// KubeWithToken is a client that presents just this token.
func (c *Cloud) KubeWithToken(cl *types.Cluster, token string) (*Kube, error) {
	return c.kube(cl, func(context.Context) (string, error) { return token, nil })
}

func (c *Cloud) kube(cl *types.Cluster, fresh func(ctx context.Context) (string, error)) (*Kube, error) {
	ca, err := base64.StdEncoding.DecodeString(aws.ToString(cl.CertificateAuthority.Data))
	if err != nil {
		return nil, fmt.Errorf("the authority of cluster %s: %w", *cl.Name, err)
	}
	return newKube(&rest.Config{
		Host: aws.ToString(cl.Endpoint), TLSClientConfig: rest.TLSClientConfig{CAData: ca},
		WrapTransport: func(next http.RoundTripper) http.RoundTripper { return &tokens{next: next, fresh: fresh} },
	})
}

func newKube(cfg *rest.Config) (*Kube, error) {
	cfg.QPS, cfg.Burst = -1, -1
	set, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Kube{set, cfg}, nil
}

// Plain is a client of an API server with a bearer token and an authority's certificate
// that is not checked: for floors, which have no authority to speak of.
func Plain(host, token string) (*Kube, error) {
	return newKube(&rest.Config{Host: host, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
}

// AwaitNodes returns the nodes once there are n and all are Ready.
func (k *Kube) AwaitNodes(ctx context.Context, n int) (nodes []corev1.Node, err error) {
	err = Promptly(ctx, NodesTimeout, fmt.Sprintf("%d Ready nodes", n), func(ctx context.Context) (bool, string, error) {
		list, err := k.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err.Error(), nil // its API server may be on its way back
		}
		nodes = list.Items
		ready, why := 0, ""
		for _, node := range nodes {
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					ready++
				} else if c.Type == corev1.NodeReady {
					why = "; " + c.Message
				}
			}
		}
		return ready == n && len(nodes) == n, fmt.Sprintf("%d nodes, %d Ready%s", len(nodes), ready, why), nil
	})
	return nodes, err
}

// AwaitPods returns the pods of a label selector once there are n and all are Ready.
func (k *Kube) AwaitPods(ctx context.Context, namespace, selector string, n int) (pods []corev1.Pod, err error) {
	err = Until(ctx, NodesTimeout, fmt.Sprintf("%d Ready pods of %s in %s", n, selector, namespace), func(ctx context.Context) (bool, string, error) {
		list, err := k.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return false, err.Error(), nil
		}
		pods = list.Items
		ready, why := 0, ""
		for _, p := range pods {
			if p.DeletionTimestamp == nil && Ready(p) {
				ready++
			} else {
				why = "; " + p.Name + ": " + Explain(p)
			}
		}
		return ready == n && len(pods) == n, fmt.Sprintf("%d pods, %d Ready%s", len(pods), ready, why), nil
	})
	return pods, err
}

// Ready says whether the pod's condition Ready is true.
func Ready(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Explain says how a pod is and why.
func Explain(p corev1.Pod) string {
	out := string(p.Status.Phase)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			out += " " + c.Message
		}
	}
	for _, s := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		if w := s.State.Waiting; w != nil {
			out += " " + w.Reason + " " + w.Message
		}
		if t := s.State.Terminated; t != nil {
			out += fmt.Sprintf(" %s: exit %d %s %s", s.Name, t.ExitCode, t.Reason, t.Message)
		}
	}
	return out
}

// AwaitEnd waits until the pod has ended, and returns it with its log.
func (k *Kube) AwaitEnd(ctx context.Context, namespace, name string) (pod *corev1.Pod, log string, err error) {
	err = Until(ctx, NodesTimeout, "pod "+name+" to end", func(ctx context.Context) (bool, string, error) {
		if pod, err = k.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, "", err
		}
		return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed, Explain(*pod), nil
	})
	if err != nil {
		return pod, "", err
	}
	if log, err = k.Log(ctx, namespace, name); err != nil {
		err = fmt.Errorf("%w: %s", err, Explain(*pod))
	}
	return pod, log, err
}

// Log is the pod's log.
func (k *Kube) Log(ctx context.Context, namespace, name string) (string, error) {
	raw, err := k.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		err = fmt.Errorf("log of %s: %w: %s", name, err, raw)
	}
	return string(raw), err
}

// Exec runs a command in a pod and returns what it printed.
func (k *Kube) Exec(ctx context.Context, namespace, name string, command ...string) (string, error) {
	req := k.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	// As kubectl does it since 1.31.
	e, err := remotecommand.NewWebSocketExecutor(k.Config, http.MethodGet, req.URL().String())
	if err != nil {
		return "", err
	}
	var out, errOut bytes.Buffer
	if err := e.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
		return out.String(), fmt.Errorf("exec %v in %s: %w: %s", command, name, err, errOut.String())
	}
	return out.String(), nil
}
