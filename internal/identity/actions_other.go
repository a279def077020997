package identity

import (
	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ssm"
)

// GetCallerIdentity needs no permission. AssumeRole is decided by its handler, in which the trust
// policy meets the caller's own policies.
var stsRules = rules{
	"AssumeRole":                {free: true},
	"AssumeRoleWithWebIdentity": {free: true},
	"GetCallerIdentity":         {free: true},
}

var ssmRules = rules{
	"GetParameter": on(func(s scope, in *ssm.GetParameterInput) []string {
		return []string{ParameterARN(s.call.Region, s.call.Account, deref(in.Name))}
	}),
}

// ParameterARN is the ARN of an SSM parameter. Public ones, /aws/service/…, have no account.
func ParameterARN(region, account, name string) string {
	if len(name) == 0 || name[0] != '/' {
		return "arn:aws:ssm:" + region + ":" + account + ":parameter/" + name
	}
	if len(name) > 5 && name[:5] == "/aws/" {
		account = ""
	}
	return "arn:aws:ssm:" + region + ":" + account + ":parameter" + name
}

// group finds a group's ARN, which has a UUID.
func (s scope) group(name *string) []string {
	for arn, g := range s.tx.AutoScalingGroups.All() {
		if g.Name == deref(name) && g.Account == s.call.Account && g.Region == s.call.Region {
			return []string{arn}
		}
	}
	return []string{s.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+deref(name))}
}

func (s scope) groupsOf(tags []autoscaling.Tag) []string {
	var out []string
	for _, t := range tags {
		out = append(out, s.group(t.ResourceId)...)
	}
	return out
}

var autoscalingRules = rules{
	"CreateAutoScalingGroup": on(func(s scope, in *autoscaling.CreateAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"CreateOrUpdateTags": on(func(s scope, in *autoscaling.CreateOrUpdateTagsInput) []string { return s.groupsOf(in.Tags) }),
	"DeleteAutoScalingGroup": on(func(s scope, in *autoscaling.DeleteAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"DeleteTags":                   on(func(s scope, in *autoscaling.DeleteTagsInput) []string { return s.groupsOf(in.Tags) }),
	"DescribeAutoScalingGroups":    anything,
	"DescribeAutoScalingInstances": anything,
	"DescribeScalingActivities":    anything,
	"DescribeTags":                 anything,
	"SetDesiredCapacity": on(func(s scope, in *autoscaling.SetDesiredCapacityInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
	"TerminateInstanceInAutoScalingGroup": on(func(s scope, in *autoscaling.TerminateInstanceInAutoScalingGroupInput) []string {
		if m, ok := s.tx.GroupInstances.Get(deref(in.InstanceId)); ok {
			return []string{m.Group}
		}
		return nil
	}),
	"UpdateAutoScalingGroup": on(func(s scope, in *autoscaling.UpdateAutoScalingGroupInput) []string {
		return s.group(in.AutoScalingGroupName)
	}),
}
