package cluster

import (
	"testing"
	"time"

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

// TestIdentityProviderIsGivenUp has a control plane that does not answer: what was to come does
// not, what was to go stays, and both updates end.
func TestIdentityProviderIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.settle()
	w.update(func(tx *store.Tx) error {
		tx.IdentityProviders.Put("old", resource.IdentityProvider{ARN: "old", ID: "1", Cluster: clusterARN, State: resource.ProviderActive, Deleting: true, Update: "u1"})
		tx.IdentityProviders.Put("new", resource.IdentityProvider{ARN: "new", ID: "2", Cluster: clusterARN, State: resource.ProviderCreating, Update: "u2"})
		for _, id := range []string{"u1", "u2"} {
			tx.Updates.Put(id, resource.Update{ID: id, Cluster: clusterARN, Type: "AssociateIdentityProviderConfig", State: resource.UpdateInProgress, Created: w.now})
		}
		return nil
	})
	w.host.broken["/payload/1.35"] = "the API server's /readyz: etcd"
	for end := w.now.Add(2 * time.Minute); w.now.Before(end); w.now = w.now.Add(time.Second) {
		if _, err := w.c.Reconcile(t.Context(), clusterARN); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.store.View(func(tx *store.Tx) error {
		if p, ok := tx.IdentityProviders.Get("old"); !ok || p.Current() != resource.ProviderActive {
			t.Errorf("what was to go is %+v, %t", p, ok)
		}
		if p, ok := tx.IdentityProviders.Get("new"); ok {
			t.Errorf("what was to come is %+v", p)
		}
		for id, u := range tx.Updates.All() {
			if u.State != resource.UpdateFailed || u.Ended.IsZero() || len(u.Errors) != 1 || u.Errors[0].Code != "ClusterUnreachable" {
				t.Errorf("update %s: %+v", id, u)
			}
		}
		return nil
	})
}
