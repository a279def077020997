package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ekster.dev/ekster/internal/controlplane"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestIssuersFor(t *testing.T) {
	p := resource.IdentityProvider{ID: "1", IssuerURL: "https://i", ClientID: "k", UsernameClaim: "sub", GroupsClaim: "g", GroupsPrefix: "g:"}
	email, none, own, gone := p, p, p, p
	email.UsernameClaim, none.UsernamePrefix, own.UsernamePrefix, gone.Deleting = "email", "-", "o:", true
	var prefixes []string
	issuers := issuersFor([]resource.IdentityProvider{p, email, none, own, gone})
	for _, i := range issuers {
		prefixes = append(prefixes, i.UsernamePrefix)
	}
	if diff := cmp.Diff([]string{"https://i#", "", "", "o:"}, prefixes); diff != "" {
		t.Error(diff)
	}
	want := controlplane.Issuer{ID: "1", URL: "https://i", ClientID: "k", UsernameClaim: "sub", UsernamePrefix: "https://i#", GroupsClaim: "g", GroupsPrefix: "g:"}
	if diff := cmp.Diff(want, issuers[0]); diff != "" {
		t.Error(diff)
	}
}

func TestIdentityProviderComesAndGoes(t *testing.T) {
	w := newWorld(t)
	w.settle()
	put := func(change func(p *resource.IdentityProvider), update string) {
		w.update(func(tx *store.Tx) error {
			p, _ := tx.IdentityProviders.Get("p")
			change(&p)
			p.Update = update
			tx.IdentityProviders.Put("p", p)
			tx.Updates.Put(update, resource.Update{ID: update, Cluster: clusterARN, Type: "AssociateIdentityProviderConfig", State: resource.UpdateInProgress})
			return nil
		})
		w.settle()
	}
	see := func() (p resource.IdentityProvider, ok bool, ended int, issuers int) {
		_ = w.store.View(func(tx *store.Tx) error {
			p, ok = tx.IdentityProviders.Get("p")
			for range tx.Updates.Values(func(u resource.Update) bool { return u.State == resource.UpdateSuccessful && !u.Ended.IsZero() }) {
				ended++
			}
			return nil
		})
		for _, c := range w.host.planes {
			issuers = len(c.Issuers)
		}
		return p, ok, ended, issuers
	}
	put(func(p *resource.IdentityProvider) {
		*p = resource.IdentityProvider{ARN: "p", ID: "1", Cluster: clusterARN, IssuerURL: "https://i", State: resource.ProviderCreating}
	}, "u1")
	if p, ok, ended, issuers := see(); !ok || p.State != resource.ProviderActive || ended != 1 || issuers != 1 {
		t.Errorf("associated: %+v, %t, %d updates, %d issuers", p, ok, ended, issuers)
	}
	put(func(p *resource.IdentityProvider) { p.Deleting = true }, "u2")
	if p, ok, ended, issuers := see(); ok || ended != 2 || issuers != 0 {
		t.Errorf("disassociated: %+v, %t, %d updates, %d issuers", p, ok, ended, issuers)
	}
}
