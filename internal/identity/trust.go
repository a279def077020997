package identity

import (
	"cmp"
	"strings"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// TrustIDs finds the unique ids of the users and roles that a trust policy names, for
// Role.TrustIDs. A principal that does not exist is the error that IAM has for it.
func TrustIDs(tx *store.Tx, p *authz.Policy) (map[string]string, error) {
	ids := map[string]string{}
	for _, name := range p.Principals() {
		id, ok := principalID(tx, name)
		if !ok {
			return nil, authz.InvalidPrincipal(name)
		}
		ids[name] = id
	}
	return ids, nil
}

// principalID is the unique id of what name, an ARN or itself a unique id, stands for
// today.
func principalID(tx *store.Tx, name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, "AIDA"):
		for _, u := range tx.Users.All() {
			if u.ID == name {
				return name, true
			}
		}
		return "", false
	case strings.HasPrefix(name, "AROA"):
		for _, r := range tx.Roles.All() {
			if r.ID == name {
				return name, true
			}
		}
		return "", false
	case strings.Contains(name, ":assumed-role/"):
		account, rest, _ := strings.Cut(strings.TrimPrefix(name, "arn:aws:sts::"), ":assumed-role/")
		role, session, _ := strings.Cut(rest, "/")
		for _, r := range tx.Roles.All() {
			if r.Account == account && r.Name == role {
				return r.ID + ":" + session, true
			}
		}
		return "", false
	}
	if u, ok := tx.Users.Get(name); ok {
		return u.ID, true
	}
	r, ok := tx.Roles.Get(name)
	return r.ID, ok
}

// Trust is the role's trust policy as it reads today: a user or role that it named and
// that is no more stands there by its unique id, which nobody will ever have again. A new one
// of the same name is somebody else. A user that has been renamed stands there by its new ARN.
func Trust(tx *store.Tx, r resource.Role) string {
	renamed := map[string]string{}
	for arn, id := range r.TrustIDs {
		if now, ok := principalID(tx, arn); ok && now == id {
			continue
		}
		renamed[arn] = id
		for _, u := range tx.Users.All() {
			if u.ID == id {
				renamed[arn] = u.ARN
			}
		}
	}
	if len(renamed) == 0 {
		return r.Trust
	}
	doc, err := authz.RenamePrincipals(r.Trust, func(name string) string { return cmp.Or(renamed[name], name) })
	if err != nil {
		return r.Trust // which is no JSON, so that nobody is trusted by it
	}
	return doc
}
