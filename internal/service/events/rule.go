package events

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventpattern"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Quotas of a bus and of a rule.
const (
	maxRules   = 300
	maxTargets = 5
	maxTags    = 50
)

// PutRule makes a rule, or changes one: its targets stay, all else becomes what is given.
func (s *Service) PutRule(ctx context.Context, call awsapi.Call, in *events.PutRuleInput) (*events.PutRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	switch state := deref(in.State); {
	case deref(in.ScheduleExpression) != "":
		return nil, notYet("ScheduleExpression")
	case deref(in.RoleArn) != "":
		return nil, notYet("The RoleArn of a rule")
	case deref(in.EventPattern) == "":
		return nil, validation("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	case state == events.RuleStateEnabledWithAllCloudtrailManagementEvents:
		return nil, notYet("The state " + state)
	}
	if err := checkPattern(*in.EventPattern); err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		tags[deref(t.Key)] = deref(t.Value)
	}
	arn := identity.EventRuleARN(call.Region, call.Account, deref(in.Name))
	return store.Write(ctx, s.store, func(tx *store.Tx) (*events.PutRuleOutput, error) {
		r, ok := tx.EventRules.Get(arn)
		if !ok {
			if len(rules(tx, call, func(resource.EventRule) bool { return true })) >= maxRules {
				return nil, &events.LimitExceededException{Message: new("The requested resource exceeds the maximum number allowed.")}
			}
			r = resource.EventRule{
				Home: resource.Home{Account: call.Account, Region: call.Region}, ARN: arn, Name: *in.Name, Created: call.Time, Tags: tags,
			}
		}
		// The tags of a rule that is there are changed by TagResource only.
		r.Pattern, r.Description, r.Disabled = *in.EventPattern, deref(in.Description), deref(in.State) == events.RuleStateDisabled
		tx.EventRules.Put(arn, r)
		return &events.PutRuleOutput{RuleArn: &arn}, nil
	})
}

func checkPattern(pattern string) error {
	if _, err := eventpattern.Parse(pattern); err != nil {
		return &events.InvalidEventPatternException{Message: new("Event pattern is not valid. Reason: " + err.Error())}
	}
	return nil
}

// TestEventPattern says whether an event matches a pattern.
func (*Service) TestEventPattern(_ context.Context, _ awsapi.Call, in *events.TestEventPatternInput) (*events.TestEventPatternOutput, error) {
	p, err := eventpattern.Parse(deref(in.EventPattern))
	if err != nil {
		return nil, checkPattern(deref(in.EventPattern))
	}
	event, err := eventpattern.Decode(deref(in.Event))
	if err != nil {
		return nil, validation("Parameter Event is not valid.")
	}
	m, _ := event.(map[string]any)
	for _, field := range []string{"id", "account", "source", "time", "region", "resources", "detail-type"} {
		if _, ok := m[field]; !ok {
			return nil, validation("Parameter Event is not valid.")
		}
	}
	return &events.TestEventPatternOutput{Result: new(p.Matches(event))}, nil
}

// DescribeRule describes a rule.
func (s *Service) DescribeRule(_ context.Context, call awsapi.Call, in *events.DescribeRuleInput) (*events.DescribeRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return store.Read(s.store, func(tx *store.Tx) (*events.DescribeRuleOutput, error) {
		r, err := find(tx, call, deref(in.Name))
		if err != nil {
			return nil, err
		}
		d := describe(r)
		return &events.DescribeRuleOutput{
			Name: d.Name, Arn: d.Arn, EventPattern: d.EventPattern, State: d.State, Description: d.Description, EventBusName: d.EventBusName, CreatedBy: &r.Account,
		}, nil
	})
}

func describe(r resource.EventRule) events.Rule {
	out := events.Rule{Name: &r.Name, Arn: &r.ARN, EventPattern: &r.Pattern, State: new(events.RuleStateEnabled), EventBusName: new(bus)}
	if r.Disabled {
		out.State = new(events.RuleStateDisabled)
	}
	if r.Description != "" {
		out.Description = &r.Description
	}
	return out
}

// ListRules lists rules by name.
func (s *Service) ListRules(_ context.Context, call awsapi.Call, in *events.ListRulesInput) (*events.ListRulesOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return store.Read(s.store, func(tx *store.Tx) (*events.ListRulesOutput, error) {
		all := rules(tx, call, func(r resource.EventRule) bool { return strings.HasPrefix(r.Name, deref(in.NamePrefix)) })
		some, next, err := page(all, func(r resource.EventRule) string { return r.Name }, in.NextToken, in.Limit)
		if err != nil {
			return nil, err
		}
		out := &events.ListRulesOutput{Rules: []events.Rule{}, NextToken: next}
		for _, r := range some {
			out.Rules = append(out.Rules, describe(r))
		}
		return out, nil
	})
}

