package autoscaling

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const maxActivities = 100

// DescribeScalingActivities tells what groups have done, the newest first.
func (s *Service) DescribeScalingActivities(_ context.Context, call awsapi.Call, in *autoscaling.DescribeScalingActivitiesInput) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	out := &autoscaling.DescribeScalingActivitiesOutput{Activities: []autoscaling.Activity{}}
	if len(in.Filters) > 0 {
		return nil, unsupported("Filters")
	}
	err := s.store.View(func(tx *store.Tx) error {
		name := deref(in.AutoScalingGroupName)
		only := ""
		if name != "" {
			g, err := findGroup(tx, call, name)
			if err != nil && !deref(in.IncludeDeletedGroups) {
				return err
			}
			only = g.ARN // of a deleted group the name is all there is
		}
		var all []resource.ScalingActivity
		for _, a := range tx.ScalingActivities.All() {
			switch {
			case a.Home != home(call),
				only != "" && a.Group != only && !deref(in.IncludeDeletedGroups),
				name != "" && a.GroupName != name,
				!deref(in.IncludeDeletedGroups) && !tx.AutoScalingGroups.Has(a.Group),
				len(in.ActivityIds) > 0 && !slices.Contains(in.ActivityIds, a.ID):
				continue
			}
			all = append(all, a)
		}
		slices.SortFunc(all, func(a, b resource.ScalingActivity) int { return cmp.Compare(newest(b), newest(a)) })
		var err error
		all, out.NextToken, err = page(all, newest, func(a, b string) int { return cmp.Compare(b, a) }, in.NextToken, in.MaxRecords, maxActivities)
		for _, a := range all {
			d := describeActivity(a)
			if !tx.AutoScalingGroups.Has(a.Group) {
				d.AutoScalingGroupState = new("Deleted")
			}
			out.Activities = append(out.Activities, d)
		}
		return err
	})
	return out, err
}

// newest is a key that puts activities into the order of their start.
func newest(a resource.ScalingActivity) string {
	return a.Started.UTC().Format(keyTime) + " " + a.ID
}

// keyTime orders times as strings.
const keyTime = "2006-01-02T15:04:05.000000000"

func describeActivity(a resource.ScalingActivity) autoscaling.Activity {
	d := autoscaling.Activity{
		ActivityId:           new(a.ID),
		AutoScalingGroupName: new(a.GroupName),
		AutoScalingGroupARN:  new(a.Group),
		Description:          new(a.Description),
		Cause:                new(a.Cause),
		StartTime:            new(a.Started),
		StatusCode:           new(a.Status),
		StatusMessage:        optional(a.Message),
		Progress:             new(a.Progress),
		Details:              new(details(a)),
	}
	if !a.Ended.IsZero() {
		d.EndTime = new(a.Ended)
	}
	return d
}

// details say where the instance of an activity is, as JSON.
func details(a resource.ScalingActivity) string {
	where := map[string]string{}
	if a.Zone != "" {
		where["Availability Zone"], where["Subnet ID"] = a.Zone, a.Subnet
	}
	raw, _ := json.Marshal(where) // a map of strings can be marshalled
	return string(raw)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// begin records an activity that a client has asked for, which the group's controller ends.
func begin(tx *store.Tx, g resource.AutoScalingGroup, instance, description, cause string, now time.Time) resource.ScalingActivity {
	in, _ := tx.Instances.Get(instance)
	a := resource.ScalingActivity{
		Home: g.Home, ID: awsid.UUID(), Group: g.ARN, GroupName: g.Name, Instance: instance, Description: description, Cause: cause,
		Status: "InProgress", Progress: 50, Started: now.UTC().Truncate(time.Millisecond), Subnet: in.Spec.Subnet, Zone: in.Spec.Zone,
	}
	tx.ScalingActivities.Put(a.ID, a)
	return a
}
