package identity

import (
	"maps"
	"slices"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// A rule says what an operation is checked for.
type rule struct {
	action    string                                    // where it is not <service>:<Operation>
	shown     func(in any) string                       // what a denial names in place of no resource
	free      bool                                      // everybody who is somebody may, or the handler decides
	resources func(s scope, in any) []string            // ARNs; nil: the operation knows no resources ("*")
	keys      func(s scope, in any) map[string][]string // condition keys that the input gives
	targets   func(s scope, in any) []target            // in place of resources: with keys for each
	made      func(s scope, in any) created             // tags of what the operation makes, by resource type (EC2)
	fields    []string                                  // of the input, that the rule reads by their names
	also      func(s scope, in any) []check             // what else the caller must be allowed
}

// A check is something that an operation is checked for besides itself: its dependent
// actions in AWS's service authorization reference.
type check struct {
	action    string
	resources []string
	targets   []target // in place of resources
	keys      map[string][]string
	made      created                            // what gets tags by it
	refuse    func(denial, encoded string) error // how the service words it; nil: as any denial
}

// created are the tags that a request gives to what it makes, by resource type.
type created map[string]map[string]string

// A scope is where a rule finds what its input only names.
type scope struct {
	call awsapi.Call
	tx   *store.Tx
}

// arn is an ARN in the account and region of the call.
func (s scope) arn(service, rest string) string {
	return "arn:aws:" + service + ":" + s.call.Region + ":" + s.call.Account + ":" + rest
}

// A rules table has a row for every operation that is served.
type rules map[string]rule

// apis are the tables, by signing name.
var apis = map[string]rules{
	"autoscaling": autoscalingRules,
	"ec2":         ec2Rules.also(ec2NetworkRules, ec2MachineRules),
	"eks":         eksRules.also(eksChildRules),
	"eks-auth":    eksAuthRules,
	"events":      eventsRules,
	"iam":         iamRules,
	"sqs":         sqsRules,
	"ssm":         ssmRules,
	"sts":         stsRules,
}

// HasRule says whether the tables know an operation of a service. One that they do not
// know is checked for all resources.
func HasRule(service, operation string) bool {
	_, ok := apis[service][operation]
	return ok
}

// on makes a rule from a function of the operation's own input.
func on[In any](f func(s scope, in *In) []string) rule {
	return rule{resources: func(s scope, in any) []string {
		i, ok := in.(*In)
		if !ok {
			return nil
		}
		return f(s, i)
	}}
}

// with adds to a rule the condition keys that the operation's own input gives.
func with[In any](r rule, f func(in *In) map[string][]string) rule {
	r.keys = func(_ scope, in any) map[string][]string {
		i, ok := in.(*In)
		if !ok {
			return nil
		}
		return f(i)
	}
	return r
}

// within is with for keys that take a look at the records.
func within[In any](r rule, f func(s scope, in *In) map[string][]string) rule {
	r.keys = func(s scope, in any) map[string][]string {
		i, ok := in.(*In)
		if !ok {
			return nil
		}
		return f(s, i)
	}
	return r
}

// needs adds to a rule what the operation's own input makes it be checked for besides.
func needs[In any](r rule, f func(s scope, in *In) []check) rule {
	before := r.also
	r.also = func(s scope, in any) []check {
		var out []check
		if before != nil {
			out = before(s, in)
		}
		if i, ok := in.(*In); ok {
			out = append(out, f(s, i)...)
		}
		return out
	}
	return r
}

// requestTags are the condition keys of tags that a request sets.
func requestTags(tags map[string]string) map[string][]string {
	out := map[string][]string{}
	if len(tags) == 0 {
		return out
	}
	out["aws:TagKeys"] = slices.Sorted(maps.Keys(tags))
	for k, v := range tags {
		out["aws:RequestTag/"+k] = []string{v}
	}
	return out
}

// anything is the rule of operations that know no resources.
var anything = rule{}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
