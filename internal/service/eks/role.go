package eks

import (
	"fmt"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/store"
)

const (
	clusterService   = "eks.amazonaws.com"
	nodeService      = "ec2.amazonaws.com"
	nodegroupService = "eks-nodegroup.amazonaws.com"
	clusterPolicy    = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
	awsPolicies      = "arn:aws:iam::aws:"
)

// passRole refuses roles that the caller cannot pass because they are another account's.
func passRole(call awsapi.Call, role string) error {
	if p := strings.SplitN(role, ":", 6); len(p) == 6 && p[2] == "iam" && p[4] != call.Account {
		return &eks.AccessDeniedException{Message: new("Cross-account pass role is not allowed.")}
	}
	return nil
}

// checkClusterRole checks the role that EKS is to use for a cluster: there, trusting EKS,
// and able to do what EKS needs at least.
func checkClusterRole(tx *store.Tx, call awsapi.Call, policies *identity.Policies, cluster, arn string) error {
	if err := passRole(call, arn); err != nil {
		return err
	}
	var sub subject
	role, ok := tx.Roles.Get(arn)
	if ok {
		var err error
		if ok, err = policies.ServiceMayAssume(tx, role, clusterService, cluster); err != nil {
			return err
		}
	}
	if !ok {
		return sub.invalidParameter("Role with arn: %s, could not be assumed because it does not exist or the trusted entity is not correct", arn)
	}
	// A policy of the customer's own may stand in for AWS's.
	own := len(role.Inline) > 0 || slices.ContainsFunc(role.Attached, func(p string) bool { return !strings.HasPrefix(p, awsPolicies) })
	if !own && !slices.Contains(role.Attached, clusterPolicy) {
		return sub.invalidParameter("The provided role doesn't have the Amazon EKS Managed Policies associated with it. Please ensure the following policy is attached: %s", clusterPolicy)
	}
	may, err := policies.RoleAllows(tx, role, "ec2:DescribeSubnets", "*")
	if err != nil {
		return err
	}
	if !may {
		return sub.invalidParameter("IAM role's policy must include the `ec2:DescribeSubnets` action")
	}
	return nil
}

// checkNodeRole checks the role that nodes are to have.
func checkNodeRole(tx *store.Tx, call awsapi.Call, sub subject, policies *identity.Policies, arn string) error {
	if err := passRole(call, arn); err != nil {
		return err
	}
	role, ok := tx.Roles.Get(arn)
	if !ok {
		name := arn[strings.LastIndexByte(arn, '/')+1:]
		return sub.invalidParameter("The role with name %s cannot be found. (Service: AmazonIdentityManagement; Status Code: 404; Error Code: NoSuchEntity; Request ID: %s; Proxy: null)", name, call.RequestID)
	}
	// EC2 assumes it for each instance; there is none yet.
	trusted, err := policies.ServiceMayAssume(tx, role, nodeService, "arn:aws:ec2:"+call.Region+":"+call.Account+":instance/*")
	if err != nil {
		return err
	}
	if !trusted {
		return sub.invalidParameter("Following required service principals [%s] were not found in the trust relationships of nodeRole %s", nodeService, arn)
	}
	return nil
}

// principalOf finds the unique id of a role or user, and its name without its path.
func principalOf(tx *store.Tx, arn string) (id, kind, name string, ok bool) {
	if r, found := tx.Roles.Get(arn); found {
		return r.ID, "role", r.Name, true
	}
	if u, found := tx.Users.Get(arn); found {
		return u.ID, "user", u.Name, true
	}
	return "", "", "", false
}

// ensureLinked makes a service-linked role of the account's if it has none.
func ensureLinked(tx *store.Tx, call awsapi.Call, service string) error {
	if _, _, err := identity.EnsureServiceLinkedRole(tx, call.Account, service, "", "", call.Time); err != nil {
		return fmt.Errorf("service-linked role for %s: %w", service, err)
	}
	return nil
}
