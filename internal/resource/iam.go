package resource

import "time"

// A User is an IAM user. Its key is its ARN.
type User struct {
	Account  string
	ARN      string
	Name     string
	Path     string
	ID       string // AIDA…
	Created  time.Time
	Groups   []string          // ARNs of the groups that it is in
	Attached []string          // managed policy ARNs, in order of attachment
	Inline   map[string]string // policy name → document
	Boundary string            // policy ARN
	Tags     Tags
}

// A Group is a group of users, who say themselves which ones they are in. Its key is its ARN.
type Group struct {
	Account  string
	ARN      string
	Name     string
	Path     string
	ID       string // AGPA…
	Created  time.Time
	Attached []string
	Inline   map[string]string
}

// An OIDCProvider is an issuer of tokens that an account trusts. Its key is its ARN.
type OIDCProvider struct {
	Account     string
	ARN         string
	URL         string // without https://
	ClientIDs   []string
	Thumbprints []string // SHA-1 of the top certificate of the issuer's chain, in hex
	Created     time.Time
	Tags        Tags
}

// A Role is an IAM role. Its key is its ARN.
type Role struct {
	Account     string
	ARN         string
	Name        string
	Path        string
	ID          string // AROA…
	Description string
	Trust       string            // the assume-role policy document
	TrustIDs    map[string]string // principal ARN in Trust → its unique id when Trust was set
	Service     string            // of a service-linked role: eks.amazonaws.com
	MaxSession  int32             // seconds
	Created     time.Time
	LastUsed    time.Time
	LastRegion  string
	Attached    []string
	Inline      map[string]string
	Boundary    string
	Tags        Tags
}

// An InstanceProfile hands a role to instances. Its key is its ARN.
type InstanceProfile struct {
	Account string
	ARN     string
	Name    string
	Path    string
	ID      string // AIPA…
	Role    string // ARN; "" while it has none
	Created time.Time
	Tags    Tags
}

// A Policy is a customer-managed policy. Its key is its ARN. AWS's own are data of
// package iampolicy and have no record.
type Policy struct {
	Account     string
	ARN         string
	Name        string
	Path        string
	ID          string // ANPA…
	Description string
	Created     time.Time
	Updated     time.Time
	Versions    []PolicyVersion
	Default     string // v1 …
	Made        int    // how many versions there have ever been; ids are not used twice
	Tags        Tags
}

// A PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	ID       string
	Document string
	Created  time.Time
}

// An AccessKey signs requests. Its key is the access key id. A key of the root user
// has the account's root ARN as Principal.
type AccessKey struct {
	Account   string
	ID        string // AKIA…
	Secret    string
	Principal string // ARN of the user or of the root
	Active    bool
	Created   time.Time
	LastUsed  time.Time
	LastAt    string // service where it was last used
	LastIn    string // region of that
}

// A Session is a set of temporary credentials. Its key is the access key id. It is of a
// role, of a user or root itself (GetSessionToken), or of a federated user.
type Session struct {
	Account     string
	AccessKeyID string // ASIA…
	Secret      string
	Token       string
	Principal   string // arn:aws:sts::A:assumed-role/R/S, or the ARN of the user, root or federated user
	PrincipalID string // AROA…:S
	User        string // ARN of the user or root that a session of no role was made by
	UserID      string // that one's unique id: a new user of the same name is somebody else
	Role        string // ARN, with path
	RoleID      string
	Name        string
	Instance    string   // the instance that it was made for, if any
	Delivery    string   // the version of IMDS, 1.0 or 2.0, that the instance gets it by
	Policies    []string // session policies, documents
	PolicyARNs  []string
	Tags        Tags
	Transitive  []string // keys of Tags that a session chained to this one inherits
	SourceID    string   // source identity
	Provider    string   // ARN of the OIDC provider whose token it was made for, or its issuer
	Chained     bool     // made by a session of a role, not by a user
	Issued      time.Time
	Expires     time.Time
}

// A KeyPair is an EC2 key pair. Its key is its id.
type KeyPair struct {
	Home
	ID          string
	Name        string
	Fingerprint string
	PublicKey   string
	Created     time.Time
	Tags        Tags
}

// An Account is one AWS account served here. Its key is its id.
type Account struct {
	ID       string
	Created  time.Time
	Regions  []string // whose default VPC has been made
	Alias    string
	Deleting bool   // asked to go with everything that is in it
	Sealing  []byte // key that authorization failures are encoded with, for DecodeAuthorizationMessage
	// Deletions are of service-linked roles, by the id of their task.
	Deletions map[string]RoleDeletion
}

// A RoleDeletion is how the deletion of a service-linked role went.
type RoleDeletion struct {
	Status string // SUCCEEDED, FAILED
	Reason string
	Uses   map[string][]string // region → ARNs of what still needs the role
}
