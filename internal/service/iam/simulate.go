package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// A simulated is one policy of a simulation, with its text, for statements to be pointed at.
type simulated struct {
	id, kind string // as IAM names them in answers
	document string
	policy   *authz.Policy
}

// A simulation is what a request asks: what would be decided if these were the policies.
type simulation struct {
	identity, boundaries []simulated
	hasBoundary          bool
	boundary             *authz.Policy // of the principal itself
	organization         [][]simulated
	resource             *simulated
	principal            authz.Principal
	owner                string
	actions, resources   []string
	context              map[string][]string
}

// SimulateCustomPolicy decides actions by the policies in the request.
func (s *Service) SimulateCustomPolicy(_ context.Context, call awsapi.Call, in *iam.SimulateCustomPolicyInput) (*iam.SimulateCustomPolicyOutput, error) {
	sim := simulation{actions: in.ActionNames, resources: in.ResourceArns, context: contextEntries(in.ContextEntries)}
	var err error
	if sim.identity, err = parseInputs(in.PolicyInputList, "PolicyInputList", authz.Identity); err != nil {
		return nil, err
	}
	if err := sim.limit(in.PermissionsBoundaryPolicyInputList, in.ResourcePolicy, in.ResourceOwner); err != nil {
		return nil, err
	}
	for i, level := range in.OrderedOrganizationPolicyInputList {
		list, err := parseInputs(level.ServiceControlPolicyInputList, fmt.Sprintf("OrderedOrganizationPolicyInputList.%d", i+1), authz.ServiceControl)
		if err != nil {
			return nil, err
		}
		sim.organization = append(sim.organization, list)
	}
	if sim.principal, err = simulatedCaller(deref(in.CallerArn), call.Account); err != nil {
		return nil, err
	}
	results, end, err := sim.run(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.SimulateCustomPolicyOutput{EvaluationResults: results, IsTruncated: end.truncated, Marker: end.marker}, nil
}

// SimulatePrincipalPolicy decides actions by what a user, group or role has, and what the request adds to it.
func (s *Service) SimulatePrincipalPolicy(_ context.Context, call awsapi.Call, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	sim := simulation{actions: in.ActionNames, resources: in.ResourceArns}
	source := deref(in.PolicySourceArn)
	err := s.store.View(func(tx *store.Tx) error {
		var err error
		if sim.identity, err = s.documentsOf(tx, call.Account, source); err != nil {
			return err
		}
		held, tags, err := s.policies.Held(tx, source)
		if err != nil {
			return err
		}
		sim.boundary, sim.hasBoundary = held.Boundary, held.Boundary != nil
		caller := deref(in.CallerArn)
		if caller == "" {
			caller = source
		}
		if sim.principal, err = simulatedCaller(caller, call.Account); err != nil {
			return err
		}
		sim.principal.ID = uniqueID(tx, caller)
		sim.context = sim.principal.Context()
		for k, v := range tags {
			sim.context["aws:PrincipalTag/"+k] = []string{v}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	more, err := parseInputs(in.PolicyInputList, "PolicyInputList", authz.Identity)
	if err != nil {
		return nil, err
	}
	sim.identity = append(sim.identity, more...)
	maps.Copy(sim.context, contextEntries(in.ContextEntries))
	if err := sim.limit(in.PermissionsBoundaryPolicyInputList, in.ResourcePolicy, in.ResourceOwner); err != nil {
		return nil, err
	}
	results, end, err := sim.run(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.SimulatePrincipalPolicyOutput{EvaluationResults: results, IsTruncated: end.truncated, Marker: end.marker}, nil
}

// documentsOf are the identity policies of a user, group or role of the account.
func (s *Service) documentsOf(tx *store.Tx, account, arn string) (out []simulated, err error) {
	add := func(kind string, attached []string, inline map[string]string) error {
		for _, p := range attached {
			document, ok := s.policies.Document(tx, account, p)
			if !ok {
				continue
			}
			compiled, err := s.policies.Compile(document, authz.Identity)
			if err != nil {
				return fmt.Errorf("policy %s: %w", p, err)
			}
			managed := "user-managed"
			if awsOwned(p) {
				managed = "aws-managed"
			}
			out = append(out, simulated{p[strings.LastIndexByte(p, '/')+1:], managed, document, compiled})
		}
		for _, name := range slices.Sorted(maps.Keys(inline)) {
			compiled, err := s.policies.Compile(inline[name], authz.Identity)
			if err != nil {
				return fmt.Errorf("inline policy %s of %s: %w", name, arn, err)
			}
			out = append(out, simulated{name, kind, inline[name], compiled})
		}
		return nil
	}
	if u, ok := tx.Users.Get(arn); ok && u.Account == account {
		err = add("user", u.Attached, u.Inline)
		for _, group := range u.Groups {
			if g, ok := tx.Groups.Get(group); ok && err == nil {
				err = add("group", g.Attached, g.Inline)
			}
		}
		return out, err
	}
	if r, ok := tx.Roles.Get(arn); ok && r.Account == account {
		err = add("role", r.Attached, r.Inline)
		return out, err
	}
	if g, ok := tx.Groups.Get(arn); ok && g.Account == account {
		err = add("group", g.Attached, g.Inline)
		return out, err
	}
	return nil, noSuchEntity("The specified entity %s cannot be found.", arn)
}

// limit adds the boundaries and the resource's policy that a request brings.
func (sim *simulation) limit(boundaries []string, resourcePolicy, owner *string) (err error) {
	if len(boundaries) > 0 { // they replace the principal's own
		sim.hasBoundary, sim.boundary = true, nil
		if sim.boundaries, err = parseInputs(boundaries, "PermissionsBoundaryPolicyInputList", authz.Boundary); err != nil {
			return err
		}
	}
	if deref(resourcePolicy) != "" {
		p, err := authz.Parse([]byte(*resourcePolicy), authz.Resource)
		if err != nil {
			return malformedInput(err)
		}
		sim.resource = &simulated{"ResourcePolicy", "resource", *resourcePolicy, p}
	}
	if owner := deref(owner); owner != "" {
		sim.owner = accountIn(owner)
	}
	return nil
}

func parseInputs(documents []string, name string, kind authz.Kind) ([]simulated, error) {
	var out []simulated
	for i, d := range documents {
		p, err := authz.Parse([]byte(d), kind)
		if err != nil {
			return nil, malformedInput(err)
		}
		out = append(out, simulated{fmt.Sprintf("%s.%d", name, i+1), "IAM Policy", d, p})
	}
	return out, nil
}

// malformedInput is the error for a policy of a simulation.
func malformedInput(err error) error { return invalidInput("Invalid policy: %v", err) }

// simulatedCaller is who would make the request. Without one it is nobody in particular, of the account.
func simulatedCaller(arn, account string) (authz.Principal, error) {
	p := authz.Principal{Type: authz.User, ARN: arn, Account: account}
	if arn == "" {
		p.ARN = "arn:aws:iam::" + account + ":user/simulated"
		return p, nil
	}
	if p.Account = accountIn(arn); p.Account == "" {
		return p, invalidInput("Invalid ARN: %s", arn)
	}
	if strings.Contains(arn, ":role/") {
		p.Type, p.RoleARN = authz.RoleSession, arn
		p.ARN = "arn:aws:sts::" + p.Account + ":assumed-role/" + arn[strings.LastIndexByte(arn, '/')+1:] + "/simulated"
	}
	return p, nil
}

// accountIn is the account in an ARN.
func accountIn(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 {
		return f[4]
	}
	return ""
}

func uniqueID(tx *store.Tx, arn string) string {
	if u, ok := tx.Users.Get(arn); ok {
		return u.ID
	}
	if r, ok := tx.Roles.Get(arn); ok {
		return r.ID + ":simulated"
	}
	return ""
}

func contextEntries(entries []iam.ContextEntry) map[string][]string {
	out := map[string][]string{}
	for _, e := range entries {
		out[deref(e.ContextKeyName)] = e.ContextKeyValues
	}
	return out
}

func (sim *simulation) run(marker *string, max *int32) ([]iam.EvaluationResult, cut, error) {
	resources := sim.resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	type pair struct {
		n                int
		action, resource string
	}
	var all []pair
	for _, a := range sim.actions {
		if vendor, name, ok := strings.Cut(a, ":"); !ok || vendor == "" || name == "" || strings.ContainsAny(a, "*?") {
			return nil, cut{}, invalidInput("Invalid Action: %s", a)
		}
		for _, r := range resources {
			all = append(all, pair{len(all), a, r})
		}
	}
	all, end, err := page(all, func(p pair) string { return fmt.Sprintf("%06d", p.n) }, marker, max)
	out := []iam.EvaluationResult{}
	for _, p := range all {
		out = append(out, sim.evaluate(p.action, p.resource))
	}
	return out, end, err
}

func (sim *simulation) evaluate(action, res string) iam.EvaluationResult {
	in := authz.Inputs{Identity: sources(sim.identity), Boundary: sim.boundary}
	if sim.resource != nil {
		in.Resource = sim.resource.policy
	}
	for _, level := range sim.organization {
		in.ServiceControl = append(in.ServiceControl, sources(level))
	}
	req := authz.Request{Principal: sim.principal, Action: action, Resources: []string{res}, ResourceAccount: sim.owner, Context: sim.context}
	// Several boundaries of a request count as the levels of an organization do: each has to allow.
	inside := sim.boundary == nil || authz.Evaluate(authz.Inputs{Identity: []authz.Source{{Policy: sim.boundary}}}, req).Allowed
	for _, b := range sim.boundaries {
		inside = inside && authz.Evaluate(authz.Inputs{Identity: []authz.Source{{Policy: b.policy}}}, req).Allowed
		in.ServiceControl = append(in.ServiceControl, []authz.Source{{Name: b.id, Policy: b.policy}})
	}
	d := authz.Evaluate(in, req)
	result := iam.EvaluationResult{
		EvalActionName: &action, EvalResourceName: &res, EvalDecision: new(decisionName(d)),
		MatchedStatements: []iam.Statement{}, MissingContextValues: sim.missing(),
	}
	if sim.hasBoundary {
		result.PermissionsBoundaryDecisionDetail = &iam.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: &inside}
	}
	if len(sim.organization) > 0 {
		allowed := d.Allowed || d.Kind != authz.ServiceControl
		result.OrganizationsDecisionDetail = &iam.OrganizationsDecisionDetail{AllowedByOrganizations: &allowed}
	}
	for _, p := range sim.identity {
		one := authz.Evaluate(authz.Inputs{Identity: []authz.Source{{Policy: p.policy}}}, req)
		if one.Statement.Index > 0 && (one.Reason == authz.ExplicitDeny) == (d.Reason == authz.ExplicitDeny) {
			result.MatchedStatements = append(result.MatchedStatements, matched(p, one.Statement.Index))
		}
	}
	if sim.resource != nil && d.Kind == authz.Resource && d.Statement.Index > 0 {
		result.MatchedStatements = append(result.MatchedStatements, matched(*sim.resource, d.Statement.Index))
	}
	sim.detail(&result, in, req)
	return result
}

func sources(list []simulated) []authz.Source {
	var out []authz.Source
	for _, p := range list {
		out = append(out, authz.Source{Name: p.id, Policy: p.policy})
	}
	return out
}

func decisionName(d authz.Decision) string {
	switch {
	case d.Allowed:
		return "allowed"
	case d.Reason == authz.ExplicitDeny:
		return "explicitDeny"
	}
	return "implicitDeny"
}

// missing are the keys that the policies look at and that the simulation has no values for.
func (sim *simulation) missing() []string {
	policies := []*authz.Policy{sim.boundary}
	for _, list := range append([][]simulated{sim.identity, sim.boundaries}, sim.organization...) {
		for _, p := range list {
			policies = append(policies, p.policy)
		}
	}
	if sim.resource != nil {
		policies = append(policies, sim.resource.policy)
	}
	out := []string{}
	for _, p := range policies {
		if p == nil {
			continue
		}
		for _, key := range p.ContextKeys() {
			given := slices.ContainsFunc(slices.Collect(maps.Keys(sim.context)), func(k string) bool { return strings.EqualFold(k, key) })
			if !given && !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	slices.Sort(out)
	return out
}

// everything is a policy that leaves the decision to the other side.
var everything = sync.OnceValue(func() *authz.Policy {
	p, err := authz.Parse([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`), authz.Identity)
	if err != nil {
		panic(err) // a mistake in this file
	}
	return p
})

// detail adds to a result what IAM says of resources that a request names: the result
// again for this one, and across accounts what either side decides.
func (sim *simulation) detail(result *iam.EvaluationResult, in authz.Inputs, req authz.Request) {
	if len(sim.resources) == 0 || *result.EvalResourceName == "*" {
		return
	}
	all := []authz.Source{{Policy: everything()}}
	result.EvalDecisionDetails = map[string]string{}
	if sim.owner != "" && sim.owner != sim.principal.Account && sim.resource != nil {
		own := req
		own.ResourceAccount = ""
		result.EvalDecisionDetails["IAM Policy"] = decisionName(authz.Evaluate(authz.Inputs{Identity: in.Identity}, own))
		result.EvalDecisionDetails["Resource Policy"] = decisionName(authz.Evaluate(authz.Inputs{Identity: all, Resource: in.Resource}, req))
	}
	result.ResourceSpecificResults = []iam.ResourceSpecificResult{{
		EvalResourceName: result.EvalResourceName, EvalResourceDecision: result.EvalDecision, MatchedStatements: result.MatchedStatements,
		MissingContextValues: result.MissingContextValues, EvalDecisionDetails: result.EvalDecisionDetails,
		PermissionsBoundaryDecisionDetail: result.PermissionsBoundaryDecisionDetail,
	}}
}
