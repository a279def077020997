package eks_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/store"
)

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
		{"loopback public CIDR", public("127.0.0.0/8"), invalid, "The following CIDRs are not allowed in publicAccessCidrs: [127.0.0.0/8]"},
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
		{"nobody let in", func(in *sdk.CreateClusterInput) {
			in.AccessConfig = &types.CreateAccessConfigRequest{BootstrapClusterCreatorAdminPermissions: aws.Bool(false)}
		}, invalid, "bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to CONFIG_MAP"},
		{"a version in extended support, STANDARD", func(in *sdk.CreateClusterInput) {
			in.Version, in.UpgradePolicy = aws.String("1.31"), &types.UpgradePolicyRequest{SupportType: "STANDARD"}
		}, invalid, "The support type STANDARD cannot be used with Kubernetes version 1.31, which is not in standard support"},
		{"log type on and off", func(in *sdk.CreateClusterInput) {
			in.Logging = &types.Logging{ClusterLogging: []types.LogSetup{{Types: []types.LogType{"api"}, Enabled: aws.Bool(true)}, {Types: []types.LogType{"api"}, Enabled: aws.Bool(false)}}}
		}, invalid, "The log type api is both enabled and disabled"},
		{"unknown scaling tier", func(in *sdk.CreateClusterInput) {
			in.ControlPlaneScalingConfig = &types.ControlPlaneScalingConfig{Tier: "tier-16xl"}
		}, invalid,
			"1 validation error detected: Value 'tier-16xl' at 'controlPlaneScalingConfig.tier' failed to satisfy constraint: Member must satisfy enum value set: [standard, tier-xl, tier-2xl, tier-4xl, tier-8xl]"},
		{"outposts", func(in *sdk.CreateClusterInput) {
			in.OutpostConfig = &types.OutpostConfigRequest{OutpostArns: []string{"a"}, ControlPlaneInstanceType: aws.String("m5.large")}
		}, invalid, "A local cluster on Outposts is" + tail},
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

// A VPC in 10.0.0.0/8 has its services elsewhere.
func TestServiceCIDR(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", func(in *sdk.CreateClusterInput) { in.ResourcesVpcConfig.SubnetIds = w.other[:2] })
	if got := c.Spec.ServiceCIDR.String(); got != "172.20.0.0/16" {
		t.Errorf("services at %s", got)
	}
}
