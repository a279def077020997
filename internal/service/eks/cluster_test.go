package eks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestCreateCluster(t *testing.T) {
	w := newWorld(t)
	in := w.cluster("c1")
	in.ResourcesVpcConfig.SubnetIds = []string{w.a, w.a, w.b}
	in.ResourcesVpcConfig.SecurityGroupIds = []string{w.sg}
	out, err := w.root.CreateCluster(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if c := out.Cluster; c.Status != types.ClusterStatusCreating || c.Endpoint != nil || c.Identity != nil || c.CertificateAuthority.Data != nil {
		t.Errorf("answered %+v", c)
	}
	err = w.Store.View(func(tx *store.Tx) error {
		c, ok := tx.Clusters.Get(*out.Cluster.Arn)
		if !ok {
			t.Fatal("there is no record")
		}
		if len(c.Spec.Hex) != 32 || c.Creator != "arn:aws:iam::000000000000:root" || c.Spec.VPC != w.vpc || !c.Spec.SelfManagedAddons || !c.Spec.CreatorAdmin {
			t.Errorf("recorded %+v", c)
		}
		g, ok := tx.SecurityGroups.Get(c.Spec.ClusterSecurityGroup)
		if !ok || !strings.HasPrefix(g.Name, "eks-cluster-sg-c1-") || g.Tags["Name"] != g.Name || g.Tags["aws:eks:cluster-name"] != "c1" || g.Tags["kubernetes.io/cluster/c1"] != "owned" {
			t.Errorf("the cluster security group is %+v", g)
		}
		self := 0
		for _, r := range g.Rules {
			if !r.Egress && r.Group == g.ID && r.Protocol == "-1" {
				self++
			}
		}
		if self != 1 {
			t.Errorf("%d rules let the group into itself: %+v", self, g.Rules)
		}
		if len(c.Spec.Interfaces) != 2 {
			t.Fatalf("%d interfaces", len(c.Spec.Interfaces))
		}
		for i, id := range c.Spec.Interfaces {
			e, _ := tx.Interfaces.Get(id)
			if e.Subnet != []string{w.a, w.b}[i] || e.Description != "Amazon EKS c1" || !e.RequesterManaged || e.Owner != c.ARN ||
				e.Attachment.Guest != c.Guest() || int(e.Attachment.DeviceIndex) != i || fmt.Sprint(e.SecurityGroups) != fmt.Sprint([]string{g.ID, w.sg}) {
				t.Errorf("interface %d is %+v", i, e)
			}
		}
		if !tx.Roles.Has("arn:aws:iam::000000000000:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS") {
			t.Error("there is no service-linked role")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One subnet in one zone and two in another: the interfaces are in two zones.
func TestInterfacesAreInTwoZones(t *testing.T) {
	w := newWorld(t)
	in := w.cluster("c")
	in.ResourcesVpcConfig.SubnetIds = []string{w.b, w.c, w.a}
	if _, err := w.root.CreateCluster(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	zones := map[string]bool{}
	w.Update(t, func(tx *store.Tx) {
		for _, e := range tx.Interfaces.All() {
			if e.RequesterManaged {
				zones[e.Zone] = true
			}
		}
	})
	if len(zones) != 2 || !zones["us-west-2b"] || !zones["us-west-2c"] {
		t.Errorf("zones %v", zones)
	}
}

func TestDescribeClusterGolden(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	if _, err := w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c1")}); err != nil {
		t.Fatal(err)
	}
	w.golden(t, "cluster-minimal.json")
	w.active(t, "c2", func(in *sdk.CreateClusterInput) {
		in.ClientRequestToken = aws.String("token")
		in.Version = aws.String("1.34")
		in.ResourcesVpcConfig = &types.VpcConfigRequest{
			SubnetIds: w.other[:2], SecurityGroupIds: []string{w.sg10}, EndpointPrivateAccess: aws.Bool(true), PublicAccessCidrs: []string{"203.0.113.5/32"},
		}
		in.KubernetesNetworkConfig = &types.KubernetesNetworkConfigRequest{ServiceIpv4Cidr: aws.String("192.168.0.0/20")}
		in.Logging = &types.Logging{ClusterLogging: []types.LogSetup{{Types: []types.LogType{"audit", "api"}, Enabled: aws.Bool(true)}}}
		in.AccessConfig = &types.CreateAccessConfigRequest{AuthenticationMode: "API", BootstrapClusterCreatorAdminPermissions: aws.Bool(false)}
		in.UpgradePolicy = &types.UpgradePolicyRequest{SupportType: "EXTENDED"}
		in.DeletionProtection = aws.Bool(true)
		in.ComputeConfig = &types.ComputeConfigRequest{Enabled: aws.Bool(false)}
		in.ZonalShiftConfig = &types.ZonalShiftConfigRequest{Enabled: aws.Bool(true)}
		in.ControlPlaneScalingConfig = &types.ControlPlaneScalingConfig{Tier: types.ProvisionedControlPlaneTierTierXl}
		in.EncryptionConfig = []types.EncryptionConfig{}
		in.Tags = map[string]string{"team": "a", "b": ""}
	})
	if _, err := w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c2")}); err != nil {
		t.Fatal(err)
	}
	w.golden(t, "cluster-full.json")
}

func TestCreatorsEntry(t *testing.T) {
	w := newWorld(t)
	ann := w.user(t, "ann")
	entry := func(c string) (e resource.AccessEntry, ok bool) {
		w.Update(t, func(tx *store.Tx) {
			for _, x := range tx.AccessEntries.All() {
				if strings.HasSuffix(x.Cluster, "/"+c) && x.Principal != linkedRole {
					e, ok = x, true
				}
			}
		})
		return e, ok
	}
	for _, c := range []struct {
		name  string
		who   *sdk.Client
		mode  types.AuthenticationMode
		admin *bool
		entry bool
	}{
		{"both", ann, "API_AND_CONFIG_MAP", nil, true},
		{"api", ann, "API", aws.Bool(true), true},
		{"off", ann, "API", aws.Bool(false), false},
		{"map", ann, "CONFIG_MAP", nil, false},
		{"root", w.root, "API", nil, false},
	} {
		in := w.cluster(c.name)
		in.AccessConfig = &types.CreateAccessConfigRequest{AuthenticationMode: c.mode, BootstrapClusterCreatorAdminPermissions: c.admin}
		if _, err := c.who.CreateCluster(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		e, ok := entry(c.name)
		if ok != c.entry {
			t.Errorf("%s: an entry is %v", c.name, ok)
		}
		if ok && (e.Principal != "arn:aws:iam::000000000000:user/ann" || e.PrincipalID != "AIDAANN" || e.Type != "STANDARD" || e.Username != e.Principal ||
			len(e.Policies) != 1 || e.Policies[0].PolicyARN != adminPolicy || e.Policies[0].ScopeType != "cluster") {
			t.Errorf("%s: the entry is %+v", c.name, e)
		}
	}
}

func TestClusterReplay(t *testing.T) {
	w := newWorld(t)
	in := w.cluster("c")
	in.ClientRequestToken = aws.String("one")
	first, err := w.root.CreateCluster(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	before := w.records(t)
	again, err := w.root.CreateCluster(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Cluster.CreatedAt.Equal(*first.Cluster.CreatedAt) || *again.Cluster.ResourcesVpcConfig.ClusterSecurityGroupId != *first.Cluster.ResourcesVpcConfig.ClusterSecurityGroupId {
		t.Errorf("the replay answered %+v", again.Cluster)
	}
	in.Tags = map[string]string{"a": "b"}
	_, err = w.root.CreateCluster(t.Context(), in)
	fails(t, err, "InvalidParameterException", "The clientRequestToken was already used with different request parameters.")
	in.Tags, in.ClientRequestToken = nil, aws.String("two")
	_, err = w.root.CreateCluster(t.Context(), in)
	fails(t, err, "ResourceInUseException", "Cluster already exists with name: c")
	if after := w.records(t); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}

func TestClusterQuota(t *testing.T) {
	w := newWorld(t)
	w.Update(t, func(tx *store.Tx) {
		for i := range 100 {
			arn := fmt.Sprintf("arn:aws:eks:us-west-2:000000000000:cluster/c%02d", i)
			tx.Clusters.Put(arn, resource.Cluster{Home: home(), ARN: arn, Name: fmt.Sprintf("c%02d", i)})
		}
	})
	_, err := w.root.CreateCluster(t.Context(), w.cluster("x"))
	fails(t, err, "ResourceLimitExceededException", "You have reached the maximum number of clusters in this Region: 100")
	var got []string
	pages := sdk.NewListClustersPaginator(w.root, &sdk.ListClustersInput{MaxResults: aws.Int32(33)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.Clusters...)
	}
	if n != 4 || len(got) != 100 || got[0] != "c00" || got[99] != "c99" {
		t.Errorf("%d pages of %v", n, got)
	}
	_, err = w.root.ListClusters(t.Context(), &sdk.ListClustersInput{NextToken: aws.String("?")})
	fails(t, err, "InvalidParameterException", "The nextToken is invalid.")
}

func TestDeleteCluster(t *testing.T) {
	w := newWorld(t)
	del := func(name string) (*sdk.DeleteClusterOutput, error) {
		return w.root.DeleteCluster(t.Context(), &sdk.DeleteClusterInput{Name: &name})
	}
	_, err := del("none")
	fails(t, err, "ResourceNotFoundException", "No cluster found for name: none.")
	_, err = w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("none")})
	fails(t, err, "ResourceNotFoundException", "No cluster found for name: none.")

	w.active(t, "kept", func(in *sdk.CreateClusterInput) { in.DeletionProtection = aws.Bool(true) })
	_, err = del("kept")
	fails(t, err, "InvalidRequestException", "Cluster kept cannot be deleted because deletion protection is enabled. Disable deletion protection and try again.")

	c := w.active(t, "c")
	ng := w.activeNodegroup(t, "c", "ng")
	_, err = del("c")
	fails(t, err, "ResourceInUseException", "Cluster has nodegroups attached")
	w.Update(t, func(tx *store.Tx) {
		tx.Nodegroups.Delete(ng)
		tx.Updates.Put("u", resource.Update{ID: "u", Cluster: c.ARN, State: resource.UpdateInProgress})
	})
	_, err = del("c")
	fails(t, err, "ResourceInUseException", "Cannot delete because cluster c currently has an update in progress")
	w.Update(t, func(tx *store.Tx) { tx.Updates.Delete("u") })
	out, err := del("c")
	if err != nil || out.Cluster.Status != types.ClusterStatusDeleting {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = del("c")
	fails(t, err, "ResourceInUseException", "Cannot delete because cluster c is currently in status DELETING")
	_, err = w.root.CreateCluster(t.Context(), w.cluster("c"))
	fails(t, err, "ResourceInUseException", "Cluster already exists with name: c")
	_, err = w.root.CreateNodegroup(t.Context(), w.nodegroup("c", "ng"))
	fails(t, err, "InvalidRequestException", "Cluster 'c' is not in ACTIVE status")
}

func TestDescribeClusterVersions(t *testing.T) {
	w := newWorld(t)
	list := func(in *sdk.DescribeClusterVersionsInput) (out []string) {
		t.Helper()
		got, err := w.root.DescribeClusterVersions(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range got.ClusterVersions {
			s := *v.ClusterVersion
			if v.DefaultVersion {
				s += " default"
			}
			out = append(out, s)
		}
		return out
	}
	for _, c := range []struct {
		in   *sdk.DescribeClusterVersionsInput
		want string
	}{
		{&sdk.DescribeClusterVersionsInput{IncludeAll: aws.Bool(true)}, "[1.36 1.35 default 1.34 1.31]"},
		{&sdk.DescribeClusterVersionsInput{DefaultOnly: aws.Bool(true)}, "[1.35 default]"},
		{&sdk.DescribeClusterVersionsInput{ClusterVersions: []string{"1.34", "1.33"}}, "[1.34]"},
		{&sdk.DescribeClusterVersionsInput{ClusterType: aws.String("eks-local-outposts")}, "[]"},
	} {
		if got := fmt.Sprint(list(c.in)); got != c.want {
			t.Errorf("%+v: %s", c.in, got)
		}
	}
}
