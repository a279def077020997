package autoscalinggroup

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
)

// refreshStall is how long an instance refresh may go without an instance replaced.
const refreshStall = time.Hour

// settings are what instances are launched from: what a refresh under way is to bring, or
// what the group has. The group gets the former when the refresh has succeeded.
func (r *round) settings() resource.LaunchSettings {
	if f := r.rolling; f != nil && f.Desired != nil && (f.State == resource.RefreshInProgress || f.State == resource.RefreshBaking) {
		return *f.Desired
	}
	return r.group.Spec.LaunchSettings()
}

// surplus is how many instances more than desired a refresh has at the moment.
func (r *round) surplus() int {
	f := r.rolling
	if f == nil || !f.Paused.IsZero() || f.State != resource.RefreshInProgress && f.State != resource.RefreshRollbackInProgress {
		return 0
	}
	return min(r.allowance(), len(*todo(f)))
}

// allowance is how many more than desired its preferences allow a refresh.
func (r *round) allowance() int {
	over := int(r.rolling.Preferences.MaxHealthy) - 100
	if over <= 0 {
		return 0
	}
	return max(int(r.group.Spec.Desired)*over/100, 1)
}

// todo are the instances that are still to be replaced.
func todo(f *resource.InstanceRefresh) *[]string {
	if f.State == resource.RefreshRollbackInProgress {
		return &f.RollbackTodo
	}
	return &f.Todo
}

// refresh takes the group's instance refresh a step further.
func (r *round) refresh() error {
	f := r.rolling
	if f == nil || r.group.Deleting {
		return nil
	}
	before := *f
	err := r.turn(f)
	if !reflect.DeepEqual(before, *f) {
		r.tx.InstanceRefreshes.Put(f.ID, *f)
	}
	if !f.Active() {
		r.rolling = nil
	}
	return err
}

func (r *round) turn(f *resource.InstanceRefresh) error {
	switch f.State {
	case resource.RefreshPending:
		f.State, f.Progress = resource.RefreshInProgress, r.now
		f.Todo = r.stale(*f, f.Preferences.SkipMatching, r.settings())
		f.Total = len(f.Todo)
		return r.replace(f)
	case resource.RefreshCancelling:
		f.State, f.Reason, f.Ended = resource.RefreshCancelled, "Cancelled due to user request.", r.now
		return nil
	case resource.RefreshBaking:
		if left := f.Baking.Add(seconds(f.Preferences.BakeTime)).Sub(r.now); left > 0 {
			r.later(left)
			return nil
		}
		r.succeed(f)
		return nil
	case resource.RefreshRollbackInProgress:
		if f.RollbackTodo == nil {
			f.RollbackTodo = append([]string{}, r.stale(*f, true, r.settings())...)
			f.RollbackTotal, f.Progress, f.Paused = len(f.RollbackTodo), r.now, time.Time{}
		}
		return r.replace(f)
	case resource.RefreshInProgress:
		return r.replace(f)
	}
	return nil
}

// stale are the members to replace: all, or those that are not of the settings, but for whom
// the preferences leave out.
func (r *round) stale(f resource.InstanceRefresh, skip bool, l resource.LaunchSettings) (ids []string) {
	p := f.Preferences
	for _, m := range r.members {
		standby := m.Lifecycle == resource.MemberStandby || m.Lifecycle == resource.MemberEnteringStandby
		switch {
		case !m.Counts() && !standby,
			standby && p.Standby == "Ignore",
			m.Protected && p.Protected == "Ignore",
			skip && r.matches(m, l):
			continue
		}
		ids = append(ids, m.Instance)
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		x, _ := r.tx.GroupInstances.Get(a)
		y, _ := r.tx.GroupInstances.Get(b)
		return cmp.Or(x.Joined.Compare(y.Joined), strings.Compare(a, b))
	})
	return ids
}

// matches says whether a member is what the settings would launch.
func (r *round) matches(m resource.GroupInstance, l resource.LaunchSettings) bool {
	in, _ := r.tx.Instances.Get(m.Instance)
	from := l.For(in.Spec.Type)
	lt, err := provision.LookupLaunchTemplate(r.tx, r.group.Home, from.LaunchTemplateID, from.LaunchTemplateName)
	if err != nil {
		return false
	}
	v, err := provision.TemplateVersion(lt, from.LaunchTemplateVersion)
	if err != nil {
		return false
	}
	if image, ok := ami.Resolve(in.Region, from.Image); from.Image != "" && (!ok || image != in.Spec.Image) {
		return false
	}
	return in.Spec.LaunchTemplate == lt.ID && in.Spec.LaunchTemplateVersion == fmt.Sprint(v.Number) &&
		(len(l.InstanceTypes) == 0 || slices.Contains(l.InstanceTypes, in.Spec.Type))
}

