package nodegroup

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Names of what EKS makes for a node group.
func groupName(ng resource.Nodegroup) string    { return "eks-" + ng.Name + "-" + ng.ID }
func templateName(ng resource.Nodegroup) string { return "eks-" + ng.ID }
func profileName(ng resource.Nodegroup) string  { return "eks-" + ng.ID }

func profileARN(ng resource.Nodegroup) string {
	return "arn:aws:iam::" + ng.Account + ":instance-profile/" + profileName(ng)
}

func groupARN(ng resource.Nodegroup) string {
	return fmt.Sprintf("arn:aws:autoscaling:%s:%s:autoScalingGroup:%s:autoScalingGroupName/%s", ng.Region, ng.Account, ng.ID, groupName(ng))
}

// The hooks of a group, and for how many seconds they hold an instance: one that EKS lets it
// through by at its launch, and one until its node has been drained.
const (
	launchHook = "Launch-LC-Hook"
	drainHook  = "Terminate-LC-Hook"
	heartbeat  = 1800
)

// make records all that the node group consists of in one transaction.
func (c *Controller) make(ctx context.Context, s state) error {
	if s.cluster.Spec.AuthenticationMode == modeConfigMap {
		late, err := c.reached(ctx, s, c.nodes.EnsureAWSAuthRole(ctx, s.ng.Cluster, s.ng.Spec.NodeRole))
		switch {
		case late:
			return faultError{resource.Issue(s.unreachable(err))}
		case err != nil:
			return fmt.Errorf("aws-auth of cluster %s: %w", s.cluster.Name, err)
		}
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, ok := tx.Nodegroups.Get(s.ng.ARN)
		if !ok || ng.Deleting {
			return nil
		}
		now := c.cfg.Now()
		tx.InstanceProfiles.Put(profileARN(ng), resource.InstanceProfile{
			Account: ng.Account, ARN: profileARN(ng), Name: profileName(ng), Path: "/", ID: awsid.IAM("AIPA"),
			Role: ng.Spec.NodeRole, Created: now,
		})
		var err error
		if ng.Status.RemoteAccess, err = openSSH(tx, ng, s.cluster); err != nil {
			return err
		}
		lt, err := c.templateOf(tx, ng, s.cluster)
		if err != nil {
			return err
		}
		tx.LaunchTemplates.Put(lt.ID, lt)
		g := groupFor(ng, s.cluster, lt)
		g.Created, g.Spec.AwayFrom = now, s.away
		for _, id := range g.Spec.Subnets {
			if sn, ok := tx.Subnets.Get(id); ok {
				g.Spec.Zones = appendNew(g.Spec.Zones, sn.Zone)
			}
		}
		tx.AutoScalingGroups.Put(g.ARN, g)
		if s.cluster.Spec.AuthenticationMode != modeConfigMap {
			letIn(tx, ng, s.cluster, c.cfg.Now)
		}
		ng.Status.AutoScalingGroup, ng.Status.LaunchTemplate, ng.Status.InstanceProfile = g.Name, lt.ID, profileName(ng)
		ng.Status.WaitingSince = now
		ng.Status.AppliedRevision = ng.Spec.ForcedConfigUpdateRevision
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

// groupFor is the Auto Scaling group of a node group. It is pure.
func groupFor(ng resource.Nodegroup, cl resource.Cluster, lt resource.LaunchTemplate) resource.AutoScalingGroup {
	tag := func(k, v string) resource.AutoScalingTag {
		return resource.AutoScalingTag{Key: k, Value: v, Propagate: true}
	}
	spec := resource.AutoScalingGroupSpec{
		Min: ng.Spec.Min, Max: ng.Spec.Max, Desired: ng.Spec.Desired,
		LaunchTemplateID: lt.ID, LaunchTemplateName: lt.Name, LaunchTemplateVersion: fmt.Sprint(lt.Latest),
		InstanceTypes: ng.Spec.InstanceTypes, Mixed: true, Subnets: ng.Spec.Subnets,
		HealthCheckType: "EC2", HealthCheckGrace: 15, Cooldown: 300, CapacityRebalance: true,
		TerminationPolicies: []string{"AllocationStrategy", "OldestLaunchTemplate", "OldestInstance"},
		ServiceLinkedRole:   "arn:aws:iam::" + ng.Account + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
		Tags: []resource.AutoScalingTag{
			tag("eks:cluster-name", cl.Name), tag("eks:nodegroup-name", ng.Name), tag("kubernetes.io/cluster/"+cl.Name, "owned"),
			tag("k8s.io/cluster-autoscaler/enabled", "true"), tag("k8s.io/cluster-autoscaler/"+cl.Name, "owned"),
		},
		Hooks: []resource.LifecycleHook{
			{Name: launchHook, Transition: resource.HookLaunching, Heartbeat: heartbeat, Default: resource.ActionContinue},
			{Name: drainHook, Transition: resource.HookTerminating, Heartbeat: heartbeat, Default: resource.ActionContinue},
		},
	}
	if ng.Spec.CapacityType == "SPOT" {
		spec.SpotPercentage = 100
	}
	return resource.AutoScalingGroup{Home: ng.Home, ARN: groupARN(ng), Name: groupName(ng), Nodegroup: ng.ARN, Spec: spec}
}

// letIn makes the access entry by which the group's nodes join, if there is none.
func letIn(tx *store.Tx, ng resource.Nodegroup, cl resource.Cluster, now func() time.Time) {
	key := resource.AccessEntryKey(cl.ARN, ng.Spec.NodeRole)
	if tx.AccessEntries.Has(key) {
		return
	}
	role, _ := tx.Roles.Get(ng.Spec.NodeRole)
	name := ng.Spec.NodeRole[strings.LastIndexByte(ng.Spec.NodeRole, '/')+1:]
	tx.AccessEntries.Put(key, resource.AccessEntry{
		ARN:     fmt.Sprintf("arn:aws:eks:%s:%s:access-entry/%s/role/%s/%s/%s", ng.Region, ng.Account, cl.Name, ng.Account, name, awsid.UUID()),
		Cluster: cl.ARN, Principal: ng.Spec.NodeRole, PrincipalID: role.ID, Type: "EC2_LINUX",
		Username: "system:node:{{EC2PrivateDNSName}}", Groups: []string{"system:nodes"},
		Created: now(), Modified: now(), Managed: true,
	})
}

// remove takes away what the node group consists of: the Auto Scaling group first, which
// has its nodes drained, then the rest.
func (c *Controller) remove(ctx context.Context, s state) error {
	if s.grouped && !s.group.Deleting && s.group.Spec.Suspended(processTerminate) {
		return c.cannotDelete(ctx, s.ng.ARN, terminateSuspended(s.group))
	}
	if s.grouped {
		return c.store.Update(ctx, func(tx *store.Tx) error {
			g, ok := tx.AutoScalingGroups.Get(groupARN(s.ng))
			if ok && !g.Deleting {
				g.Deleting = true
				g.Spec.Min, g.Spec.Desired = 0, 0
				tx.AutoScalingGroups.Put(g.ARN, g)
			}
			return nil
		})
	}
	if s.cluster.Spec.AuthenticationMode == modeConfigMap && !c.roleInUse(s) {
		late, err := c.reached(ctx, s, c.nodes.RemoveAWSAuthRole(ctx, s.ng.Cluster, s.ng.Spec.NodeRole))
		switch {
		case late:
			return c.cannotDelete(ctx, s.ng.ARN, resource.Issue(s.unreachable(err)))
		case err != nil:
			return fmt.Errorf("aws-auth of cluster %s: %w", s.cluster.Name, err)
		}
	}
	err := c.store.Update(ctx, func(tx *store.Tx) error {
		if err := closeSSH(tx, s.ng); err != nil {
			return err
		}
		tx.LaunchTemplates.Delete(s.ng.Status.LaunchTemplate)
		tx.InstanceProfiles.Delete(profileARN(s.ng))
		key := resource.AccessEntryKey(s.ng.Cluster, s.ng.Spec.NodeRole)
		if e, ok := tx.AccessEntries.Get(key); ok && e.Managed && !roleUsed(tx, s.ng) {
			tx.AccessEntries.Delete(key)
		}
		for id, u := range tx.Updates.All() {
			if u.Nodegroup == s.ng.ARN {
				tx.Updates.Delete(id)
			}
		}
		tx.Nodegroups.Delete(s.ng.ARN)
		return nil
	})
	if code, _, _ := provision.Refusal(err); code == "DependencyViolation" {
		return c.cannotDelete(ctx, s.ng.ARN, resource.Issue{Code: securityGroupStays, ResourceIDs: []string{s.ng.Status.RemoteAccess},
			Message: "We could not delete the remote access security group for your managed node group. Remove any dependencies from the security group."})
	}
	return err
}

func (c *Controller) roleInUse(s state) (used bool) {
	_ = c.store.View(func(tx *store.Tx) error { used = roleUsed(tx, s.ng); return nil })
	return used
}

// roleUsed says whether another group of the cluster has the node role of ng.
func roleUsed(tx *store.Tx, ng resource.Nodegroup) bool {
	for arn, other := range tx.Nodegroups.All() {
		if arn != ng.ARN && other.Cluster == ng.Cluster && other.Spec.NodeRole == ng.Spec.NodeRole {
			return true
		}
	}
	return false
}