// ListRuleNamesByTarget lists the names of the rules that send events to a target.
func (s *Service) ListRuleNamesByTarget(_ context.Context, call awsapi.Call, in *events.ListRuleNamesByTargetInput) (*events.ListRuleNamesByTargetOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return store.Read(s.store, func(tx *store.Tx) (*events.ListRuleNamesByTargetOutput, error) {
		names := []string{}
		for _, r := range rules(tx, call, func(r resource.EventRule) bool {
			return slices.ContainsFunc(r.Targets, func(t resource.EventTarget) bool { return t.ARN == deref(in.TargetArn) })
		}) {
			names = append(names, r.Name)
		}
		names, next, err := page(names, func(s string) string { return s }, in.NextToken, in.Limit)
		return &events.ListRuleNamesByTargetOutput{RuleNames: names, NextToken: next}, err
	})
}

// DeleteRule deletes a rule that has no targets left. One that is not there is none to delete.
func (s *Service) DeleteRule(ctx context.Context, call awsapi.Call, in *events.DeleteRuleInput) (*events.DeleteRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return store.Write(ctx, s.store, func(tx *store.Tx) (*events.DeleteRuleOutput, error) {
		arn := identity.EventRuleARN(call.Region, call.Account, deref(in.Name))
		if r, _ := tx.EventRules.Get(arn); len(r.Targets) > 0 {
			return nil, validation("Rule can't be deleted since it has targets.")
		}
		tx.EventRules.Delete(arn)
		return &events.DeleteRuleOutput{}, nil
	})
}

// EnableRule has a rule match again.
func (s *Service) EnableRule(ctx context.Context, call awsapi.Call, in *events.EnableRuleInput) (*events.EnableRuleOutput, error) {
	return &events.EnableRuleOutput{}, s.change(ctx, call, in.EventBusName, deref(in.Name), func(_ *store.Tx, r *resource.EventRule) error {
		r.Disabled = false
		return nil
	})
}

// DisableRule has a rule match nothing.
func (s *Service) DisableRule(ctx context.Context, call awsapi.Call, in *events.DisableRuleInput) (*events.DisableRuleOutput, error) {
	return &events.DisableRuleOutput{}, s.change(ctx, call, in.EventBusName, deref(in.Name), func(_ *store.Tx, r *resource.EventRule) error {
		r.Disabled = true
		return nil
	})
}

// tagged finds the name of the rule that an ARN names. It has to be the ARN that the rule has:
// the caller was checked for what is written there, and nothing else may be acted upon.
func tagged(call awsapi.Call, arn *string) (string, error) {
	f := strings.SplitN(deref(arn), ":", 6)
	if len(f) != 6 || f[0] != "arn" || f[2] != "events" {
		return "", validation("Parameter ResourceARN is not valid. Reason: Provided Arn is not in correct format.")
	}
	name, rule := strings.CutPrefix(f[5], "rule/")
	switch {
	case *arn == identity.EventRuleARN(call.Region, call.Account, name):
		return name, nil
	case !rule:
		return "", notYet("Tagging anything but rules")
	}
	return "", notFound("Rule %s does not exist on EventBus default.", name)
}

// TagResource sets tags of a rule.
func (s *Service) TagResource(ctx context.Context, call awsapi.Call, in *events.TagResourceInput) (*events.TagResourceOutput, error) {
	name, err := tagged(call, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &events.TagResourceOutput{}, s.change(ctx, call, nil, name, func(_ *store.Tx, r *resource.EventRule) error {
		more := map[string]string{}
		for _, t := range in.Tags {
			more[deref(t.Key)] = deref(t.Value)
		}
		if r.Tags = r.Tags.With(more); len(r.Tags) > maxTags {
			return &events.LimitExceededException{Message: new("The requested resource exceeds the maximum number allowed.")}
		}
		return nil
	})
}

// UntagResource takes tags of a rule away.
func (s *Service) UntagResource(ctx context.Context, call awsapi.Call, in *events.UntagResourceInput) (*events.UntagResourceOutput, error) {
	name, err := tagged(call, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &events.UntagResourceOutput{}, s.change(ctx, call, nil, name, func(_ *store.Tx, r *resource.EventRule) error {
		r.Tags = r.Tags.Without(in.TagKeys...)
		return nil
	})
}

// ListTagsForResource lists the tags of a rule.
func (s *Service) ListTagsForResource(_ context.Context, call awsapi.Call, in *events.ListTagsForResourceInput) (*events.ListTagsForResourceOutput, error) {
	name, err := tagged(call, in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return store.Read(s.store, func(tx *store.Tx) (*events.ListTagsForResourceOutput, error) {
		r, err := find(tx, call, name)
		if err != nil {
			return nil, err
		}
		out := &events.ListTagsForResourceOutput{Tags: []events.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
			out.Tags = append(out.Tags, events.Tag{Key: new(k), Value: new(r.Tags[k])})
		}
		return out, nil
	})
}
