package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
)

// How long the lab waits for what should take seconds, on a busy machine.
const (
	ClusterTimeout = 90 * time.Second
	NodesTimeout   = 2 * time.Minute
	DeleteTimeout  = 2 * time.Minute
)

// ClusterInput is a plain cluster; version "" is the default one.
func (l Landscape) ClusterInput(name, version string) *eks.CreateClusterInput {
	in := &eks.CreateClusterInput{
		Name: &name, RoleArn: &l.ClusterRole, ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: l.Subnets[:2]},
		AccessConfig: &types.CreateAccessConfigRequest{AuthenticationMode: types.AuthenticationModeApiAndConfigMap},
	}
	if version != "" {
		in.Version = &version
	}
	return in
}

// NodegroupInput is a plain group of n t3.medium.
func (l Landscape) NodegroupInput(cluster, name string, n int32) *eks.CreateNodegroupInput {
	return &eks.CreateNodegroupInput{
		ClusterName: &cluster, NodegroupName: &name, NodeRole: &l.NodeRole, Subnets: l.Subnets[:2], InstanceTypes: []string{"t3.medium"},
		ScalingConfig: &types.NodegroupScalingConfig{MinSize: new(int32(1)), MaxSize: new(int32(10)), DesiredSize: &n},
	}
}

// Cluster describes one.
func (c *Cloud) Cluster(ctx context.Context, name string) (*types.Cluster, error) {
	out, err := c.EKS.DescribeCluster(ctx, &eks.DescribeClusterInput{Name: &name})
	if err != nil {
		return nil, err
	}
	return out.Cluster, nil
}

// AwaitCluster returns the cluster once it is ACTIVE.
func (c *Cloud) AwaitCluster(ctx context.Context, name string) (cl *types.Cluster, err error) {
	err = Promptly(ctx, ClusterTimeout, "cluster "+name+" to be ACTIVE", func(ctx context.Context) (bool, string, error) {
		if cl, err = c.Cluster(ctx, name); err != nil {
			return false, "", err
		}
		if cl.Status == types.ClusterStatusFailed {
			return false, "", fmt.Errorf("it has failed: %+v", cl.Health)
		}
		return cl.Status == types.ClusterStatusActive, string(cl.Status), nil
	})
	return cl, err
}

// AwaitNodegroup returns the node group once it is ACTIVE.
func (c *Cloud) AwaitNodegroup(ctx context.Context, cluster, name string) (n *types.Nodegroup, err error) {
	err = Until(ctx, NodesTimeout, "node group "+name+" to be ACTIVE", func(ctx context.Context) (bool, string, error) {
		out, err := c.EKS.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
		if err != nil {
			return false, "", err
		}
		n = out.Nodegroup
		if n.Status == types.NodegroupStatusCreateFailed {
			return false, "", fmt.Errorf("it has failed: %+v", n.Health)
		}
		return n.Status == types.NodegroupStatusActive, string(n.Status), nil
	})
	return n, err
}

// DeleteNodegroup deletes the node group and waits until it is gone.
func (c *Cloud) DeleteNodegroup(ctx context.Context, cluster, name string) error {
	if _, err := c.EKS.DeleteNodegroup(ctx, &eks.DeleteNodegroupInput{ClusterName: &cluster, NodegroupName: &name}); err != nil {
		return err
	}
	return Until(ctx, DeleteTimeout, "node group "+name+" to be gone", func(ctx context.Context) (bool, string, error) {
		out, err := c.EKS.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
		if err == nil && out.Nodegroup.Status == types.NodegroupStatusDeleteFailed {
			return false, "", fmt.Errorf("it has failed: %+v", out.Nodegroup.Health)
		}
		return gone(err)
	})
}

// DeleteCluster deletes the cluster and waits until it is gone.
func (c *Cloud) DeleteCluster(ctx context.Context, name string) error {
	if _, err := c.EKS.DeleteCluster(ctx, &eks.DeleteClusterInput{Name: &name}); err != nil {
		return err
	}
	return Until(ctx, DeleteTimeout, "cluster "+name+" to be gone", func(ctx context.Context) (bool, string, error) {
		_, err := c.Cluster(ctx, name)
		return gone(err)
	})
}

func gone(err error) (bool, string, error) {
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return true, "", nil
	}
	return false, "it is still there", err
}
