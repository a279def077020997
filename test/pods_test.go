package test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	authentication "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/kubeapply"
	"ekster.dev/ekster/test/lab"
)

const identityImage = "registry.ekster.internal/aws-identity:v1"

// pods is one cluster with a node, whose pods have identities.
type pods struct {
	cloud   *lab.Cloud
	cluster *types.Cluster
	kube    *lab.Kube
	account string
	issuer  string // without https://
}

// TestPods gives pods each kind of AWS identity, and people one of an OIDC issuer. In the pods
// an AWS SDK that nothing has been told of Ekster asks who it is.
func TestPods(t *testing.T) {
	people := newIssuer(t)
	d, cloud := newDaemonWith(t, "SSL_CERT_FILE="+people.bundle)
	p := &pods{cloud: cloud}
	land, err := cloud.Landscape(t.Context())
	no(t, err)
	p.account, err = cloud.Account(t.Context())
	no(t, err)
	_, err = cloud.EKS.CreateCluster(t.Context(), land.ClusterInput(clusterName, ""))
	no(t, err)
	p.cluster, err = cloud.AwaitCluster(t.Context(), clusterName)
	no(t, err)
	p.kube, err = cloud.Kube(p.cluster)
	no(t, err)
	p.issuer = strings.TrimPrefix(*p.cluster.Identity.Oidc.Issuer, "https://")
	_, err = cloud.EKS.CreateNodegroup(t.Context(), land.NodegroupInput(clusterName, "ng", 1))
	no(t, err)
	t.Run("OIDC issuer for people", func(t *testing.T) { people.check(t, d, p) })
	_, err = p.kube.AwaitNodes(t.Context(), 1)
	no(t, err)

	t.Run("the node's role", p.nodeRole)
	t.Run("IRSA", p.irsa)
	t.Run("Pod Identity", p.podIdentity)
}

// newDaemonWith is newDaemon with more in the daemon's environment.
func newDaemonWith(t *testing.T, env ...string) (*lab.Daemon, *lab.Cloud) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real clusters")
	}
	if why := lab.Missing(); why != "" {
		t.Skip(why)
	}
	d, err := lab.New()
	no(t, err)
	d.Env = env
	t.Cleanup(func() { purge(t, d) })
	no(t, d.Up(t.Context()))
	cloud, err := d.Cloud(t.Context())
	no(t, err)
	return d, cloud
}

// run runs aws-identity to its end as a service account, which it makes if it is not there.
func (p *pods) run(t *testing.T, name, namespace, account string, annotations map[string]string, args ...string) (pod *corev1.Pod, log string) {
	t.Helper()
	ctx := t.Context()
	accounts := p.kube.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Get(ctx, account, metav1.GetOptions{}); err != nil {
		_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Annotations: annotations}}, metav1.CreateOptions{})
		no(t, err)
	}
	_, err := p.kube.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
			ServiceAccountName: account, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{Name: "main", Image: identityImage, Args: args}},
		},
	}, metav1.CreateOptions{})
	no(t, err)
	pod, log, err = p.kube.AwaitEnd(ctx, namespace, name)
	no(t, err)
	return pod, strings.TrimSpace(log)
}

// says checks the end of a pod and what it has printed.
func says(t *testing.T, pod *corev1.Pod, log string, phase corev1.PodPhase, want ...string) {
	t.Helper()
	t.Logf("%s: %s", pod.Name, log)
	for _, w := range want {
		if pod.Status.Phase != phase || !strings.Contains(log, w) {
			t.Errorf("pod %s is %s and says %q, want %s and %q", pod.Name, pod.Status.Phase, log, phase, w)
		}
	}
}

// A pod without an identity has that of its node, whose metadata the hop limit of managed nodes lets it reach.
func (p *pods) nodeRole(t *testing.T) {
	pod, log := p.run(t, "plain", "default", "default", nil)
	says(t, pod, log, corev1.PodSucceeded, "arn:aws:sts::"+p.account+":assumed-role/lab-node/i-", "EC2RoleProvider")
	if len(pod.Spec.Containers[0].Env) > 0 || len(pod.Spec.Volumes) != 1 {
		t.Errorf("a pod without an identity was changed: %+v", pod.Spec)
	}
}

