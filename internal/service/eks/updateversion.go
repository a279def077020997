package eks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/addon"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/insight"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// rollbackWindow is how long after an upgrade the version before can be had back.
const rollbackWindow = 7 * 24 * time.Hour

// UpdateClusterVersion moves a cluster's control plane one minor version up, or back to the
// version before an upgrade of the last seven days. Package controller/cluster carries it
// out, and goes back by itself from a version that does not come up.
func (s *Service) UpdateClusterVersion(ctx context.Context, call awsapi.Call, in *eks.UpdateClusterVersionInput) (*eks.UpdateClusterVersionOutput, error) {
	same := *in
	same.ClientRequestToken = nil
	u, err := s.updateCluster(ctx, call, deref(in.Name), deref(in.ClientRequestToken), versionUpdate, same,
		func(tx *store.Tx, c *resource.Cluster) (change, error) { return s.moveVersion(tx, call, c, in) })
	if err != nil {
		return nil, err
	}
	return &eks.UpdateClusterVersionOutput{Update: u}, nil
}

func (s *Service) moveVersion(tx *store.Tx, call awsapi.Call, c *resource.Cluster, in *eks.UpdateClusterVersionInput) (change, error) {
	sub, to, from := subject{cluster: c.Name}, deref(in.Version), c.Version()
	v, ok := eksversion.Lookup(to)
	if !ok || !s.payload(to) || v.Support(call.Time) == eksversion.Unsupported {
		return change{}, sub.invalidParameter("unsupported Kubernetes version %s", to)
	}
	kind, category := versionUpdate, insight.Upgrade
	switch {
	case eksversion.Older(to, 1) == from:
		if in.RollbackConfig != nil {
			return change{}, sub.invalidParameter("rollbackConfig can only be specified for a version rollback")
		}
		if err := checkSkew(tx, sub, *c, to); err != nil {
			return change{}, err
		}
	case to == c.Status.UpgradedFrom && call.Time.Sub(c.Status.Upgraded) <= rollbackWindow:
		kind, category = versionRollback, insight.Rollback
		if v.Support(call.Time) == eksversion.Extended && c.Spec.SupportType != supportExtended {
			return change{}, sub.invalidParameter("Kubernetes version %s is in extended support, which the cluster's upgrade policy does not allow", to)
		}
	default:
		return change{}, sub.invalidParameter("Unsupported Kubernetes minor version update from %s to %s", from, to)
	}
	if !deref(in.Force) {
		if names := s.failing(tx, *c, category, to); len(names) > 0 {
			return change{}, &eks.InvalidStateException{ClusterName: new(c.Name), Message: new(fmt.Sprintf(
				"Cluster %s has insights with status ERROR that must be resolved before the update to version %s: %s. Use the force flag to override them.",
				c.Name, to, strings.Join(names, ", ")))}
		}
	}
	c.Spec.Version = to
	return change{kind: kind, params: []resource.UpdateParam{{Type: "Version", Value: to}, {Type: "PlatformVersion", Value: v.Platform}}}, nil
}

