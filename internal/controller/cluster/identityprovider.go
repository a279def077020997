package cluster

import (
	"context"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// providersOf are the OIDC issuers that a cluster has, or has had until now.
func (c *Controller) providersOf(arn string) (out []resource.IdentityProvider, err error) {
	err = c.store.View(func(tx *store.Tx) error {
		out = slices.Collect(tx.IdentityProviders.Values(func(p resource.IdentityProvider) bool { return p.Cluster == arn }))
		return nil
	})
	slices.SortFunc(out, func(a, b resource.IdentityProvider) int { return strings.Compare(a.ARN, b.ARN) })
	return out, err
}

// issuersFor is how the API server is to know the issuers, with EKS's default prefixes. It is pure.
func issuersFor(providers []resource.IdentityProvider) (out []controlplane.Issuer) {
	for _, p := range providers {
		if p.Deleting {
			continue
		}
		i := controlplane.Issuer{
			ID: p.ID, URL: p.IssuerURL, ClientID: p.ClientID, UsernameClaim: p.UsernameClaim, UsernamePrefix: p.UsernamePrefix,
			GroupsClaim: p.GroupsClaim, GroupsPrefix: p.GroupsPrefix, RequiredClaims: p.RequiredClaims,
		}
		switch {
		case p.UsernamePrefix == "-":
			i.UsernamePrefix = ""
		case p.UsernamePrefix == "" && p.UsernameClaim != "email":
			i.UsernamePrefix = p.IssuerURL + "#"
		}
		out = append(out, i)
	}
	return out
}

// reloadPoll is how often an API server is asked whether it knows its issuers. It looks for
// a new one itself every ten seconds.
const reloadPoll = 500 * time.Millisecond

// settle records that a running control plane goes by the providers as the caller has seen them.
func (c *Controller) settle(ctx context.Context, providers []resource.IdentityProvider) error {
	open := func(p resource.IdentityProvider) bool { return p.Current() != resource.ProviderActive }
	if !slices.ContainsFunc(providers, open) {
		return nil
	}
	return c.store.Update(ctx, func(tx *store.Tx) error {
		for _, seen := range providers {
			now, ok := tx.IdentityProviders.Get(seen.ARN)
			if !ok || !open(seen) || now.Update != seen.Update {
				continue
			}
			if u, ok := tx.Updates.Get(now.Update); ok && u.State == resource.UpdateInProgress {
				u.State, u.Ended = resource.UpdateSuccessful, c.cfg.Now()
				tx.Updates.Put(u.ID, u)
			}
			if now.Deleting {
				tx.IdentityProviders.Delete(now.ARN)
				continue
			}
			now.State = resource.ProviderActive
			tx.IdentityProviders.Put(now.ARN, now)
		}
		return nil
	})
}

// giveUpProviders ends what has been asked of the providers and has not come about in time, for
// the reason why: an association leaves nothing behind, and what was to go stays. Left is when
// the next one has had its time, Never if there is none.
func (c *Controller) giveUpProviders(ctx context.Context, cl resource.Cluster, why string) (left time.Duration, err error) {
	left = reconcile.Never
	now := c.cfg.Now()
	err = c.store.Update(ctx, func(tx *store.Tx) error {
		for arn, p := range tx.IdentityProviders.All() {
			u, ok := tx.Updates.Get(p.Update)
			if !ok || p.Cluster != cl.ARN || u.State != resource.UpdateInProgress {
				continue
			}
			if l := c.upgradeTimeout() - now.Sub(u.Created); l > 0 {
				if left == reconcile.Never || l < left {
					left = l
				}
				continue
			}
			u.State, u.Ended = resource.UpdateFailed, now
			u.Errors = []resource.UpdateError{unreachable(cl, why)}
			tx.Updates.Put(u.ID, u)
			if !p.Deleting {
				tx.IdentityProviders.Delete(arn)
				continue
			}
			p, _ := tx.IdentityProviders.Get(arn) // one that may be changed
			p.Deleting, p.State = false, resource.ProviderActive
			tx.IdentityProviders.Put(arn, p)
		}
		return nil
	})
	return left, err
}

// ofProvider says whether an update is about an identity provider: settle ends those.
func ofProvider(u resource.Update) bool {
	return strings.HasSuffix(u.Type, "IdentityProviderConfig")
}
