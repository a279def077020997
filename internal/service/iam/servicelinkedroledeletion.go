package iam

import (
	"context"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// maxDeletions is how many deletion tasks an account remembers.
const maxDeletions = 100

// DeleteServiceLinkedRole removes the role of a service, unless the service still has
// something in the account that needs it. AWS does so after the answer; here it is done by then.
func (s *Service) DeleteServiceLinkedRole(ctx context.Context, call awsapi.Call, in *iam.DeleteServiceLinkedRoleInput) (*iam.DeleteServiceLinkedRoleOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteServiceLinkedRoleOutput, error) {
		r, err := findRole(tx, call.Account, deref(in.RoleName))
		if err != nil {
			return nil, err
		}
		if r.Service == "" {
			return nil, noSuchEntity("Role %s is not a service-linked role.", r.Name)
		}
		task := resource.RoleDeletion{Status: "SUCCEEDED", Uses: usesOf(tx, r)}
		if len(task.Uses) > 0 {
			task.Status = "FAILED"
			task.Reason = "The role is in use: " + r.Service + " has resources in the account that need it. Delete them, and delete the role again."
		} else {
			tx.Roles.Delete(r.ARN)
		}
		id := fmt.Sprintf("task/aws-service-role/%s/%s/%s", r.Service, r.Name, uuid.NewString())
		a, _ := tx.Accounts.Get(call.Account)
		a.Deletions = maps.Clone(a.Deletions)
		if a.Deletions == nil || len(a.Deletions) >= maxDeletions {
			a.Deletions = map[string]resource.RoleDeletion{}
		}
		a.Deletions[id] = task
		tx.Accounts.Put(call.Account, a)
		return &iam.DeleteServiceLinkedRoleOutput{DeletionTaskId: &id}, nil
	})
}

// GetServiceLinkedRoleDeletionStatus tells how a deletion went.
func (s *Service) GetServiceLinkedRoleDeletionStatus(_ context.Context, call awsapi.Call, in *iam.GetServiceLinkedRoleDeletionStatusInput) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetServiceLinkedRoleDeletionStatusOutput, error) {
		a, _ := tx.Accounts.Get(call.Account)
		task, ok := a.Deletions[deref(in.DeletionTaskId)]
		if !ok {
			return nil, noSuchEntity("The deletion task %s cannot be found.", deref(in.DeletionTaskId))
		}
		out := &iam.GetServiceLinkedRoleDeletionStatusOutput{Status: new(task.Status)}
		if task.Reason != "" {
			out.Reason = &iam.DeletionTaskFailureReasonType{Reason: new(task.Reason)}
			for region, uses := range task.Uses {
				out.Reason.RoleUsageList = append(out.Reason.RoleUsageList, iam.RoleUsageType{Region: new(region), Resources: uses})
			}
		}
		return out, nil
	})
}

// usesOf lists by region what a service has in the account of its role.
func usesOf(tx *store.Tx, r resource.Role) map[string][]string {
	uses := map[string][]string{}
	add := func(account, region, arn string) {
		if account == r.Account {
			uses[region] = append(uses[region], arn)
		}
	}
	switch r.Service {
	case "eks.amazonaws.com":
		for arn, c := range tx.Clusters.All() {
			add(c.Account, c.Region, arn)
		}
	case "eks-nodegroup.amazonaws.com":
		for arn, n := range tx.Nodegroups.All() {
			add(n.Account, n.Region, arn)
		}
	case "spot.amazonaws.com":
		for id, q := range tx.SpotRequests.All() {
			running := q.State == resource.SpotOpen || q.State == resource.SpotActive
			if i, ok := tx.Instances.Get(q.Instance); ok && i.Status.State != resource.InstanceTerminated {
				running = true // it outlives a request that is cancelled
			}
			if running {
				add(q.Account, q.Region, "arn:aws:ec2:"+q.Region+":"+q.Account+":spot-instances-request/"+id)
			}
		}
	case "autoscaling.amazonaws.com":
		for arn, g := range tx.AutoScalingGroups.All() {
			add(g.Account, g.Region, arn)
		}
	}
	return uses
}
