package resource

import (
	"slices"
	"time"
)

// An AutoScalingGroup keeps a number of instances. Its key is its ARN.
// service/autoscaling (and controller/nodegroup, as its client) writes Spec and
// Deleting; controller/autoscalinggroup writes Status and the group's instances.
type AutoScalingGroup struct {
	Home
	ARN      string
	Name     string
	Created  time.Time
	Spec     AutoScalingGroupSpec
	Status   AutoScalingGroupStatus
	Deleting bool
	Force    bool // ForceDelete: instances are terminated without ceremony

	// Nodegroup is the ARN of the node group that the group is of. Its controller, which knows when
	// a node is Ready, replaces spot instances that EC2 may take back.
	Nodegroup string

	// Reason is the sentence on why the desired capacity changed last, for the activities that
	// follow from it. Who changes it writes Reason; the controller clears it when the group rests.
	Reason string
}

// AutoScalingGroupSpec is what is wanted.
type AutoScalingGroupSpec struct {
	Min, Max, Desired     int32
	LaunchTemplateID      string
	LaunchTemplateName    string
	LaunchTemplateVersion string                    // number, $Latest, $Default
	InstanceTypes         []string                  // overrides, in order of priority; empty: the template's
	Mixed                 bool                      // given as a MixedInstancesPolicy
	Weights               map[string]string         // instance type → WeightedCapacity, of a MixedInstancesPolicy
	Overrides             map[string]LaunchOverride // instance type → what it is launched from, if not as the others
	Distribution          InstancesDistribution
	SpotPercentage        int32 // 100 - OnDemandPercentageAboveBaseCapacity
	Subnets               []string
	Zones                 []string
	HealthCheckType       string
	HealthCheckGrace      int32 // seconds
	Cooldown              int32 // seconds
	CapacityRebalance     bool
	NewInstancesProtected bool
	TerminationPolicies   []string
	ServiceLinkedRole     string
	Tags                  []AutoScalingTag
	SuspendedProcesses    []SuspendedProcess
	AwayFrom              string // a zone that nothing is launched in, for as long as a zonal shift lasts
	Hooks                 []LifecycleHook
	Condemned             map[string]bool // instances to terminate → whether the desired capacity has been lowered for it

	DefaultInstanceWarmup *int32 // seconds
	MaxInstanceLifetime   int32  // seconds; 0: none

	PlacementGroup       string // that instances are launched into
	ZoneDistribution     string // balanced-best-effort, balanced-only
	MinHealthyPercentage *int32 // of the instance maintenance policy
	MaxHealthyPercentage *int32
	EnabledMetrics       []string

	// What callers read back and nothing here has to act on.
	Context               string
	DesiredCapacityType   string // units: there are no other ones without attribute-based selection
	ReservationPreference string // of capacity reservations, of which there are none
}

// An InstancesDistribution is how a MixedInstancesPolicy mixes, beyond SpotPercentage.
type InstancesDistribution struct {
	OnDemandStrategy string // prioritized, lowest-price
	OnDemandBase     int32
	SpotStrategy     string // lowest-price, capacity-optimized …
	SpotPools        int32
	SpotMaxPrice     string
}

// A SuspendedProcess is what a group does not do until it is resumed.
type SuspendedProcess struct {
	Name  string
	Since time.Time
}

// Suspended says whether a process of the group is suspended.
func (s AutoScalingGroupSpec) Suspended(process string) bool {
	return slices.ContainsFunc(s.SuspendedProcesses, func(p SuspendedProcess) bool { return p.Name == process })
}

// An AutoScalingTag is a tag that instances may inherit.
type AutoScalingTag struct {
	Key, Value string
	Propagate  bool
}

// AutoScalingGroupStatus is what is so.
type AutoScalingGroupStatus struct {
	Waiting     string    // why nothing can be launched
	WaitingCode string    // the same as EC2's error code
	Failures    int       // launches in a row that did not come into service
	NextTry     time.Time // not before
	Unhealthy   int       // members that were lost to their health and have no successor yet
	Uneven      time.Time // since when the zones have been uneven
	Balancing   string    // the zone that gets one instance more before another zone loses one
}

// A ScalingActivity is one thing that a group did. Its key is its id. The controller
// records them, but for one: the termination of an instance that a client has asked for is
// recorded by the service, InProgress, since the answer has its id. The controller then
// goes on with that record instead of making another one for the same instance.
type ScalingActivity struct {
	Home
	ID          string
	Group       string // ARN
	GroupName   string
	Instance    string
	Description string
	Cause       string
	Status      string // InProgress, Successful, Failed
	Message     string
	Subnet      string // where the instance is
	Zone        string
	Progress    int32
	Started     time.Time
	Ended       time.Time
}

// States of a member, as Auto Scaling spells them.
const (
	MemberPending            = "Pending"
	MemberPendingWait        = "Pending:Wait"
	MemberPendingProceed     = "Pending:Proceed"
	MemberInService          = "InService"
	MemberEnteringStandby    = "EnteringStandby"
	MemberStandby            = "Standby"
	MemberDetaching          = "Detaching"
	MemberTerminatingWait    = "Terminating:Wait"
	MemberTerminating        = "Terminating"
	MemberTerminatingProceed = "Terminating:Proceed"
)

// Health of a member.
const (
	MemberHealthy   = "Healthy"
	MemberUnhealthy = "Unhealthy"
)

// A GroupInstance is an instance's membership of a group. Its key is the instance id.
// controller/autoscalinggroup writes it. service/autoscaling begins in it what a client asks
// for (Detaching, EnteringStandby, Pending of one attached or back from Standby, Unhealthy, a
// protection, an action's result), and the controller goes on from there.
type GroupInstance struct {
	Instance  string
	Group     string // ARN
	Lifecycle string
	Health    string
	Protected bool
	Attached  bool      // it was there before it was a member
	Joined    time.Time // when it became a member
	Served    time.Time // since when it has been in service
	Waiting   time.Time // since when it has been in …:Wait
	Actions   []LifecycleAction
}

// Counts says whether a member is, or is to be, one of the desired capacity.
func (m GroupInstance) Counts() bool {
	switch m.Lifecycle {
	case MemberPending, MemberPendingWait, MemberPendingProceed, MemberInService:
		return true
	}
	return false
}

// Target is the state that a member is on its way to, or in, as its metadata service says it.
func (m GroupInstance) Target() string {
	switch {
	case m.Leaves():
		return "Terminated"
	case m.Lifecycle == MemberDetaching:
		return "Detached"
	case m.Lifecycle == MemberEnteringStandby, m.Lifecycle == MemberStandby:
		return MemberStandby
	}
	return MemberInService
}

// Leaves says whether a member is being terminated.
func (m GroupInstance) Leaves() bool {
	switch m.Lifecycle {
	case MemberTerminating, MemberTerminatingWait, MemberTerminatingProceed:
		return true
	}
	return false
}
