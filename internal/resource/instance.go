package resource

import "time"

// An Instance is an EC2 instance. Its key is its id.
// service/ec2 (and controller/autoscalinggroup, as its client) writes Spec and
// Terminating, and the state that follows from them at once; controller/instance writes
// Status.
type Instance struct {
	Home
	ID          string
	Reservation string // r-…
	Launched    time.Time
	Token       string // ClientToken of RunInstances
	Spec        InstanceSpec
	Status      InstanceStatus
	Terminating bool
	Asked       time.Time // when it was asked to terminate, stop or start
	Tags        Tags
}

// InstanceSpec is what was asked for, launch template merged in.
type InstanceSpec struct {
	Type                  string
	Image                 string // ami-…
	VPC                   string
	Subnet                string
	Zone                  string
	PrimaryInterface      string // eni-…
	PrivateIP             string
	PrivateDNS            string // ip-10-0-1-5.us-west-2.compute.internal
	SecurityGroups        []string
	KeyName               string
	UserData              []byte
	InstanceProfileARN    string
	DiskGiB               int32    // of the machine's one disk: of a Bottlerocket instance that is its data volume
	Volumes               []Volume // the root volume first
	Lifecycle             string   // "" or spot
	SpotRequest           string   // sir-…, of a Spot instance
	PlacementGroup        string   // pg-…
	Fleet                 string   // fleet-… that launched it
	HTTPTokens            string   // optional, required
	HTTPEndpoint          string   // enabled, disabled
	HopLimit              int32
	MetadataTags          string // enabled, disabled
	MetadataIPv6          string // enabled; disabled where it is not
	Names                 ResourceNames
	LaunchTemplate        string // id it came from
	LaunchTemplateVersion string
	AutoScalingGroup      string // ARN of the group that owns it
	TerminationProtection bool
	StopProtection        bool
	Off                   bool // stopped, or to be stopped
	Reboots               int  // how often a reboot was asked for
	AMILaunchIndex        int32
	EBSOptimized          bool
	Monitoring            bool
	ShutdownBehavior      string // stop, terminate
	Fingerprint           string // of the RunInstances that its Token stands for
}

// ResourceNames say for which kinds of address DNS has the name i-….us-west-2.compute.internal,
// besides the name of the private address.
type ResourceNames struct {
	A, AAAA bool
}

// A Volume is one that an instance was launched with and that ends with it. The machine has its
// size; of the rest it is recorded what was asked for.
type Volume struct {
	ID         string // vol-…
	Device     string // /dev/xvda
	Snapshot   string
	GiB        int32
	Type       string
	IOPS       int32
	Throughput int32 // MiB/s, of gp3
	Encrypted  bool
	KMSKey     string
	Tags       Tags
}

// InstanceStatus is what is so.
type InstanceStatus struct {
	State       string
	StateCode   string // Client.UserInitiatedShutdown …
	StateReason string
	Waiting     string
	Booted      bool   // its machine has been started once; one that ends after that is dead
	BootID      string // of the host it was booted on: a reboot of the host is a stop and a start
	Generation  int    // how often it has been asked to boot: once more after the host's reboot
	Reboots     int    // how many of Spec.Reboots are done
	Ended       time.Time
}

// States of an instance, as the API spells them.
const (
	InstancePending      = "pending"
	InstanceRunning      = "running"
	InstanceShuttingDown = "shutting-down"
	InstanceTerminated   = "terminated"
	InstanceStopping     = "stopping"
	InstanceStopped      = "stopped"
)

// Current is the state that callers see.
func (i Instance) Current() string {
	if i.Terminating && i.Status.State != InstanceTerminated {
		return InstanceShuttingDown
	}
	return i.Status.State
}
