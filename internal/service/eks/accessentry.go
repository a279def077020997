package eks

import (
	"strings"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
)

// Types of access entries that are named here.
const (
	typeStandard = "STANDARD"
	typeFargate  = "FARGATE_LINUX"
	typeHybrid   = "HYBRID_LINUX"
)

const (
	adminPolicy    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
	scopeCluster   = "cluster"
	scopeNamespace = "namespace"
)

// accessEntryARN is the ARN of a new access entry: the principal's account and its name
// without its path are in it.
func accessEntryARN(call awsapi.Call, cluster, kind, principal, name string) string {
	account := strings.SplitN(principal, ":", 6)[4]
	return arn(call, "access-entry/"+cluster+"/"+kind+"/"+account+"/"+name+"/"+awsid.UUID())
}

// defaultUsername is the Kubernetes user of an entry that names none.
func defaultUsername(entry, kind, principal, name string) string {
	switch {
	case entry == typeFargate || entry == typeHybrid:
		return "system:node:{{SessionName}}"
	case entry != typeStandard:
		return "system:node:{{EC2PrivateDNSName}}"
	case kind == "user":
		return principal
	}
	account := strings.SplitN(principal, ":", 6)[4]
	return "arn:aws:sts::" + account + ":assumed-role/" + name + "/{{SessionName}}"
}
