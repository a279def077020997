package test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

const (
	clusterName = "my-cluster"
	groupName   = "app-nodes"
	version     = "1.35"
)

// job is what the steps of the main job share.
type job struct {
	daemon  *lab.Daemon
	cloud   *lab.Cloud
	land    lab.Landscape
	cluster *types.Cluster
	kube    *lab.Kube
	nodes   []corev1.Node
}

// TestMainJob is the flow that a user of EKS goes through, whole. Its steps build on each
// other: one that fails ends the test.
func TestMainJob(t *testing.T) {
	j := &job{}
	watch := newStopwatch(t)
	j.daemon, j.cloud = newDaemon(t)
	watch.done("up")
	for _, step := range []struct {
		name string
		run  func(*job, *testing.T)
	}{
		{"cluster", (*job).createCluster},
		{"system pods", (*job).systemPods},
		{"nodes", (*job).createNodes},
		{"workload", (*job).workload},
		{"scaling", (*job).scale},
		{"access", (*job).access},
		{"deletion", (*job).deletion},
		{"purge", func(j *job, t *testing.T) { purge(t, j.daemon) }},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(j, t) }) {
			t.Fatalf("step %q failed", step.name)
		}
		watch.done(step.name)
	}
}

func (j *job) createCluster(t *testing.T) {
	ctx := t.Context()
	var err error
	j.land, err = j.cloud.Landscape(ctx)
	no(t, err)
	in := j.land.ClusterInput(clusterName, version)
	in.Tags = map[string]string{"team": "a"}
	out, err := j.cloud.EKS.CreateCluster(ctx, in)
	no(t, err)
	if c := out.Cluster; c.Status != types.ClusterStatusCreating || c.Endpoint != nil {
		t.Errorf("CreateCluster answers status %s and endpoint %s", c.Status, aws.ToString(c.Endpoint))
	}
	j.cluster, err = j.cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	c, account := j.cluster, "000000000000"
	if want := "arn:aws:eks:us-west-2:" + account + ":cluster/" + clusterName; *c.Arn != want {
		t.Errorf("ARN %s, want %s", *c.Arn, want)
	}
	if *c.Version != version || !strings.HasPrefix(aws.ToString(c.PlatformVersion), "eks.") {
		t.Errorf("version %s, platform %s", *c.Version, aws.ToString(c.PlatformVersion))
	}
	vpc := c.ResourcesVpcConfig
	if aws.ToString(vpc.VpcId) != j.land.VPC || !slices.Equal(vpc.SubnetIds, j.land.Subnets[:2]) || !vpc.EndpointPublicAccess || vpc.EndpointPrivateAccess {
		t.Errorf("resourcesVpcConfig %+v", vpc)
	}
	if got := aws.ToString(c.KubernetesNetworkConfig.ServiceIpv4Cidr); got != "10.100.0.0/16" {
		t.Errorf("service CIDR %s", got) // the default VPC is 172.31.0.0/16
	}
	if !regexp.MustCompile(`/id/[0-9A-F]{32}$`).MatchString(aws.ToString(c.Identity.Oidc.Issuer)) {
		t.Errorf("issuer %s", aws.ToString(c.Identity.Oidc.Issuer))
	}
	if c.Tags["team"] != "a" || c.AccessConfig.AuthenticationMode != types.AuthenticationModeApiAndConfigMap || len(c.Health.Issues) != 0 {
		t.Errorf("tags %v, access %+v, health %+v", c.Tags, c.AccessConfig, c.Health)
	}
	j.clusterSecurityGroup(t, *vpc.ClusterSecurityGroupId)
	j.kube, err = j.cloud.Kube(c)
	no(t, err)
	v, err := j.kube.Discovery().ServerVersion()
	no(t, err)
	if want, err := j.daemon.GitVersion(version); err != nil || v.GitVersion != want {
		t.Errorf("the API server is %s, want %s (%v)", v.GitVersion, want, err)
	}
}

