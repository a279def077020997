package provision

import (
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DesiredNodes is how many nodes are wanted: what the group's Auto Scaling group says, unless
// the caller has said something since that has not reached it.
func DesiredNodes(tx *store.Tx, n resource.Nodegroup) int32 {
	if n.Status.AutoScalingGroup == "" || n.Deleting || n.Status.AppliedRevision < n.Spec.ForcedConfigUpdateRevision {
		return n.Spec.Desired
	}
	for _, g := range tx.AutoScalingGroups.All() {
		if g.Home == n.Home && g.Name == n.Status.AutoScalingGroup {
			return g.Spec.Desired - n.Grown(g)
		}
	}
	return n.Spec.Desired
}
