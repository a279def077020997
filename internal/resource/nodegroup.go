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
	Repair                   NodeRepair

	LaunchTemplateID      string // the caller's, if any
	LaunchTemplateName    string
	LaunchTemplateVersion string
	TemplateType          bool // InstanceTypes is what the launch template says, and not shown

	SSHKey                     string // remoteAccess
	SSHSourceSecurityGroups    []string
	ForcedConfigUpdateRevision int64 // counts updates, so that each is carried out
	Roll                       *Roll // what the last UpdateNodegroupVersion asked for
}

// A Roll is what UpdateNodegroupVersion changes of a Spec. It is apart from the rest since
// nodes go on being what they were until all have been replaced, and for good if that fails.
type Roll struct {
	Revision              int64 // the update's
	Version               string
	ReleaseVersion        string
	LaunchTemplateVersion string
	InstanceTypes         []string
	Force                 bool // nodes go although pods cannot be evicted
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
	RemoteAccess     string // id of the security group made for remoteAccess
	ReadyNodes       int
	Issues           []Issue
	AppliedRevision  int64     // of Spec.ForcedConfigUpdateRevision
	WaitingSince     time.Time // since when nodes are awaited
	EverActive       bool
	Unreachable      time.Time // since when the cluster's API server has been needed, and has not answered
	RolledRevision   int64     // of the last Spec.Roll that all nodes have been replaced for
	Roll             RollStatus
	Rebalancing      map[string]bool      // Spot instances at risk for which the group has one node more
	Rebalanced       int32                // the Auto Scaling group's desired capacity with them
	Rebooted         map[string]time.Time // by instance: when a repair last had it booted again
}

// RollStatus is how far the replacement of a node group's nodes is.
type RollStatus struct {
	Revision int64            // of the Spec.Roll that it is about; zero: there is none under way
	Template string           // number of the launch template's version that new nodes have
	Before   string           // the same of the nodes that are to go
	Max      int32            // of the group before
	Surge    int32            // how many more nodes the group has been given, and has not given back
	Expect   int32            // the desired capacity that the roll set last; another one is an autoscaler's
	Since    time.Time        // since when nodes are awaited
	Cordoned bool             // there are enough new nodes, and the old ones take no more pods
	Drains   map[string]Drain // by instance: the old nodes whose turn has come
	Failed   *UpdateError     // it is given up
}

// A Drain is the emptying of one node.
type Drain struct {
	Since time.Time
	Done  time.Time // zero: pods are left
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

// Grown is how many nodes more its Auto Scaling group has than are wanted, for Spot instances at
// risk. Where somebody has set its size meanwhile, that is what is wanted.
func (n Nodegroup) Grown(g AutoScalingGroup) int32 {
	if g.Spec.Desired != n.Status.Rebalanced {
		return 0
	}
	return int32(len(n.Status.Rebalancing))
}

// Current is the state that callers see.
func (n Nodegroup) Current() string {
	// A change that is asked for and not carried out shows at once, so that a waiter does
	// not take the state before it for the state after.
	if !n.Deleting && (n.Status.State == NodegroupActive || n.Status.State == NodegroupDegraded) && n.Status.AppliedRevision < n.Spec.ForcedConfigUpdateRevision {
		return NodegroupUpdating
	}
	if n.Deleting && n.Status.State != NodegroupDeleteFailed {
		return NodegroupDeleting
	}
	return n.Status.State
}

// Rolled is the Spec that the group's nodes have: without a Roll that is under way or has failed.
func (n Nodegroup) Rolled() NodegroupSpec {
	if n.Spec.Roll == nil || n.Spec.Roll.Revision != n.Status.RolledRevision {
		return n.Spec
	}
	return n.Spec.with(*n.Spec.Roll)
}

// Target is the Spec that new nodes should have.
func (n Nodegroup) Target() NodegroupSpec {
	if n.Rolling() && n.Status.Roll.Failed == nil {
		return n.Spec.with(*n.Spec.Roll)
	}
	return n.Rolled()
}

// Rolling says whether the last update is a Roll and has not ended.
func (n Nodegroup) Rolling() bool {
	return n.Spec.Roll != nil && n.Status.AppliedRevision < n.Spec.Roll.Revision
}

func (s NodegroupSpec) with(r Roll) NodegroupSpec {
	s.Version, s.ReleaseVersion, s.LaunchTemplateVersion, s.InstanceTypes = r.Version, r.ReleaseVersion, r.LaunchTemplateVersion, r.InstanceTypes
	return s
}
