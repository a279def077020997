package authz

import (
	"fmt"
	"strings"
	"testing"
)

// TestFieldPolicies tries policies that people and AWS write for EKS, each with requests on
// both sides of its limits. A request is "action resource [key=value …]".
func TestFieldPolicies(t *testing.T) {
	const (
		cluster = "arn:aws:eks:eu-west-1:111122223333:cluster/"
		inst    = "arn:aws:ec2:eu-west-1:111122223333:instance/"
		volume  = "arn:aws:ec2:eu-west-1:111122223333:volume/"
		eni     = "arn:aws:ec2:eu-west-1:111122223333:network-interface/"
		role    = "arn:aws:iam::111122223333:role/"
	)
	cond := func(c string) string { return `"Condition":{` + c + `}` }
	policies := map[string]string{
		// One Region only, but for what is global.
		"region": allow("*", "*") + `,{"Effect":"Deny","NotAction":["iam:*","sts:*","organizations:*"],"Resource":"*",` +
			cond(`"StringNotEquals":{"aws:RequestedRegion":["eu-west-1","eu-central-1"]}`) + `}`,
		// Everything with MFA, and not much without.
		"mfa": allow("*", "*") + `,{"Effect":"Deny","NotAction":["iam:ListMFADevices","sts:GetSessionToken"],"Resource":"*",` +
			cond(`"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`) + `}`,
		// From the office only, unless a service calls on the user's behalf.
		"office": allow("*", "*") + `,` + deny("*", "*", cond(`"NotIpAddress":{"aws:SourceIp":["203.0.113.0/24","198.51.100.7"]},"Bool":{"aws:ViaAWSService":"false"}`)),
		// A time window.
		"window": allow("eks:*", "*", cond(`"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"DateLessThan":{"aws:CurrentTime":"2026-02-01T00:00:00Z"}`)),
		// Attribute-based: a team's clusters are those with its tag, and new ones have to get it.
		"team": allow("eks:*", "*", cond(`"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}`)) + `,` +
			allow("eks:CreateCluster", "*", cond(`"StringEquals":{"aws:RequestTag/team":"${aws:PrincipalTag/team}"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","Name"]}`)) + `,` +
			deny("eks:TagResource", "*", cond(`"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}`)),
		// Passing roles, as the EKS user guide has it.
		"pass": allow("eks:CreateCluster", "*") + `,` + allow("iam:PassRole", role+"eks-*", cond(`"StringEquals":{"iam:PassedToService":"eks.amazonaws.com"}`)) + `,` +
			allow("iam:CreateServiceLinkedRole", role+"aws-service-role/*", cond(`"StringLike":{"iam:AWSServiceName":["eks.amazonaws.com","eks-nodegroup.amazonaws.com"]}`)),
		// Private clusters only.
		"private": allow("eks:*", "*") + `,` + deny("eks:CreateCluster", "*", cond(`"Bool":{"eks:endpointPublicAccess":"true"}`)) + `,` +
			deny("eks:UpdateClusterConfig", "*", cond(`"Bool":{"eks:endpointPublicAccess":"true"}`)),
		// Access entries without cluster administrators.
		"entries": allow("eks:*AccessEntry", cluster+"*") + `,` + allow("eks:AssociateAccessPolicy", "arn:aws:eks:*:*:access-entry/*",
			cond(`"StringEquals":{"eks:accessScope":"namespace"},"ForAllValues:StringLike":{"eks:namespaces":"team-*"},"ArnLike":{"eks:policyArn":["arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy","arn:aws:eks::aws:cluster-access-policy/AmazonEKSEdit*"]}`)),
		// The EBS CSI driver's.
		"ebs": allow("ec2:CreateVolume", "arn:aws:ec2:*:*:volume/*", cond(`"StringLike":{"aws:RequestTag/ebs.csi.aws.com/cluster":"true"}`)) + `,` +
			allow("ec2:CreateTags", "arn:aws:ec2:*:*:volume/*", cond(`"StringEquals":{"ec2:CreateAction":["CreateVolume","CreateSnapshot"]}`)) + `,` +
			allow("ec2:DeleteVolume", "*", cond(`"StringLike":{"ec2:ResourceTag/ebs.csi.aws.com/cluster":"true"}`)) + `,` + allow("ec2:AttachVolume", "arn:aws:ec2:*:*:*"),
		// The CNI's.
		"cni": allow("ec2:*NetworkInterface*", "*") + `,` + allow("ec2:CreateTags", "arn:aws:ec2:*:*:network-interface/*"),
		// Karpenter's: what it makes it may change.
		"karpenter": allow("ec2:RunInstances", "arn:aws:ec2:*:*:subnet/*") + `,` + allow("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*",
			cond(`"StringEquals":{"aws:RequestTag/kubernetes.io/cluster/dev":"owned"},"StringLike":{"aws:RequestTag/karpenter.sh/nodepool":"*"}`)) + `,` +
			allow("ec2:TerminateInstances", "arn:aws:ec2:*:*:instance/*", cond(`"StringEquals":{"aws:ResourceTag/kubernetes.io/cluster/dev":"owned"}`)) + `,` +
			deny("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*", cond(`"StringNotLike":{"ec2:InstanceType":["t3.*","m5.large"]}`)),
		// Own keys only.
		"self": allow("iam:*AccessKey*", "arn:aws:iam::*:user/${aws:username}") + `,` + allow("iam:GetUser", "arn:aws:iam::*:user/${aws:username}"),
		// Roles with a boundary only, and never without.
		"boundary": allow("iam:CreateRole", role+"*", cond(`"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::111122223333:policy/limit"}`)) + `,` +
			deny("iam:DeleteRolePermissionsBoundary", "*") + `,` + allow("iam:*RolePolicy", "*", cond(`"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AmazonEKS*"}`)),
		// Pods by their session tags.
		"pods": allow("s3:GetObject", "arn:aws:s3:::bucket/${aws:PrincipalTag/kubernetes-namespace}/*") + `,` +
			deny("*", "*", cond(`"StringNotEqualsIfExists":{"aws:PrincipalTag/eks-cluster-name":"prod"}`)),
		// Whoever is not this role.
		"only": allow("*", "*") + `,` + deny("eks:DeleteCluster", "*", cond(`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/ops-*"}`)),
		// Encrypted transport, and small numbers.
		"misc": allow("s3:*", "*", cond(`"Bool":{"aws:SecureTransport":true},"NumericLessThanEquals":{"s3:max-keys":"10"}`)) + `,` + allow("kms:Decrypt", "*", cond(`"Null":{"kms:EncryptionContext:aws:s3:arn":"false"}`)),
	}
	compiled := map[string]*Policy{}
	for name, statements := range policies {
		compiled[name] = parse(t, Identity, statements)
	}
	for _, c := range []struct {
		policy, request string
		want            bool
	}{
		{"region", "ec2:RunInstances " + inst + "* aws:RequestedRegion=eu-west-1", true},
		{"region", "ec2:RunInstances " + inst + "* aws:RequestedRegion=us-east-1", false},
		{"region", "iam:CreateRole " + role + "r aws:RequestedRegion=us-east-1", true},
		{"region", "sts:AssumeRole " + role + "r aws:RequestedRegion=us-east-1", true},
		{"region", "eks:ListClusters * aws:RequestedRegion=eu-central-1", true},
		{"region", "eks:ListClusters *", false},

		{"mfa", "eks:ListClusters * aws:MultiFactorAuthPresent=true", true},
		{"mfa", "eks:ListClusters * aws:MultiFactorAuthPresent=false", false},
		{"mfa", "eks:ListClusters *", false}, // BoolIfExists holds without the key: long-term keys are denied
		{"mfa", "sts:GetSessionToken *", true},
		{"mfa", "iam:ListMFADevices * aws:MultiFactorAuthPresent=false", true},

		{"office", "eks:ListClusters * aws:SourceIp=203.0.113.9", true},
		{"office", "eks:ListClusters * aws:SourceIp=198.51.100.7", true},
		{"office", "eks:ListClusters * aws:SourceIp=198.51.100.8 aws:ViaAWSService=false", false},
		{"office", "eks:ListClusters * aws:SourceIp=192.0.2.1 aws:ViaAWSService=true", true},
		{"office", "eks:ListClusters * aws:SourceIp=192.0.2.1 aws:ViaAWSService=false", false},
		{"office", "eks:ListClusters * aws:ViaAWSService=false", false},

		{"window", "eks:ListClusters * aws:CurrentTime=2026-01-15T12:00:00Z", true},
		{"window", "eks:ListClusters * aws:CurrentTime=2025-12-31T23:59:59Z", false},
		{"window", "eks:ListClusters * aws:CurrentTime=2026-02-01T00:00:00Z", false},
		{"window", "eks:ListClusters * aws:CurrentTime=2026-01-31T23:59:59+00:00", true},

		{"team", "eks:DescribeCluster " + cluster + "a aws:ResourceTag/team=blue aws:PrincipalTag/team=blue", true},
		{"team", "eks:DescribeCluster " + cluster + "a aws:ResourceTag/team=red aws:PrincipalTag/team=blue", false},
		{"team", "eks:DescribeCluster " + cluster + "a aws:ResourceTag/team=blue", false},
		{"team", "eks:DescribeCluster " + cluster + "a aws:PrincipalTag/team=blue", false},
		{"team", "eks:CreateCluster " + cluster + "a aws:RequestTag/team=blue aws:TagKeys=team aws:PrincipalTag/team=blue", true},
		{"team", "eks:CreateCluster " + cluster + "a aws:RequestTag/team=red aws:TagKeys=team aws:PrincipalTag/team=blue", false},
		{"team", "eks:CreateCluster " + cluster + "a aws:RequestTag/team=blue aws:TagKeys=team aws:TagKeys=cost aws:PrincipalTag/team=blue", false},
		{"team", "eks:CreateCluster " + cluster + "a aws:PrincipalTag/team=blue", false},
		{"team", "eks:TagResource " + cluster + "a aws:ResourceTag/team=blue aws:PrincipalTag/team=blue aws:TagKeys=cost", true},
		{"team", "eks:TagResource " + cluster + "a aws:ResourceTag/team=blue aws:PrincipalTag/team=blue aws:TagKeys=cost aws:TagKeys=team", false},

		{"pass", "iam:PassRole " + role + "eks-cluster iam:PassedToService=eks.amazonaws.com", true},
		{"pass", "iam:PassRole " + role + "eks-cluster iam:PassedToService=ec2.amazonaws.com", false},
		{"pass", "iam:PassRole " + role + "admin iam:PassedToService=eks.amazonaws.com", false},
		{"pass", "iam:PassRole " + role + "path/eks-cluster iam:PassedToService=eks.amazonaws.com", false},
		{"pass", "iam:PassRole " + role + "eks-cluster", false},
		{"pass", "iam:CreateServiceLinkedRole " + role + "aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS iam:AWSServiceName=eks.amazonaws.com", true},
		{"pass", "iam:CreateServiceLinkedRole " + role + "aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot iam:AWSServiceName=spot.amazonaws.com", false},

		{"private", "eks:CreateCluster " + cluster + "a eks:endpointPublicAccess=false", true},
		{"private", "eks:CreateCluster " + cluster + "a eks:endpointPublicAccess=true", false},
		{"private", "eks:CreateCluster " + cluster + "a", true}, // the key is not in the request: a policy has to ask for it
		{"private", "eks:UpdateClusterConfig " + cluster + "a eks:endpointPublicAccess=true", false},
		{"private", "eks:UpdateClusterVersion " + cluster + "a eks:endpointPublicAccess=true", true},

		{"entries", "eks:CreateAccessEntry " + cluster + "a", true},
		{"entries", "eks:CreateNodegroup " + cluster + "a", false},
		{"entries", "eks:DeleteAccessEntry arn:aws:eks:eu-west-1:111122223333:access-entry/a/role/111122223333/r/uuid", false},
		{"entries", "eks:AssociateAccessPolicy arn:aws:eks:eu-west-1:111122223333:access-entry/a/u eks:accessScope=namespace eks:namespaces=team-a eks:policyArn=arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", true},
		{"entries", "eks:AssociateAccessPolicy arn:aws:eks:eu-west-1:111122223333:access-entry/a/u eks:accessScope=namespace eks:namespaces=team-a eks:policyArn=arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", true},
		{"entries", "eks:AssociateAccessPolicy arn:aws:eks:eu-west-1:111122223333:access-entry/a/u eks:accessScope=namespace eks:namespaces=team-a eks:namespaces=kube-system eks:policyArn=arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", false},
		{"entries", "eks:AssociateAccessPolicy arn:aws:eks:eu-west-1:111122223333:access-entry/a/u eks:accessScope=cluster eks:policyArn=arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", false},
		{"entries", "eks:AssociateAccessPolicy arn:aws:eks:eu-west-1:111122223333:access-entry/a/u eks:accessScope=namespace eks:namespaces=team-a eks:policyArn=arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", false},

		{"ebs", "ec2:CreateVolume " + volume + "* aws:RequestTag/ebs.csi.aws.com/cluster=true", true},
		{"ebs", "ec2:CreateVolume " + volume + "* aws:RequestTag/ebs.csi.aws.com/cluster=false", false},
		{"ebs", "ec2:CreateVolume " + volume + "*", false},
		{"ebs", "ec2:CreateTags " + volume + "* ec2:CreateAction=CreateVolume", true},
		{"ebs", "ec2:CreateTags " + volume + "vol-1", false},
		{"ebs", "ec2:CreateTags " + inst + "* ec2:CreateAction=CreateVolume", false},
		{"ebs", "ec2:DeleteVolume " + volume + "vol-1 ec2:ResourceTag/ebs.csi.aws.com/cluster=true", true},
		{"ebs", "ec2:DeleteVolume " + volume + "vol-1 aws:ResourceTag/ebs.csi.aws.com/cluster=true", false},
		{"ebs", "ec2:DeleteVolume " + volume + "vol-1", false},
		{"ebs", "ec2:AttachVolume " + inst + "i-1", true},
		{"ebs", "ec2:DetachVolume " + inst + "i-1", false},

		{"cni", "ec2:CreateNetworkInterface " + eni + "*", true},
		{"cni", "ec2:DescribeNetworkInterfaces *", true},
		{"cni", "ec2:ModifyNetworkInterfaceAttribute " + eni + "eni-1", true},
		{"cni", "ec2:AssignPrivateIpAddresses " + eni + "eni-1", false},
		{"cni", "ec2:CreateTags " + eni + "eni-1", true},
		{"cni", "ec2:CreateTags " + inst + "i-1", false},

		{"karpenter", "ec2:RunInstances arn:aws:ec2:eu-west-1:111122223333:subnet/subnet-1", true},
		{"karpenter", "ec2:RunInstances " + inst + "* ec2:InstanceType=t3.large aws:RequestTag/kubernetes.io/cluster/dev=owned aws:RequestTag/karpenter.sh/nodepool=default", true},
		{"karpenter", "ec2:RunInstances " + inst + "* ec2:InstanceType=p5.48xlarge aws:RequestTag/kubernetes.io/cluster/dev=owned aws:RequestTag/karpenter.sh/nodepool=default", false},
		{"karpenter", "ec2:RunInstances " + inst + "* ec2:InstanceType=m5.large aws:RequestTag/kubernetes.io/cluster/dev=owned", false},
		{"karpenter", "ec2:RunInstances " + inst + "* ec2:InstanceType=m5.large aws:RequestTag/kubernetes.io/cluster/prod=owned aws:RequestTag/karpenter.sh/nodepool=default", false},
		{"karpenter", "ec2:TerminateInstances " + inst + "i-1 aws:ResourceTag/kubernetes.io/cluster/dev=owned", true},
		{"karpenter", "ec2:TerminateInstances " + inst + "i-1 aws:ResourceTag/kubernetes.io/cluster/dev=shared", false},

		{"self", "iam:CreateAccessKey arn:aws:iam::111122223333:user/ann aws:username=ann", true},
		{"self", "iam:CreateAccessKey arn:aws:iam::111122223333:user/bob aws:username=ann", false},
		{"self", "iam:CreateAccessKey arn:aws:iam::111122223333:user/*", false},
		{"self", "iam:GetUser arn:aws:iam::111122223333:user/ann aws:username=ann", true},
		{"self", "iam:DeleteUser arn:aws:iam::111122223333:user/ann aws:username=ann", false},

		{"boundary", "iam:CreateRole " + role + "r iam:PermissionsBoundary=arn:aws:iam::111122223333:policy/limit", true},
		{"boundary", "iam:CreateRole " + role + "r", false},
		{"boundary", "iam:CreateRole " + role + "r iam:PermissionsBoundary=arn:aws:iam::111122223333:policy/wide", false},
		{"boundary", "iam:DeleteRolePermissionsBoundary " + role + "r", false},
		{"boundary", "iam:AttachRolePolicy " + role + "r iam:PolicyARN=arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy", true},
		{"boundary", "iam:AttachRolePolicy " + role + "r iam:PolicyARN=arn:aws:iam::aws:policy/AdministratorAccess", false},
		{"boundary", "iam:AttachRolePolicy " + role + "r iam:PolicyARN=arn:aws:iam::111122223333:policy/AmazonEKS_CNI_Policy", false},

		{"pods", "s3:GetObject arn:aws:s3:::bucket/web/x aws:PrincipalTag/kubernetes-namespace=web aws:PrincipalTag/eks-cluster-name=prod", true},
		{"pods", "s3:GetObject arn:aws:s3:::bucket/api/x aws:PrincipalTag/kubernetes-namespace=web aws:PrincipalTag/eks-cluster-name=prod", false},
		{"pods", "s3:GetObject arn:aws:s3:::bucket/web/x aws:PrincipalTag/kubernetes-namespace=web aws:PrincipalTag/eks-cluster-name=dev", false},
		{"pods", "s3:GetObject arn:aws:s3:::bucket/web/x aws:PrincipalTag/kubernetes-namespace=web", false}, // a negated …IfExists holds without the key
		{"pods", "s3:GetObject arn:aws:s3:::bucket/x aws:PrincipalTag/eks-cluster-name=prod", false},

		{"only", "eks:DeleteCluster " + cluster + "a aws:PrincipalArn=arn:aws:iam::111122223333:role/ops-1", true},
		{"only", "eks:DeleteCluster " + cluster + "a aws:PrincipalArn=arn:aws:iam::111122223333:role/dev", false},
		{"only", "eks:DeleteCluster " + cluster + "a aws:PrincipalArn=arn:aws:iam::111122223333:user/ops-1", false},
		{"only", "eks:DescribeCluster " + cluster + "a aws:PrincipalArn=arn:aws:iam::111122223333:role/dev", true},

		{"misc", "s3:ListBucket arn:aws:s3:::b aws:SecureTransport=true s3:max-keys=10", true},
		{"misc", "s3:ListBucket arn:aws:s3:::b aws:SecureTransport=true s3:max-keys=11", false},
		{"misc", "s3:ListBucket arn:aws:s3:::b aws:SecureTransport=false s3:max-keys=1", false},
		{"misc", "s3:ListBucket arn:aws:s3:::b aws:SecureTransport=true", false},
		{"misc", "kms:Decrypt arn:aws:kms:eu-west-1:111122223333:key/k kms:EncryptionContext:aws:s3:arn=arn:aws:s3:::b", true},
		{"misc", "kms:Decrypt arn:aws:kms:eu-west-1:111122223333:key/k", false},
	} {
		t.Run(fmt.Sprint(c.policy, ": ", c.request), func(t *testing.T) {
			f := strings.Fields(c.request)
			req := Request{Principal: ann, Action: f[0], Resources: f[1:2], Context: map[string][]string{}}
			for _, kv := range f[2:] {
				k, v, _ := strings.Cut(kv, "=")
				req.Context[k] = append(req.Context[k], v)
			}
			if d := Evaluate(Inputs{Identity: []Source{{c.policy, compiled[c.policy]}}}, req); d.Allowed != c.want {
				t.Errorf("allowed=%v", d.Allowed)
			}
		})
	}
}
