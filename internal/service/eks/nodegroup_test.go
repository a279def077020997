package eks_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	"github.com/aws/smithy-go"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const syntaxRule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

func sizes(min, max, desired int32) *types.NodegroupScalingConfig {
	return &types.NodegroupScalingConfig{MinSize: &min, MaxSize: &max, DesiredSize: &desired}
}

// template makes a launch template that holds d.
func (w *world) template(t *testing.T, name string, d ec2.RequestLaunchTemplateData) *types.LaunchTemplateSpecification {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	id := "lt-0" + strings.Repeat("0", 16-len(name)) + name
	w.Update(t, func(tx *store.Tx) {
		tx.LaunchTemplates.Put(id, resource.LaunchTemplate{
			Home: home(), ID: id, Name: name, Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: raw}},
		})
	})
	return &types.LaunchTemplateSpecification{Name: &name}
}

func TestDescribeNodegroupGolden(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	w.activeNodegroup(t, "c", "minimal")
	describe := func(name, file string) {
		t.Helper()
		if _, err := w.root.DescribeNodegroup(t.Context(), &sdk.DescribeNodegroupInput{ClusterName: aws.String("c"), NodegroupName: &name}); err != nil {
			t.Fatal(err)
		}
		w.golden(t, file)
	}
	describe("minimal", "nodegroup-minimal.json")
	w.Update(t, func(tx *store.Tx) {
		tx.KeyPairs.Put("key-1", resource.KeyPair{Home: home(), ID: "key-1", Name: "mine"})
	})
	arn := w.activeNodegroup(t, "c", "full", func(in *sdk.CreateNodegroupInput) {
		in.Version, in.InstanceTypes, in.CapacityType = aws.String("1.34"), []string{"m6g.large", "m7g.large"}, "SPOT"
		in.ScalingConfig, in.DiskSize = sizes(0, 10, 3), aws.Int32(50)
		in.Labels, in.Tags = map[string]string{"role": "app", "example.com/x": "y"}, map[string]string{"team": "a"}
		in.Taints = []types.Taint{{Key: aws.String("dedicated"), Value: aws.String("gpu"), Effect: "NO_SCHEDULE"}, {Key: aws.String("k"), Effect: "NO_EXECUTE"}}
		in.UpdateConfig = &types.NodegroupUpdateConfig{MaxUnavailablePercentage: aws.Int32(25), UpdateStrategy: "MINIMAL"}
		in.NodeRepairConfig = &types.NodeRepairConfig{
			Enabled: aws.Bool(true), MaxUnhealthyNodeThresholdCount: aws.Int32(3), MaxParallelNodesRepairedPercentage: aws.Int32(20),
			NodeRepairConfigOverrides: []types.NodeRepairConfigOverrides{{
				NodeMonitoringCondition: aws.String("KernelReady"), NodeUnhealthyReason: aws.String("AppCrash"), MinRepairWaitTimeMins: aws.Int32(5), RepairAction: "NoAction",
			}},
		}
		in.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: aws.String("mine")}
	})
	w.change(t, arn, func(n *resource.Nodegroup) {
		n.Status.State, n.Status.RemoteAccess = resource.NodegroupDegraded, "sg-0123456789abcdef0"
		n.Status.Issues = []resource.Issue{{Code: "AsgInstanceLaunchFailures", Message: "no", ResourceIDs: []string{"eks-full"}}}
	})
	describe("full", "nodegroup-full.json")
	w.activeNodegroup(t, "c", "template", func(in *sdk.CreateNodegroupInput) {
		in.LaunchTemplate = w.template(t, "own", ec2.RequestLaunchTemplateData{InstanceType: aws.String("m5.large")})
	})
	describe("template", "nodegroup-template.json")

	out, err := w.root.ListNodegroups(t.Context(), &sdk.ListNodegroupsInput{ClusterName: aws.String("c")})
	if err != nil || fmt.Sprint(out.Nodegroups) != "[full minimal template]" {
		t.Errorf("listed %v, %v", out, err)
	}
	for _, name := range []string{"eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup", "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"} {
		w.Update(t, func(tx *store.Tx) {
			if !tx.Roles.Has("arn:aws:iam::000000000000:role/aws-service-role/" + name) {
				t.Errorf("there is no service-linked role %s", name)
			}
		})
	}
}

