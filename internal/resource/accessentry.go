package resource

import "time"

// An AccessEntry lets an IAM principal into a cluster. Its key is
// AccessEntryKey(cluster ARN, principal ARN).
type AccessEntry struct {
	ARN         string
	Cluster     string // ARN
	Principal   string // ARN, roles with their path
	PrincipalID string // unique id when the entry was made: a re-created role is somebody else
	Type        string // STANDARD, EC2_LINUX …
	Username    string
	Groups      []string
	Policies    []AssociatedPolicy
	Tags        Tags
	Created     time.Time
	Modified    time.Time
	Token       string // clientRequestToken of the create
	Fingerprint string // of the request that Token stands for
	Managed     bool   // made by EKS for a node group; goes when the last one of the role goes
}

// An AssociatedPolicy is an access policy given to an entry.
type AssociatedPolicy struct {
	PolicyARN  string
	ScopeType  string // cluster, namespace
	Namespaces []string
	Associated time.Time
	Modified   time.Time
}

// AccessEntryKey is the key of an access entry's record.
func AccessEntryKey(cluster, principal string) string { return cluster + "|" + principal }
