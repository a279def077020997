package resource

import "time"

// An IdentityProvider is an OIDC issuer whose tokens a cluster's API server takes from
// people. Its key is its ARN. service/eks writes all but State, which controller/cluster
// writes together with the end of Update.
type IdentityProvider struct {
	ARN            string
	ID             string // a UUID, the end of the ARN
	Cluster        string // ARN
	Name           string
	IssuerURL      string
	ClientID       string
	UsernameClaim  string
	UsernamePrefix string // as it was given: "" is EKS's default, "-" is none
	GroupsClaim    string
	GroupsPrefix   string
	RequiredClaims map[string]string
	Tags           Tags
	Created        time.Time
	Token          string // clientRequestToken of the associate
	Fingerprint    string // of the request that Token stands for
	Update         string // id of the update under way: of the association, or of its end
	Deleting       bool   // the record leaves once the API server does not know it any more

	State string
}

// States of an identity provider, as the API spells them.
const (
	ProviderCreating = "CREATING"
	ProviderActive   = "ACTIVE"
	ProviderDeleting = "DELETING"
)

// Current is the state that callers see.
func (p IdentityProvider) Current() string {
	if p.Deleting {
		return ProviderDeleting
	}
	return p.State
}
