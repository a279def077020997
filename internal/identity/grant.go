package identity

import (
	"maps"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
)

// A Grant is what a new session is made from.
type Grant struct {
	Name       string // RoleSessionName
	Lifetime   time.Duration
	Policies   []string // session policies, documents
	PolicyARNs []string
	Tags       resource.Tags
	Transitive []string // keys of Tags that a chained session inherits
	SourceID   string   // source identity
	Provider   string   // of the token that it is made for
	Chained    bool     // made by a session of a role
	Instance   string   // instance that it is made for
	Delivery   string   // version of IMDS that the instance asks by
}

// SetTag adds a tag. ok is false if there is one with that key, in whatever case: that of
// session tags has no meaning.
func (g *Grant) SetTag(key, value string) (ok bool) {
	if _, there := foldedKey(g.Tags, key); there {
		return false
	}
	if g.Tags == nil {
		g.Tags = resource.Tags{}
	}
	g.Tags[key] = value
	return true
}

// HandOn makes one of the grant's tags transitive; ok is false if it does not have it.
func (g *Grant) HandOn(key string) (ok bool) {
	key, ok = foldedKey(g.Tags, key) // as the tag is spelled
	if ok && !slices.Contains(g.Transitive, key) {
		g.Transitive = append(g.Transitive, key)
	}
	return ok
}

// Inherit hands on to a grant what the session that asks for it has to hand on: its
// transitive tags and its source identity.
func (g *Grant) Inherit(own resource.Session) error {
	g.Chained = true
	tags := maps.Clone(g.Tags)
	if tags == nil {
		tags = resource.Tags{}
	}
	for _, key := range own.Transitive {
		if _, ok := foldedKey(g.Tags, key); ok {
			return awsapi.Errorf("InvalidParameterValue", 400, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		tags[key] = own.Tags[key]
	}
	if own.SourceID != "" {
		if g.SourceID != "" && g.SourceID != own.SourceID {
			return Denial("sts", "SourceIdentity cannot be changed once it is set.")
		}
		g.SourceID = own.SourceID
	}
	g.Tags = tags
	g.Transitive = append(g.Transitive[:len(g.Transitive):len(g.Transitive)], own.Transitive...)
	return nil
}

// Actions are what has to be allowed for the grant: to assume the role, by whichever
// action, and to set what the session will have. What is inherited is set as well: a
// chain ends at a role that does not allow sts:TagSession.
func (g Grant) Actions(assume string) []string {
	out := []string{assume}
	if len(g.Tags) > 0 {
		out = append(out, "sts:TagSession")
	}
	if g.SourceID != "" {
		out = append(out, "sts:SetSourceIdentity")
	}
	return out
}

// Keys are the condition keys that the grant, and the role that it is of, give.
func (g Grant) Keys(role resource.Role) map[string][]string {
	keys := requestTags(g.Tags)
	if g.Name != "" {
		keys["sts:RoleSessionName"] = []string{g.Name}
	}
	if g.SourceID != "" {
		keys["sts:SourceIdentity"] = []string{g.SourceID}
	}
	if len(g.Transitive) > 0 {
		keys["sts:TransitiveTagKeys"] = slices.Sorted(slices.Values(g.Transitive))
	}
	for k, v := range role.Tags {
		keys["aws:ResourceTag/"+k] = []string{v}
		keys["iam:ResourceTag/"+k] = []string{v}
	}
	return keys
}

// foldedKey finds a tag by its key in any case, and returns the key as it is spelled there.
func foldedKey(tags map[string]string, key string) (string, bool) {
	if _, ok := tags[key]; ok {
		return key, true
	}
	for k := range tags {
		if strings.EqualFold(k, key) {
			return k, true
		}
	}
	return "", false
}
