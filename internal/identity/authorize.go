package identity

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/store"
)

// An Authorizer decides whether callers may do what they ask for.
type Authorizer struct {
	store    *store.Store
	policies *Policies

	mu   sync.Mutex
	uses map[string]use // access key id → its last use that is not in its record yet
}

type use struct {
	at              time.Time
	service, region string
}

// NewAuthorizer returns an Authorizer over the records of st.
func NewAuthorizer(st *store.Store, p *Policies) *Authorizer {
	return &Authorizer{store: st, policies: p, uses: map[string]use{}}
}

// Authorize returns nil if the caller may make the call, and otherwise AWS's denial in
// the form that the service has for it. The root user of an account may do everything
// in it. An operation that its service's table does not have is checked for all
// resources ("*"). After the operation itself its dependent actions are decided.
func (a *Authorizer) Authorize(_ context.Context, call awsapi.Call, input any) error {
	if call.Caller.Type == awsapi.TypeAnonymous { // operations that need no signature
		return nil
	}
	a.note(call)
	if err := limitSession(call); err != nil {
		return err
	}
	if call.Caller.Type == awsapi.TypeRoot && call.Caller.Account == call.Account {
		return nil
	}
	r := apis[call.Service][call.Operation]
	if r.free {
		return nil
	}
	return a.store.View(func(tx *store.Tx) error {
		policies, tags, err := a.policies.Of(tx, call.Caller)
		if err != nil {
			return fmt.Errorf("finding the policies of %s: %w", call.Caller.ARN, err)
		}
		s := scope{call, tx}
		main := check{action: call.Service + ":" + call.Operation}
		if r.action != "" {
			main.action = r.action
		}
		if r.resources != nil {
			main.resources = r.resources(s, input)
		}
		if r.targets != nil {
			main.targets = r.targets(s, input)
		}
		if r.keys != nil {
			main.keys = r.keys(s, input)
		}
		if r.made != nil {
			main.made = r.made(s, input)
		}
		checks := []check{main}
		if r.also != nil {
			checks = append(checks, r.also(s, input)...)
		}
		for i, c := range checks {
			req := s.request(c, tags)
			if policies.Resource, err = a.policies.OfResource(tx, c.resources); err != nil {
				return err
			}
			d := authz.Evaluate(policies, req)
			if d.Allowed {
				continue
			}
			if d.Resource == "*" && i == 0 && r.shown != nil {
				d.Resource = r.shown(input)
			}
			message := d.DenyMessage(req)
			if c.refuse != nil {
				return c.refuse(message, encodedFailure(tx, req, d))
			}
			if call.Service == "ec2" && !strings.HasPrefix(call.Operation, "Describe") {
				message += encodedFailure(tx, req, d)
			}
			return Denial(call.Service, message)
		}
		return nil
	})
}

// request is what package authz decides for a check.
func (s scope) request(c check, principalTags map[string][]string) authz.Request {
	targets := c.targets
	for _, arn := range c.resources {
		targets = append(targets, target{arn: arn})
	}
	req := authz.Request{Principal: Caller(s.call.Caller), Action: c.action, Context: Context(s.call)}
	maps.Copy(req.Context, principalTags)
	maps.Copy(req.Context, c.keys)
	for _, t := range targets {
		keys := s.keysOf(t.arn)
		if !bounded[c.action] {
			delete(keys, "iam:PermissionsBoundary")
		}
		for k := range c.keys { // what the request says of a resource goes before what it is
			delete(keys, k)
		}
		if kind, ok := strings.CutSuffix(t.arn, "/*"); ok && len(c.made) > 0 {
			maps.Copy(keys, requestTags(c.made[kind[strings.LastIndexByte(kind, ':')+1:]]))
		}
		if keys == nil {
			keys = t.keys
		} else {
			maps.Copy(keys, t.keys)
		}
		req.Resources, req.ResourceContext = append(req.Resources, t.arn), append(req.ResourceContext, keys)
	}
	return req
}

// limitSession refuses what sessions of users themselves may not do whatever their
// policies say: IAM without MFA, and most of STS for federated users.
func limitSession(call awsapi.Call) error {
	own := call.Caller.SessionName == "" && !call.Caller.Expires.IsZero()
	federated := call.Caller.Type == awsapi.TypeFederatedUser
	switch {
	case !own && !federated:
	case call.Service == "iam",
		call.Service == "sts" && federated && call.Operation != "GetCallerIdentity",
		call.Service == "sts" && own && call.Operation != "GetCallerIdentity" && call.Operation != "AssumeRole":
		if call.Service == "sts" && (call.Operation == "GetSessionToken" || call.Operation == "GetFederationToken") {
			return Denial("sts", "Cannot call "+call.Operation+" with session credentials")
		}
		return awsapi.Errorf("InvalidClientTokenId", 403, "The security token included in the request is invalid")
	}
	return nil
}

// Denial is the error that a service answers to a caller who may not, in its form.
func Denial(service, message string) error {
	switch service {
	case "ec2":
		return awsapi.Errorf("UnauthorizedOperation", 403, "You are not authorized to perform this operation. %s", message)
	case "eks":
		return awsapi.Errorf("AccessDeniedException", 403, "%s", message)
	case "ssm", "eks-auth", "events", "sqs":
		return awsapi.Errorf("AccessDeniedException", 400, "%s", message)
	}
	return awsapi.Errorf("AccessDenied", 403, "%s", message)
}

// note remembers that an access key was used. It is not written at once: a record a
// request would make every read a write.
func (a *Authorizer) note(call awsapi.Call) {
	id := call.Caller.AccessKeyID
	if id == "" || call.Caller.SessionName != "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uses[id] = use{call.Time, call.Service, servedIn(call)}
}

// Flush writes the last uses of access keys to their records. What was not flushed when
// the daemon is killed is lost; AWS promises no more.
func (a *Authorizer) Flush(ctx context.Context) error {
	a.mu.Lock()
	uses := a.uses
	a.uses = map[string]use{}
	a.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		for id, u := range uses {
			k, ok := tx.AccessKeys.Get(id)
			if !ok {
				continue
			}
			k.LastUsed, k.LastAt, k.LastIn = u.at.UTC().Truncate(time.Second), u.service, u.region
			tx.AccessKeys.Put(id, k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing when access keys were last used: %w", err)
	}
	return nil
}
