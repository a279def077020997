package controlplane

import (
	"maps"
	"net/netip"
	"slices"
)

// admissionListen is where admission webhooks reach the daemon, in the control plane's namespace: EKS's port.
var admissionListen = netip.MustParseAddrPort("127.0.0.1:23443")

// AdmissionURL is how a control plane in a namespace reaches AuthSocket by https, for what the API server calls by
// a URL: admission webhooks and issuers. The certificate is the API server's.
const AdmissionURL = "https://127.0.0.1:23443"

// An Issuer is an OIDC issuer whose tokens the API server takes from people. Those that a running control plane
// takes change without a restart and without the loss of a connection.
//
// The namespace of a control plane reaches only its VPC, so the API server does not go to the issuer: it reads
// /oidc/<ID>/.well-known/openid-configuration on AuthSocket, whose server has to fetch it, and the keys that it names.
type Issuer struct {
	ID             string
	URL            string
	ClientID       string
	UsernameClaim  string
	UsernamePrefix string // "": none
	GroupsClaim    string // "": no groups
	GroupsPrefix   string // "": none
	RequiredClaims map[string]string
}

// authentication lets nobody be anonymous but for health checks, as EKS does. ca is PEM.
func authentication(issuers []Issuer, ca []byte) object {
	out := object{
		"apiVersion": "apiserver.config.k8s.io/v1",
		"kind":       "AuthenticationConfiguration",
		"anonymous": object{
			"enabled":    true,
			"conditions": []object{{"path": "/healthz"}, {"path": "/livez"}, {"path": "/readyz"}},
		},
	}
	var jwt []object
	for _, i := range issuers {
		jwt = append(jwt, i.authenticator(ca))
	}
	if len(jwt) > 0 {
		out["jwt"] = jwt
	}
	return out
}

func (i Issuer) authenticator(ca []byte) object {
	mappings := object{"username": object{"claim": i.UsernameClaim, "prefix": i.UsernamePrefix}}
	if i.GroupsClaim != "" {
		mappings["groups"] = object{"claim": i.GroupsClaim, "prefix": i.GroupsPrefix}
	}
	var rules []object
	for _, claim := range slices.Sorted(maps.Keys(i.RequiredClaims)) {
		rules = append(rules, object{"claim": claim, "requiredValue": i.RequiredClaims[claim]})
	}
	out := object{
		"issuer": object{
			"url":                  i.URL,
			"discoveryURL":         AdmissionURL + "/oidc/" + i.ID + "/.well-known/openid-configuration",
			"certificateAuthority": string(ca),
			"audiences":            []string{i.ClientID},
		},
		"claimMappings": mappings,
	}
	if len(rules) > 0 {
		out["claimValidationRules"] = rules
	}
	return out
}
