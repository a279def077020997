package autoscalinggroup

import (
	"strings"
	"time"

	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
)

// keepActivities bounds how many activities of a group are kept; AWS keeps six weeks.
const keepActivities = 500

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// begin records an activity under way, unless it is recorded already: whoever asks for
// an instance's end through the API is answered with its activity.
func (r *round) begin(instance, description, cause string) {
	for _, a := range r.tx.ScalingActivities.All() {
		if instance != "" && a.Instance == instance && a.Description == description && a.Ended.IsZero() {
			return
		}
	}
	a := resource.ScalingActivity{
		Home: r.group.Home, ID: awsid.UUID(), Group: r.group.ARN, GroupName: r.group.Name, Instance: instance,
		Description: description, Cause: cause, Status: "InProgress", Progress: 50, Started: r.now,
	}
	r.tx.ScalingActivities.Put(a.ID, a)
	r.forgetOld()
}

// finish ends the activity under way that began with verb for the instance.
func (r *round) finish(instance, verb string) { r.endActivity(instance, verb, "Successful", "") }

func (r *round) fail(instance, verb, message string) {
	r.endActivity(instance, verb, "Failed", message)
}

func (r *round) endActivity(instance, verb, status, message string) {
	for key, a := range r.tx.ScalingActivities.All() {
		if a.Instance == instance && a.Ended.IsZero() && strings.HasPrefix(a.Description, verb) {
			a.Status, a.Message, a.Progress, a.Ended = status, message, 100, r.now
			r.tx.ScalingActivities.Put(key, a)
		}
	}
}

func (r *round) forgetOld() {
	var mine []resource.ScalingActivity
	for _, a := range r.tx.ScalingActivities.All() {
		if a.Group == r.group.ARN && !a.Ended.IsZero() {
			mine = append(mine, a)
		}
	}
	for len(mine) > keepActivities {
		oldest := 0
		for i := range mine {
			if mine[i].Started.Before(mine[oldest].Started) {
				oldest = i
			}
		}
		r.tx.ScalingActivities.Delete(mine[oldest].ID)
		mine = append(mine[:oldest], mine[oldest+1:]...)
	}
}
