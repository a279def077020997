package node

import (
	"fmt"
	"testing"

	core "k8s.io/api/core/v1"
)

// A node monitoring agent's conditions are bad when they are False, the kubelet's Ready also
// when nobody knows, and pressures when they are True.
func TestBadConditions(t *testing.T) {
	n := &core.Node{}
	for _, c := range []struct {
		kind   core.NodeConditionType
		status core.ConditionStatus
	}{
		{"MemoryPressure", "False"}, {"DiskPressure", "True"}, {"KernelReady", "False"}, {"StorageReady", "True"}, {"NetworkingReady", "Unknown"}, {"Ready", "Unknown"},
	} {
		n.Status.Conditions = append(n.Status.Conditions, core.NodeCondition{Type: c.kind, Status: c.status, Reason: string(c.status)})
	}
	var got []string
	for _, c := range see("c", n).record.Conditions {
		got = append(got, c.Type+"="+c.Reason)
	}
	if want := "[DiskPressure=True KernelReady=False Ready=Unknown]"; fmt.Sprint(got) != want {
		t.Errorf("bad are %v, want %s", got, want)
	}
}
