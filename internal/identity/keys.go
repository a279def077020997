package identity

import (
	"context"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Keys finds access keys for the front door, in memory.
type Keys struct {
	store    *store.Store
	policies *Policies
}

var _ awsapi.Keys = (*Keys)(nil)

// NewKeys returns the access keys among the records of st.
func NewKeys(st *store.Store, p *Policies) *Keys { return &Keys{store: st, policies: p} }

// Lookup finds a key. A key whose user or role is no more is as unknown as one that never
// was. One that has expired is found, so that its holder is told that it has.
func (k *Keys) Lookup(_ context.Context, id string) (key awsapi.Key, err error) {
	err = k.store.View(func(tx *store.Tx) error {
		var ok bool
		if a, long := tx.AccessKeys.Get(id); long {
			key, ok = longTerm(tx, a)
		} else if s, temporary := tx.Sessions.Get(id); temporary {
			key, ok = k.temporary(tx, s)
		}
		if !ok {
			return awsapi.ErrNoKey
		}
		return nil
	})
	return key, err
}

func longTerm(tx *store.Tx, a resource.AccessKey) (awsapi.Key, bool) {
	p := awsapi.Principal{
		ARN:         a.Principal,
		Account:     a.Account,
		ID:          a.Account,
		AccessKeyID: a.ID,
		Type:        awsapi.TypeRoot,
		Issued:      a.Created,
	}
	if account, ok := tx.Accounts.Get(a.Account); !ok || account.Deleting {
		return awsapi.Key{}, false
	}
	if a.Principal != RootARN(a.Account) {
		u, ok := tx.Users.Get(a.Principal)
		if !ok {
			return awsapi.Key{}, false
		}
		p.Type, p.ID = awsapi.TypeUser, u.ID
	}
	return awsapi.Key{Secret: a.Secret, Inactive: !a.Active, Principal: p}, true
}

func (k *Keys) temporary(tx *store.Tx, s resource.Session) (awsapi.Key, bool) {
	// Of an account that is going only its machines still act, until they are gone too.
	if account, ok := tx.Accounts.Get(s.Account); !ok || account.Deleting && s.Instance == "" {
		return awsapi.Key{}, false
	}
	kind := awsapi.TypeAssumedRole
	switch {
	case s.Role != "":
		if r, ok := tx.Roles.Get(s.Role); !ok || r.ID != s.RoleID {
			return awsapi.Key{}, false
		}
	case s.Name != "":
		kind = awsapi.TypeFederatedUser
	case s.User == RootARN(s.Account):
		kind = awsapi.TypeRoot
	default:
		kind = awsapi.TypeUser
	}
	if s.Role == "" && s.User != RootARN(s.Account) && !isUser(tx, s.User, s.UserID) {
		return awsapi.Key{}, false
	}
	documents := s.Policies
	for _, arn := range s.PolicyARNs {
		d, ok := k.policies.Document(tx, s.Account, arn)
		if !ok { // deleted since: it must not widen the session that there is one policy less
			d = nothing
		}
		documents = append(documents[:len(documents):len(documents)], d)
	}
	return awsapi.Key{
		Secret:       s.Secret,
		SessionToken: s.Token,
		Expires:      s.Expires,
		Principal: awsapi.Principal{
			ARN:             s.Principal,
			Account:         s.Account,
			ID:              s.PrincipalID,
			AccessKeyID:     s.AccessKeyID,
			Type:            kind,
			RoleARN:         s.Role,
			SessionName:     s.Name,
			Issued:          s.Issued,
			Expires:         s.Expires,
			SessionPolicies: documents,
			SessionTags:     s.Tags,
		},
	}, true
}

// isUser says whether an ARN is still that of the user with this unique id.
func isUser(tx *store.Tx, arn, id string) bool {
	u, ok := tx.Users.Get(arn)
	return ok && u.ID == id
}

// nothing is a policy that allows nothing.
const nothing = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"none:Nothing","Resource":"*"}]}`
