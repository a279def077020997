package resource

import "time"

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
}

// AutoScalingGroupSpec is what is wanted.
type AutoScalingGroupSpec struct {
	Min, Max, Desired     int32
	LaunchTemplateID      string
	LaunchTemplateName    string
	LaunchTemplateVersion string            // number, $Latest, $Default
	InstanceTypes         []string          // overrides, in order of priority; empty: the template's
	Mixed                 bool              // given as a MixedInstancesPolicy
	Weights               map[string]string // instance type → WeightedCapacity, of a MixedInstancesPolicy
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
	SuspendedProcesses    []string
	Hooks                 []LifecycleHook
	Condemned             map[string]bool // instances to terminate → whether the desired capacity has been lowered for it

	// What nothing here acts on yet and callers read back.
	MaxInstanceLifetime   int32  // seconds; 0: none
	DefaultInstanceWarmup *int32 // seconds
	PlacementGroup        string
	Context               string
	DesiredCapacityType   string
	MinHealthyPercentage  *int32 // of the instance maintenance policy
	MaxHealthyPercentage  *int32
}

// An InstancesDistribution is how a MixedInstancesPolicy mixes, beyond SpotPercentage.
type InstancesDistribution struct {
	OnDemandStrategy string // prioritized, lowest-price
	OnDemandBase     int32
	SpotStrategy     string // lowest-price, capacity-optimized …
	SpotPools        int32
	SpotMaxPrice     string
}

// A LifecycleHook holds an instance back until somebody has let it go on.
type LifecycleHook struct {
	Name       string
	Transition string // autoscaling:EC2_INSTANCE_TERMINATING, …_LAUNCHING
	Heartbeat  int32  // seconds
	Default    string // CONTINUE, ABANDON
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
	Failures    int       // launches in a row that failed
	NextTry     time.Time // not before
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
	Progress    int32
	Started     time.Time
	Ended       time.Time
}

// A GroupInstance is an instance's membership of a group. Its key is the instance id.
type GroupInstance struct {
	Instance  string
	Group     string // ARN
	Lifecycle string // Pending, InService, Terminating, Terminating:Wait …
	Health    string // Healthy, Unhealthy
	Protected bool
	Joined    time.Time
	Waiting   time.Time // since when it is in …:Wait
	Continue  bool      // CompleteLifecycleAction has been called for it
}
