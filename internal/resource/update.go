package resource

import "time"

// An Update is one change of a cluster or of something in it, as DescribeUpdate
// shows it. Its key is its id. The service writes all but State, Errors and Ended,
// which the controller of the thing updated writes.
type Update struct {
	ID          string
	Cluster     string // ARN
	Nodegroup   string // ARN, empty for the cluster's own
	Addon       string // name, empty otherwise
	Type        string // VersionUpdate, ConfigUpdate …
	Params      []UpdateParam
	Created     time.Time
	Revision    int64  // of the Spec, the node group's or the cluster's, that this update made
	Token       string // clientRequestToken of the call that made it
	Fingerprint string // of the request that Token stands for

	State  string
	Errors []UpdateError
	Ended  time.Time
}

// An UpdateParam is one changed setting; lists and objects are JSON text.
type UpdateParam struct{ Type, Value string }

// An UpdateError says why an update failed, with EKS's code.
type UpdateError struct {
	Code        string
	Message     string
	ResourceIDs []string
}

// States of an update, as the API spells them.
const (
	UpdateInProgress = "InProgress"
	UpdateSuccessful = "Successful"
	UpdateFailed     = "Failed"
	UpdateCancelled  = "Cancelled"
)