// replace sends off as many stale instances as may be missing, and counts.
func (r *round) replace(f *resource.InstanceRefresh) error {
	list, total := todo(f), f.Total
	if f.State == resource.RefreshRollbackInProgress {
		total = f.RollbackTotal
	}
	left := slices.DeleteFunc(slices.Clone(*list), func(id string) bool {
		m, ok := r.tx.GroupInstances.Get(id)
		return !ok || m.Leaves() || m.Lifecycle == resource.MemberDetaching
	})
	desired := int(r.group.Spec.Desired)
	healthy := r.warm(seconds(f.Preferences.Warmup))
	if len(left) < len(*list) {
		f.Progress = r.now
	}
	least := (desired*int(f.Preferences.MinHealthy) + 99) / 100
	limit := r.checkpoint(f, total, len(left), healthy >= desired)
	for i := 0; i < len(left) && total-len(left) < limit; {
		m, _ := r.tx.GroupInstances.Get(left[i])
		waits := m.Protected && f.Preferences.Protected == "Wait" || !m.Counts() && f.Preferences.Standby == "Wait"
		free := healthy-r.size(m) >= least || r.allowance() == 0 && healthy >= desired
		if waits || m.Counts() && !free {
			i++
			continue
		}
		cause := fmt.Sprintf("At %s an instance was taken out of service in response to an instance refresh.  At %s instance %s was selected for termination.", stamp(r.now), stamp(r.now), m.Instance)
		if err := r.sendOff(m, cause); err != nil {
			return err
		}
		if m.Lifecycle == resource.MemberInService {
			healthy -= r.size(m)
		}
		left = slices.Delete(left, i, i+1)
		f.Progress = r.now
	}
	*list = left
	r.count(f, total, len(left), max(desired-healthy, 0))
	return r.conclude(f, total, len(left), limit, healthy >= desired)
}

// count says how far the refresh is; fresh are the replacements that are not in service yet.
func (r *round) count(f *resource.InstanceRefresh, total, left, fresh int) {
	percent := int32(100)
	if total > 0 {
		percent = int32(max(total-left-fresh, 0) * 100 / total) //nolint:gosec // at most 100
	}
	if f.State == resource.RefreshRollbackInProgress {
		f.RollbackPercent = percent
	} else {
		f.Percent = percent
	}
}

// conclude ends a refresh that is done, or does not get on.
func (r *round) conclude(f *resource.InstanceRefresh, total, left, limit int, well bool) error {
	last := f.Checkpoint >= len(f.Preferences.Checkpoints)
	stalled := r.now.Sub(f.Progress) >= refreshStall && f.Paused.IsZero()
	rollback := f.State == resource.RefreshRollbackInProgress
	switch {
	case (left == 0 || last && total-left >= limit) && well && r.fits():
		if f.Preferences.BakeTime > 0 && !rollback {
			f.State, f.Baking = resource.RefreshBaking, r.now
			r.later(seconds(f.Preferences.BakeTime))
			return nil
		}
		r.succeed(f)
	case stalled && rollback:
		f.State, f.Reason, f.Ended = resource.RefreshRollbackFailed, r.stalled(), r.now
	case stalled && f.Preferences.AutoRollback:
		f.State, f.RollbackStarted, f.RollbackReason = resource.RefreshRollbackInProgress, r.now, r.stalled()
		r.later(time.Millisecond)
	case stalled:
		f.State, f.Reason, f.Ended = resource.RefreshFailed, r.stalled(), r.now
	default:
		r.later(f.Progress.Add(refreshStall).Sub(r.now))
	}
	return nil
}

func (r *round) stalled() string {
	if w := r.group.Status.Waiting; w != "" {
		return "Instance Refresh failed: instances could not be launched. " + w
	}
	return "Instance Refresh failed: no instance could be replaced within an hour."
}

// succeed ends a refresh, or a rollback, that has replaced all.
func (r *round) succeed(f *resource.InstanceRefresh) {
	f.Ended = r.now
	if f.State == resource.RefreshRollbackInProgress {
		f.State = resource.RefreshRollbackSuccessful
		return
	}
	f.State, f.Percent = resource.RefreshSuccessful, 100
	if f.Desired != nil {
		r.group.Spec.Launch(*f.Desired)
	}
}

// warm counts the healthy members in service that have warmed up.
func (r *round) warm(warmup time.Duration) (n int) {
	for _, m := range r.members {
		if m.Lifecycle != resource.MemberInService || m.Health != resource.MemberHealthy {
			continue
		}
		if left := m.Served.Add(warmup).Sub(r.now); left > 0 && !slices.Contains(*todo(r.rolling), m.Instance) {
			r.later(left)
			continue
		}
		n += r.size(m)
	}
	return n
}

// checkpoint is how many instances may be replaced before the next pause. A refresh pauses
// when that many have been, and are in service.
func (r *round) checkpoint(f *resource.InstanceRefresh, total, left int, well bool) int {
	marks := f.Preferences.Checkpoints
	if f.State == resource.RefreshRollbackInProgress || len(marks) == 0 {
		return total
	}
	limitOf := func(i int) int { return (total*int(marks[min(i, len(marks)-1)]) + 99) / 100 }
	if limit := limitOf(f.Checkpoint); f.Checkpoint < len(marks) && total-left >= limit && well {
		if f.Paused.IsZero() {
			f.Paused = r.now
		}
		if wait := f.Paused.Add(seconds(f.Preferences.CheckpointWait)).Sub(r.now); wait > 0 {
			r.later(wait)
			return limit
		}
		f.Checkpoint, f.Paused, f.Progress = f.Checkpoint+1, time.Time{}, r.now
	}
	return limitOf(f.Checkpoint)
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