func TestSizeDefaults(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	for i, c := range []struct {
		in   *types.NodegroupScalingConfig
		want string
	}{
		{nil, "2 2 2"},
		{sizes(1, 3, 2), "1 2 3"},
		{&types.NodegroupScalingConfig{DesiredSize: aws.Int32(5)}, "2 5 5"},
		{&types.NodegroupScalingConfig{DesiredSize: aws.Int32(0)}, "0 0 2"},
		{&types.NodegroupScalingConfig{MaxSize: aws.Int32(1)}, "1 1 1"},
		{&types.NodegroupScalingConfig{MinSize: aws.Int32(4)}, "4 4 4"},
	} {
		in := w.nodegroup("c", fmt.Sprintf("ng%d", i))
		in.ScalingConfig = c.in
		out, err := w.root.CreateNodegroup(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		s := out.Nodegroup.ScalingConfig
		if got := fmt.Sprint(*s.MinSize, *s.DesiredSize, *s.MaxSize); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}

func TestCreateNodegroupRefusals(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	w.activeNodegroup(t, "c", "taken")
	if _, err := w.root.CreateCluster(t.Context(), w.cluster("new")); err != nil {
		t.Fatal(err)
	}
	w.role(t, "arn:aws:iam::000000000000:role/untrusting", "eks.amazonaws.com")
	w.Update(t, func(tx *store.Tx) {
		tx.KeyPairs.Put("key-1", resource.KeyPair{Home: home(), ID: "key-1", Name: "mine"})
	})
	const invalid, tail = "InvalidParameterException", " not supported by Ekster yet."
	type change = func(*sdk.CreateNodegroupInput)
	scale := func(min, max, desired int32) change {
		return func(in *sdk.CreateNodegroupInput) { in.ScalingConfig = sizes(min, max, desired) }
	}
	label := func(k, v string) change {
		return func(in *sdk.CreateNodegroupInput) { in.Labels = map[string]string{k: v} }
	}
	instance := func(ami types.AMITypes, names ...string) change {
		return func(in *sdk.CreateNodegroupInput) { in.AmiType, in.InstanceTypes = ami, names }
	}
	lt := func(name string, d ec2.RequestLaunchTemplateData, more ...change) change {
		return func(in *sdk.CreateNodegroupInput) {
			in.LaunchTemplate = w.template(t, name, d)
			for _, f := range more {
				f(in)
			}
		}
	}
	role := func(arn string) change {
		return func(in *sdk.CreateNodegroupInput) { in.NodeRole = &arn }
	}
	update := func(u types.NodegroupUpdateConfig) change {
		return func(in *sdk.CreateNodegroupInput) { in.UpdateConfig = &u }
	}
	one := aws.Int32(1)
	for _, c := range []struct {
		name          string
		change        change
		code, message string
	}{
		{"no cluster", func(in *sdk.CreateNodegroupInput) { in.ClusterName = aws.String("none"); scale(2, 1, 2)(in) }, "ResourceNotFoundException", "No cluster found for name: none."},
		{"cluster not active", func(in *sdk.CreateNodegroupInput) { in.ClusterName = aws.String("new") }, "InvalidRequestException", "Cluster 'new' is not in ACTIVE status"},
		{"taken", func(in *sdk.CreateNodegroupInput) { in.NodegroupName = aws.String("taken") }, "ResourceInUseException", "NodeGroup already exists with name taken and cluster name c"},
		{"long name", func(in *sdk.CreateNodegroupInput) { in.NodegroupName = aws.String(strings.Repeat("a", 64)) }, invalid, "nodeGroupName can't be longer than 63 characters!"},
		{"bad name", func(in *sdk.CreateNodegroupInput) { in.NodegroupName = aws.String("a.b") }, invalid, "The nodegroup name parameter contains invalid characters"},
		{"min above desired", scale(3, 4, 2), invalid, "minSize can't be greater than desiredSize"},
		{"desired above max", scale(1, 2, 3), invalid, "desiredSize can't be greater than maxSize"},
		{"too many nodes", scale(1, 451, 2), invalid, "maxSize can't be greater than the maximum number of nodes per managed node group: 450"},
		{"subnet of another VPC", func(in *sdk.CreateNodegroupInput) { in.Subnets = w.other[:1] }, invalid, "Subnets specified must belong to the VPC: " + w.vpc},
		{"unknown subnet", func(in *sdk.CreateNodegroupInput) { in.Subnets = []string{"subnet-1"} }, invalid,
			"The subnet ID 'subnet-1' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidSubnetID.NotFound; Request ID: ID; Proxy: null)"},
		{"version too old", func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.31") }, invalid, "Cluster Kubernetes version 1.35 supports the following Nodegroup Kubernetes versions: [1.35, 1.34, 1.33, 1.32]"},
		{"version absent", func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.33") }, invalid, "Requested AMI for this version 1.33 is not supported"},
		{"unknown release", func(in *sdk.CreateNodegroupInput) { in.ReleaseVersion = aws.String("1.35.0-1") }, invalid, "Requested Nodegroup release version 1.35.0-1 is invalid. Allowed release version is 1.35.4-20261105"},
		{"AL2", instance("AL2_x86_64"), invalid, "AMI Type AL2_x86_64 is only supported for kubernetes versions 1.32 or earlier"},
		{"GPUs on a type without", instance("BOTTLEROCKET_x86_64_NVIDIA"), invalid, "[t3.medium] is not a valid instance type for requested amiType BOTTLEROCKET_x86_64_NVIDIA"},
		{"GPUs of another maker", instance("AL2023_x86_64_NVIDIA", "g5.xlarge", "g4ad.xlarge"), invalid, "[g4ad.xlarge] is not a valid instance type for requested amiType AL2023_x86_64_NVIDIA"},
		{"GPUs on another architecture", instance("AL2023_x86_64_NVIDIA", "g5g.xlarge"), invalid, "[g5g.xlarge] is not a valid instance type for requested amiType AL2023_x86_64_NVIDIA"},
		{"GPUs", instance("AL2023_ARM_64_NVIDIA", "g5g.xlarge"), invalid, "Nodes with accelerators (an amiType …_GPU, …_NVIDIA or …_NEURON) are" + tail},
		{"Neuron on a type without", instance("AL2023_x86_64_NEURON", "g5.xlarge"), invalid, "[g5.xlarge] is not a valid instance type for requested amiType AL2023_x86_64_NEURON"},
		{"Neuron", instance("AL2023_x86_64_NEURON", "inf2.xlarge", "trn1.2xlarge"), invalid, "Nodes with accelerators (an amiType …_GPU, …_NVIDIA or …_NEURON) are" + tail},
		{"Windows", instance("WINDOWS_CORE_2022_x86_64"), invalid, "Windows nodes (an amiType WINDOWS_…) are" + tail},
		{"unknown type", instance("", "t3.medium", "t9.huge"), invalid, "The following supplied instance types do not exist: [t9.huge]"},
		{"type of another architecture", instance("AL2023_x86_64_STANDARD", "t4g.medium"), invalid, "[t4g.medium] is not a valid instance type for requested amiType AL2023_x86_64_STANDARD"},
		{"two architectures", instance("", "t4g.medium", "t3.medium"), invalid, "[t3.medium] is not a valid instance type for requested amiType AL2023_ARM_64_STANDARD"},
		{"reserved label", label("kubernetes.io/x", "a"), invalid, "Label cannot start with reserved prefixes [kubernetes.io/, k8s.io/, eks.amazonaws.com/]"},
		{"bad label", label("a b", "a"), invalid, "Invalid value: a b : field " + syntaxRule},
		{"bad label value", label("a", "-"), invalid, "Invalid value: - : field " + syntaxRule},
		{"bad taint", func(in *sdk.CreateNodegroupInput) {
			in.Taints = []types.Taint{{Key: aws.String("a b"), Effect: "NO_SCHEDULE"}}
		}, invalid, "invalid taint spec: a b , a qualified name " + syntaxRule},
		{"both unavailable", update(types.NodegroupUpdateConfig{MaxUnavailable: one, MaxUnavailablePercentage: one}), invalid, "Either provide max-unavailable or max-unavailable-percentage in the request."},
		{"empty updateConfig", update(types.NodegroupUpdateConfig{}), invalid, "UpdateConfig cannot be empty if set in the request."},
		{"both repaired", func(in *sdk.CreateNodegroupInput) {
			in.NodeRepairConfig = &types.NodeRepairConfig{MaxParallelNodesRepairedCount: one, MaxParallelNodesRepairedPercentage: one}
		}, invalid, "Either provide max parallel nodes to repair count or percentage in the request."},
		{"half an override", func(in *sdk.CreateNodegroupInput) {
			in.NodeRepairConfig = &types.NodeRepairConfig{NodeRepairConfigOverrides: []types.NodeRepairConfigOverrides{{NodeMonitoringCondition: aws.String("Ready"), RepairAction: "Reboot"}}}
		}, invalid, "All of nodeMonitoringCondition, nodeUnhealthyReason, minRepairWaitTimeMins and repairAction must be specified in nodeRepairConfigOverrides."},
		{"unknown role", role("arn:aws:iam::000000000000:role/none"), invalid,
			"The role with name none cannot be found. (Service: AmazonIdentityManagement; Status Code: 404; Error Code: NoSuchEntity; Request ID: ID; Proxy: null)"},
		{"role that trusts another", role("arn:aws:iam::000000000000:role/untrusting"), invalid,
			"Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole arn:aws:iam::000000000000:role/untrusting"},
		{"another account's role", role("arn:aws:iam::" + otherAccount + ":role/r"), "AccessDeniedException", "Cross-account pass role is not allowed."},
		{"template without a name", func(in *sdk.CreateNodegroupInput) { in.LaunchTemplate = &types.LaunchTemplateSpecification{} }, invalid,
			"Either a launch template ID or a launch template name must be specified in the request."},
		{"template with both", func(in *sdk.CreateNodegroupInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{Id: aws.String("a"), Name: aws.String("b")}
		}, invalid, "Either provide launch template ID or launch template name in the request."},
		{"template and disk", lt("disk", ec2.RequestLaunchTemplateData{}, func(in *sdk.CreateNodegroupInput) { in.DiskSize = aws.Int32(20) }), invalid, "Disk size must be specified within the launch template."},
		{"template and ssh", lt("ssh", ec2.RequestLaunchTemplateData{}, func(in *sdk.CreateNodegroupInput) {
			in.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: aws.String("k")}
		}), invalid, "Remote access configuration cannot be specified with a launch template."},
		{"template and types", lt("types", ec2.RequestLaunchTemplateData{InstanceType: aws.String("t3.large")}, instance("", "t3.medium")), invalid,
			"Cannot specify instance types in launch template and API request"},
		{"template with a subnet", lt("subnet", ec2.RequestLaunchTemplateData{
			NetworkInterfaces: []ec2.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{SubnetId: aws.String(w.a)}},
		}), invalid, "You must not specify a subnet in your launch template. All subnets must be specified in the API."},
		{"template with a profile", lt("profile", ec2.RequestLaunchTemplateData{
			IamInstanceProfile: &ec2.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("p")},
		}), invalid, "IamInstanceProfile cannot be specified in the launch template of a node group"},
		{"template with an image and a version", lt("image", ec2.RequestLaunchTemplateData{ImageId: aws.String("ami-1")}, func(in *sdk.CreateNodegroupInput) { in.Version = aws.String("1.35") }), invalid,
			"You cannot specify the kubernetesVersion or releaseVersion when an image id is specified within the launch template."},
		{"unknown template", func(in *sdk.CreateNodegroupInput) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{Name: aws.String("none")}
		}, invalid, "The specified launch template, with template name none, does not exist. (Service: AmazonEC2; Status Code: 400; Error Code: InvalidLaunchTemplateName.NotFoundException; Request ID: ID; Proxy: null)"},
		{"custom image without a template", instance("CUSTOM"), invalid, "Launch template details can't be null for Custom ami type node group"},
		{"unknown key", func(in *sdk.CreateNodegroupInput) {
			in.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: aws.String("k")}
		}, invalid,
			"The key pair 'k' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidKeyPair.NotFound; Request ID: ID; Proxy: null)"},
		{"sources without a key", func(in *sdk.CreateNodegroupInput) {
			in.RemoteAccess = &types.RemoteAccessConfig{SourceSecurityGroups: []string{w.sg}}
		}, invalid, "The ec2SshKey is required when remoteAccess is specified"},
		{"a source that there is not", func(in *sdk.CreateNodegroupInput) {
			in.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: aws.String("mine"), SourceSecurityGroups: []string{"sg-00000000000000000"}}
		}, invalid, "The security group 'sg-00000000000000000' does not exist (Service: AmazonEC2; Status Code: 400; Error Code: InvalidGroup.NotFound; Request ID: ID; Proxy: null)"},
		{"a source of another VPC", func(in *sdk.CreateNodegroupInput) {
			in.RemoteAccess = &types.RemoteAccessConfig{Ec2SshKey: aws.String("mine"), SourceSecurityGroups: []string{w.sg10}}
		}, invalid, "The security group '" + w.sg10 + "' does not belong to the VPC: " + w.vpc},
		{"warm pool", func(in *sdk.CreateNodegroupInput) {
			in.WarmPoolConfig = &types.WarmPoolConfig{Enabled: aws.Bool(true)}
		}, invalid, "The warmPoolConfig of node groups is" + tail},
		{"reserved tag", func(in *sdk.CreateNodegroupInput) { in.Tags = map[string]string{"aws:x": ""} }, invalid, "Tag keys cannot start with the reserved prefix aws:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := w.nodegroup("c", "ng")
			c.change(in) // may make a launch template
			before := w.records(t)
			_, err := w.root.CreateNodegroup(t.Context(), in)
			fails(t, err, c.code, c.message)
			if after := w.records(t); after != before {
				t.Errorf("half made:\n%s\n%s", before, after)
			}
		})
	}
}

