package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Codes of health issues that more than one place knows.
const (
	groupNotFound       = "AutoScalingGroupNotFound"
	groupInvalid        = "AutoScalingGroupInvalidConfiguration"
	templateInvalid     = "Ec2LaunchTemplateInvalidConfiguration"
	securityGroupStays  = "Ec2SecurityGroupDeletionFailure"
	processTerminate    = "Terminate"
	defaultNoAccessText = "Your worker nodes do not have access to the cluster. Verify if the node instance role is present and correctly configured in the aws-auth ConfigMap."
)

// creator is whom the versions of a launch template that EKS has made are by.
func creator(account string) string {
	return "arn:aws:sts::" + account + ":assumed-role/AWSServiceRoleForAmazonEKSNodegroup/EKS"
}

// faultsOf are the things that a node group needs and that somebody has taken away or
// changed. They are looked for each time anew: an issue goes when its cause does.
func faultsOf(tx *store.Tx, s state) (out []resource.Issue) {
	ng := s.ng
	if ng.Status.AutoScalingGroup == "" || ng.Deleting {
		return nil // nothing is made yet, or it is on its way out
	}
	add := func(missing bool, code, message string, ids ...string) {
		if missing {
			out = append(out, resource.Issue{Code: code, Message: message, ResourceIDs: ids})
		}
	}
	add(!s.grouped, groupNotFound,
		"We couldn't find the Auto Scaling group associated with the managed node group. You may be able to recreate an Auto Scaling group with the same settings to recover.",
		ng.Status.AutoScalingGroup)
	lt, ok := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
	add(!ok, "Ec2LaunchTemplateNotFound",
		"We couldn't find the Amazon EC2 launch template for your managed node group. You may be able to recreate a launch template with the same settings to recover.",
		ng.Status.LaunchTemplate)
	if ok && s.grouped {
		v, err := provision.TemplateVersion(lt, s.group.Spec.LaunchTemplateVersion)
		add(s.group.Spec.LaunchTemplateID != lt.ID || err != nil || v.Creator != creator(ng.Account), "Ec2LaunchTemplateVersionMismatch",
			"The Amazon EC2 launch template version for your managed node group does not match the version that Amazon EKS created. You may be able to revert to the version that Amazon EKS created to recover.",
			lt.ID)
	}
	if id := ng.Spec.LaunchTemplateID; id != "" {
		add(!tx.LaunchTemplates.Has(id), "SourceEc2LaunchTemplateNotFound",
			"We couldn't find the Amazon EC2 launch template that the managed node group was created with.", id)
	}
	add(!tx.InstanceProfiles.Has(profileARN(ng)), "IamInstanceProfileNotFound",
		"We couldn't find the IAM instance profile for your managed node group. You may be able to recreate an instance profile with the same settings to recover.",
		ng.Status.InstanceProfile)
	add(!tx.Roles.Has(ng.Spec.NodeRole), "IamNodeRoleNotFound",
		"We couldn't find the IAM role for your managed node group. You may be able to recreate an IAM role with the same settings to recover.",
		ng.Spec.NodeRole)
	add(!tx.SecurityGroups.Has(s.cluster.Spec.ClusterSecurityGroup), "Ec2SecurityGroupNotFound",
		"We couldn't find the cluster security group for the cluster. You must recreate your cluster.", s.cluster.Spec.ClusterSecurityGroup)
	if id := ng.Status.RemoteAccess; id != "" {
		add(!tx.SecurityGroups.Has(id), "Ec2SecurityGroupNotFound", "We couldn't find the remote access security group for your managed node group.", id)
	}
	var lost []string
	for _, id := range ng.Spec.Subnets {
		if !tx.Subnets.Has(id) {
			lost = append(lost, id)
		}
	}
	add(len(lost) > 0, "Ec2SubnetNotFound", "One or more of the subnets specified for your node group no longer exist.", lost...)
	if mode := s.cluster.Spec.AuthenticationMode; mode == "API" || mode == "API_AND_CONFIG_MAP" {
		add(!tx.AccessEntries.Has(resource.AccessEntryKey(ng.Cluster, ng.Spec.NodeRole)), "AccessDenied", defaultNoAccessText, ng.Spec.NodeRole)
	}
	if s.grouped {
		out = append(out, misconfigured(s)...)
		for _, r := range tx.InstanceRefreshes.All() {
			add(r.Group == s.group.ARN && r.Active(), "AutoScalingGroupInstanceRefreshActive",
				"An instance refresh of somebody else is active on the Auto Scaling group of your managed node group.", s.group.Name)
		}
	}
	return out
}

