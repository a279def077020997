package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"ekster.dev/ekster/internal/daemon"
)

// A cloud is the AWS SDK, pointed at the daemon.
type cloud struct {
	iam *iam.Client
	ec2 *ec2.Client
	eks *eks.Client
}

func newCloud(endpoint, region string, c daemon.Credentials) *cloud {
	cfg := aws.Config{
		Region: region, BaseEndpoint: new(endpoint), Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	}
	return &cloud{iam: iam.NewFromConfig(cfg), ec2: ec2.NewFromConfig(cfg), eks: eks.NewFromConfig(cfg)}
}

const (
	clusterRole  = "ekster-demo-cluster"
	nodeRole     = "ekster-demo-node"
	nodegroup    = "app-nodes"
	helloImage   = "registry.ekster.internal/hello:v1"
	nodeCount    = 2
	stepTimeout  = 2 * time.Minute
	trustPattern = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s"},"Action":"sts:AssumeRole"}]}`
)

func (q *quick) roles(ctx context.Context, say func(string)) (string, error) {
	for _, r := range []struct {
		name, service string
		policies      []string
	}{
		{clusterRole, "eks.amazonaws.com", []string{"AmazonEKSClusterPolicy"}},
		{nodeRole, "ec2.amazonaws.com", []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"}},
	} {
		say(r.name)
		_, err := q.cloud.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new(r.name), AssumeRolePolicyDocument: new(fmt.Sprintf(trustPattern, r.service))})
		if _, there := errors.AsType[*iamtypes.EntityAlreadyExistsException](err); err != nil && !there {
			return "", err
		}
		for _, p := range r.policies {
			_, err := q.cloud.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new(r.name), PolicyArn: new("arn:aws:iam::aws:policy/" + p)})
			if err != nil {
				return "", err
			}
		}
	}
	return clusterRole + ", " + nodeRole, nil
}

func (q *quick) roleARN(ctx context.Context, name string) (*string, error) {
	out, err := q.cloud.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: new(name)})
	if err != nil {
		return nil, err
	}
	return out.Role.Arn, nil
}

