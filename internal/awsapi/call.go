package awsapi

import (
	"net/netip"
	"time"
)

// A Call is what a handler is told about one request besides its decoded
// input. By the time a handler sees it the caller is authenticated and
// authorised. It is a value: handlers may keep it.
type Call struct {
	RequestID string // a UUID; also in the response and in the log
	Service   string // signing name: eks, ec2, iam, …
	Operation string // CreateCluster
	Region    string // of the credential scope, which is the signer's choice for global services; "us-east-1" where there is none
	Account   string // the caller's account, which is the account acted upon; "" for unsigned operations
	Caller    Principal
	Time      time.Time // when the request was received
	SourceIP  netip.Addr
	UserAgent string
	Secure    bool           // came over TLS
	Request   *SignedRequest // nil for operations that need no signature
}

// A SignedRequest is how a request was signed, for conditions in policies
// and for audit records.
type SignedRequest struct {
	AccessKeyID   string
	Date          time.Time // X-Amz-Date
	SignedHeaders []string
	Presigned     bool
	SessionToken  string
	Host          string
}

// Types of principals, as CloudTrail spells them.
const (
	TypeRoot          = "Root"
	TypeUser          = "User"
	TypeAssumedRole   = "AssumedRole"
	TypeFederatedUser = "FederatedUser"
	TypeAnonymous     = "Anonymous" // operations without a signature
)

// A Principal is who made a request.
type Principal struct {
	ARN         string // arn:aws:iam::A:root, arn:aws:iam::A:user/x, arn:aws:sts::A:assumed-role/R/S
	Account     string
	ID          string // GetCallerIdentity's UserId: account id, AIDA…, AROA…:session
	AccessKeyID string
	Type        string
	RoleARN     string // of an assumed role, with its path
	SessionName string // of an assumed role
	Issued      time.Time
	Expires     time.Time // zero: never

	// What STS was given when the session was made; both narrow what the
	// session may do and are for package authz alone.
	SessionPolicies []string
	SessionTags     map[string]string
}
