package eks

import (
	"regexp"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

const typeStandard = "STANDARD"

// nodeTypes are the types of entries that EKS makes the user name and the groups of.
var nodeTypes = map[string]struct {
	username string
	groups   []string
}{
	"EC2_LINUX":     {"system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}},
	"EC2_WINDOWS":   {"system:node:{{EC2PrivateDNSName}}", []string{"system:nodes", "eks:kube-proxy-windows"}},
	"FARGATE_LINUX": {"system:node:{{SessionName}}", []string{"system:nodes", "system:node-proxier"}},
	"HYBRID_LINUX":  {"system:node:{{SessionName}}", []string{"system:nodes"}},
	"EC2":           {"system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}},

	"HYPERPOD_LINUX": {"system:node:{{SessionName}}", []string{"system:nodes"}},
}

// nodeTypeList is how EKS lists them.
const nodeTypeList = "[EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX, HYBRID_LINUX, EC2]"

var principalARN = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):(role|user)/[\x21-\x7e]+$`)

// newAccessEntry is the entry that a CreateAccessEntry asks for, as far as it can be made
// and checked without looking at other records. It is pure.
func newAccessEntry(call awsapi.Call, in *eks.CreateAccessEntryInput) (resource.AccessEntry, error) {
	sub := subject{cluster: deref(in.ClusterName)}
	e := resource.AccessEntry{
		Principal: deref(in.PrincipalArn), Type: or(in.Type, typeStandard), Username: deref(in.Username), Groups: in.KubernetesGroups,
		Tags: in.Tags, Created: moment(call.Time), Modified: moment(call.Time), Token: deref(in.ClientRequestToken),
	}
	same := *in
	same.ClientRequestToken = nil
	var err error
	if e.Fingerprint, err = fingerprint(same); err != nil {
		return e, err
	}
	m := principalARN.FindStringSubmatch(e.Principal)
	if m == nil {
		return e, invalidPrincipal(sub)
	}
	if err := checkOwner(sub, e.Principal); err != nil {
		return e, err
	}
	node, isNode := nodeTypes[e.Type]
	switch {
	case !isNode && e.Type != typeStandard:
		return e, sub.invalidParameter("The specified type is invalid: %s", e.Type)
	case isNode && m[1] != call.Account:
		return e, sub.invalidParameter("AccessEntry principalArn must be from the same account as the cluster when using types %s", nodeTypeList)
	case isNode && m[2] != "role":
		return e, sub.invalidParameter("AccessEntry principalArn must be IAM role when using types %s", nodeTypeList)
	}
	if err := checkMapping(sub, e.Type, e.Groups, e.Username); err != nil {
		return e, err
	}
	if isNode {
		e.Username, e.Groups = node.username, slices.Clone(node.groups)
	}
	return e, checkTags(sub, in.Tags)
}

// accessEntryARN is the ARN of a new access entry: the principal's account and its name
// without its path are in it.
func accessEntryARN(call awsapi.Call, cluster, kind, principal, name string) string {
	return arn(call, "access-entry/"+cluster+"/"+kind+"/"+accountOf(principal)+"/"+name+"/"+awsid.UUID())
}

// defaultUsername is the Kubernetes user of a STANDARD entry that names none.
func defaultUsername(kind, principal, name string) string {
	if kind == "user" {
		return principal
	}
	return "arn:aws:sts::" + accountOf(principal) + ":assumed-role/" + name + "/{{SessionName}}"
}

func accountOf(principal string) string { return strings.SplitN(principal, ":", 6)[4] }
