package iampolicy

import (
	"regexp"
	"testing"

	"ekster.dev/ekster/internal/authz"
)

func all(t *testing.T) []Policy {
	t.Helper()
	list, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEveryPolicyIsSound(t *testing.T) {
	id := regexp.MustCompile(`^ANPA[A-Z2-7]{17}$`)
	names, ids := map[string]bool{}, map[string]bool{}
	for _, p := range all(t) {
		t.Run(p.Name, func(t *testing.T) {
			if names[p.Name] || ids[p.ID] || !id.MatchString(p.ID) {
				t.Errorf("name or id %s is not unique, or not an id", p.ID)
			}
			names[p.Name], ids[p.ID] = true, true
			if p.Description == "" || p.Created.IsZero() || p.Updated.Before(p.Created) {
				t.Errorf("description %q, created %s, updated %s", p.Description, p.Created, p.Updated)
			}
			if p.Path[0] != '/' || p.Path[len(p.Path)-1] != '/' {
				t.Errorf("path %q", p.Path)
			}
			if p.Document() == "" {
				t.Errorf("no version %s", p.DefaultVersion)
			}
			for _, v := range p.Versions {
				if _, err := authz.Parse([]byte(v.Document), authz.Identity); err != nil {
					t.Errorf("%s: %v", v.ID, err)
				}
			}
			got, ok, err := Get(p.ARN)
			if err != nil || !ok || got.Name != p.Name {
				t.Errorf("Get(%s) is %s, %v, %v", p.ARN, got.Name, ok, err)
			}
		})
	}
}

func TestGetUnknown(t *testing.T) {
	for _, arn := range []string{
		"", "arn:aws:iam::aws:policy/Nope", "arn:aws:iam::aws:policy/", "arn:aws:iam::aws:policy/../iampolicy",
		"arn:aws:iam::111122223333:policy/AdministratorAccess", "arn:aws:iam::aws:policy/service-role/AdministratorAccess",
		"arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicy",
	} {
		if p, ok, err := Get(arn); ok || err != nil {
			t.Errorf("Get(%q) is %s, %v, %v", arn, p.Name, ok, err)
		}
	}
}

// TestDecisions tries what each policy is attached for, and what it must not give.
func TestDecisions(t *testing.T) {
	const account = "111122223333"
	ec2 := func(resource string) string { return "arn:aws:ec2:eu-west-1:" + account + ":" + resource }
	iam := func(resource string) string { return "arn:aws:iam::" + account + ":" + resource }
	type ctx = map[string][]string
	for _, c := range []struct {
		policy, action, resource string
		context                  ctx
		want                     bool
	}{
		{"AdministratorAccess", "eks:DeleteCluster", "arn:aws:eks:eu-west-1:111122223333:cluster/c", nil, true},
		{"PowerUserAccess", "eks:CreateCluster", "*", nil, true},
		{"PowerUserAccess", "iam:PassRole", iam("role/r"), nil, false},
		{"PowerUserAccess", "iam:CreateServiceLinkedRole", iam("role/aws-service-role/x"), nil, true},
		{"ReadOnlyAccess", "eks:DescribeCluster", "arn:aws:eks:eu-west-1:111122223333:cluster/c", nil, true},
		{"ReadOnlyAccess", "eks:DeleteCluster", "arn:aws:eks:eu-west-1:111122223333:cluster/c", nil, false},
		{"ReadOnlyAccess", "secretsmanager:GetSecretValue", "*", nil, false},
		{"ReadOnlyAccess", "eks:AccessKubernetesApi", "*", nil, false},
		{"IAMFullAccess", "iam:CreateRole", iam("role/r"), nil, true},
		{"IAMFullAccess", "ec2:RunInstances", "*", nil, false},
		{"AmazonEC2FullAccess", "ec2:RunInstances", ec2("instance/*"), nil, true},
		{"AmazonEC2FullAccess", "iam:PassRole", iam("role/r"), nil, false},
		{"AmazonVPCFullAccess", "ec2:CreateVpc", ec2("vpc/*"), nil, true},
		{"AmazonVPCFullAccess", "ec2:DeleteNatGateway", ec2("natgateway/n"), nil, true},
		{"AmazonVPCFullAccess", "ec2:RunInstances", ec2("instance/*"), nil, false},

		{"AmazonEKSClusterPolicy", "elasticloadbalancing:CreateLoadBalancer", "*", nil, true},
		{"AmazonEKSClusterPolicy", "ec2:DeleteNetworkInterface", ec2("network-interface/e"), nil, false},
		{"AmazonEKSClusterPolicy", "ec2:DeleteNetworkInterface", ec2("network-interface/e"), ctx{"ec2:ResourceTag/eks:eni:owner": {"amazon-vpc-cni"}}, true},
		{"AmazonEKSWorkerNodePolicy", "eks:DescribeCluster", "arn:aws:eks:eu-west-1:111122223333:cluster/c", nil, true},
		{"AmazonEKSWorkerNodePolicy", "ec2:CreateNetworkInterface", "*", nil, false},
		{"AmazonEKSWorkerNodeMinimalPolicy", "eks:DescribeCluster", "*", nil, false},
		{"AmazonEKS_CNI_Policy", "ec2:AssignPrivateIpAddresses", ec2("network-interface/e"), nil, true},
		{"AmazonEKS_CNI_Policy", "ec2:CreateTags", ec2("network-interface/e"), nil, true},
		{"AmazonEKS_CNI_Policy", "ec2:CreateTags", ec2("instance/i"), nil, false},
		{"AmazonEC2ContainerRegistryPullOnly", "ecr:BatchGetImage", "*", nil, true},
		{"AmazonEC2ContainerRegistryPullOnly", "ecr:ListImages", "*", nil, false},
		{"AmazonEC2ContainerRegistryReadOnly", "ecr:ListImages", "*", nil, true},

		{"AmazonEBSCSIDriverPolicy", "ec2:CreateVolume", ec2("volume/*"), ctx{"aws:RequestTag/CSIVolumeName": {"pvc-1"}}, true},
		{"AmazonEBSCSIDriverPolicy", "ec2:CreateVolume", ec2("volume/*"), nil, false},
		{"AmazonEBSCSIDriverPolicy", "ec2:DeleteVolume", ec2("volume/v"), ctx{"ec2:ResourceTag/ebs.csi.aws.com/cluster": {"true"}}, true},
		{"AmazonEBSCSIDriverPolicy", "ec2:DeleteVolume", ec2("volume/v"), ctx{"ec2:ResourceTag/ebs.csi.aws.com/cluster": {"false"}}, false},
		{"AmazonEBSCSIDriverPolicy", "ec2:CreateTags", ec2("volume/v"), nil, false},
		{"AmazonEBSCSIDriverPolicy", "ec2:CreateTags", ec2("volume/v"), ctx{"ec2:CreateAction": {"CreateVolume"}}, true},
		{"AmazonEFSCSIDriverPolicy", "elasticfilesystem:CreateAccessPoint", "*", ctx{"aws:RequestTag/efs.csi.aws.com/cluster": {"true"}, "aws:TagKeys": {"efs.csi.aws.com/cluster"}}, true},
		{"AmazonEFSCSIDriverPolicy", "elasticfilesystem:CreateAccessPoint", "*", ctx{"aws:RequestTag/efs.csi.aws.com/cluster": {"true"}, "aws:TagKeys": {"efs.csi.aws.com/cluster", "x"}}, false},

		{"AmazonEKSComputePolicy", "ec2:RunInstances", ec2("launch-template/lt"), ctx{"aws:ResourceTag/eks:eks-cluster-name": {"c"}, "aws:PrincipalTag/eks:eks-cluster-name": {"c"}}, true},
		{"AmazonEKSComputePolicy", "ec2:RunInstances", ec2("launch-template/lt"), ctx{"aws:ResourceTag/eks:eks-cluster-name": {"c"}, "aws:PrincipalTag/eks:eks-cluster-name": {"d"}}, false},
		{"AmazonEKSComputePolicy", "ec2:RunInstances", ec2("launch-template/lt"), ctx{"aws:ResourceTag/eks:eks-cluster-name": {"c"}}, false},
		{"AmazonEKSComputePolicy", "iam:PassRole", iam("role/node"), ctx{"iam:PassedToService": {"ec2.amazonaws.com"}}, true},
		{"AmazonEKSComputePolicy", "iam:PassRole", iam("role/node"), ctx{"iam:PassedToService": {"lambda.amazonaws.com"}}, false},

		{"AmazonEKSServiceRolePolicy", "eks:ListAssociatedAccessPolicies", "arn:aws:eks:eu-west-1:111122223333:access-entry/c/role/111122223333/AWSServiceRoleForAmazonEKS/1", ctx{"aws:PrincipalAccount": {account}}, true},
		{"AmazonEKSServiceRolePolicy", "eks:ListAssociatedAccessPolicies", "arn:aws:eks:eu-west-1:111122223333:access-entry/c/role/111122223333/Admin/1", ctx{"aws:PrincipalAccount": {account}}, false},
		{"AWSServiceRoleForAmazonEKSNodegroup", "autoscaling:UpdateAutoScalingGroup", "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:u-u-i-d:autoScalingGroupName/eks-ng-1", nil, true},
		{"AWSServiceRoleForAmazonEKSNodegroup", "autoscaling:UpdateAutoScalingGroup", "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:u-u-i-d:autoScalingGroupName/mine", nil, false},
		{"AWSServiceRoleForAmazonEKSNodegroup", "autoscaling:CreateAutoScalingGroup", "*", ctx{"aws:TagKeys": {"eks:cluster-name", "Name"}}, true},
		{"AWSServiceRoleForAmazonEKSNodegroup", "ec2:CreateTags", ec2("instance/i"), ctx{"ec2:CreateAction": {"RunInstances"}, "aws:TagKeys": {"kubernetes.io/cluster/c"}}, true},
		{"AWSEC2SpotServiceRolePolicy", "ec2:RunInstances", ec2("instance/*"), ctx{"ec2:InstanceMarketType": {"spot"}}, true},
		{"AWSEC2SpotServiceRolePolicy", "ec2:RunInstances", ec2("instance/*"), ctx{"ec2:InstanceMarketType": {"on-demand"}}, false},
		{"AutoScalingServiceRolePolicy", "ec2:DescribeInstances", "*", nil, true},
	} {
		var found *Policy
		for _, p := range all(t) {
			if p.Name == c.policy {
				found = &p
				break
			}
		}
		if found == nil {
			t.Errorf("no policy %s", c.policy)
			continue
		}
		compiled, err := authz.Parse([]byte(found.Document()), authz.Identity)
		if err != nil {
			t.Fatal(err)
		}
		d := authz.Evaluate(authz.Inputs{Identity: []authz.Source{{Name: found.ARN, Policy: compiled}}}, authz.Request{
			Principal: authz.Principal{Type: authz.RoleSession, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/r/s", RoleARN: iam("role/r")},
			Action:    c.action, Resources: []string{c.resource}, Context: c.context,
		})
		if d.Allowed != c.want {
			t.Errorf("%s: %s on %s with %v: allowed=%v", c.policy, c.action, c.resource, c.context, d.Allowed)
		}
	}
}
