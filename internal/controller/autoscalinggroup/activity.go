package autoscalinggroup

import (
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

// How long, and how many of a group that lives, activities are kept. Auto Scaling keeps six
// weeks, too, of groups that are gone as well.
const (
	keepFor        = 6 * 7 * 24 * time.Hour
	keepActivities = 500
)

// Beginnings of descriptions.
const (
	launchingEC2   = "Launching a new EC2 instance: "
	terminatingEC2 = "Terminating EC2 instance: "
)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// sentences puts those that are there together, as the causes of activities are.
func sentences(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "  ")
}

// begin records an activity under way, unless it is recorded already: whoever asks for
// an instance's end through the API is answered with its activity.
func (r *round) begin(instance, description, cause, status string, progress int32) {
	for _, a := range r.tx.ScalingActivities.All() {
		if instance != "" && a.Instance == instance && a.Description == description && a.Ended.IsZero() {
			return
		}
	}
	in, _ := r.tx.Instances.Get(instance)
	a := resource.ScalingActivity{
		Home: r.group.Home, ID: awsid.UUID(), Group: r.group.ARN, GroupName: r.group.Name, Instance: instance,
		Description: description, Cause: cause, Status: status, Progress: progress, Started: r.now, Subnet: in.Spec.Subnet, Zone: in.Spec.Zone,
	}
	r.tx.ScalingActivities.Put(a.ID, a)
	r.forgetOld()
}

// progress shows how far the activity of an instance has come that is under way.
func (r *round) progress(instance, status string, progress int32) {
	for key, a := range r.tx.ScalingActivities.All() {
		if a.Instance == instance && a.Ended.IsZero() {
			a.Status, a.Progress = status, progress
			r.tx.ScalingActivities.Put(key, a)
		}
	}
}

// finish ends the activity under way that began with verb for the instance.
func (r *round) finish(instance, verb string) { r.endActivity(instance, verb, "Successful", "") }

func (r *round) endActivity(instance, verb, status, message string) {
	for key, a := range r.tx.ScalingActivities.All() {
		if a.Instance == instance && a.Ended.IsZero() && strings.HasPrefix(a.Description, verb) {
			a.Status, a.Message, a.Progress, a.Ended = status, message, 100, r.now
			if message != "" && instance != "" {
				a.Description += ".  Status Reason: " + message
			}
			r.tx.ScalingActivities.Put(key, a)
		}
	}
}

func (r *round) forgetOld() {
	var mine []resource.ScalingActivity
	for key, a := range r.tx.ScalingActivities.All() {
		switch {
		case a.Ended.IsZero():
		case r.now.Sub(a.Ended) > keepFor:
			r.tx.ScalingActivities.Delete(key)
		case a.Group == r.group.ARN:
			mine = append(mine, a)
		}
	}
	slices.SortFunc(mine, func(a, b resource.ScalingActivity) int { return b.Started.Compare(a.Started) })
	for _, a := range mine[min(len(mine), keepActivities):] {
		r.tx.ScalingActivities.Delete(a.ID)
	}
}
