package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/store"
)

// newSealing makes a key that an account's authorization failures are encoded with.
func newSealing() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}

// sealer returns the cipher of an account; ok is false for one without a key.
func sealer(tx *store.Tx, account string) (cipher.AEAD, bool) {
	a, _ := tx.Accounts.Get(account)
	block, err := aes.NewCipher(a.Sealing)
	if err != nil {
		return nil, false
	}
	c, err := cipher.NewGCM(block)
	return c, err == nil
}

// An items is a list in the JSON of a failure, which is XML's in disguise.
type items[T any] struct {
	Items []T `json:"items"`
}

type failure struct {
	Allowed           bool             `json:"allowed"`
	ExplicitDeny      bool             `json:"explicitDeny"`
	MatchedStatements items[statement] `json:"matchedStatements"`
	Failures          items[string]    `json:"failures"`
	Context           failureContext   `json:"context"`
}

type statement struct {
	StatementID string `json:"statementId"`
	Effect      string `json:"effect"`
	Policy      string `json:"sourcePolicyId,omitempty"`
}

type failureContext struct {
	Principal  failedPrincipal  `json:"principal"`
	Action     string           `json:"action"`
	Resource   string           `json:"resource"`
	Conditions items[condition] `json:"conditions"`
}

type failedPrincipal struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	ARN  string `json:"arn"`
}

type condition struct {
	Key    string       `json:"key"`
	Values items[value] `json:"values"`
}

type value struct {
	Value string `json:"value"`
}

// encodedFailure is the part of an EC2 denial that only those may read who may call
// sts:DecodeAuthorizationMessage: what was decided upon.
func encodedFailure(tx *store.Tx, req authz.Request, d authz.Decision) string {
	c, ok := sealer(tx, req.Principal.Account)
	if !ok {
		return ""
	}
	f := failure{
		ExplicitDeny:      d.Reason == authz.ExplicitDeny,
		MatchedStatements: items[statement]{Items: []statement{}},
		Failures:          items[string]{Items: []string{}},
		Context: failureContext{
			Principal: failedPrincipal{ID: req.Principal.ID, ARN: req.Principal.ARN},
			Action:    req.Action, Resource: d.Resource, Conditions: items[condition]{Items: []condition{}},
		},
	}
	if req.Principal.Type == authz.User {
		f.Context.Principal.Name = req.Principal.ARN[strings.LastIndexByte(req.Principal.ARN, '/')+1:]
	}
	if d.Statement.Index > 0 {
		f.MatchedStatements.Items = append(f.MatchedStatements.Items, statement{StatementID: d.Statement.Sid, Effect: "DENY", Policy: d.Statement.Source})
	}
	keys := maps.Clone(req.Context)
	if i := slices.Index(req.Resources, d.Resource); i >= 0 && i < len(req.ResourceContext) {
		maps.Copy(keys, req.ResourceContext[i])
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		var list items[value]
		for _, v := range keys[k] {
			list.Items = append(list.Items, value{v})
		}
		f.Context.Conditions.Items = append(f.Context.Conditions.Items, condition{k, list})
	}
	plain, err := json.Marshal(f)
	if err != nil { // strings and booleans always become JSON
		return ""
	}
	nonce := make([]byte, c.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return ". Encoded authorization failure message: " + base64.RawURLEncoding.EncodeToString(c.Seal(nonce, nonce, plain, nil))
}

// DecodeFailure opens what a denial of the account has encoded. ok is false for what is none.
func DecodeFailure(tx *store.Tx, account, encoded string) (message string, ok bool) {
	c, ok := sealer(tx, account)
	if !ok {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(raw) < c.NonceSize() {
		return "", false
	}
	plain, err := c.Open(nil, raw[:c.NonceSize()], raw[c.NonceSize():], nil)
	return string(plain), err == nil
}