func (q *quick) subnets(ctx context.Context) ([]string, error) {
	out, err := q.cloud.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{
		Filters: []ec2types.Filter{{Name: new("default-for-az"), Values: []string{"true"}}},
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, s := range out.Subnets {
		ids = append(ids, *s.SubnetId)
	}
	return ids, nil
}

func (q *quick) cluster(ctx context.Context, say func(string)) (string, error) {
	describe := func() (*ekstypes.Cluster, error) {
		out, err := q.cloud.eks.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: new(q.name)})
		if err != nil {
			return nil, err
		}
		return out.Cluster, nil
	}
	c, err := describe()
	if _, missing := errors.AsType[*ekstypes.ResourceNotFoundException](err); missing {
		role, err := q.roleARN(ctx, clusterRole)
		if err != nil {
			return "", err
		}
		subnets, err := q.subnets(ctx)
		if err != nil {
			return "", err
		}
		_, err = q.cloud.eks.CreateCluster(ctx, &eks.CreateClusterInput{
			Name: new(q.name), RoleArn: role, ResourcesVpcConfig: &ekstypes.VpcConfigRequest{SubnetIds: subnets},
			AccessConfig: &ekstypes.CreateAccessConfigRequest{AuthenticationMode: ekstypes.AuthenticationModeApiAndConfigMap},
		})
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	err = poll(ctx, stepTimeout, func() (bool, error) {
		if c, err = describe(); err != nil {
			return false, err
		}
		say(string(c.Status) + q.waitsFor(ctx, ""))
		if c.Status == ekstypes.ClusterStatusFailed {
			return false, errors.New("the cluster has failed")
		}
		return c.Status == ekstypes.ClusterStatusActive, nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("ACTIVE, Kubernetes %s at %s", *c.Version, *c.Endpoint), nil
}

// waitsFor is what the daemon says that the cluster, or its node group, waits for.
func (q *quick) waitsFor(ctx context.Context, group string) string {
	st, err := q.ask(ctx, q.dir())
	if err != nil {
		return ""
	}
	for _, n := range st.Nodegroups {
		if group != "" && n.Cluster == q.name && n.Name == group && n.Waiting != "" {
			return ", waits for " + n.Waiting
		}
	}
	for _, c := range st.Clusters {
		if group == "" && c.Name == q.name && c.Waiting != "" {
			return ", waits for " + c.Waiting
		}
	}
	return ""
}

func (q *quick) nodegroup(ctx context.Context, say func(string)) (string, error) {
	describe := func() (*ekstypes.Nodegroup, error) {
		out, err := q.cloud.eks.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: new(q.name), NodegroupName: new(nodegroup)})
		if err != nil {
			return nil, err
		}
		return out.Nodegroup, nil
	}
	n, err := describe()
	if _, missing := errors.AsType[*ekstypes.ResourceNotFoundException](err); missing {
		role, err := q.roleARN(ctx, nodeRole)
		if err != nil {
			return "", err
		}
		subnets, err := q.subnets(ctx)
		if err != nil {
			return "", err
		}
		_, err = q.cloud.eks.CreateNodegroup(ctx, &eks.CreateNodegroupInput{
			ClusterName: new(q.name), NodegroupName: new(nodegroup), NodeRole: role, Subnets: subnets, InstanceTypes: []string{"t3.medium"},
			ScalingConfig: &ekstypes.NodegroupScalingConfig{MinSize: new(int32(1)), MaxSize: new(int32(4)), DesiredSize: new(int32(nodeCount))},
			Labels:        map[string]string{"role": "app"},
		})
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	err = poll(ctx, stepTimeout, func() (bool, error) {
		if n, err = describe(); err != nil {
			return false, err
		}
		say(string(n.Status) + q.waitsFor(ctx, nodegroup))
		if n.Status == ekstypes.NodegroupStatusCreateFailed {
			return false, fmt.Errorf("the node group has failed: %s", *n.Health.Issues[0].Message)
		}
		return n.Status == ekstypes.NodegroupStatusActive, nil
	})
	return "ACTIVE", err
}

// manifest is a deployment of the image that every registry has, and its Service.
const manifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: hello
        image: ` + helloImage + `
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
`

func (q *quick) workload(ctx context.Context, say func(string)) (string, error) {
	say("applying")
	if out, err := q.kube(ctx, manifest, "apply", "-f", "-"); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	say("waiting for its pods")
	if out, err := q.kube(ctx, "", "rollout", "status", "deployment/web", "--timeout=120s"); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return "running", nil
}

func (q *quick) page(ctx context.Context, say func(string)) (string, error) {
	const pod = "quickstart-probe"
	say("from a pod, by the Service's name")
	remove := func() error {
		if out, err := q.kube(ctx, "", "delete", "pod", pod, "--ignore-not-found", "--now"); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	var page string
	err := poll(ctx, stepTimeout, func() (bool, error) {
		if err := remove(); err != nil {
			return false, err
		}
		if out, err := q.kube(ctx, "", "run", pod, "--image", helloImage, "--restart", "Never", "--", "get", "http://web.default.svc.cluster.local"); err != nil {
			return false, fmt.Errorf("%w: %s", err, out)
		}
		// coredns may have come up a moment ago: then this look-up was too early, and the
		// next one is not.
		if _, err := q.kube(ctx, "", "wait", "pod/"+pod, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=15s"); err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		out, err := q.kube(ctx, "", "logs", pod)
		if err != nil {
			return false, fmt.Errorf("%w: %s", err, out)
		}
		page = out
		return true, nil
	})
	if err != nil {
		return "", err
	}
	return "\n          " + strings.ReplaceAll(strings.TrimSpace(page), "\n", "\n          "), remove()
}

// kube runs our own kubectl with text as its input, and returns what it printed.
func (q *quick) kube(ctx context.Context, text string, list ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	argv := append([]string{"kubectl", "--state-dir", q.stateDir, "--cluster", q.name}, "--")
	cmd := exec.CommandContext(ctx, self, append(argv, list...)...)
	if q.payload != "" {
		cmd.Env = append(os.Environ(), "EKSTER_PAYLOAD="+q.payload)
	}
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
