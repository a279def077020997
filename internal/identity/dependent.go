package identity

import (
	"maps"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
)

// pass is the check that the caller may hand a role to a service. Without a role there is none.
func (s scope) pass(role *string, service string) []check {
	if deref(role) == "" {
		return nil
	}
	return []check{{action: "iam:PassRole", resources: []string{*role}, keys: map[string][]string{"iam:PassedToService": {service}}}}
}

// passProfile is pass for the role in an instance profile, by its ARN or name, for
// instances that are to be.
func (s scope) passProfile(arn, name *string) []check {
	id := deref(arn)
	if id == "" && name != nil {
		id = s.profile(name, nil)[0]
	}
	p, ok := s.tx.InstanceProfiles.Get(id)
	if !ok || p.Role == "" { // the handler says what is wrong
		return nil
	}
	checks := s.pass(&p.Role, "ec2.amazonaws.com")
	checks[0].keys["iam:AssociatedResourceArn"] = []string{s.arn("ec2", "instance/*")}
	return checks
}

// linked is the check that the caller may have a service's role made, if it is not there.
func (s scope) linked(service string) []check {
	_, _, arn, _, known := ServiceLinkedRole(s.call.Account, service, "")
	if !known || s.tx.Roles.Has(arn) {
		return nil
	}
	return []check{{action: "iam:CreateServiceLinkedRole", resources: []string{arn}, keys: map[string][]string{"iam:AWSServiceName": {service}}}}
}

// tagging makes a rule out of one for an operation of EC2 that tags what it makes: the tags
// are keys of the new resources, and ec2:CreateTags is needed for them.
func tagging[In any](r rule, f func(in *In) []ec2.TagSpecification) rule {
	r.made = func(_ scope, in any) created {
		i, ok := in.(*In)
		if !ok {
			return nil
		}
		return tagsByType(f(i))
	}
	return needs(r, func(s scope, in *In) []check { return s.tagOnCreate(tagsByType(f(in))) })
}

func tagsByType(specs []ec2.TagSpecification) created {
	out := created{}
	for _, spec := range specs {
		kind := deref(spec.ResourceType)
		for _, t := range spec.Tags {
			if out[kind] == nil {
				out[kind] = map[string]string{}
			}
			out[kind][deref(t.Key)] = deref(t.Value)
		}
	}
	return out
}

func (s scope) tagOnCreate(tags created) []check {
	var out []check
	for _, kind := range slices.Sorted(maps.Keys(tags)) {
		keys := requestTags(tags[kind])
		keys["ec2:CreateAction"] = []string{s.call.Operation}
		out = append(out, check{action: "ec2:CreateTags", resources: []string{s.arn("ec2", kind+"/*")}, keys: keys})
	}
	return out
}

// tagResource is the check of EKS for tags on what is made.
func (s scope) tagResource(arn string, tags map[string]string) []check {
	if len(tags) == 0 {
		return nil
	}
	return []check{{action: "eks:TagResource", resources: []string{arn}, keys: requestTags(tags)}}
}

// badTemplate is how Auto Scaling words what EC2 would refuse of a group's launch template.
func badTemplate(denial, encoded string) error {
	return awsapi.Errorf("ValidationError", 400,
		"You must use a valid fully-formed launch template. You are not authorized to perform this operation. %s%s", denial, encoded)
}

// cannotLaunch is how EKS words it of a node group's: what was denied is in the code only.
func cannotLaunch(_, encoded string) error {
	return &eks.InvalidRequestException{Message: new("You are not authorized to launch instances with this launch template" + encoded)}
}

// cannotRead is how EKS passes on that EC2 does not show a launch template to the caller.
func cannotRead(denial, _ string) error {
	return &eks.InvalidRequestException{Message: new("You are not authorized to perform this operation. " + denial)}
}