// irsaTrust lets the pods of default/app have a role.
func (p *pods) irsaTrust(namespace string) *string {
	return new(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:sub":"system:serviceaccount:%s:app","%s:aud":"sts.amazonaws.com"}}}]}`,
		p.account, p.issuer, p.issuer, namespace, p.issuer))
}

func (p *pods) irsa(t *testing.T) {
	ctx := t.Context()
	role, err := p.cloud.Role(ctx, "irsa", p.irsaTrust("default"))
	no(t, err)
	annotated := map[string]string{"eks.amazonaws.com/role-arn": role}
	pod, log := p.run(t, "too-early", "default", "app", annotated)
	says(t, pod, log, corev1.PodFailed, "InvalidIdentityToken")

	_, err = p.cloud.IAM.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://" + p.issuer), ClientIDList: []string{"sts.amazonaws.com"}})
	no(t, err)
	pod, log = p.run(t, "irsa", "default", "app", annotated)
	says(t, pod, log, corev1.PodSucceeded, "arn:aws:sts::"+p.account+":assumed-role/irsa/", "WebIdentityCredentials")

	pod, log = p.run(t, "irsa-denied", "default", "app", annotated, "describe", clusterName)
	says(t, pod, log, corev1.PodFailed, "AccessDenied", "is not authorized to perform: eks:DescribeCluster")
	p.allow(t, "irsa")
	pod, log = p.run(t, "irsa-allowed", "default", "app", annotated, "describe", clusterName)
	says(t, pod, log, corev1.PodSucceeded, *p.cluster.Arn)

	// Another namespace in the trust policy's condition.
	_, err = p.cloud.IAM.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: new("irsa"), PolicyDocument: p.irsaTrust("elsewhere")})
	no(t, err)
	pod, log = p.run(t, "irsa-typo", "default", "app", annotated)
	says(t, pod, log, corev1.PodFailed, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
}

// allow lets a role describe clusters.
func (p *pods) allow(t *testing.T, role string) {
	t.Helper()
	_, err := p.cloud.IAM.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: &role, PolicyName: new("describe"),
		PolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:DescribeCluster","Resource":"*"}]}`),
	})
	no(t, err)
}

func (p *pods) podIdentity(t *testing.T) {
	ctx := t.Context()
	no(t, p.installAgent(ctx))
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],
		"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}}}]}`
	role, err := p.cloud.Role(ctx, "pod-identity", &trust)
	no(t, err)
	// The service account still has its annotation, of a role that it may not have any more.
	a, err := p.cloud.EKS.CreatePodIdentityAssociation(ctx, &eks.CreatePodIdentityAssociationInput{
		ClusterName: new(clusterName), Namespace: new("default"), ServiceAccount: new("app"), RoleArn: &role,
	})
	no(t, err)
	_, err = p.kube.AwaitPods(ctx, "kube-system", "app.kubernetes.io/name=eks-pod-identity-agent", 1)
	no(t, err)
	pod, log := p.run(t, "pod-identity", "default", "app", nil)
	says(t, pod, log, corev1.PodSucceeded, "arn:aws:sts::"+p.account+":assumed-role/pod-identity/eks-"+clusterName[:4], "CredentialsEndpointProvider")
	if pod.Labels["eks.amazonaws.com/pod-identity"] != "enabled" {
		t.Errorf("labels %v", pod.Labels)
	}
	pod, log = p.run(t, "pod-identity-denied", "default", "app", nil, "describe", clusterName)
	says(t, pod, log, corev1.PodFailed, "is not authorized to perform: eks:DescribeCluster")
	// By a tag of the session.
	_, err = p.cloud.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("pod-identity"), PolicyName: new("describe"), PolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:DescribeCluster","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/kubernetes-service-account":"app"}}}]}`)})
	no(t, err)
	pod, log = p.run(t, "pod-identity-allowed", "default", "app", nil, "describe", clusterName)
	says(t, pod, log, corev1.PodSucceeded, *p.cluster.Arn)

	t.Run("a token whose pod is gone", p.tokenOfNoPod)
	p.takenAway(t)
	_, err = p.cloud.EKS.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: new(clusterName), AssociationId: a.Association.AssociationId})
	no(t, err)
}

