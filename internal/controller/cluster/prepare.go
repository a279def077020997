package cluster

import (
	"context"
	"fmt"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// upgradeAddresses is how many addresses EKS needs in a cluster's subnets to upgrade it: the
// new control plane has its interfaces before the old one gives its own back.
const upgradeAddresses = 5

// updateCodes are those of an update's errors where what a cluster's health misses is in the way.
var updateCodes = map[string]string{
	"VpcNotFound": "VpcIdNotFound", "Ec2SubnetNotFound": "SubnetNotFound", "Ec2SecurityGroupNotFound": "SecurityGroupNotFound",
}

// prepare is at the start of every update: what EKS has in the cluster's security group and
// somebody has taken out is put back, and an upgrade that lacks what it needs has failed.
func (c *Controller) prepare(ctx context.Context, arn string) (ended bool, err error) {
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		cl, ok := tx.Clusters.Get(arn)
		if !ok || !cl.Updating() {
			return nil
		}
		errs := obstacles(tx, cl)
		if err := provision.KeepClusterGroup(tx, cl); err != nil {
			// It may be full of somebody else's rules, which trying again does not change.
			c.log.Warn("the cluster security group is not as EKS made it", "cluster", cl.Name, "group", cl.Spec.ClusterSecurityGroup, "err", err)
			errs = append(errs, resource.UpdateError{Code: "Unknown", Message: err.Error(), ResourceIDs: []string{cl.Spec.ClusterSecurityGroup}})
		}
		if ended = upgrading(cl) && len(errs) > 0; !ended {
			return nil
		}
		return tx.Clusters.Edit(arn, func(now *resource.Cluster) error {
			c.end(tx, cl, &now.Status, errs...)
			return nil
		})
	})
	return ended, err
}

// obstacles are why a cluster cannot be upgraded.
func obstacles(tx *store.Tx, cl resource.Cluster) (out []resource.UpdateError) {
	for _, i := range faultsOf(tx, cl) {
		if code, ok := updateCodes[i.Code]; ok {
			out = append(out, resource.UpdateError{Code: code, Message: i.Message, ResourceIDs: i.ResourceIDs})
		}
	}
	free := 0
	for _, id := range cl.Spec.Subnets {
		if s, ok := tx.Subnets.Get(id); ok {
			free += provision.FreeAddresses(tx, s)
		}
	}
	if free < upgradeAddresses && len(cl.Spec.Subnets) > 0 && len(out) == 0 {
		out = append(out, resource.UpdateError{Code: "IpNotAvailable", ResourceIDs: cl.Spec.Subnets,
			Message: fmt.Sprintf("The subnets of the cluster have %d free IP addresses, and its upgrade needs %d.", free, upgradeAddresses)})
	}
	return out
}
