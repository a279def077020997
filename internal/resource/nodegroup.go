package resource

import "time"

// A Nodegroup is a managed node group. Its key is its ARN.
// service/eks writes Spec and Deleting; controller/nodegroup writes Status.
type Nodegroup struct {
	Home
	ARN         string
	Cluster     string // ARN
	Name        string
	ID          string // the UUID in the ARN and in the names of what is made for it
	Created     time.Time
	Modified    time.Time
	Token       string // clientRequestToken of the create
	Fingerprint string // of the request that Token stands for
	Spec        NodegroupSpec
	Status      NodegroupStatus
	Deleting    bool
}

// NodegroupSpec is what the caller wants, defaults filled in.
type NodegroupSpec struct {
	Version        string // minor
	ReleaseVersion string
	AMIType        string
	InstanceTypes  []string
	CapacityType   string // ON_DEMAND, SPOT
	DiskGiB        int32  // 0 with a launch template
	Subnets        []string
	NodeRole       string // ARN
	Min            int32
	Max            int32
	Desired        int32
	Labels         map[string]string
	Taints         []Taint
	Tags           Tags

	MaxUnavailable           int32 // one of the two is set
	MaxUnavailablePercentage int32
	UpdateStrategy           string
	NodeRepair               bool

	LaunchTemplateID      string // the caller's, if any
	LaunchTemplateName    string
	LaunchTemplateVersion string
	TemplateType          bool // InstanceTypes is what the launch template says, and not shown

	SSHKey                     string // remoteAccess
	SSHSourceSecurityGroups    []string
	RemoteAccessSecurityGroup  string // made for it
	ForcedConfigUpdateRevision int64  // counts UpdateNodegroupConfig calls, so that each is carried out
}

// A Taint is a node taint with EKS's spelling of the effect (NO_SCHEDULE …).
type Taint struct {
	Key    string
	Value  string
	Effect string
}

// NodegroupStatus is what is so.
type NodegroupStatus struct {
	State            string
	Waiting          string
	AutoScalingGroup string // name
	LaunchTemplate   string // id of the one EKS made
	InstanceProfile  string // name
	ReadyNodes       int
	Issues           []Issue
	AppliedRevision  int64     // of Spec.ForcedConfigUpdateRevision
	WaitingSince     time.Time // since when nodes are awaited
	EverActive       bool
}

// States of a node group, as the API spells them.
const (
	NodegroupCreating     = "CREATING"
	NodegroupActive       = "ACTIVE"
	NodegroupUpdating     = "UPDATING"
	NodegroupDeleting     = "DELETING"
	NodegroupCreateFailed = "CREATE_FAILED"
	NodegroupDeleteFailed = "DELETE_FAILED"
	NodegroupDegraded     = "DEGRADED"
)

var nodegroupMoves = map[string][]string{
	NodegroupCreating:     {NodegroupActive, NodegroupCreateFailed, NodegroupDeleting},
	NodegroupActive:       {NodegroupUpdating, NodegroupDegraded, NodegroupDeleting},
	NodegroupUpdating:     {NodegroupActive, NodegroupDegraded, NodegroupDeleting},
	NodegroupDegraded:     {NodegroupActive, NodegroupUpdating, NodegroupDeleting},
	NodegroupCreateFailed: {NodegroupDeleting},
	NodegroupDeleting:     {NodegroupDeleteFailed},
	NodegroupDeleteFailed: {NodegroupDeleting},
}

// Move changes the state, along a line that EKS knows.
func (s *NodegroupStatus) Move(to string) error { return move(&s.State, to, nodegroupMoves) }

// Current is the state that callers see.
func (n Nodegroup) Current() string {
	// A change that is asked for and not carried out shows at once, so that a waiter does
	// not take the state before it for the state after.
	if !n.Deleting && n.Status.State == NodegroupActive && n.Status.AppliedRevision < n.Spec.ForcedConfigUpdateRevision {
		return NodegroupUpdating
	}
	if n.Deleting && n.Status.State != NodegroupDeleteFailed {
		return NodegroupDeleting
	}
	return n.Status.State
}
