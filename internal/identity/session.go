package identity

import (
	"context"
	"fmt"
	"time"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// sessionLinger is how long an expired session is kept, for the front door to answer
// ExpiredToken rather than that it does not know the key.
const sessionLinger = 24 * time.Hour

// A Lifetime is the longest that sessions last, whatever is asked for; 0 is as long as on
// AWS. It is there for who wants to see that a program renews its credentials: AWS makes
// none that end within 15 minutes.
type Lifetime time.Duration

// Of is how long a session lasts that would last d.
func (l Lifetime) Of(d time.Duration) time.Duration {
	if l > 0 {
		return min(d, time.Duration(l))
	}
	return d
}

// NewUserSession makes temporary credentials of a user or root itself; with a name in the
// grant, of a federated user. caller made it with a key that lasts.
func NewUserSession(tx *store.Tx, caller awsapi.Principal, g Grant, now time.Time) resource.Session {
	now = now.UTC().Truncate(time.Second)
	s := resource.Session{
		Account:     caller.Account,
		AccessKeyID: awsid.IAM("ASIA"),
		Secret:      awsid.Secret(40),
		Token:       newToken(),
		Principal:   caller.ARN,
		PrincipalID: caller.ID,
		User:        caller.ARN,
		UserID:      caller.ID,
		Name:        g.Name,
		Policies:    g.Policies,
		PolicyARNs:  g.PolicyARNs,
		Tags:        g.Tags,
		Issued:      now,
		Expires:     now.Add(g.Lifetime),
	}
	if g.Name != "" {
		s.Principal = "arn:aws:sts::" + caller.Account + ":federated-user/" + g.Name
		s.PrincipalID = caller.Account + ":" + g.Name
	}
	tx.Sessions.Put(s.AccessKeyID, s)
	return s
}

// NewSession makes temporary credentials of a role and records them. The caller has
// decided that they may be given.
func NewSession(tx *store.Tx, role resource.Role, g Grant, now time.Time) resource.Session {
	now = now.UTC().Truncate(time.Second)
	s := resource.Session{
		Account:     role.Account,
		AccessKeyID: awsid.IAM("ASIA"),
		Secret:      awsid.Secret(40),
		Token:       newToken(),
		Principal:   fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", role.Account, role.Name, g.Name),
		PrincipalID: role.ID + ":" + g.Name,
		Role:        role.ARN,
		RoleID:      role.ID,
		Name:        g.Name,
		Instance:    g.Instance,
		Delivery:    g.Delivery,
		Policies:    g.Policies,
		PolicyARNs:  g.PolicyARNs,
		Tags:        g.Tags,
		Transitive:  g.Transitive,
		SourceID:    g.SourceID,
		Provider:    g.Provider,
		Chained:     g.Chained,
		Issued:      now,
		Expires:     now.Add(g.Lifetime),
	}
	tx.Sessions.Put(s.AccessKeyID, s)
	return s
}

// newToken is opaque, as AWS's is: it starts as theirs do, some clients look.
func newToken() string { return "IQoJb3JpZ2luX2Vj" + awsid.Secret(340) }

// PurgeSessions forgets sessions that have been over for a day, and those of instances
// that are no more. It returns how many.
func PurgeSessions(ctx context.Context, st *store.Store, now time.Time) (n int, err error) {
	gone := func(tx *store.Tx) (keys []string) {
		for key, s := range tx.Sessions.All() {
			if now.Sub(s.Expires) > sessionLinger || s.Instance != "" && !tx.Instances.Has(s.Instance) {
				keys = append(keys, key)
			}
		}
		return keys
	}
	if err := st.View(func(tx *store.Tx) error { n = len(gone(tx)); return nil }); err != nil || n == 0 {
		return 0, err
	}
	err = st.Update(ctx, func(tx *store.Tx) error {
		keys := gone(tx)
		n = len(keys)
		for _, key := range keys {
			tx.Sessions.Delete(key)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("purging sessions: %w", err)
	}
	return n, nil
}
