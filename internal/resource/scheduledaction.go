package resource

import "time"

// A ScheduledAction changes the sizes of an Auto Scaling group at a time. Its key is
// ScheduledActionKey. service/autoscaling writes it; controller/autoscalinggroup executes it,
// moves Next, and deletes it when there is no next time.
type ScheduledAction struct {
	Home
	ARN        string
	Group      string // ARN
	GroupName  string
	Name       string
	Start, End time.Time // zero: none
	Recurrence string    // five fields of cron; empty: once, at Start
	TimeZone   string    // of Recurrence; empty: UTC
	Min        *int32
	Max        *int32
	Desired    *int32
	Next       time.Time
}

// ScheduledActionKey is the key of a group's action.
func ScheduledActionKey(group, name string) string { return group + "|" + name }
