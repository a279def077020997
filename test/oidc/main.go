// Command oidc is somebody else's OIDC provider, for the tests of people's way into a cluster: zitadel's
// certified implementation, with its login page and its memory as the store, on https at a port of its own.
//
// It is a module of its own, so that Ekster's does not depend on it. The people are below; a client is
// called for the audience that its tokens have.
//
// It prints where it is and what certificate it has, and ends with its standard input.
package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A person has claims besides a name; everybody's password is "secret".
type person struct {
	tenant string // "": none
	groups []string
}

var people = map[string]person{
	"jane": {"a", []string{"devs"}},
	"joe":  {"b", []string{"devs"}},
	"jim":  {"", nil},
}

// A directory is the people as the provider wants to look them up.
type directory struct{}

func (directory) GetUserByID(id string) *storage.User {
	if _, ok := people[id]; !ok {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: "secret"}
}

func (d directory) GetUserByUsername(name string) *storage.User { return d.GetUserByID(name) }
func (directory) ExampleClientID() string                       { return "service" }

// A store adds the claims that clusters look at.
type store struct{ *storage.Storage }

// SetUserinfoFromRequest says what is in an id token.
func (store) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, token op.IDTokenRequest, _ []string) error {
	p := people[token.GetSubject()]
	info.Subject = token.GetSubject()
	if p.groups != nil {
		info.AppendClaims("groups", p.groups)
	}
	if p.tenant != "" {
		info.AppendClaims("tenant", p.tenant)
	}
	return nil
}

// redirect is where codes are sent, and nobody listens: the test reads it from the answer.
const redirect = "https://127.0.0.1/callback"

func main() {
	log.SetFlags(0)
	srv := httptest.NewUnstartedServer(nil)
	issuer := "https://" + srv.Listener.Addr().String()
	clients := map[string]*storage.Client{}
	for _, id := range []string{"kubernetes", "other"} {
		clients[id] = storage.WebClient(id, "secret", redirect)
	}
	quiet := slog.New(slog.DiscardHandler)
	srv.Config.Handler = exampleop.SetupServer(issuer, store{storage.NewStorageWithClients(directory{}, clients)}, quiet, false)
	srv.StartTLS()
	defer srv.Close()
	said := map[string]string{
		"issuer": issuer, "redirect": redirect,
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
