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
		in.ZonalShiftConfig = &types.ZonalShiftConfigRequest{Enabled: aws.Bool(false)}
		in.EncryptionConfig = []types.EncryptionConfig{}
		in.Tags = map[string]string{"team": "a", "b": ""}
	})
	if _, err := w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c2")}); err != nil {
		t.Fatal(err)
	}
	w.golden(t, "cluster-full.json")
}

// A VPC in 10.0.0.0/8 has its services elsewhere.
func TestServiceCIDR(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.SubnetIds = w.other[:2] })
	if got := c.Spec.ServiceCIDR.String(); got != "172.20.0.0/16" {
		t.Errorf("services at %s", got)
	}
}

func TestCreatorsEntry(t *testing.T) {
	w := newWorld(t)
	ann := w.user(t, "ann")
	entry := func(c string) (e resource.AccessEntry, ok bool) {
		w.Update(t, func(tx *store.Tx) {
			for _, x := range tx.AccessEntries.All() {
				if strings.HasSuffix(x.Cluster, "/"+c) {
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

func TestCreateClusterRefusals(t *testing.T) {
	w := newWorld(t)
	w.active(t, "taken")
	w.role(t, "arn:aws:iam::000000000000:role/untrusting", "ec2.amazonaws.com", managed+"AmazonEKSClusterPolicy")
	w.role(t, "arn:aws:iam::000000000000:role/bare", "eks.amazonaws.com", managed+"AmazonEKSWorkerNodePolicy")
	w.role(t, "arn:aws:iam::"+otherAccount+":role/theirs", "eks.amazonaws.com", managed+"AmazonEKSClusterPolicy")
	const invalid, tail = "InvalidParameterException", " not supported by Ekster yet."
	role := func(arn string) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) { in.RoleArn = aws.String(arn) }
	}
	subnets := func(ids ...string) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.SubnetIds = ids }
	}
	services := func(cidr string) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) {
			in.KubernetesNetworkConfig = &types.KubernetesNetworkConfigRequest{ServiceIpv4Cidr: aws.String(cidr)}
		}
	}
	public := func(cidrs ...string) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.PublicAccessCidrs = cidrs }
	}
	key := func(region string, resources ...string) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) {
			in.EncryptionConfig = []types.EncryptionConfig{{Resources: resources, Provider: &types.Provider{KeyArn: aws.String("arn:aws:kms:" + region + ":000000000000:key/k")}}}
		}
	}
	auto := func(compute, balancing, storage bool) func(*sdk.CreateClusterInput) {
		return func(in *sdk.CreateClusterInput) {
			in.ComputeConfig = &types.ComputeConfigRequest{Enabled: &compute}
			in.KubernetesNetworkConfig = &types.KubernetesNetworkConfigRequest{ElasticLoadBalancing: &types.ElasticLoadBalancing{Enabled: &balancing}}
			in.StorageConfig = &types.StorageConfigRequest{BlockStorage: &types.BlockStorage{Enabled: &storage}}
		}
	}
	unassumable := func(arn string) string {
		return "Role with arn: " + arn + ", could not be assumed because it does not exist or the trusted entity is not correct"
	}
	for _, c := range []struct {
		name          string
		change        func(*sdk.CreateClusterInput)
		code, message string
	}{
		{"taken", func(in *sdk.CreateClusterInput) { in.Name = aws.String("taken") }, "ResourceInUseException", "Cluster already exists with name: taken"},
		{"bad name", func(in *sdk.CreateClusterInput) { in.Name = aws.String("a b") }, invalid,
			"1 validation error detected: Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9A-Za-z][A-Za-z0-9\\-_]*"},
		{"unknown role", role("arn:aws:iam::000000000000:role/none"), invalid, unassumable("arn:aws:iam::000000000000:role/none")},
		{"role that trusts another", role("arn:aws:iam::000000000000:role/untrusting"), invalid, unassumable("arn:aws:iam::000000000000:role/untrusting")},
		{"role without the policy", role("arn:aws:iam::000000000000:role/bare"), invalid,
			"The provided role doesn't have the Amazon EKS Managed Policies associated with it. Please ensure the following policy is attached: arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"},
		{"another account's role", role("arn:aws:iam::" + otherAccount + ":role/theirs"), "AccessDeniedException", "Cross-account pass role is not allowed."},
		{"no subnet", subnets(), invalid, "Subnet Id is required"},
		{"one subnet", subnets(w.a), invalid, "Subnets specified must be in at least two different AZs"},
		{"unknown subnet", subnets(w.a, "subnet-00000000000000000"), invalid,
			"The subnet ID 'subnet-00000000000000000' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidSubnetID.NotFound; Request ID: ID; Proxy: null)"},
		{"two VPCs", subnets(w.a, w.other[1]), invalid, "Subnets specified must belong to the same VPC"},
		{"full subnet", subnets(w.other...), invalid, "Provided subnets " + w.other[2] + " Free IPs: 5 , need at least 6 IPs in each subnet to be free for this operation"},
		{"group of another VPC", func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.SecurityGroupIds = []string{w.sg10} }, invalid,
			"Security group(s) [" + w.sg10 + "] are not (in/associated to) the same VPC as the subnets. Please specify a security group that is associated with the VPC: " + w.vpc},
		{"unknown group", func(in *sdk.CreateClusterInput) {
			in.ResourcesVpcConfig.SecurityGroupIds = []string{"sg-00000000000000000"}
		}, invalid,
			"The security group 'sg-00000000000000000' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidGroup.NotFound; Request ID: ID; Proxy: null)"},
		{"too many groups", func(in *sdk.CreateClusterInput) {
			in.ResourcesVpcConfig.SecurityGroupIds = []string{"1", "2", "3", "4", "5"}
		}, invalid, "You have exceeded the maximum number of control plane security groups: 4"},
		{"unknown version", func(in *sdk.CreateClusterInput) { in.Version = aws.String("1.12") }, invalid, "unsupported Kubernetes version 1.12"},
		{"absent payload", func(in *sdk.CreateClusterInput) { in.Version = aws.String("1.33") }, invalid, "unsupported Kubernetes version 1.33"},
		{"patch version", func(in *sdk.CreateClusterInput) { in.Version = aws.String("1.35.4") }, invalid, "unsupported Kubernetes version 1.35.4"},
		{"no endpoint", func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.EndpointPublicAccess = aws.Bool(false) }, invalid, "Private and public endpoint access cannot be false"},
		{"private public CIDR", public("10.0.0.0/8"), invalid, "The following CIDRs are not allowed in publicAccessCidrs: [10.0.0.0/8]"},
		{"bad public CIDR", public("1.2.3.4"), invalid, "The following CIDRs are invalid in publicAccessCidrs: [1.2.3.4]"},
		{"small service CIDR", services("10.100.0.0/25"), invalid, "Invalid Cluster Service Ipv4 CIDR 10.100.0.0/25 for the cluster x, must have netmask size between /12 and /24 inclusive"},
		{"public service CIDR", services("8.8.0.0/16"), invalid, "Invalid Cluster Service Ipv4 CIDR 8.8.0.0/16 for the cluster x, must be within RFC1918 range"},
		{"service CIDR in the VPC", services("172.31.0.0/20"), invalid, "Invalid Cluster Service Ipv4 CIDR 172.31.0.0/20 for the cluster x, must not overlap with the VPC CIDR 172.31.0.0/16"},
		{"ipv6 with ipv4 services", func(in *sdk.CreateClusterInput) {
			in.KubernetesNetworkConfig = &types.KubernetesNetworkConfigRequest{IpFamily: "ipv6", ServiceIpv4Cidr: aws.String("10.1.0.0/16")}
		}, invalid, `serviceIpv4Cidr cannot be specified when creating an "ipv6" cluster`},
		{"ipv6", func(in *sdk.CreateClusterInput) {
			in.KubernetesNetworkConfig = &types.KubernetesNetworkConfigRequest{IpFamily: "ipv6"}
		}, invalid, "The ipFamily ipv6 is" + tail},
		{"half Auto Mode", auto(true, true, false), invalid, "For EKS Auto Mode, please ensure that all required configs, including computeConfig, kubernetesNetworkConfig, and blockStorage are all either fully enabled or fully disabled."},
		{"Auto Mode and CONFIG_MAP", auto(true, true, true), invalid, "When EKS Auto Mode is enabled, you must use an EKS access config authentication mode of API_AND_CONFIG_MAP or API"},
		{"Auto Mode", func(in *sdk.CreateClusterInput) { auto(true, true, true)(in); withMode("API")(in) }, invalid, "EKS Auto Mode is" + tail},
		{"pools without a role", func(in *sdk.CreateClusterInput) {
			in.ComputeConfig = &types.ComputeConfigRequest{NodePools: []string{"system"}}
		}, invalid, "When Compute Config nodeRoleArn is null or empty, nodePool list cannot be populated."},
		{"encryption of pods", key("us-west-2", "pods"), invalid, "Invalid k8s resource for encryption"},
		{"a key elsewhere", key("us-east-1", "secrets"), invalid, "The keyArn for encryptionConfig is scoped to invalid aws region."},
		{"a key", key("us-west-2", "secrets"), invalid, "Encryption with a key of AWS KMS is" + tail},
		{"hybrid nodes and CONFIG_MAP", func(in *sdk.CreateClusterInput) { in.RemoteNetworkConfig = &types.RemoteNetworkConfigRequest{} }, invalid,
			"AccessConfig AuthMode must be API_AND_CONFIG_MAP or API when remoteNetworkConfig is specified"},
		{"hybrid nodes", func(in *sdk.CreateClusterInput) {
			withMode("API")(in)
			in.RemoteNetworkConfig = &types.RemoteNetworkConfigRequest{RemoteNodeNetworks: []types.RemoteNodeNetwork{{Cidrs: []string{"10.9.0.0/16"}}}}
		}, invalid, "The remoteNetworkConfig of hybrid nodes is" + tail},
		{"outposts", func(in *sdk.CreateClusterInput) {
			in.OutpostConfig = &types.OutpostConfigRequest{OutpostArns: []string{"a"}, ControlPlaneInstanceType: aws.String("m5.large")}
		}, invalid, "A local cluster on Outposts is" + tail},
		{"zonal shift", func(in *sdk.CreateClusterInput) {
			in.ZonalShiftConfig = &types.ZonalShiftConfigRequest{Enabled: aws.Bool(true)}
		}, invalid, "Zonal shift is" + tail},
		{"reserved tag", func(in *sdk.CreateClusterInput) { in.Tags = map[string]string{"aws:x": ""} }, invalid, "Tag keys cannot start with the reserved prefix aws:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.records(t)
			in := w.cluster("x")
			c.change(in)
			_, err := w.root.CreateCluster(t.Context(), in)
			fails(t, err, c.code, c.message)
			if after := w.records(t); after != before {
				t.Errorf("half made:\n%s\n%s", before, after)
			}
		})
	}
}

// A role with a policy of one's own that allows what EKS needs is as good as AWS's.
func TestOwnClusterPolicy(t *testing.T) {
	w := newWorld(t)
	const arn = "arn:aws:iam::000000000000:role/own"
	policy := func(action string) {
		w.role(t, arn, "eks.amazonaws.com")
		w.Update(t, func(tx *store.Tx) {
			r, _ := tx.Roles.Get(arn)
			r.Inline = map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`}
			tx.Roles.Put(arn, r)
		})
	}
	in := w.cluster("c")
	in.RoleArn = aws.String(arn)
	policy("ec2:DescribeVpcs")
	_, err := w.root.CreateCluster(t.Context(), in)
	fails(t, err, "InvalidParameterException", "IAM role's policy must include the `ec2:DescribeSubnets` action")
	policy("ec2:Describe*")
	if _, err := w.root.CreateCluster(t.Context(), in); err != nil {
		t.Fatal(err)
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
