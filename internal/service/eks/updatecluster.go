package eks

import (
	"context"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Types of a cluster's updates.
const (
	versionUpdate   = "VersionUpdate"
	versionRollback = "VersionRollback"
)

// A change is what one update does to a cluster: its type and parameters, as DescribeUpdate
// shows them. Its function alters the record.
type change struct {
	kind   string
	params []resource.UpdateParam
}

// updateCluster records one update of a cluster that is ACTIVE and has no other under way.
// kind is the type that refusals name. request stands for the input without its token.
func (s *Service) updateCluster(ctx context.Context, call awsapi.Call, name, token, kind string, request any, f func(tx *store.Tx, c *resource.Cluster) (change, error)) (*eks.Update, error) {
	print, err := fingerprint(request)
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.Update, error) {
		c, err := findCluster(tx, call, name)
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		if token != "" {
			for u := range tx.Updates.Values(func(u resource.Update) bool {
				return u.Cluster == c.ARN && u.Nodegroup == "" && u.Addon == "" && u.Token == token
			}) {
				if u.Fingerprint != print {
					return nil, sub.tokenReused()
				}
				return describeUpdate(u), nil
			}
		}
		if err := checkIdle(tx, c, kind); err != nil {
			return nil, err
		}
		// A version or a tier that was asked for and did not come up is not asked for again by
		// an update of something else.
		c.Spec.Version, c.Spec.ScalingTier = c.Version(), c.Tier()
		ch, err := f(tx, &c)
		if err != nil {
			return nil, err
		}
		c.Spec.Revision++
		u := resource.Update{
			ID: awsid.UUID(), Cluster: c.ARN, Type: ch.kind, Params: ch.params, Created: moment(call.Time), Revision: c.Spec.Revision,
			Token: token, Fingerprint: print, State: resource.UpdateInProgress,
		}
		tx.Clusters.Put(c.ARN, c)
		tx.Updates.Put(u.ID, u)
		return describeUpdate(u), nil
	})
}

// checkIdle refuses an update, whose type refusals name, of a cluster that is not ACTIVE or
// that another one is under way of: EKS carries out one at a time, whatever they are about.
func checkIdle(tx *store.Tx, c resource.Cluster, kind string) error {
	sub := subject{cluster: c.Name}
	switch state := c.Current(); {
	case state == resource.ClusterUpdating || state == resource.ClusterActive && updating(tx, c):
		return sub.inUse("Cannot %s because cluster %s currently has an update in progress", kind, c.Name)
	case state != resource.ClusterActive:
		return notActive(c.Name)
	}
	return nil
}

// updating says whether an update of the cluster itself is under way, also one that does not
// show in its status, as those of its identity provider.
func updating(tx *store.Tx, c resource.Cluster) bool {
	for range tx.Updates.Values(func(u resource.Update) bool {
		return u.Cluster == c.ARN && u.Nodegroup == "" && u.Addon == "" && u.State == resource.UpdateInProgress
	}) {
		return true
	}
	return false
}

func notActive(cluster string) error {
	return subject{cluster: cluster}.invalidRequest("Cluster '%s' is not in ACTIVE status", cluster)
}
