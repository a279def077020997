package events

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eventbus"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// PutTargets adds targets to a rule, or changes those that have the same ids.
func (s *Service) PutTargets(ctx context.Context, call awsapi.Call, in *events.PutTargetsInput) (*events.PutTargetsOutput, error) {
	targets := make([]resource.EventTarget, 0, len(in.Targets))
	for _, t := range in.Targets {
		n, err := newTarget(call, t)
		if err != nil {
			return nil, err
		}
		targets = append(targets, n)
	}
	err := s.change(ctx, call, in.EventBusName, deref(in.Rule), func(_ *store.Tx, r *resource.EventRule) error {
		for _, t := range targets {
			r.Targets = slices.DeleteFunc(r.Targets, func(o resource.EventTarget) bool { return o.ID == t.ID })
			r.Targets = append(r.Targets, t)
		}
		if len(r.Targets) > maxTargets {
			return &events.LimitExceededException{Message: new("The requested resource exceeds the maximum number allowed.")}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &events.PutTargetsOutput{FailedEntryCount: new(int32(0)), FailedEntries: []events.PutTargetsResultEntry{}}, nil
}

// newTarget checks a target.
func newTarget(call awsapi.Call, t events.Target) (resource.EventTarget, error) {
	out := resource.EventTarget{ID: deref(t.Id), ARN: deref(t.Arn), Input: deref(t.Input), InputPath: deref(t.InputPath)}
	if t.DeadLetterConfig != nil {
		out.DeadLetter = deref(t.DeadLetterConfig.Arn)
	}
	for _, arn := range []string{out.ARN, out.DeadLetter} {
		p := strings.Split(arn, ":")
		switch {
		case arn == "" && out.ARN != "":
		case len(p) < 6 || p[0] != "arn":
			return out, validation("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", arn)
		case p[2] != "sqs":
			return out, notYet("A target of the service " + p[2])
		case p[3] != call.Region || p[4] != call.Account:
			return out, notYet("A target in another account or region")
		}
	}
	switch {
	case t.RoleArn != nil:
		return out, notYet("The RoleArn of a target")
	case t.SqsParameters != nil && deref(t.SqsParameters.MessageGroupId) != "":
		return out, validation("Parameter(s) SqsParameters must not be specified for target: %s.", out.ID)
	}
	given := 0
	if out.Input != "" {
		if given++; !json.Valid([]byte(out.Input)) {
			return out, validation("JSON syntax error in input for target %s.", out.ID)
		}
	}
	if out.InputPath != "" {
		given++
		if err := eventbus.CheckPath(out.InputPath); err != nil {
			return out, validation("Reason: Invalid InputPath for target %s.", out.ID)
		}
	}
	if t.InputTransformer != nil {
		given++
		out.InputPaths, out.InputTemplate = t.InputTransformer.InputPathsMap, deref(t.InputTransformer.InputTemplate)
		for name, path := range out.InputPaths {
			if strings.HasPrefix(strings.ToLower(name), "aws") || eventbus.CheckPath(path) != nil {
				return out, validation("Reason: Invalid InputPathsMap entry %s for target %s.", name, out.ID)
			}
		}
	}
	if given > 1 {
		return out, validation("Only one of Input, InputPath, or InputTransformer must be provided for target %s.", out.ID)
	}
	return out, nil
}

// RemoveTargets takes targets away by their ids; one that is not there is none to take.
func (s *Service) RemoveTargets(ctx context.Context, call awsapi.Call, in *events.RemoveTargetsInput) (*events.RemoveTargetsOutput, error) {
	err := s.change(ctx, call, in.EventBusName, deref(in.Rule), func(_ *store.Tx, r *resource.EventRule) error {
		r.Targets = slices.DeleteFunc(r.Targets, func(t resource.EventTarget) bool { return slices.Contains(in.Ids, t.ID) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &events.RemoveTargetsOutput{FailedEntryCount: new(int32(0)), FailedEntries: []events.RemoveTargetsResultEntry{}}, nil
}

// ListTargetsByRule lists a rule's targets by their ids.
func (s *Service) ListTargetsByRule(_ context.Context, call awsapi.Call, in *events.ListTargetsByRuleInput) (*events.ListTargetsByRuleOutput, error) {
	if err := onBus(call, in.EventBusName); err != nil {
		return nil, err
	}
	return store.Read(s.store, func(tx *store.Tx) (*events.ListTargetsByRuleOutput, error) {
		r, err := find(tx, call, deref(in.Rule))
		if err != nil {
			return nil, err
		}
		targets := slices.SortedFunc(slices.Values(r.Targets), func(a, b resource.EventTarget) int { return strings.Compare(a.ID, b.ID) })
		targets, next, err := page(targets, func(t resource.EventTarget) string { return t.ID }, in.NextToken, in.Limit)
		if err != nil {
			return nil, err
		}
		out := &events.ListTargetsByRuleOutput{Targets: []events.Target{}, NextToken: next}
		for _, t := range targets {
			out.Targets = append(out.Targets, describeTarget(t))
		}
		return out, nil
	})
}

func describeTarget(t resource.EventTarget) events.Target {
	given := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	out := events.Target{Id: &t.ID, Arn: &t.ARN, Input: given(t.Input), InputPath: given(t.InputPath)}
	if t.InputTemplate != "" {
		out.InputTransformer = &events.InputTransformer{InputPathsMap: t.InputPaths, InputTemplate: &t.InputTemplate}
	}
	if t.DeadLetter != "" {
		out.DeadLetterConfig = &events.DeadLetterConfig{Arn: &t.DeadLetter}
	}
	return out
}

// PutEvents publishes events of the caller's own; each may be refused for itself.
func (s *Service) PutEvents(ctx context.Context, call awsapi.Call, in *events.PutEventsInput) (*events.PutEventsOutput, error) {
	if deref(in.EndpointId) != "" {
		return nil, notYet("EndpointId")
	}
	return store.Write(ctx, s.store, func(tx *store.Tx) (*events.PutEventsOutput, error) {
		out := &events.PutEventsOutput{FailedEntryCount: new(int32(0)), Entries: []events.PutEventsResultEntry{}}
		for _, e := range in.Entries {
			event, code, message := s.newEvent(call, e)
			if code != "" {
				*out.FailedEntryCount++
				out.Entries = append(out.Entries, events.PutEventsResultEntry{ErrorCode: &code, ErrorMessage: &message})
				continue
			}
			id, failures, err := eventbus.Publish(tx, event, s.now())
			if err != nil {
				return nil, err
			}
			for _, f := range failures {
				s.failed(f)
			}
			out.Entries = append(out.Entries, events.PutEventsResultEntry{EventId: &id})
		}
		return out, nil
	})
}

// newEvent checks an entry of PutEvents.
func (s *Service) newEvent(call awsapi.Call, e events.PutEventsRequestEntry) (event resource.Event, code, message string) {
	event = resource.Event{
		Home: resource.Home{Account: call.Account, Region: call.Region}, Source: deref(e.Source), DetailType: deref(e.DetailType),
		Time: s.now(), Resources: e.Resources, Detail: deref(e.Detail),
	}
	if e.Time != nil {
		event.Time = *e.Time
	}
	var object map[string]json.RawMessage
	switch {
	case event.Source == "":
		return event, "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."
	case event.DetailType == "":
		return event, "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument."
	case event.Detail == "":
		return event, "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."
	case json.Unmarshal([]byte(event.Detail), &object) != nil:
		return event, "MalformedDetail", "Detail is malformed."
	case strings.HasPrefix(event.Source, "aws."):
		return event, "NotAuthorizedForSourceException", "Not authorized for the source."
	}
	if err := onBus(call, e.EventBusName); err != nil {
		return event, "InvalidArgument", "Event bus " + deref(e.EventBusName) + " does not exist."
	}
	return event, "", ""
}
