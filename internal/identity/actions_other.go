package identity

import (
	"strings"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
)

// GetCallerIdentity and GetSessionToken need no permission. AssumeRole is decided by its handler, in which the trust
// policy meets the caller's own policies.
var stsRules = rules{
	"AssumeRole":                 {free: true},
	"AssumeRoleWithWebIdentity":  {free: true},
	"DecodeAuthorizationMessage": anything,
	"GetAccessKeyInfo":           anything,
	"GetCallerIdentity":          {free: true},
	"GetFederationToken":         federation,
	"GetSessionToken":            {free: true},
}

// federation is checked for the session's tags besides, as roles' sessions are.
var federation = needs(with(on(func(s scope, in *sts.GetFederationTokenInput) []string {
	return []string{"arn:aws:sts::" + s.call.Account + ":federated-user/" + deref(in.Name)}
}), federatedTags), func(s scope, in *sts.GetFederationTokenInput) []check {
	keys := federatedTags(in)
	if len(keys) == 0 {
		return nil
	}
	return []check{{action: "sts:TagSession", resources: []string{"arn:aws:sts::" + s.call.Account + ":federated-user/" + deref(in.Name)}, keys: keys}}
})

func federatedTags(in *sts.GetFederationTokenInput) map[string][]string {
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[deref(t.Key)] = deref(t.Value)
	}
	return requestTags(tags)
}

var ssmRules = rules{
	"GetParameter": on(func(s scope, in *ssm.GetParameterInput) []string {
		name, _ := ParameterName(s.call.Region, deref(in.Name))
		return []string{ParameterARN(s.call.Region, s.call.Account, name)}
	}),
}

// ParameterName reads what a request calls an SSM parameter: by its name, or a public one by its
// ARN, with a version or a label behind it (":1").
func ParameterName(region, asked string) (name, selector string) {
	name = asked
	if rest, ok := strings.CutPrefix(name, "arn:aws:ssm:"+region+"::parameter"); ok {
		name = rest
	}
	if n, s, ok := strings.Cut(name, ":"); ok && !strings.HasPrefix(name, "arn:") {
		name, selector = n, ":"+s
	}
	return name, selector
}

// ParameterARN is the ARN of an SSM parameter. Public ones, /aws/service/…, have no account. The
// ARN of a parameter is its own.
func ParameterARN(region, account, name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
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

// groupTags are the condition keys of a group's tags.
func groupTags(tags []autoscaling.Tag) map[string][]string {
	m := map[string]string{}
	for _, t := range tags {
		m[deref(t.Key)] = deref(t.Value)
	}
	return requestTags(m)
}
