package resource

import "time"

// An Addon is an EKS add-on of a cluster. Its key is its ARN.
// service/eks writes Spec and Deleting; controller/addon writes Status.
type Addon struct {
	Home
	ARN         string
	Cluster     string // ARN
	Name        string
	Created     time.Time
	Modified    time.Time
	Token       string // clientRequestToken of the create
	Fingerprint string // of the request that Token stands for
	Spec        AddonSpec
	Status      AddonStatus
	Deleting    bool
	Preserve    bool // with Deleting: its objects stay in the cluster
}

// AddonSpec is what the caller wants, defaults filled in.
type AddonSpec struct {
	Version          string
	Namespace        string
	ServiceRole      string // ARN of the role for its service account; "" for none
	Configuration    string // configurationValues as they were sent
	ResolveConflicts string // of the last request: NONE, OVERWRITE, PRESERVE
	Tags             Tags
	Revision         int64 // counts creates and updates, so that each is carried out
}

// AddonStatus is what is so.
type AddonStatus struct {
	State           string
	Waiting         string
	Issues          []Issue
	AppliedRevision int64     // of Spec.Revision: carried out, or given up
	Applied         AddonSpec // whose objects the cluster has; the zero value for none
	Changed         time.Time // since when its workloads are awaited; zero once they are whole
	Begun           time.Time // since when a create, update or delete is carried out; zero: none is
}

// States of an add-on, as the API spells them.
const (
	AddonCreating     = "CREATING"
	AddonActive       = "ACTIVE"
	AddonCreateFailed = "CREATE_FAILED"
	AddonUpdating     = "UPDATING"
	AddonUpdateFailed = "UPDATE_FAILED"
	AddonDegraded     = "DEGRADED"
	AddonDeleting     = "DELETING"
	AddonDeleteFailed = "DELETE_FAILED"
)

// Failed states can be updated, as on EKS: an update is how one gets out of them.
var addonMoves = map[string][]string{
	AddonCreating:     {AddonActive, AddonDegraded, AddonCreateFailed, AddonDeleting},
	AddonActive:       {AddonDegraded, AddonUpdating, AddonDeleting},
	AddonDegraded:     {AddonActive, AddonUpdating, AddonDeleting},
	AddonUpdating:     {AddonActive, AddonDegraded, AddonUpdateFailed, AddonDeleting},
	AddonUpdateFailed: {AddonUpdating, AddonDeleting},
	AddonCreateFailed: {AddonUpdating, AddonDeleting},
	AddonDeleting:     {AddonDeleteFailed},
	AddonDeleteFailed: {AddonDeleting},
}

// Move changes the state, along a line that EKS knows.
func (s *AddonStatus) Move(to string) error { return move(&s.State, to, addonMoves) }

// Current is the state that callers see. What is asked for and not carried out shows at
// once, so that a waiter does not take the state before it for the state after.
func (a Addon) Current() string {
	switch {
	case a.Deleting && a.Status.State != AddonDeleteFailed:
		return AddonDeleting
	case !a.Deleting && a.Status.AppliedRevision < a.Spec.Revision && a.Status.State != AddonCreating:
		return AddonUpdating
	}
	return a.Status.State
}
