package node

import (
	"encoding/json"
	"testing"

	core "k8s.io/api/core/v1"

	"ekster.dev/ekster/internal/resource"
)

func TestChangePatch(t *testing.T) {
	n := &core.Node{Spec: core.NodeSpec{Taints: []core.Taint{{Key: "a", Effect: core.TaintEffectNoSchedule}}}}
	n.ResourceVersion = "7"
	for _, c := range []struct {
		change resource.NodeChange
		want   string
	}{
		{resource.NodeChange{Cordon: new(true), SetLabels: map[string]string{"l": "v"}}, `{"metadata":{"labels":{"l":"v"}},"spec":{"unschedulable":true}}`},
		{resource.NodeChange{Cordon: new(false), RemoveLabels: []string{"l"}}, `{"metadata":{"labels":{"l":null}},"spec":{"unschedulable":false}}`},
		{resource.NodeChange{RemoveTaints: []resource.Taint{{Key: "a", Effect: "NO_SCHEDULE"}}}, `{"metadata":{"labels":{},"resourceVersion":"7"},"spec":{"taints":[]}}`},
	} {
		got, err := json.Marshal(changePatch(n, c.change))
		if err != nil || string(got) != c.want {
			t.Errorf("%+v: %s, %v", c.change, got, err)
		}
		if c.change.Empty() {
			t.Errorf("%+v is nothing to change", c.change)
		}
	}
}
