package eks

import (
	"context"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxClusters is the quota of clusters in an account and region.
const maxClusters = 100

// CreateCluster records the cluster that the caller wants, with what EKS makes for it at
// once, and returns with status CREATING. Package controller/cluster makes it real.
func (s *Service) CreateCluster(ctx context.Context, call awsapi.Call, in *eks.CreateClusterInput) (*eks.CreateClusterOutput, error) {
	want, err := newCluster(call, in, s.payload)
	if err != nil {
		return nil, err
	}
	sub := subject{cluster: want.Name}
	policies, err := s.policies()
	if err != nil {
		return nil, err
	}
	return update(ctx, s, func(tx *store.Tx) (*eks.CreateClusterOutput, error) {
		if prior, ok := tx.Clusters.Get(want.ARN); ok {
			switch {
			case want.Token == "" || prior.Token != want.Token || prior.Deleting:
				return nil, sub.inUse("Cluster already exists with name: %s", want.Name)
			case prior.Fingerprint != want.Fingerprint:
				return nil, sub.tokenReused()
			}
			return &eks.CreateClusterOutput{Cluster: describeCluster(prior)}, nil
		}
		if n := count(tx.Clusters.Values(func(c resource.Cluster) bool { return c.Home == want.Home })); n >= maxClusters {
			return nil, sub.limit("You have reached the maximum number of clusters in this Region: %d", maxClusters)
		}
		if err := checkClusterRole(tx, call, policies, want.ARN, want.Spec.RoleARN); err != nil {
			return nil, err
		}
		subnets, err := checkClusterNetwork(tx, call, &want)
		if err != nil {
			return nil, err
		}
		if err := makeClusterParts(tx, call, &want, subnets); err != nil {
			return nil, err
		}
		tx.Clusters.Put(want.ARN, want)
		return &eks.CreateClusterOutput{Cluster: describeCluster(want)}, nil
	})
}

// DescribeCluster describes one cluster.
func (s *Service) DescribeCluster(_ context.Context, call awsapi.Call, in *eks.DescribeClusterInput) (*eks.DescribeClusterOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeClusterOutput, error) {
		c, err := findCluster(tx, call, deref(in.Name))
		if err != nil {
			return nil, err
		}
		return &eks.DescribeClusterOutput{Cluster: describeCluster(c)}, nil
	})
}

// ListClusters lists names, in their order. There are no connected clusters for include
// to add.
func (s *Service) ListClusters(_ context.Context, call awsapi.Call, in *eks.ListClustersInput) (*eks.ListClustersOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListClustersOutput, error) {
		var names []string
		for c := range tx.Clusters.Values(func(c resource.Cluster) bool { return c.Home == home(call) }) {
			names = append(names, c.Name)
		}
		names, next, err := page(names, in.NextToken, in.MaxResults)
		return &eks.ListClustersOutput{Clusters: names, NextToken: next}, err
	})
}

// DeleteCluster asks a cluster to go. The record leaves when its controller has removed
// what it stands for.
func (s *Service) DeleteCluster(ctx context.Context, call awsapi.Call, in *eks.DeleteClusterInput) (*eks.DeleteClusterOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.DeleteClusterOutput, error) {
		c, err := findCluster(tx, call, deref(in.Name))
		if err != nil {
			return nil, err
		}
		sub := subject{cluster: c.Name}
		if c.Deleting {
			return nil, sub.inUse("Cannot delete because cluster %s is currently in status DELETING", c.Name)
		}
		for range tx.Nodegroups.Values(func(n resource.Nodegroup) bool { return n.Cluster == c.ARN }) {
			return nil, sub.inUse("Cluster has nodegroups attached")
		}
		if s := c.Current(); c.Spec.DeletionProtection && (s == resource.ClusterActive || s == resource.ClusterUpdating) {
			return nil, sub.invalidRequest("Cluster %s cannot be deleted because deletion protection is enabled. Disable deletion protection and try again.", c.Name)
		}
		if c.Status.State == resource.ClusterUpdating || updating(tx, c) {
			return nil, sub.inUse("Cannot delete because cluster %s currently has an update in progress", c.Name)
		}
		c.Deleting = true
		tx.Clusters.Put(c.ARN, c)
		return &eks.DeleteClusterOutput{Cluster: describeCluster(c)}, nil
	})
}

func count[T any](seq func(func(T) bool)) int {
	n := 0
	for range seq {
		n++
	}
	return n
}
