package autoscalinggroup

import (
	"fmt"

	"ekster.dev/ekster/internal/resource"
)

// retire sends off the member that has been there longest, if that is longer than the group's
// instances are to live: one at a time, each once the group rests again.
func (r *round) retire() error {
	limit := seconds(r.group.Spec.MaxInstanceLifetime)
	if limit == 0 || r.group.Deleting || r.rolling != nil || r.group.Spec.Suspended("Terminate") || r.group.Spec.Suspended("Launch") || !r.rests() {
		return nil
	}
	var oldest resource.GroupInstance
	for _, m := range r.live() {
		if oldest.Instance == "" || m.Joined.Before(oldest.Joined) {
			oldest = m
		}
	}
	if oldest.Instance == "" {
		return nil
	}
	if left := oldest.Joined.Add(limit).Sub(r.now); left > 0 {
		r.later(left)
		return nil
	}
	return r.sendOff(oldest, fmt.Sprintf("At %s an instance was taken out of service in response to the maximum instance lifetime of the group.", stamp(r.now)))
}
