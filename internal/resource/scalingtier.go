package resource

import "cmp"

// TierStandard is the scaling tier of a control plane that nothing is provisioned for.
const TierStandard = "standard"

// Tier is the scaling tier that the cluster is at: during a change of it, and after one that
// failed, the one before it.
func (c Cluster) Tier() string {
	if c.Status.RunningVersion == "" {
		return cmp.Or(c.Spec.ScalingTier, TierStandard)
	}
	return cmp.Or(c.Status.RunningTier, TierStandard)
}

// TargetTier is the scaling tier that the control plane should have: what the caller wants,
// unless that has been tried and could not be.
func (c Cluster) TargetTier() string {
	if c.Updating() && c.Status.FailedRevision != c.Spec.Revision {
		return cmp.Or(c.Spec.ScalingTier, TierStandard)
	}
	return c.Tier()
}