// checkSkew refuses an upgrade past managed node groups that are too old for it. EKS once
// asked for node groups of the cluster's own version; since kubelets may be three minor
// versions behind, it is those that would be left further behind that are named.
func checkSkew(tx *store.Tx, sub subject, c resource.Cluster, to string) error {
	var behind []string
	for n := range tx.Nodegroups.Values(func(n resource.Nodegroup) bool { return n.Cluster == c.ARN && !n.Deleting }) {
		if !slices.Contains(nodeVersions(to), n.Rolled().Version) {
			behind = append(behind, n.Name)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	slices.Sort(behind)
	return sub.invalidParameter("Nodegroups %s must be updated to match cluster version %s before updating cluster version", strings.Join(behind, ","), c.Version())
}

// nodeVersions are the versions that nodes of a cluster may have, newest first.
func nodeVersions(cluster string) (out []string) {
	for i := range versionsBehind + 1 {
		out = append(out, eksversion.Older(cluster, i))
	}
	return out
}

// failing names the insights that stand in the way of a version.
func (s *Service) failing(tx *store.Tx, c resource.Cluster, category insight.Category, to string) (names []string) {
	for _, i := range insight.Of(s.factsOf(tx, c), category, to) {
		if i.Status == insight.Error {
			names = append(names, i.Name)
		}
	}
	return names
}

// factsOf is what the records know of a cluster's nodes, and what was found in it.
func (s *Service) factsOf(tx *store.Tx, c resource.Cluster) insight.Facts {
	seen := c.Status.Inspection
	f := insight.Facts{Version: c.Version(), Looked: !seen.Ended.IsZero() && seen.Error == ""}
	for _, n := range tx.Nodes.All() {
		if n.Cluster == c.ARN {
			f.Nodes = append(f.Nodes, insight.Node{Name: n.Name, Instance: n.Instance, Kubelet: n.Version, Proxy: seen.KubeProxy})
		}
	}
	if catalogue, err := s.addons(); err == nil { // else there are none: CreateAddon says why
		for a := range tx.Addons.Values(func(a resource.Addon) bool { return a.Cluster == c.ARN && !a.Deleting }) {
			if entry, ok := catalogue.Find(a.Name); ok {
				f.Addons = append(f.Addons, insight.Addon{Name: a.Name, ARN: a.ARN, Version: a.Spec.Version, RunsOn: versionsByMinor(entry)})
			}
		}
		slices.SortFunc(f.Addons, func(a, b insight.Addon) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, a := range seen.Deprecated {
		if len(a.Days) == 0 {
			continue // not for a month
		}
		api := insight.API{Group: a.Group, Version: a.Version, Resource: a.Resource, Removed: a.Removed, Replacement: a.Replacement, Last: a.Last}
		for _, n := range a.Days {
			api.Requests += n
		}
		f.Deprecated = append(f.Deprecated, api)
	}
	for _, i := range c.Status.Issues {
		f.Issues = append(f.Issues, insight.Issue{Message: i.Message, ARN: c.ARN})
	}
	for n := range tx.Nodegroups.Values(func(n resource.Nodegroup) bool {
		return n.Cluster == c.ARN && strings.HasPrefix(n.Spec.AMIType, "AL2_")
	}) {
		f.Legacy = append(f.Legacy, n.ARN)
	}
	slices.Sort(f.Legacy)
	return f
}

// versionsByMinor are an add-on's versions by the Kubernetes versions that they run on.
func versionsByMinor(a *addon.Addon) map[string][]string {
	out := map[string][]string{}
	for _, v := range a.Versions {
		for _, k := range v.Kubernetes {
			out[k] = append(out[k], v.Version)
		}
	}
	return out
}

// CancelUpdate cancels the rollback of an Auto Mode cluster whose nodes are on their way;
// since there are no Auto Mode clusters, no update can be cancelled.
func (s *Service) CancelUpdate(_ context.Context, call awsapi.Call, in *eks.CancelUpdateInput) (*eks.CancelUpdateOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.CancelUpdateOutput, error) {
		c, err := findCluster(tx, call, deref(in.Name))
		if err != nil {
			return nil, err
		}
		u, ok := tx.Updates.Get(deref(in.UpdateId))
		switch {
		case !ok || u.Cluster != c.ARN:
			return nil, subject{cluster: c.Name}.notFound("No update found for ID: %s", deref(in.UpdateId))
		case u.State != resource.UpdateInProgress:
			return nil, &eks.InvalidStateException{ClusterName: new(c.Name), Message: new(fmt.Sprintf("Update %s cannot be cancelled because it is in status %s", u.ID, u.State))}
		}
		return nil, subject{cluster: c.Name}.invalidRequest("Update %s of type %s cannot be cancelled. Only version rollbacks of EKS Auto Mode clusters can be cancelled.", u.ID, u.Type)
	})
}
