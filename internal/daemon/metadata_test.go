package daemon

import (
	"testing"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// A machine of a group learns from its metadata service where it is on its way to: what
// is to do before the end of an instance looks there for Terminated.
func TestTargetLifecycleState(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d := &Daemon{store: st}
	const id = "i-0123456789abcdef0"
	for _, c := range []struct{ lifecycle, want string }{
		{resource.MemberPendingWait, "InService"},
		{resource.MemberInService, "InService"},
		{resource.MemberEnteringStandby, "Standby"},
		{resource.MemberDetaching, "Detached"},
		{resource.MemberTerminatingWait, "Terminated"},
		{resource.MemberTerminatingProceed, "Terminated"},
		{"", ""},
	} {
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			tx.GroupInstances.Delete(id)
			if c.lifecycle != "" {
				tx.GroupInstances.Put(id, resource.GroupInstance{Instance: id, Group: "arn", Lifecycle: c.lifecycle})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = st.View(func(tx *store.Tx) error {
			if got := d.describeInstance(tx, resource.Instance{ID: id}).LifecycleState; got != c.want {
				t.Errorf("%s: got %q, want %q", c.lifecycle, got, c.want)
			}
			return nil
		})
	}
}