// modeConfigMap is the authentication mode without access entries.
const modeConfigMap = "CONFIG_MAP"

// awsAuthEvery is how often aws-auth is looked at: it is the cluster's, and no record.
const awsAuthEvery = 15 * time.Second

// shutOut is the issue of a group whose nodes somebody has taken out of aws-auth, where
// nothing else lets them in.
func (c *Controller) shutOut(s state) []resource.Issue {
	if s.cluster.Spec.AuthenticationMode != modeConfigMap || s.ng.Status.AutoScalingGroup == "" || s.ng.Deleting {
		return nil
	}
	if has, known := c.nodes.HasAWSAuthRole(s.ng.Cluster, s.ng.Spec.NodeRole); has || !known {
		return nil
	}
	return []resource.Issue{{Code: "AccessDenied", Message: defaultNoAccessText, ResourceIDs: []string{s.ng.Spec.NodeRole}}}
}

// misconfigured are settings of the Auto Scaling group that EKS relies on and somebody else
// has changed.
func misconfigured(s state) (out []resource.Issue) {
	g := s.group
	text := func(ids []string) string { return "[" + strings.Join(slices.Sorted(slices.Values(ids)), ", ") + "]" }
	if have, want := text(g.Spec.Subnets), text(s.ng.Spec.Subnets); have != want {
		out = append(out, resource.Issue{Code: groupInvalid, ResourceIDs: []string{g.Name},
			Message: fmt.Sprintf("%s has subnets %s which is not expected by Amazon EKS. Expected subnets: %s", g.Name, have, want)})
	}
	if g.Spec.Suspended(processTerminate) {
		out = append(out, terminateSuspended(g))
	}
	return out
}

func terminateSuspended(g resource.AutoScalingGroup) resource.Issue {
	return resource.Issue{Code: groupInvalid, Message: "Couldn't terminate instances in ASG as Terminate process is suspended", ResourceIDs: []string{g.Name}}
}

// launchFailure is why the Auto Scaling group cannot launch an instance that it misses; it
// is an issue at once, and goes with the first launch.
func (s state) launchFailure() (resource.Issue, bool) {
	live := 0
	for _, m := range s.members {
		if !m.leaving() {
			live++
		}
	}
	st := s.group.Status
	if !s.grouped || st.Waiting == "" || live >= int(s.group.Spec.Desired) {
		return resource.Issue{}, false
	}
	kind := "On-Demand"
	if s.ng.Spec.CapacityType == "SPOT" {
		kind = "Spot"
	}
	out := resource.Issue{Code: "AsgInstanceLaunchFailures", ResourceIDs: []string{s.group.Name},
		Message: fmt.Sprintf("Could not launch %s Instances. %s - %s Launching EC2 instance failed.", kind, st.WaitingCode, st.Waiting)}
	switch st.WaitingCode {
	case "InsufficientFreeAddressesInSubnet":
		out.Code, out.ResourceIDs = "InsufficientFreeAddresses", s.ng.Spec.Subnets
		out.Message = "One or more of the subnets associated with your managed node group does not have enough available IP addresses for new nodes."
	case "InvalidAMIID.NotFound":
		out.Code, out.ResourceIDs = "AmiIdNotFound", []string{s.ng.Status.LaunchTemplate}
		out.Message = "We couldn't find the AMI associated with your launch template. Make sure that the AMI exists and is shared with your account. " + st.Waiting
	case "InstanceLimitExceeded", "VcpuLimitExceeded":
		out.Code = "InstanceLimitExceeded"
	}
	return out, true
}

// creationFailure says with EKS's words why instances that are there are no ready nodes.
func (s state) creationFailure() resource.Issue {
	out := resource.Issue{Code: nodeCreationFailure, Message: "Instances failed to join the kubernetes cluster"}
	joined := 0
	for _, m := range s.members {
		if m.joined {
			joined++
		}
		if !m.joined || !m.node.Ready {
			out.ResourceIDs = append(out.ResourceIDs, m.Instance)
		}
	}
	if joined > 0 && joined == len(s.members) {
		out.Message = "Unhealthy nodes in the kubernetes cluster"
	}
	return out
}

// settle writes the issues that there are, and moves the state by them.
func settle(st *resource.NodegroupStatus, whole bool, issues []resource.Issue) error {
	st.Issues = issues
	if st.State == resource.NodegroupCreating {
		if !whole {
			return nil
		}
		// One that is DEGRADED has been ACTIVE: the next pass, which this commit wakes, sees to it.
		return st.Move(resource.NodegroupActive)
	}
	if len(issues) > 0 {
		return st.Move(resource.NodegroupDegraded)
	}
	return st.Move(resource.NodegroupActive)
}