// A Bottlerocket group is of Bottlerocket's release and, on ARM, of ARM's default type.
func TestBottlerocketGroup(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	in := w.nodegroup("c", "ng")
	in.AmiType, in.InstanceTypes = types.AMITypesBottlerocketArm64, nil
	out, err := w.root.CreateNodegroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if n := out.Nodegroup; n.AmiType != types.AMITypesBottlerocketArm64 || *n.ReleaseVersion != "1.60.0-5d1e8c2a" || n.InstanceTypes[0] != "t4g.medium" {
		t.Errorf("%s, %s, %v", n.AmiType, *n.ReleaseVersion, n.InstanceTypes)
	}
}

// Every amiType of the model is one that a group can have, or is refused for what it is and
// not for the cluster's version.
func TestEveryAMIType(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	for _, kind := range types.AMITypes("").Values() {
		in := w.nodegroup("c", strings.ToLower(string(kind)))
		in.AmiType, in.InstanceTypes = kind, nil
		want := ""
		switch name := string(kind); {
		case strings.HasPrefix(name, "WINDOWS_"):
			want = "Windows nodes (an amiType WINDOWS_…) are not supported by Ekster yet."
		case strings.HasPrefix(name, "AL2_"):
			want = "AMI Type " + name + " is only supported for kubernetes versions 1.32 or earlier"
		case strings.Contains(name, "NVIDIA"), strings.Contains(name, "NEURON"):
			want = "is not a valid instance type for requested amiType " + name
		case kind == types.AMITypesCustom:
			want = "Launch template details can't be null for Custom ami type node group"
		}
		out, err := w.root.CreateNodegroup(t.Context(), in)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", kind, err)
		case want == "" && out.Nodegroup.AmiType != kind:
			t.Errorf("%s is shown as %s", kind, out.Nodegroup.AmiType)
		case want != "" && !strings.Contains(fmt.Sprint(err), want):
			t.Errorf("%s: %v, want %s", kind, err, want)
		}
	}
}

