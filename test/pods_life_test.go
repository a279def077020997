package test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"

	"ekster.dev/ekster/test/lab"
)

// How long credentials last in TestPods, and how long before their end pods renew them: the
// metadata service has new ones for a sixth of their time.
const (
	maxSession = 20 * time.Second
	renewEarly = 3 * time.Second
)

// lines waits until the lines that a pod has printed are as wanted.
func (p *pods) lines(t *testing.T, pod, what string, good func(lines []string) bool) (lines []string) {
	t.Helper()
	no(t, lab.Until(t.Context(), 90*time.Second, "pod "+pod+": "+what, func(ctx context.Context) (bool, string, error) {
		log, err := p.kube.Log(ctx, "default", pod)
		if err != nil {
			return false, err.Error(), nil // it is still being started
		}
		lines = strings.Split(strings.TrimSpace(log), "\n")
		return good(lines), lines[len(lines)-1], nil
	}))
	return lines
}

// lastHas is for the last line to have a part.
func lastHas(part string) func([]string) bool {
	return func(lines []string) bool { return strings.Contains(lines[len(lines)-1], part) }
}

// keys are the access keys that a watching pod has had.
func keys(lines []string) (out []string) {
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && !slices.Contains(out, f[2]) {
			out = append(out, f[2])
		}
	}
	return out
}

// renewal sees each pod go through credentials that it has renewed twice, without a call that failed.
func (p *pods) renewal(t *testing.T) {
	for _, pod := range []string{"steady-node", "steady-irsa", "steady-pod-identity"} {
		lines := p.lines(t, pod, "three access keys", func(lines []string) bool { return len(keys(lines)) >= 3 })
		t.Logf("%s: %d calls with %v", pod, len(lines), keys(lines))
		for _, l := range lines {
			if len(strings.Fields(l)) != 3 || !strings.HasPrefix(l, "arn:aws:sts::"+p.account+":assumed-role/") {
				t.Errorf("%s: %s", pod, l)
			}
		}
	}
}

// takenAway takes roles from pods that run, in the ways that there are.
func (p *pods) takenAway(t *testing.T) {
	ctx := t.Context()
	// Trust, or the association: what a pod has goes on to its end.
	_, err := p.cloud.IAM.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: new("steady-irsa"), PolicyDocument: p.irsaTrust("default", "somebody-else")})
	no(t, err)
	_, err = p.cloud.EKS.DeletePodIdentityAssociation(ctx, &eks.DeletePodIdentityAssociationInput{ClusterName: new(clusterName), AssociationId: &p.steady})
	no(t, err)

	// A policy, or the role itself: they count for each call.
	p.start(t, "busy", "app", nil, "describe", clusterName, "200ms")
	p.lines(t, "busy", "the cluster to be described", lastHas(*p.cluster.Arn))
	_, err = p.cloud.IAM.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("pod-identity"), PolicyName: new("describe")})
	no(t, err)
	lines := p.lines(t, "busy", "a denial", lastHas("AccessDeniedException"))
	t.Log(lines[len(lines)-1])
	_, err = p.cloud.IAM.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("pod-identity")})
	no(t, err)
	lines = p.lines(t, "busy", "to be nobody", lastHas("UnrecognizedClientException"))
	t.Log(lines[len(lines)-1])
}

// roleless sees those whose roles were taken away get no new credentials.
func (p *pods) roleless(t *testing.T) {
	for pod, part := range map[string]string{
		"steady-irsa":         "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
		"steady-pod-identity": "No pod identity association found for service account steady-pod-identity in namespace default",
	} {
		lines := p.lines(t, pod, "to get no new credentials", lastHas(part))
		t.Logf("%s: %s", pod, lines[len(lines)-1])
	}
}

// hopLimit keeps the metadata service from pods that are a hop away from their node. One that
// has a token of it may go on, as on EC2: the limit is on the answer that the token is in.
func (p *pods) hopLimit(t *testing.T) {
	ctx := t.Context()
	found, err := p.cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []ec2types.Filter{{Name: new("instance-state-name"), Values: []string{"running"}}},
	})
	no(t, err)
	node := found.Reservations[0].Instances[0]
	if n := *node.MetadataOptions.HttpPutResponseHopLimit; n != 2 {
		t.Errorf("the hop limit of a managed node is %d, want 2", n)
	}
	modify := func(n int32) {
		t.Helper()
		out, err := p.cloud.EC2.ModifyInstanceMetadataOptions(ctx, &ec2.ModifyInstanceMetadataOptionsInput{InstanceId: node.InstanceId, HttpPutResponseHopLimit: &n})
		no(t, err)
		if got := *out.InstanceMetadataOptions.HttpPutResponseHopLimit; got != n {
			t.Errorf("the hop limit is %d after it was set to %d", got, n)
		}
	}
	modify(1)
	host := identityPod("on-the-host", "default", "default")
	host.Spec.HostNetwork = true
	p.create(t, host, nil)
	pod, log := p.run(t, "one-hop", "default", "default", nil)
	says(t, pod, log, corev1.PodFailed, "no EC2 IMDS role found")
	pod, log = p.end(t, "on-the-host", "default")
	says(t, pod, log, corev1.PodSucceeded, "assumed-role/lab-node/i-", "EC2RoleProvider")

	modify(2)
	pod, log = p.run(t, "two-hops", "default", "default", nil)
	says(t, pod, log, corev1.PodSucceeded, "assumed-role/lab-node/i-", "EC2RoleProvider")
}
