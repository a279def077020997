package eks

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxNodegroups is the quota of a cluster.
const maxNodegroups = 30

// CreateNodegroup records a managed node group with status CREATING. Package
// controller/nodegroup makes it real. The cluster is looked up before anything is
// checked, as on EKS.
func (s *Service) CreateNodegroup(ctx context.Context, call awsapi.Call, in *eks.CreateNodegroupInput) (*eks.CreateNodegroupOutput, error) {
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.CreateNodegroupOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		if c.Current() != resource.ClusterActive { // nor during an update, other than most
			return nil, notActive(c.Name)
		}
		want, err := newNodegroup(call, c, in)
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name, nodegroup: want.Name}
		if prior, ok := nodegroupNamed(tx, c, want.Name); ok {
			switch {
			case want.Token == "" || prior.Token != want.Token || prior.Deleting:
				return nil, sub.inUse("NodeGroup already exists with name %s and cluster name %s", want.Name, c.Name)
			case prior.Fingerprint != want.Fingerprint:
				return nil, sub.tokenReused()
			}
			return &eks.CreateNodegroupOutput{Nodegroup: describeNodegroup(tx, c, prior)}, nil
		}
		if n := count(tx.Nodegroups.Values(func(n resource.Nodegroup) bool { return n.Cluster == c.ARN })); n >= maxNodegroups {
			return nil, sub.limit("You have reached the maximum number of managed node groups for the cluster: %d", maxNodegroups)
		}
		if err := checkNodeRole(tx, call, sub, policies, want.Spec.NodeRole); err != nil {
			return nil, err
		}
		if err := resolveNodegroup(tx, call, sub, c, in, &want.Spec, s.payload); err != nil {
			return nil, err
		}
		for _, service := range []string{nodegroupService, scalingService} {
			if err := ensureLinked(tx, call, service); err != nil {
				return nil, err
			}
		}
		tx.Nodegroups.Put(want.ARN, want)
		return &eks.CreateNodegroupOutput{Nodegroup: describeNodegroup(tx, c, want)}, nil
	})
}

// DescribeNodegroup describes one node group.
func (s *Service) DescribeNodegroup(_ context.Context, call awsapi.Call, in *eks.DescribeNodegroupInput) (*eks.DescribeNodegroupOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeNodegroupOutput, error) {
		c, n, err := findNodegroup(tx, call, in.ClusterName, in.NodegroupName)
		if err != nil {
			return nil, err
		}
		return &eks.DescribeNodegroupOutput{Nodegroup: describeNodegroup(tx, c, n)}, nil
	})
}

// ListNodegroups lists a cluster's node groups by name.
func (s *Service) ListNodegroups(_ context.Context, call awsapi.Call, in *eks.ListNodegroupsInput) (*eks.ListNodegroupsOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListNodegroupsOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		var names []string
		for n := range tx.Nodegroups.Values(func(n resource.Nodegroup) bool { return n.Cluster == c.ARN }) {
			names = append(names, n.Name)
		}
		slices.Sort(names)
		names, next, err := page(names, in.NextToken, in.MaxResults)
		return &eks.ListNodegroupsOutput{Nodegroups: names, NextToken: next}, err
	})
}

// DeleteNodegroup asks a node group to go. One whose deletion has failed may be asked again.
func (s *Service) DeleteNodegroup(ctx context.Context, call awsapi.Call, in *eks.DeleteNodegroupInput) (*eks.DeleteNodegroupOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.DeleteNodegroupOutput, error) {
		c, n, err := findNodegroup(tx, call, in.ClusterName, in.NodegroupName)
		if err != nil {
			return nil, err
		}
		if n.Current() == resource.NodegroupDeleting {
			return nil, subject{c.Name, n.Name}.inUse("Cannot delete because node group %s is currently in status DELETING", n.Name)
		}
		if n.Status.State == resource.NodegroupDeleteFailed {
			if err := n.Status.Move(resource.NodegroupDeleting); err != nil {
				return nil, err
			}
			n.Status.Issues = nil
		}
		n.Deleting, n.Modified = true, moment(call.Time)
		tx.Nodegroups.Put(n.ARN, n)
		return &eks.DeleteNodegroupOutput{Nodegroup: describeNodegroup(tx, c, n)}, nil
	})
}

