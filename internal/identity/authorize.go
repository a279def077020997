package identity

import (
	"context"
	"fmt"
	"maps"
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
// resources ("*").
func (a *Authorizer) Authorize(_ context.Context, call awsapi.Call, input any) error {
	if call.Caller.Type == awsapi.TypeAnonymous { // operations that need no signature
		return nil
	}
	a.note(call)
	if call.Caller.Type == awsapi.TypeRoot && call.Caller.Account == call.Account {
		return nil
	}
	r := apis[call.Service][call.Operation]
	if r.free {
		return nil
	}
	req := authz.Request{
		Principal: Caller(call.Caller),
		Action:    call.Service + ":" + call.Operation,
		Context:   Context(call),
	}
	if r.action != "" {
		req.Action = r.action
	}
	var decision authz.Decision
	err := a.store.View(func(tx *store.Tx) error {
		in, tags, err := a.policies.Of(tx, call.Caller)
		if err != nil {
			return fmt.Errorf("finding the policies of %s: %w", call.Caller.ARN, err)
		}
		maps.Copy(req.Context, tags)
		if r.resources != nil {
			req.Resources = r.resources(scope{call, tx}, input)
		}
		if r.keys != nil {
			maps.Copy(req.Context, r.keys(input))
		}
		decision = authz.Evaluate(in, req)
		return nil
	})
	if err != nil || decision.Allowed {
		return err
	}
	return Denial(call.Service, decision.DenyMessage(req))
}

// Denial is the error that a service answers to a caller who may not, in its form.
func Denial(service, message string) error {
	switch service {
	case "ec2":
		return awsapi.Errorf("UnauthorizedOperation", 403, "You are not authorized to perform this operation. %s", message)
	case "eks":
		return awsapi.Errorf("AccessDeniedException", 403, "%s", message)
	case "ssm":
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
	a.uses[id] = use{call.Time, call.Service, call.Region}
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
