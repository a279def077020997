// Package identitytest makes front doors for tests of services: a temporary store, real
// access keys, real authorisation, and the AWS SDK's configuration to sign for them.
//
// It is for tests only, and starts no controller.
package identitytest

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Account is the account that a Door begins with, Region the region of its configurations.
const (
	Account = "000000000000"
	Region  = "us-west-2"
)

// A Door is a front door with services behind it.
type Door struct {
	Store      *store.Store
	Managed    *identity.AWSPolicies
	Policies   *identity.Policies
	Authorizer *identity.Authorizer
	Root       resource.AccessKey // of Account
	URL        string
	Close      func() // before the test ends
}

// managed are AWS's policies: reading them takes a while, and they are the same for every Door.
var managed = sync.OnceValues(identity.LoadAWSPolicies)

// Open starts a door over a store of its own. services makes what is behind it; the door
// has all but its URL by then.
func Open(t testing.TB, services func(*Door) []*awsapi.Service) *Door {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return Over(t, st, services)
}

// Over starts a door over a store that is there, perhaps with another door's records.
func Over(t testing.TB, st *store.Store, services func(*Door) []*awsapi.Service) *Door {
	t.Helper()
	d := &Door{Store: st}
	var err error
	if d.Managed, err = managed(); err != nil {
		t.Fatal(err)
	}
	d.Policies = identity.NewPolicies(d.Managed)
	d.Authorizer = identity.NewAuthorizer(st, d.Policies)
	if d.Root, err = identity.EnsureRoot(t.Context(), st, Account); err != nil {
		t.Fatal(err)
	}
	server, err := awsapi.NewServer(awsapi.Config{
		Services:  services(d),
		Keys:      identity.NewKeys(st, d.Policies),
		Authorize: d.Authorizer.Authorize,
		Region:    region.Known,
		Log:       slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	t.Cleanup(srv.Close)
	d.URL, d.Close = srv.URL, srv.Close
	return d
}

// AsRoot is the configuration of the root user.
func (d *Door) AsRoot() aws.Config { return d.As(d.Root.ID, d.Root.Secret, "") }

// As is the configuration of whoever has these credentials.
func (d *Door) As(id, secret, token string) aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &d.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, token),
	}
}

// Update writes records.
func (d *Door) Update(t testing.TB, f func(tx *store.Tx)) {
	t.Helper()
	err := d.Store.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
}
