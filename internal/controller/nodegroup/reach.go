package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"ekster.dev/ekster/internal/resource"
)

// clusterUnreachable is EKS's code where a cluster's API server does not answer.
const clusterUnreachable = "ClusterUnreachable"

// reached notes whether the cluster's API server has done what the group needs of it; err is
// what it said. It is asked again, until it has not for as long as nodes may take to join:
// then it is too late, and what needs it has failed.
func (c *Controller) reached(ctx context.Context, s state, err error) (late bool, _ error) {
	since, now := s.ng.Status.Unreachable, c.cfg.Now()
	late = err != nil && !since.IsZero() && now.Sub(since) >= c.cfg.JoinTimeout
	to := since
	switch {
	case err == nil, late: // what comes next has its own time
		to = time.Time{}
	case since.IsZero():
		to = now
	}
	if to.Equal(since) {
		return late, err
	}
	return late, errors.Join(err, c.setStatus(ctx, s.ng.ARN, func(st *resource.NodegroupStatus) error { st.Unreachable = to; return nil }))
}

// eachNode changes the nodes of those members that have become nodes, and stops at the first
// one that it cannot change. Only all of them together are what the group needs: nodes that
// can be changed before one that cannot say nothing of that one.
func (c *Controller) eachNode(ctx context.Context, s state, members []member, change resource.NodeChange) (late bool, _ error) {
	for _, m := range members {
		if !m.joined {
			continue
		}
		if err := c.nodes.Configure(ctx, s.ng.Cluster, m.node.Name, change); err != nil {
			return c.reached(ctx, s, fmt.Errorf("node %s of node group %s: %w", m.node.Name, s.ng.Name, err))
		}
	}
	return c.reached(ctx, s, nil)
}

// unreachable says what err means for what has failed of it: an API server that answers, and
// refuses, can be reached.
func (s state) unreachable(err error) resource.UpdateError {
	e := resource.UpdateError{Code: clusterUnreachable, Message: "The Kubernetes API server of cluster " + s.cluster.Name + " could not be reached. " + err.Error(), ResourceIDs: []string{s.cluster.Name}}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return e
	}
	e.Code, e.Message = "Unknown", "The Kubernetes API server of cluster "+s.cluster.Name+" has refused a request. "+err.Error()
	if apierrors.IsForbidden(err) {
		e.Code = "AccessDenied"
	}
	return e
}
