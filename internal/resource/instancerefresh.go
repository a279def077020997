package resource

import (
	"slices"
	"time"
)

// States of an instance refresh, as the API spells them.
const (
	RefreshPending            = "Pending"
	RefreshInProgress         = "InProgress"
	RefreshBaking             = "Baking"
	RefreshSuccessful         = "Successful"
	RefreshFailed             = "Failed"
	RefreshCancelling         = "Cancelling"
	RefreshCancelled          = "Cancelled"
	RefreshRollbackInProgress = "RollbackInProgress"
	RefreshRollbackFailed     = "RollbackFailed"
	RefreshRollbackSuccessful = "RollbackSuccessful"
)

// An InstanceRefresh replaces the instances of an Auto Scaling group, some at a time. Its key
// is its id. service/autoscaling writes what is asked for (also the states Pending, Cancelling
// and RollbackInProgress); controller/autoscalinggroup writes the rest.
type InstanceRefresh struct {
	Home
	ID          string
	Group       string // ARN
	GroupName   string
	Preferences RefreshPreferences
	Desired     *LaunchSettings // what the new instances are launched from; nil: what the group has

	State    string
	Reason   string
	Started  time.Time
	Ended    time.Time
	Total    int      // instances to replace, in all
	Todo     []string // those still to be replaced
	Percent  int32
	Progress time.Time // when an instance was last replaced
	Baking   time.Time // since when all have been replaced

	Checkpoint int       // how many checkpoints have been passed
	Paused     time.Time // since when it waits at the next one

	RollbackReason  string
	RollbackStarted time.Time
	RollbackTotal   int
	RollbackTodo    []string
	RollbackPercent int32
}

// Active says whether a refresh is not over.
func (r InstanceRefresh) Active() bool {
	return slices.Contains([]string{RefreshPending, RefreshInProgress, RefreshBaking, RefreshCancelling, RefreshRollbackInProgress}, r.State)
}

// RefreshPreferences say how an instance refresh goes about it.
type RefreshPreferences struct {
	MinHealthy     int32 // percent
	MaxHealthy     int32 // percent; 100: none more than desired
	Warmup         int32 // seconds
	SkipMatching   bool
	AutoRollback   bool
	Protected      string // Refresh, Ignore, Wait
	Standby        string // Terminate, Ignore, Wait
	Checkpoints    []int32
	CheckpointWait int32 // seconds
	BakeTime       int32 // seconds
}

// LaunchSettings are what a group launches instances from.
type LaunchSettings struct {
	LaunchTemplateID      string
	LaunchTemplateName    string
	LaunchTemplateVersion string
	InstanceTypes         []string
	Mixed                 bool
	Weights               map[string]string
	Overrides             map[string]LaunchOverride
	Distribution          InstancesDistribution
	SpotPercentage        int32
}

// A LaunchOverride is what one instance type of a MixedInstancesPolicy is launched from, where
// that is not what the others are: x86 and ARM have each their image.
type LaunchOverride struct {
	LaunchTemplateID      string
	LaunchTemplateName    string
	LaunchTemplateVersion string
	Image                 string // "": the template's
}

// For is what instances of a type are launched from.
func (l LaunchSettings) For(kind string) LaunchOverride {
	o := l.Overrides[kind]
	if o.LaunchTemplateID == "" {
		o.LaunchTemplateID, o.LaunchTemplateName, o.LaunchTemplateVersion = l.LaunchTemplateID, l.LaunchTemplateName, l.LaunchTemplateVersion
	}
	return o
}

// LaunchSettings are the spec's.
func (s AutoScalingGroupSpec) LaunchSettings() LaunchSettings {
	return LaunchSettings{
		LaunchTemplateID: s.LaunchTemplateID, LaunchTemplateName: s.LaunchTemplateName, LaunchTemplateVersion: s.LaunchTemplateVersion,
		InstanceTypes: s.InstanceTypes, Mixed: s.Mixed, Weights: s.Weights, Overrides: s.Overrides, Distribution: s.Distribution, SpotPercentage: s.SpotPercentage,
	}
}

// Launch makes the settings the spec's.
func (s *AutoScalingGroupSpec) Launch(l LaunchSettings) {
	s.LaunchTemplateID, s.LaunchTemplateName, s.LaunchTemplateVersion = l.LaunchTemplateID, l.LaunchTemplateName, l.LaunchTemplateVersion
	s.InstanceTypes, s.Mixed, s.Weights, s.Overrides, s.Distribution, s.SpotPercentage = l.InstanceTypes, l.Mixed, l.Weights, l.Overrides, l.Distribution, l.SpotPercentage
}