func nodegroupNamed(tx *store.Tx, c resource.Cluster, name string) (resource.Nodegroup, bool) {
	for arn, n := range tx.Nodegroups.All() {
		if n.Cluster == c.ARN && n.Name == name {
			return tx.Nodegroups.Get(arn) // one that may be changed
		}
	}
	return resource.Nodegroup{}, false
}

func findNodegroup(tx *store.Tx, call awsapi.Call, cluster, name *string) (resource.Cluster, resource.Nodegroup, error) {
	c, err := findCluster(tx, call, deref(cluster))
	if err != nil {
		return c, resource.Nodegroup{}, err
	}
	n, ok := nodegroupNamed(tx, c, deref(name))
	if !ok {
		return c, n, subject{c.Name, deref(name)}.notFound("No node group found for name: %s.", deref(name))
	}
	return c, n, nil
}

// describeNodegroup is a node group as the API shows it. The desired size is the Auto
// Scaling group's, which an autoscaler may have changed.
func describeNodegroup(tx *store.Tx, c resource.Cluster, n resource.Nodegroup) *eks.Nodegroup {
	n.Spec = n.Rolled()
	out := &eks.Nodegroup{
		NodegroupName: new(n.Name), NodegroupArn: new(n.ARN), ClusterName: new(c.Name), Version: new(n.Spec.Version),
		ReleaseVersion: new(n.Spec.ReleaseVersion), CreatedAt: new(n.Created), ModifiedAt: new(n.Modified), Status: new(n.Current()),
		CapacityType:  new(n.Spec.CapacityType),
		ScalingConfig: &eks.NodegroupScalingConfig{MinSize: new(n.Spec.Min), MaxSize: new(n.Spec.Max), DesiredSize: new(provision.DesiredNodes(tx, n))},
		Subnets:       list(n.Spec.Subnets), AmiType: new(n.Spec.AMIType), NodeRole: new(n.Spec.NodeRole), Labels: tagsOf(n.Spec.Labels),
		DiskSize: optional(n.Spec.DiskGiB), Health: &eks.NodegroupHealth{Issues: []eks.Issue{}},
		UpdateConfig: &eks.NodegroupUpdateConfig{
			MaxUnavailable: optional(n.Spec.MaxUnavailable), MaxUnavailablePercentage: optional(n.Spec.MaxUnavailablePercentage),
			UpdateStrategy: new(n.Spec.UpdateStrategy),
		},
		NodeRepairConfig: describeRepair(n.Spec.Repair), Tags: tagsOf(n.Spec.Tags),
	}
	if !n.Spec.TemplateType {
		out.InstanceTypes = n.Spec.InstanceTypes
	}
	for _, t := range n.Spec.Taints {
		out.Taints = append(out.Taints, eks.Taint{Key: new(t.Key), Value: optional(t.Value), Effect: new(t.Effect)})
	}
	for _, i := range n.Status.Issues {
		out.Health.Issues = append(out.Health.Issues, eks.Issue{Code: new(i.Code), Message: new(i.Message), ResourceIds: list(i.ResourceIDs)})
	}
	if g := n.Status.AutoScalingGroup; g != "" {
		out.Resources = &eks.NodegroupResources{
			AutoScalingGroups: []eks.AutoScalingGroup{{Name: new(g)}}, RemoteAccessSecurityGroup: optional(n.Status.RemoteAccess),
		}
	}
	if n.Spec.SSHKey != "" {
		out.RemoteAccess = &eks.RemoteAccessConfig{Ec2SshKey: new(n.Spec.SSHKey), SourceSecurityGroups: n.Spec.SSHSourceSecurityGroups}
	}
	if n.Spec.LaunchTemplateID != "" {
		out.LaunchTemplate = &eks.LaunchTemplateSpecification{
			Id: new(n.Spec.LaunchTemplateID), Name: new(n.Spec.LaunchTemplateName), Version: new(n.Spec.LaunchTemplateVersion),
		}
	}
	return out
}
