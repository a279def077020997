package identity

import (
	"fmt"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A linked is the role that a service makes for itself in its users' accounts.
type linked struct {
	role        string
	policy      string // below arn:aws:iam::aws:policy/aws-service-role/
	description string
	suffix      bool // several may be made, told apart by a suffix
}

var linkedRoles = map[string]linked{
	"eks.amazonaws.com": {role: "AWSServiceRoleForAmazonEKS", policy: "AmazonEKSServiceRolePolicy",
		description: "Allows Amazon EKS to call AWS services on your behalf."},
	"eks-nodegroup.amazonaws.com": {role: "AWSServiceRoleForAmazonEKSNodegroup", policy: "AWSServiceRoleForAmazonEKSNodegroup",
		description: "This policy allows Amazon EKS to create and manage Nodegroups"},
	"eks-fargate.amazonaws.com": {role: "AWSServiceRoleForAmazonEKSForFargate", policy: "AmazonEKSForFargateServiceRolePolicy",
		description: "This policy grants necessary permissions to Amazon EKS to run fargate tasks"},
	"autoscaling.amazonaws.com": {role: "AWSServiceRoleForAutoScaling", policy: "AutoScalingServiceRolePolicy", suffix: true,
		description: "Default Service-Linked Role enables access to AWS Services and Resources used or managed by Auto Scaling"},
	"elasticloadbalancing.amazonaws.com": {role: "AWSServiceRoleForElasticLoadBalancing", policy: "AWSElasticLoadBalancingServiceRolePolicy",
		description: "Allows ELB to call AWS services on your behalf."},
	"spot.amazonaws.com": {role: "AWSServiceRoleForEC2Spot", policy: "AWSEC2SpotServiceRolePolicy",
		description: "Default EC2 Spot Service Linked Role"},
	"ec2fleet.amazonaws.com": {role: "AWSServiceRoleForEC2Fleet", policy: "AWSEC2FleetServiceRolePolicy",
		description: "Default EC2 Fleet Service Linked Role"},
}

// ServiceLinkedRole returns the name, path and ARN of a service's role in an account.
// known is false for services that have none here; suffixed says whether a suffix is allowed.
func ServiceLinkedRole(account, service, suffix string) (name, path, arn string, suffixed, known bool) {
	l, known := linkedRoles[service]
	name, path = l.role, "/aws-service-role/"+service+"/"
	if suffix != "" {
		name += "_" + suffix
	}
	return name, path, "arn:aws:iam::" + account + ":role" + path + name, l.suffix, known
}

// EnsureServiceLinkedRole returns a service's role in an account, and makes it if it is
// not there. made tells which. A service that has none here is an error.
func EnsureServiceLinkedRole(tx *store.Tx, account, service, suffix, description string, now time.Time) (r resource.Role, made bool, err error) {
	name, path, arn, _, known := ServiceLinkedRole(account, service, suffix)
	if !known {
		return r, false, fmt.Errorf("%s has no service-linked role", service)
	}
	if r, ok := tx.Roles.Get(arn); ok {
		return r, false, nil
	}
	l := linkedRoles[service]
	if description == "" {
		description = l.description
	}
	r = resource.Role{
		Account:     account,
		ARN:         arn,
		Name:        name,
		Path:        path,
		ID:          awsid.IAM("AROA"),
		Description: description,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service +
			`"},"Action":"sts:AssumeRole"}]}`,
		Service:    service,
		MaxSession: 3600,
		Created:    now.UTC().Truncate(time.Second),
		Attached:   []string{"arn:aws:iam::aws:policy/aws-service-role/" + l.policy},
	}
	tx.Roles.Put(arn, r)
	return r, true, nil
}