func (j *job) clusterSecurityGroup(t *testing.T, id string) {
	out, err := j.cloud.EC2.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	no(t, err)
	g := out.SecurityGroups[0]
	if !regexp.MustCompile(`^eks-cluster-sg-` + clusterName + `-\d+$`).MatchString(*g.GroupName) {
		t.Errorf("cluster security group is called %s", *g.GroupName)
	}
	if !slices.ContainsFunc(g.Tags, func(tag ec2types.Tag) bool {
		return *tag.Key == "kubernetes.io/cluster/"+clusterName && *tag.Value == "owned"
	}) {
		t.Errorf("cluster security group has tags %v", g.Tags)
	}
	if !slices.ContainsFunc(g.IpPermissions, func(p ec2types.IpPermission) bool {
		return *p.IpProtocol == "-1" && len(p.UserIdGroupPairs) == 1 && *p.UserIdGroupPairs[0].GroupId == id
	}) {
		t.Errorf("cluster security group does not let itself in: %+v", g.IpPermissions)
	}
	enis, err := j.cloud.EC2.DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{
		Filters: []ec2types.Filter{{Name: new("description"), Values: []string{"Amazon EKS " + clusterName}}},
	})
	no(t, err)
	if n := len(enis.NetworkInterfaces); n < 2 || n > 4 {
		t.Errorf("the control plane has %d network interfaces, want 2 to 4", n)
	}
}

// systemPods checks what a cluster has before it has nodes.
func (j *job) systemPods(t *testing.T) {
	ctx := t.Context()
	no(t, lab.Until(ctx, lab.ClusterTimeout, "the default add-ons", func(ctx context.Context) (bool, string, error) {
		for _, name := range []string{"aws-node", "kube-proxy"} {
			if _, err := j.kube.AppsV1().DaemonSets("kube-system").Get(ctx, name, metav1.GetOptions{}); err != nil {
				return false, err.Error(), nil
			}
		}
		dns, err := j.kube.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
		return err == nil && len(dns.Items) == 2, fmt.Sprint("coredns: ", err), nil
	}))
	svc, err := j.kube.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
	no(t, err)
	if svc.Spec.ClusterIP != "10.100.0.10" {
		t.Errorf("kube-dns is at %s", svc.Spec.ClusterIP)
	}
}

func (j *job) createNodes(t *testing.T) {
	ctx := t.Context()
	in := j.land.NodegroupInput(clusterName, groupName, 3)
	in.ScalingConfig.MinSize, in.DiskSize, in.Labels = new(int32(2)), new(int32(50)), map[string]string{"role": "app"}
	_, err := j.cloud.EKS.CreateNodegroup(ctx, in)
	no(t, err)
	j.nodes, err = j.kube.AwaitNodes(ctx, 3)
	no(t, err)
	zones := map[string]int{}
	for _, n := range j.nodes {
		j.checkNode(t, n)
		zones[n.Labels[corev1.LabelTopologyZone]]++
	}
	if len(zones) != 2 {
		t.Errorf("zones of the nodes: %v, want two", zones)
	}
	group, err := j.cloud.AwaitNodegroup(ctx, clusterName, groupName)
	no(t, err)
	if !regexp.MustCompile(`^eks-` + groupName + `-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(*group.Resources.AutoScalingGroups[0].Name) {
		t.Errorf("auto scaling group %s", *group.Resources.AutoScalingGroups[0].Name)
	}
	no(t, lab.Until(ctx, lab.NodesTimeout, "the nodes to lose their taints", func(ctx context.Context) (bool, string, error) {
		list, err := j.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", err
		}
		for _, n := range list.Items {
			if len(n.Spec.Taints) > 0 {
				return false, fmt.Sprint(n.Name, n.Spec.Taints), nil
			}
		}
		return true, "", nil
	}))
	for app, n := range map[string]int{"k8s-app=kube-dns": 2, "k8s-app=kube-proxy": 3, "k8s-app=aws-node": 3} {
		_, err := j.kube.AwaitPods(ctx, "kube-system", app, n)
		no(t, err)
	}
}

func (j *job) checkNode(t *testing.T, n corev1.Node) {
	var internal string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			internal = a.Address
		}
	}
	ip, err := netip.ParseAddr(internal)
	if err != nil || !netip.MustParsePrefix("172.31.0.0/16").Contains(ip) {
		t.Errorf("node %s has address %q", n.Name, internal)
	}
	if want := "ip-" + strings.ReplaceAll(internal, ".", "-") + ".us-west-2.compute.internal"; n.Name != want {
		t.Errorf("node is called %s, want %s", n.Name, want)
	}
	zone := n.Labels[corev1.LabelTopologyZone]
	if !slices.Contains(j.land.Zones[:2], zone) {
		t.Errorf("node %s is in zone %q", n.Name, zone)
	}
	if !regexp.MustCompile(`^aws:///` + zone + `/i-[0-9a-f]{17}$`).MatchString(n.Spec.ProviderID) {
		t.Errorf("node %s has provider id %s", n.Name, n.Spec.ProviderID)
	}
	for k, want := range map[string]string{
		"role": "app", corev1.LabelTopologyRegion: "us-west-2", corev1.LabelInstanceTypeStable: "t3.medium", "eks.amazonaws.com/nodegroup": groupName,
		"eks.amazonaws.com/capacityType": "ON_DEMAND", corev1.LabelHostname: n.Name,
	} {
		if got := n.Labels[k]; got != want {
			t.Errorf("node %s has %s=%q, want %q", n.Name, k, got, want)
		}
	}
	c := n.Status.Capacity
	if cpu, mem, pods := c.Cpu().Value(), c.Memory().Value()>>20, c.Pods().Value(); cpu != 2 || mem < 3500 || mem > 4096 || pods != 17 {
		t.Errorf("node %s has %d CPUs, %d MiB and room for %d pods, want a t3.medium's 2, 4096 and 17", n.Name, cpu, mem, pods)
	}
	if disk := c.StorageEphemeral().Value() >> 30; disk < 45 || disk > 50 {
		t.Errorf("node %s has %d GiB of disk, want about 50", n.Name, disk)
	}
	if want, err := j.daemon.GitVersion(version); err != nil || n.Status.NodeInfo.KubeletVersion != want {
		t.Errorf("node %s has kubelet %s, want %s (%v)", n.Name, n.Status.NodeInfo.KubeletVersion, want, err)
	}
}

