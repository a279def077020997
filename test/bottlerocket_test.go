package test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	corev1 "k8s.io/api/core/v1"
)

// TestBottlerocket has a node group of amiType BOTTLEROCKET_x86_64 join: its user data is
// settings in TOML, those of its launch template over those of EKS.
func TestBottlerocket(t *testing.T) {
	d, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	_, err = cloud.EKS.CreateCluster(ctx, land.ClusterInput(clusterName, version))
	no(t, err)
	lt, err := cloud.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("rocket"), LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
		UserData: aws.String(base64.StdEncoding.EncodeToString([]byte("[settings.kubernetes]\nmax-pods = 7\n[settings.kubernetes.node-labels]\nown = \"yes\"\n[settings.motd]\n"))),
	}})
	no(t, err)
	cl, err := cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	in := land.NodegroupInput(clusterName, groupName, 1)
	in.AmiType, in.Labels, in.DiskSize = types.AMITypesBottlerocketX8664, map[string]string{"role": "app"}, nil
	in.Taints = []types.Taint{{Key: aws.String("only"), Value: aws.String("mine"), Effect: types.TaintEffectPreferNoSchedule}}
	in.LaunchTemplate = &types.LaunchTemplateSpecification{Id: lt.LaunchTemplate.LaunchTemplateId}
	_, err = cloud.EKS.CreateNodegroup(ctx, in)
	no(t, err)
	group, err := cloud.AwaitNodegroup(ctx, clusterName, groupName)
	no(t, err)
	parameter := func(what string) string {
		out, err := cloud.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/bottlerocket/aws-k8s-" + version + "/x86_64/latest/" + what)})
		no(t, err)
		return *out.Parameter.Value
	}
	if *group.ReleaseVersion != parameter("image_version") || group.AmiType != types.AMITypesBottlerocketX8664 {
		t.Errorf("the group is of release %s and type %s", *group.ReleaseVersion, group.AmiType)
	}
	kube, err := cloud.Kube(cl)
	no(t, err)
	nodes, err := kube.AwaitNodes(ctx, 1)
	no(t, err)
	n := nodes[0]
	for label, want := range map[string]string{
		"role": "app", "own": "yes", "eks.amazonaws.com/nodegroup": groupName, "eks.amazonaws.com/nodegroup-image": parameter("image_id"),
	} {
		if n.Labels[label] != want {
			t.Errorf("label %s is %q, want %q", label, n.Labels[label], want)
		}
	}
	if len(n.Spec.Taints) != 1 || n.Spec.Taints[0].ToString() != "only=mine:"+string(corev1.TaintEffectPreferNoSchedule) {
		t.Errorf("taints %v", n.Spec.Taints)
	}
	if got := n.Status.Capacity.Pods().Value(); got != 7 {
		t.Errorf("room for %d pods, the user's settings say 7", got)
	}
	out, err := cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []ec2types.Filter{{Name: aws.String("private-dns-name"), Values: []string{n.Name}}}})
	no(t, err)
	id := *out.Reservations[0].Instances[0].InstanceId
	console, err := d.Run(ctx, "logs", "instance", id)
	no(t, err)
	if !strings.Contains(console, "settings.motd is not supported and was passed over") {
		t.Errorf("the console does not name what was passed over:\n%s", console)
	}
}
