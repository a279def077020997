package iam

import (
	"context"
	"encoding/json"
	"strings"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// matched points at a statement of a policy.
func matched(p simulated, index int) iam.Statement {
	s := iam.Statement{SourcePolicyId: new(p.id), SourcePolicyType: new(p.kind)}
	if from, to, ok := statementSpan(p.document, index); ok {
		s.StartPosition, s.EndPosition = position(p.document, from), position(p.document, to)
	}
	return s
}

// statementSpan finds where the nth statement of a document begins and ends.
func statementSpan(document string, n int) (from, to int, ok bool) {
	var outer struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &outer) != nil {
		return 0, 0, false
	}
	var list []json.RawMessage
	if !strings.HasPrefix(string(outer.Statement), "[") {
		list = []json.RawMessage{outer.Statement}
	} else if json.Unmarshal(outer.Statement, &list) != nil {
		return 0, 0, false
	}
	if n > len(list) {
		return 0, 0, false
	}
	from = strings.Index(document, string(outer.Statement))
	for i, s := range list[:n] {
		at := strings.Index(document[from:], string(s))
		if at < 0 {
			return 0, 0, false
		}
		if from += at; i < n-1 {
			from += len(s)
		}
	}
	return from, from + len(list[n-1]), true
}

func position(document string, offset int) *iam.Position {
	before := document[:offset]
	line := strings.Count(before, "\n")
	return &iam.Position{Line: new(int32(line + 1)), Column: new(int32(offset - strings.LastIndexByte(before, '\n')))}
}

// GetContextKeysForCustomPolicy lists the condition keys that policies look at.
func (s *Service) GetContextKeysForCustomPolicy(_ context.Context, _ awsapi.Call, in *iam.GetContextKeysForCustomPolicyInput) (*iam.GetContextKeysForCustomPolicyOutput, error) {
	sim := simulation{}
	var err error
	if sim.identity, err = parseInputs(in.PolicyInputList, "PolicyInputList", authz.Identity); err != nil {
		return nil, err
	}
	return &iam.GetContextKeysForCustomPolicyOutput{ContextKeyNames: sim.missing()}, nil
}

// GetContextKeysForPrincipalPolicy lists the condition keys that the policies of a user, group or role look at.
func (s *Service) GetContextKeysForPrincipalPolicy(_ context.Context, call awsapi.Call, in *iam.GetContextKeysForPrincipalPolicyInput) (*iam.GetContextKeysForPrincipalPolicyOutput, error) {
	sim := simulation{}
	err := s.store.View(func(tx *store.Tx) (err error) {
		sim.identity, err = s.documentsOf(tx, call.Account, deref(in.PolicySourceArn))
		return err
	})
	if err != nil {
		return nil, err
	}
	more, err := parseInputs(in.PolicyInputList, "PolicyInputList", authz.Identity)
	if err != nil {
		return nil, err
	}
	sim.identity = append(sim.identity, more...)
	return &iam.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: sim.missing()}, nil
}
