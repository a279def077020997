package sts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // hashes that crypto.Hash finds by their names
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"time"
)

// A webToken is an OIDC id token that has been read but not verified.
type webToken struct {
	header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	claims    claims
	signed    string // what the signature is of
	signature []byte
}

// claims are those that STS reads. Times are pointers since they have to be there.
type claims struct {
	Issuer   string    `json:"iss"`
	Subject  string    `json:"sub"`
	Audience audience  `json:"aud"`
	Party    string    `json:"azp"`
	Methods  audience  `json:"amr"`
	Email    string    `json:"email"`
	Expires  *unixTime `json:"exp"`
	Issued   *unixTime `json:"iat"`
	Before   *unixTime `json:"nbf"`
	Tags     *struct {
		Principal  map[string]audience `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	SourceIdentity string `json:"https://aws.amazon.com/source_identity"`
}

// audience is a claim that is a string or a list of them.
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		*a = audience{""}
		return json.Unmarshal(raw, &(*a)[0])
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// unixTime is seconds since 1970; issuers may write fractions.
type unixTime float64

func (t unixTime) time() time.Time { return time.Unix(int64(t), 0) }

var errToken = errors.New("not a JSON web token")

// readToken reads a token without believing it.
func readToken(text string) (webToken, error) {
	var t webToken
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, errToken
	}
	for i, into := range []any{&t.header, &t.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return t, errToken
		}
	}
	var err error
	if t.signature, err = base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return t, errToken
	}
	t.signed = parts[0] + "." + parts[1]
	return t, nil
}

// A jwk is a key of an issuer's key set.
type jwk struct {
	Type  string `json:"kty"`
	KeyID string `json:"kid"`
	Use   string `json:"use"`
	N     string `json:"n"`
	E     string `json:"e"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

var (
	errNoKey     = errors.New("the issuer's key set does not have the token's key")
	errSignature = errors.New("the token's signature does not verify")
)

// verify checks the token's signature by a key set. The algorithm has to fit the key: a
// token does not choose how it is verified ("none", or a public key taken for an HMAC's).
func (t webToken) verify(keySet []byte) error {
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(keySet, &set); err != nil {
		return errNoKey
	}
	found := false
	for _, k := range set.Keys {
		if t.header.KeyID != "" && k.KeyID != t.header.KeyID || k.Use != "" && k.Use != "sig" {
			continue
		}
		found = true
		if k.verifies(t.header.Algorithm, t.signed, t.signature) {
			return nil
		}
	}
	if !found {
		return errNoKey
	}
	return errSignature
}

var algorithms = map[string]struct {
	kty  string
	hash crypto.Hash
}{
	"RS256": {"RSA", crypto.SHA256}, "RS384": {"RSA", crypto.SHA384}, "RS512": {"RSA", crypto.SHA512},
	"ES256": {"EC", crypto.SHA256}, "ES384": {"EC", crypto.SHA384}, "ES512": {"EC", crypto.SHA512},
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func (k jwk) verifies(algorithm, signed string, signature []byte) bool {
	alg, ok := algorithms[algorithm]
	if !ok || alg.kty != k.Type {
		return false
	}
	h := alg.hash.New()
	h.Write([]byte(signed))
	sum := h.Sum(nil)
	if k.Type == "RSA" {
		n, e := number(k.N), number(k.E)
		if n == nil || e == nil || !e.IsInt64() || e.Int64() < 2 || e.Int64() > 1<<31-1 || n.BitLen() < 1024 {
			return false
		}
		return rsa.VerifyPKCS1v15(&rsa.PublicKey{N: n, E: int(e.Int64())}, alg.hash, sum, signature) == nil
	}
	curve, x, y := curves[k.Curve], number(k.X), number(k.Y)
	if curve == nil || x == nil || y == nil || len(signature)%2 != 0 || len(signature) == 0 {
		return false
	}
	size := (curve.Params().BitSize + 7) / 8
	point := append([]byte{4}, append(x.FillBytes(make([]byte, max(size, len(x.Bytes())))), y.FillBytes(make([]byte, max(size, len(y.Bytes()))))...)...)
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return false
	}
	half := len(signature) / 2
	return ecdsa.Verify(public, sum, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
}

// number reads a number of a key; nil if it is none.
func number(text string) *big.Int {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || len(raw) > 1024 {
		return nil
	}
	return new(big.Int).SetBytes(raw)
}
