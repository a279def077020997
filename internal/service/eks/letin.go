package eks

import (
	"slices"
	"strings"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// The access entries that EKS makes by itself, of clusters that take access entries.

// servicePolicies are what EKS's own role may do in a cluster: read what insights are made
// of, and write events.
var servicePolicies = []string{
	"arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterInsightsPolicy",
	"arn:aws:eks::aws:cluster-access-policy/AmazonEKSEventPolicy",
}

// letIn makes the entries that a cluster begins with: EKS's own, and the creator's. With
// CONFIG_MAP there are none, and the creator is an invisible master; so is whoever cannot have
// an entry, such as the root user.
func letIn(tx *store.Tx, call awsapi.Call, c *resource.Cluster) {
	if c.Spec.AuthenticationMode == modeConfigMap {
		return
	}
	_, _, service, _, _ := identity.ServiceLinkedRole(call.Account, clusterService, "")
	if e, ok := entryOf(tx, call, c, service, servicePolicies...); ok {
		e.Username = "eks:managed"
		tx.AccessEntries.Put(resource.AccessEntryKey(c.ARN, service), e)
	}
	if !c.Spec.CreatorAdmin {
		return
	}
	if e, ok := entryOf(tx, call, c, c.Creator, adminPolicy); ok {
		tx.AccessEntries.Put(resource.AccessEntryKey(c.ARN, c.Creator), e)
	}
}

// letNodesIn makes the entries that a cluster's node groups would have been made with.
func letNodesIn(tx *store.Tx, call awsapi.Call, c *resource.Cluster) {
	for n := range tx.Nodegroups.Values(func(n resource.Nodegroup) bool { return n.Cluster == c.ARN && !n.Deleting }) {
		key := resource.AccessEntryKey(c.ARN, n.Spec.NodeRole)
		e, ok := entryOf(tx, call, c, n.Spec.NodeRole)
		if !ok || tx.AccessEntries.Has(key) {
			continue
		}
		linux := nodeTypes["EC2_LINUX"]
		e.Type, e.Username, e.Groups, e.Managed = "EC2_LINUX", linux.username, slices.Clone(linux.groups), true
		tx.AccessEntries.Put(key, e)
	}
}

// entryOf is a STANDARD entry of a role or user, with policies for the whole cluster. ok is
// false for a principal that is not there.
func entryOf(tx *store.Tx, call awsapi.Call, c *resource.Cluster, principal string, policies ...string) (e resource.AccessEntry, ok bool) {
	id, kind, name, ok := principalOf(tx, principal)
	if !ok {
		return e, false
	}
	now := moment(call.Time)
	e = resource.AccessEntry{
		ARN: accessEntryARN(call, c.Name, kind, principal, name), Cluster: c.ARN, Principal: principal, PrincipalID: id, Type: typeStandard,
		Username: defaultUsername(kind, principal, name), Created: now, Modified: now,
	}
	for _, p := range policies {
		e.Policies = append(e.Policies, resource.AssociatedPolicy{PolicyARN: p, ScopeType: scopeCluster, Associated: now, Modified: now})
	}
	return e, true
}

// checkOwner refuses to touch an entry that is EKS's own.
func checkOwner(sub subject, principal string) error {
	if strings.Contains(principal, ":role/aws-service-role/") {
		return sub.invalidParameter("The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role")
	}
	return nil
}