func (j *job) scale(t *testing.T) {
	ctx := t.Context()
	out, err := j.cloud.EKS.UpdateNodegroupConfig(ctx, &eks.UpdateNodegroupConfigInput{
		ClusterName: new(clusterName), NodegroupName: new(groupName), ScalingConfig: &types.NodegroupScalingConfig{DesiredSize: new(int32(5))},
	})
	no(t, err)
	if out.Update.Type != types.UpdateTypeConfigUpdate {
		t.Errorf("update has type %s", out.Update.Type)
	}
	j.nodes, err = j.kube.AwaitNodes(ctx, 5)
	no(t, err)
	no(t, lab.Until(ctx, lab.NodesTimeout, "the update to be Successful", func(ctx context.Context) (bool, string, error) {
		got, err := j.cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(clusterName), NodegroupName: new(groupName), UpdateId: out.Update.Id})
		if err != nil {
			return false, "", err
		}
		return got.Update.Status == types.UpdateStatusSuccessful, string(got.Update.Status), nil
	}))
}

// deletion deletes what was made, in the only order that EKS allows.
func (j *job) deletion(t *testing.T) {
	ctx := t.Context()
	_, err := j.cloud.EKS.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: new(clusterName)})
	if e, ok := errors.AsType[*types.ResourceInUseException](err); !ok || e.ErrorMessage() != "Cluster has nodegroups attached" {
		t.Errorf("deleting a cluster with node groups answers %v", err)
	}
	cordoned := j.watchCordons(t)
	no(t, j.cloud.DeleteNodegroup(ctx, clusterName, groupName))
	if got := cordoned(); len(got) != len(j.nodes) {
		t.Errorf("%d of %d nodes were cordoned before they went: %v", len(got), len(j.nodes), got)
	}
	_, err = j.kube.AwaitNodes(ctx, 0)
	no(t, err)
	running, err := j.cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []ec2types.Filter{{Name: new("instance-state-name"), Values: []string{"pending", "running", "shutting-down", "stopping", "stopped"}}},
	})
	no(t, err)
	if len(running.Reservations) > 0 {
		t.Errorf("instances are left: %+v", running.Reservations)
	}
	no(t, j.cloud.DeleteCluster(ctx, clusterName))
	enis, err := j.cloud.EC2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{})
	no(t, err)
	if len(enis.NetworkInterfaces) > 0 {
		t.Errorf("network interfaces are left: %+v", enis.NetworkInterfaces)
	}
	groups, err := j.cloud.EC2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []ec2types.Filter{{Name: new("group-name"), Values: []string{"eks-cluster-sg-*"}}},
	})
	no(t, err)
	if len(groups.SecurityGroups) > 0 {
		t.Errorf("security groups are left: %+v", groups.SecurityGroups)
	}
}

// watchCordons notes which nodes become unschedulable; call what it returns for their names.
func (j *job) watchCordons(t *testing.T) (names func() []string) {
	w, err := j.kube.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{})
	no(t, err)
	var mu sync.Mutex
	seen := map[string]bool{}
	go func() {
		for e := range w.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && n.Spec.Unschedulable {
				mu.Lock()
				seen[n.Name] = true
				mu.Unlock()
			}
		}
	}()
	return func() (out []string) {
		w.Stop()
		mu.Lock()
		defer mu.Unlock()
		for n := range seen {
			out = append(out, n)
		}
		return out
	}
}
