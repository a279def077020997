package test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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
	steady  string // the association of a pod that goes on
}

// TestPods gives pods each kind of AWS identity, and people one of an OIDC issuer. In the pods
// an AWS SDK that nothing has been told of Ekster asks who it is.
func TestPods(t *testing.T) {
	needsClusters(t)
	people := newProvider(t)
	d, cloud := newDaemon(t, func(d *lab.Daemon) {
		d.Env, d.Flags = []string{"SSL_CERT_FILE=" + people.bundle}, []string{"--max-session", maxSession.String()}
	})
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

	// Pods that watch who they are run beside all else; what has become of them is seen at the end.
	t.Run("the node's role", p.nodeRole)
	t.Run("IRSA", p.irsa)
	t.Run("Pod Identity", p.podIdentity)
	t.Run("renewal", p.renewal)
	t.Run("roles are taken away", p.takenAway)
	t.Run("hop limit", p.hopLimit)
	t.Run("no role any more", p.roleless)
}

// run runs aws-identity to its end as a service account, which it makes if it is not there.
func (p *pods) run(t *testing.T, name, namespace, account string, annotations map[string]string, args ...string) (pod *corev1.Pod, log string) {
	t.Helper()
	p.create(t, identityPod(name, namespace, account, args...), annotations)
	return p.end(t, name, namespace)
}

// end is what has become of a pod that ends by itself.
func (p *pods) end(t *testing.T, name, namespace string) (pod *corev1.Pod, log string) {
	t.Helper()
	pod, log, err := p.kube.AwaitEnd(t.Context(), namespace, name)
	no(t, err)
	return pod, strings.TrimSpace(log)
}

// start starts aws-identity in namespace default, for it to go on.
func (p *pods) start(t *testing.T, name, account string, annotations map[string]string, args ...string) {
	t.Helper()
	p.create(t, identityPod(name, "default", account, args...), annotations)
}

func identityPod(name, namespace, account string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: corev1.PodSpec{
			ServiceAccountName: account, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{Name: "main", Image: identityImage, Args: args}},
		},
	}
}

func (p *pods) create(t *testing.T, pod *corev1.Pod, annotations map[string]string) {
	t.Helper()
	ctx := t.Context()
	accounts := p.kube.CoreV1().ServiceAccounts(pod.Namespace)
	if _, err := accounts.Get(ctx, pod.Spec.ServiceAccountName, metav1.GetOptions{}); err != nil {
		_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: pod.Spec.ServiceAccountName, Annotations: annotations}}, metav1.CreateOptions{})
		no(t, err)
	}
	_, err := p.kube.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	no(t, err)
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
	p.start(t, "steady-node", "default", nil, "watch", "250ms", renewEarly.String())
	if len(pod.Spec.Containers[0].Env) > 0 || len(pod.Spec.Volumes) != 1 {
		t.Errorf("a pod without an identity was changed: %+v", pod.Spec)
	}
}

// irsaTrust lets the pods of a service account have a role.
func (p *pods) irsaTrust(namespace, account string) *string {
	return new(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::%s:oidc-provider/%s"},
		"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"%s:sub":"system:serviceaccount:%s:%s","%s:aud":"sts.amazonaws.com"}}}]}`,
		p.account, p.issuer, p.issuer, namespace, account, p.issuer))
}

func (p *pods) irsa(t *testing.T) {
	ctx := t.Context()
	role, err := p.cloud.Role(ctx, "irsa", p.irsaTrust("default", "app"))
	no(t, err)
	annotated := map[string]string{"eks.amazonaws.com/role-arn": role}
	pod, log := p.run(t, "too-early", "default", "app", annotated)
	says(t, pod, log, corev1.PodFailed, "InvalidIdentityToken")

	_, err = p.cloud.IAM.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: new("https://" + p.issuer), ClientIDList: []string{"sts.amazonaws.com"}})
	no(t, err)
	steady, err := p.cloud.Role(ctx, "steady-irsa", p.irsaTrust("default", "steady-irsa"))
	no(t, err)
	p.start(t, "steady-irsa", "steady-irsa", map[string]string{"eks.amazonaws.com/role-arn": steady}, "watch", "250ms", renewEarly.String())

	pod, log = p.run(t, "irsa", "default", "app", annotated)
	says(t, pod, log, corev1.PodSucceeded, "arn:aws:sts::"+p.account+":assumed-role/irsa/", "WebIdentityCredentials")

	pod, log = p.run(t, "irsa-denied", "default", "app", annotated, "describe", clusterName)
	says(t, pod, log, corev1.PodFailed, "AccessDenied", "is not authorized to perform: eks:DescribeCluster")
	// All of EKS, but no lists.
	_, err = p.cloud.IAM.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("irsa"), PolicyName: new("no-lists"), PolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*"},{"Effect":"Deny","Action":"eks:List*","Resource":"*"}]}`)})
	no(t, err)
	pod, log = p.run(t, "irsa-both", "default", "app", annotated, "both", clusterName)
	says(t, pod, log, corev1.PodSucceeded, "describe: "+*p.cluster.Arn, "list: error: ", "AccessDeniedException",
		"is not authorized to perform: eks:ListClusters on resource: arn:aws:eks:us-west-2:"+p.account+":cluster/* with an explicit deny in an identity-based policy")

	// Another namespace in the trust policy's condition.
	_, err = p.cloud.IAM.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: new("irsa"), PolicyDocument: p.irsaTrust("elsewhere", "app")})
	no(t, err)
	pod, log = p.run(t, "irsa-typo", "default", "app", annotated)
	says(t, pod, log, corev1.PodFailed, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
}

func (p *pods) podIdentity(t *testing.T) {
	ctx := t.Context()
	no(t, p.installAgent(ctx))
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],
		"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"default"}}}]}`
	role, err := p.cloud.Role(ctx, "pod-identity", &trust)
	no(t, err)
	// The service account still has its annotation, of a role that it may not have any more.
	p.associate(t, "app", role)
	_, err = p.kube.AwaitPods(ctx, "kube-system", "app.kubernetes.io/name=eks-pod-identity-agent", 1)
	no(t, err)
	steady, err := p.cloud.Role(ctx, "steady-pod-identity", &trust)
	no(t, err)
	p.steady = p.associate(t, "steady-pod-identity", steady)
	p.start(t, "steady-pod-identity", "steady-pod-identity", nil, "watch", "250ms", renewEarly.String())

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
		pod := identityPod(name, "default", "default")
		pod.Spec.Containers[0].Env = []corev1.EnvVar{
			{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: "http://169.254.170.23/v1/credentials"},
			{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN", Value: token},
		}
		p.create(t, pod, nil)
		return p.end(t, name, "default")
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

// associate gives a service account of namespace default a role.
func (p *pods) associate(t *testing.T, account, role string) (id string) {
	t.Helper()
	a, err := p.cloud.EKS.CreatePodIdentityAssociation(t.Context(), &eks.CreatePodIdentityAssociationInput{
		ClusterName: new(clusterName), Namespace: new("default"), ServiceAccount: &account, RoleArn: &role,
	})
	no(t, err)
	return *a.Association.AssociationId
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
