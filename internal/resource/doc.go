// Package resource holds the nouns of Ekster: what was asked for and what is so.
//
// Every noun has its file, here and under the same name in every other layer.
// A record is a plain value: it knows no AWS shape, no HTTP request and nothing of
// the host. Where one writer owns part of a record, the part is a struct:
//
//	Spec      what is wanted          written by the service that owns the API
//	Deleting  it has been asked to go  written by the service
//	Status    what is so              written by the noun's controller, and by nobody else
//
// Records that nothing on the host stands behind (roles, access entries, launch
// templates …) are flat.
//
// The package checks no input and stores nothing.
package resource

import "maps"

// Home is where a record lives: an account and a region of it. Global things
// (users, roles) have an empty Region.
type Home struct {
	Account string
	Region  string
}

// Tags are a resource's tags.
type Tags map[string]string

// With returns a copy of t with more added. Records are shared; maps in them are
// replaced, never written to.
func (t Tags) With(more map[string]string) Tags {
	out := make(Tags, len(t)+len(more))
	maps.Copy(out, t)
	maps.Copy(out, more)
	return out
}

// Without returns a copy of t that lacks keys.
func (t Tags) Without(keys ...string) Tags {
	out := maps.Clone(t)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

// An Issue is an entry of a cluster's or node group's health, with EKS's code.
type Issue struct {
	Code        string
	Message     string
	ResourceIDs []string
}