func TestCustomImage(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	in := w.nodegroup("c", "ng")
	in.LaunchTemplate = w.template(t, "gone", ec2.RequestLaunchTemplateData{ImageId: aws.String("ami-0123456789abcdef0"), InstanceType: aws.String("m5.large")})
	var e smithy.APIError
	if _, err := w.root.CreateNodegroup(t.Context(), in); !errors.As(err, &e) || e.ErrorCode() != "InvalidParameterException" || !strings.Contains(e.ErrorMessage(), "The image id '[ami-0123456789abcdef0]' does not exist") {
		t.Errorf("an image that is not there: %v", err)
	}
	image, _ := ami.Recommended("us-west-2", "1.35", ami.X8664, ami.Standard)
	in.LaunchTemplate = w.template(t, "own", ec2.RequestLaunchTemplateData{ImageId: &image.ID, InstanceType: aws.String("m5.large")})
	out, err := w.root.CreateNodegroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if n := out.Nodegroup; n.AmiType != types.AMITypesCustom || *n.ReleaseVersion != image.ID || n.DiskSize != nil || n.InstanceTypes != nil || *n.LaunchTemplate.Version != "1" {
		t.Errorf("answered %+v", n)
	}
}

func TestNodegroupReplay(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	in := w.nodegroup("c", "ng")
	in.ClientRequestToken = aws.String("one")
	first, err := w.root.CreateNodegroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.root.CreateNodegroup(t.Context(), in)
	if err != nil || *again.Nodegroup.NodegroupArn != *first.Nodegroup.NodegroupArn {
		t.Fatalf("the replay answered %+v, %v", again, err)
	}
	in.DiskSize = aws.Int32(30)
	_, err = w.root.CreateNodegroup(t.Context(), in)
	fails(t, err, "InvalidParameterException", "The clientRequestToken was already used with different request parameters.")
}

func TestDeleteNodegroup(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c")
	arn := w.activeNodegroup(t, "c", "ng")
	in := &sdk.DeleteNodegroupInput{ClusterName: aws.String("c"), NodegroupName: aws.String("ng")}
	out, err := w.root.DeleteNodegroup(t.Context(), in)
	if err != nil || out.Nodegroup.Status != types.NodegroupStatusDeleting {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = w.root.DeleteNodegroup(t.Context(), in)
	fails(t, err, "ResourceInUseException", "Cannot delete because node group ng is currently in status DELETING")
	w.change(t, arn, func(n *resource.Nodegroup) { n.Status.State = resource.NodegroupDeleteFailed })
	if _, err := w.root.DeleteNodegroup(t.Context(), in); err != nil {
		t.Error(err)
	}
	w.Update(t, func(tx *store.Tx) { tx.Nodegroups.Delete(arn) })
	_, err = w.root.DeleteNodegroup(t.Context(), in)
	fails(t, err, "ResourceNotFoundException", "No node group found for name: ng.")
}