// A faultError is an error that trying again does not end: EKS gives up with an issue.
type faultError struct{ resource.Issue }

func (e faultError) Error() string { return e.Code + ": " + e.Message }

// issueFor is the issue that an error of making or updating the group is, if it is one that does not
// pass: something that was there when the group was asked for has gone since.
func issueFor(ng resource.Nodegroup, err error) (resource.Issue, bool) {
	if f, ok := errors.AsType[faultError](err); ok {
		return f.Issue, true
	}
	code, message, ok := provision.Refusal(err)
	if !ok {
		return resource.Issue{}, false
	}
	out := resource.Issue{Code: "Unknown", Message: message, ResourceIDs: []string{ng.Name}}
	switch {
	case strings.HasPrefix(code, "InvalidLaunchTemplate"):
		out.Code, out.ResourceIDs = "SourceEc2LaunchTemplateNotFound", []string{ng.Spec.LaunchTemplateID}
	case strings.HasPrefix(code, "InvalidGroup"):
		out.Code, out.ResourceIDs = "Ec2SecurityGroupNotFound", ng.Spec.SSHSourceSecurityGroups
	}
	return out, true
}

// cannotMake gives up a group that cannot be made.
func (c *Controller) cannotMake(ctx context.Context, arn string, issue resource.Issue) error {
	return c.setStatus(ctx, arn, func(st *resource.NodegroupStatus) error {
		st.Issues = []resource.Issue{issue}
		return st.Move(resource.NodegroupCreateFailed)
	})
}

// cannotDelete leaves a group that cannot be taken away until it is asked for again. Nobody goes
// on with its updates.
func (c *Controller) cannotDelete(ctx context.Context, arn string, issue resource.Issue) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		c.endUpdates(tx, arn, math.MaxInt64, inUpdate(issue))
		return tx.Nodegroups.Edit(arn, func(ng *resource.Nodegroup) error {
			st := &ng.Status
			st.Issues = []resource.Issue{issue}
			if st.State != resource.NodegroupDeleting {
				if err := st.Move(resource.NodegroupDeleting); err != nil {
					return err
				}
			}
			return st.Move(resource.NodegroupDeleteFailed)
		})
	})
}

// endUpdates has updates of a group up to a revision fail.
func (c *Controller) endUpdates(tx *store.Tx, arn string, revision int64, why resource.UpdateError) {
	for id, u := range tx.Updates.All() {
		if u.Nodegroup == arn && u.State == resource.UpdateInProgress && u.Revision <= revision {
			u.State, u.Ended = resource.UpdateFailed, c.cfg.Now()
			u.Errors = []resource.UpdateError{why}
			tx.Updates.Put(id, u)
		}
	}
}

// inUpdate is an issue as an update's error: those have fewer codes.
func inUpdate(i resource.Issue) resource.UpdateError {
	return resource.UpdateError{Code: "Unknown", Message: i.Message, ResourceIDs: i.ResourceIDs}
}

// failUpdates ends the updates of a group that has lost what they would change, or cannot
// reach it.
func (c *Controller) failUpdates(ctx context.Context, s state, why resource.UpdateError) error {
	return c.store.Update(ctx, func(tx *store.Tx) error {
		ng, ok := tx.Nodegroups.Get(s.ng.ARN)
		if !ok {
			return nil
		}
		ng.Status.AppliedRevision, ng.Status.Roll, ng.Status.WaitingSince = s.ng.Spec.ForcedConfigUpdateRevision, resource.RollStatus{}, time.Time{}
		ng.Status.Unreachable = time.Time{} // what needs the cluster next has its own time
		c.endUpdates(tx, ng.ARN, ng.Status.AppliedRevision, why)
		if ng.Status.State == resource.NodegroupUpdating {
			if err := ng.Status.Move(resource.NodegroupActive); err != nil {
				return err
			}
		}
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

// orFail ends the updates under way if err, which one of them has met, does not pass.
func (c *Controller) orFail(ctx context.Context, s state, err error) error {
	issue, final := issueFor(s.ng, err)
	if !final {
		return err
	}
	return c.failUpdates(ctx, s, inUpdate(issue))
}

// lost is the issue of a group that cannot be updated, since a part of it has gone.
func (s state) lost() (resource.UpdateError, bool) {
	for _, i := range s.faults {
		if i.Code == groupNotFound || i.Code == "Ec2LaunchTemplateNotFound" {
			return inUpdate(i), true
		}
	}
	return resource.UpdateError{}, false
}
