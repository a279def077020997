package resource

import "time"

// NodeRepair is a node group's nodeRepairConfig. Of each count and percentage one is set, or
// neither, and then EKS's own rule holds.
type NodeRepair struct {
	Enabled                bool
	MaxUnhealthyCount      int32 // with more unhealthy nodes than that, none is repaired
	MaxUnhealthyPercentage int32
	MaxParallelCount       int32 // no more nodes than that are repaired at a time
	MaxParallelPercentage  int32
	Overrides              []RepairOverride
}

// A RepairOverride says what is done for one reason of one condition.
type RepairOverride struct {
	Condition   string
	Reason      string
	WaitMinutes int32
	Action      string // Replace, Reboot, NoAction
}

// A NodeCondition is a condition of a Node that says that something is wrong with it: Ready or
// another …Ready that is not True, or a pressure that is.
type NodeCondition struct {
	Type   string
	Reason string
	Since  time.Time
}
