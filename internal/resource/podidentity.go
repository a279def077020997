package resource

import "time"

// A PodIdentityAssociation gives a role to the pods of a service account. Its key is its
// ARN. Nothing on the host stands behind it: the webhook of package podidentity and
// service/eksauth read it for each pod and each request.
type PodIdentityAssociation struct {
	ARN                string
	ID                 string // a-…
	Cluster            string // ARN
	Namespace          string
	ServiceAccount     string
	Role               string // ARN
	TargetRole         string // ARN of the role that Role's session assumes; "" for none
	ExternalID         string // with which it does; "" without TargetRole
	DisableSessionTags bool
	Policy             string // session policy, a document; "" for none
	Owner              string // ARN of the add-on that it was made for
	Tags               Tags
	Created            time.Time
	Modified           time.Time
	Token              string // clientRequestToken of the create
	Fingerprint        string // of the request that Token stands for
}

// Is says whether the association is that of a service account of a cluster.
func (a PodIdentityAssociation) Is(cluster, namespace, account string) bool {
	return a.Cluster == cluster && a.Namespace == namespace && a.ServiceAccount == account
}
