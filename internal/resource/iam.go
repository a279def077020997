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
	Attached []string          // managed policy ARNs, in order of attachment
	Inline   map[string]string // policy name → document
	Boundary string            // policy ARN
	Tags     Tags
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

// A Session is a set of temporary credentials. Its key is the access key id.
type Session struct {
	Account     string
	AccessKeyID string // ASIA…
	Secret      string
	Token       string
	Principal   string // arn:aws:sts::A:assumed-role/R/S
	PrincipalID string // AROA…:S
	Role        string // ARN, with path
	RoleID      string
	Name        string
	Instance    string   // the instance that it was made for, if any
	Policies    []string // session policies, documents
	PolicyARNs  []string
	Tags        Tags
	Transitive  []string // keys of Tags that a session chained to this one inherits
	SourceID    string   // source identity
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
	ID      string
	Created time.Time
	Regions []string // whose default VPC has been made
}
