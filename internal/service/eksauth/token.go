package eksauth

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"
)

// podClaims are what a projected token says of its pod.
type podClaims struct {
	Namespace string `json:"namespace"`
	Pod       object `json:"pod"`
	Node      object `json:"node"`

	ServiceAccount object `json:"serviceaccount"`
}

type object struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// claims are those of a service account's token that are looked at.
type claims struct {
	Issuer   string          `json:"iss"`
	Audience json.RawMessage `json:"aud"` // a text or a list of them
	Expires  int64           `json:"exp"`
	Before   int64           `json:"nbf"`
	Pod      podClaims       `json:"kubernetes.io"`
}

var errExpired = errors.New("the token is expired")

// verify returns whose token it is: one of the issuer, signed with a key of its key set
// (RS256, as all tokens of service accounts are here), for Pod Identity, in its time, and
// bound to a pod on a node.
func verify(token string, keySet []byte, issuer string, now time.Time) (podClaims, error) {
	header, payload, signature, err := split(token)
	if err != nil {
		return podClaims{}, err
	}
	var h struct {
		Algorithm string `json:"alg"`
		Key       string `json:"kid"`
	}
	var c claims
	if json.Unmarshal(header, &h) != nil || json.Unmarshal(payload, &c) != nil {
		return podClaims{}, errors.New("it is no JSON Web Token")
	}
	if h.Algorithm != "RS256" {
		return podClaims{}, errors.New("it is not signed by RS256")
	}
	key, err := find(keySet, h.Key)
	if err != nil {
		return podClaims{}, err
	}
	sum := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return podClaims{}, errors.New("its signature is wrong")
	}
	switch {
	case c.Issuer != issuer:
		return podClaims{}, errors.New("its issuer is another one")
	case !slices.Contains(audiences(c.Audience), audience):
		return podClaims{}, errors.New("its audience is not " + audience)
	case now.Unix() >= c.Expires:
		return podClaims{}, errExpired
	case now.Unix() < c.Before:
		return podClaims{}, errors.New("its time has not come")
	case c.Pod.Namespace == "" || c.Pod.ServiceAccount.Name == "" || c.Pod.Pod.Name == "" || c.Pod.Node.Name == "":
		return podClaims{}, errors.New("it is not bound to a pod on a node")
	}
	return c.Pod, nil
}

func split(token string) (header, payload, signature []byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, nil, errors.New("it is no JSON Web Token")
	}
	var out [3][]byte
	for i, p := range parts {
		if out[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return nil, nil, nil, errors.New("it is no JSON Web Token")
		}
	}
	return out[0], out[1], out[2], nil
}

func audiences(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	return nil
}

// find returns the RSA key of that id in a JSON Web Key Set.
func find(keySet []byte, id string) (*rsa.PublicKey, error) {
	var set struct {
		Keys []struct {
			ID       string `json:"kid"`
			Type     string `json:"kty"`
			Modulus  string `json:"n"`
			Exponent string `json:"e"`
		}
	}
	if err := json.Unmarshal(keySet, &set); err != nil {
		return nil, errors.New("the cluster has no keys yet")
	}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(k.Modulus)
		e, errE := base64.RawURLEncoding.DecodeString(k.Exponent)
		exponent := new(big.Int).SetBytes(e)
		if k.ID == id && k.Type == "RSA" && errN == nil && errE == nil && exponent.IsInt64() {
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
		}
	}
	return nil, errors.New("no key of the cluster has signed it")
}