// tokenOfNoPod presents two tokens of one pod: one while it is there, one when it is not.
func (p *pods) tokenOfNoPod(t *testing.T) {
	ctx := t.Context()
	owner, err := p.kube.CoreV1().Pods("default").Get(ctx, "pod-identity", metav1.GetOptions{})
	no(t, err)
	token := func() string {
		r, err := p.kube.CoreV1().ServiceAccounts("default").CreateToken(ctx, "app", &authentication.TokenRequest{Spec: authentication.TokenRequestSpec{
			Audiences: []string{"pods.eks.amazonaws.com"}, ExpirationSeconds: new(int64(3600)),
			BoundObjectRef: &authentication.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: owner.Name, UID: owner.UID},
		}}, metav1.CreateOptions{})
		no(t, err)
		return r.Status.Token
	}
	present := func(name, token string) (*corev1.Pod, string) {
		_, err := p.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{
				Name: "main", Image: identityImage, Env: []corev1.EnvVar{
					{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
					{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN", Value: token},
				},
			}}},
		}, metav1.CreateOptions{})
		no(t, err)
		pod, log, err := p.kube.AwaitEnd(ctx, "default", name)
		no(t, err)
		return pod, strings.TrimSpace(log)
	}
	first, second := token(), token()
	if first == second {
		t.Fatal("two tokens are the same one, which the agent would remember")
	}
	pod, log := present("token-of-a-pod", first)
	says(t, pod, log, corev1.PodSucceeded, ":assumed-role/pod-identity/eks-")
	no(t, p.kube.CoreV1().Pods("default").Delete(ctx, owner.Name, metav1.DeleteOptions{}))
	awaitError(t, "the pod to be gone", func(ctx context.Context) error {
		_, err := p.kube.CoreV1().Pods("default").Get(ctx, owner.Name, metav1.GetOptions{})
		return err
	}, apierrors.IsNotFound)
	pod, log = present("token-of-no-pod", second)
	says(t, pod, log, corev1.PodFailed, "InvalidTokenException")
}

// takenAway deletes the role while a pod uses it.
func (p *pods) takenAway(t *testing.T) {
	ctx := t.Context()
	_, err := p.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "watch"}, Spec: corev1.PodSpec{
			ServiceAccountName: "app", Containers: []corev1.Container{{Name: "main", Image: identityImage, Args: []string{"watch", "200ms"}}},
		},
	}, metav1.CreateOptions{})
	no(t, err)
	last := func(what, want string) {
		t.Helper()
		no(t, lab.Until(ctx, 30*time.Second, what, func(ctx context.Context) (bool, string, error) {
			log, err := p.kube.Log(ctx, "default", "watch")
			if err != nil {
				return false, err.Error(), nil // it is still being started
			}
			lines := strings.Split(strings.TrimSpace(log), "\n")
			line := lines[len(lines)-1]
			return strings.Contains(line, want), line, nil
		}))
	}
	last("the pod to be somebody", "assumed-role/pod-identity/")
	_, err = p.cloud.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("pod-identity"), PolicyName: new("describe")})
	no(t, err)
	_, err = p.cloud.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("pod-identity")})
	no(t, err)
	last("the pod to be nobody", "error: ")
}

// installAgent applies the objects of the add-on eks-pod-identity-agent.
func (p *pods) installAgent(ctx context.Context) error {
	catalogue, err := addon.Load()
	if err != nil {
		return err
	}
	agent, ok := catalogue.Find("eks-pod-identity-agent")
	if !ok {
		return errors.New("the catalogue has no agent")
	}
	version, ok := agent.DefaultVersion(*p.cluster.Version)
	if !ok {
		return fmt.Errorf("the agent has no version for Kubernetes %s", *p.cluster.Version)
	}
	objects, err := catalogue.Render(addon.Values{
		ClusterName: clusterName, Region: p.cloud.Config.Region, Endpoint: *p.cluster.Endpoint, DNSIP: "10.100.0.10", AWSEndpointURL: "http://198.18.0.1",
	}, addon.Installation{Name: "eks-pod-identity-agent", Version: version.Version})
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(p.kube.Config)
	if err != nil {
		return err
	}
	return kubeapply.Apply(ctx, client, objects, true)
}
