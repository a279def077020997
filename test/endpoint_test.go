package test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/test/lab"
)

// TestEndpoint has a node of one's own join by the endpoint that DescribeCluster shows, and
// opens and closes that endpoint for it.
func TestEndpoint(t *testing.T) {
	watch := newStopwatch(t)
	_, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	_, err = cloud.EKS.CreateCluster(ctx, land.ClusterInput(clusterName, ""))
	no(t, err)
	cl, err := cloud.AwaitCluster(ctx, clusterName)
	no(t, err)
	kube, err := cloud.Kube(cl)
	no(t, err)
	watch.done("cluster")

	role, template := ownNodes(t, cloud, cl)
	_, err = cloud.EKS.CreateAccessEntry(ctx, &eks.CreateAccessEntryInput{ClusterName: new(clusterName), PrincipalArn: &role, Type: new("EC2_LINUX")})
	no(t, err)
	run, err := cloud.EC2.RunInstances(ctx, &ec2.RunInstancesInput{
		LaunchTemplate: &ec2types.LaunchTemplateSpecification{LaunchTemplateId: &template},
		MinCount:       new(int32(1)), MaxCount: new(int32(1)), SubnetId: &land.Subnets[0],
	})
	no(t, err)
	id := *run.Instances[0].InstanceId
	awaitReady(t, kube, 1)
	watch.done("a node of one's own")

	// The node is outside of publicAccessCidrs, then inside by its own address, then it is
	// private access that lets it in.
	u, err := url.Parse(*cl.Endpoint)
	no(t, err)
	public := u.Hostname()
	if _, err := netip.ParseAddr(public); err != nil || u.Port() != "" {
		t.Skipf("port 443 is taken on this host: %s", *cl.Endpoint)
	}
	spaces, err := filepath.Glob("/run/netns/*-" + id)
	no(t, err)
	if len(spaces) != 1 {
		t.Fatalf("namespaces of %s: %v", id, spaces)
	}
	described, err := cloud.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	no(t, err)
	own := *described.Reservations[0].Instances[0].PublicIpAddress
	reaches := func() bool {
		// A shell's own client: connected or not within two seconds.
		try := exec.CommandContext(ctx, "ip", "netns", "exec", filepath.Base(spaces[0]), "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+public+"/443")
		return try.Run() == nil
	}
	for _, c := range []struct {
		what            string
		public, private bool
		cidrs           []string
		reached         bool
	}{
		{"others may", true, false, []string{"203.0.113.0/24"}, false},
		{"its own address may", true, false, []string{"203.0.113.0/24", own + "/32"}, true},
		{"private access alone", false, true, nil, true},
	} {
		up, err := cloud.EKS.UpdateClusterConfig(ctx, &eks.UpdateClusterConfigInput{Name: new(clusterName), ResourcesVpcConfig: &types.VpcConfigRequest{
			EndpointPublicAccess: &c.public, EndpointPrivateAccess: &c.private, PublicAccessCidrs: c.cidrs,
		}})
		no(t, err)
		no(t, lab.Until(ctx, lab.ClusterTimeout, "the update to succeed", func(ctx context.Context) (bool, string, error) {
			got, err := cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: new(clusterName), UpdateId: up.Update.Id})
			if err != nil {
				return false, "", err
			}
			return got.Update.Status == types.UpdateStatusSuccessful, string(got.Update.Status), nil
		}))
		no(t, lab.Until(ctx, 20*time.Second, fmt.Sprintf("%s: the node reaching the endpoint to be %t", c.what, c.reached), func(context.Context) (bool, string, error) {
			got := reaches()
			return got == c.reached, fmt.Sprint(got), nil
		}))
	}
	watch.done("opened and closed")
}
