package insight

import "testing"

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		at, to, kubelet string
		want            Status
	}{
		{"1.34", "1.35", "v1.34.4-eks-1", Passing},
		{"1.34", "1.35", "v1.32.4-eks-1", Passing},
		{"1.34", "1.35", "v1.31.4-eks-1", Error},
		{"1.34", "1.36", "v1.32.4-eks-1", Warning}, // of the version after the next
		{"1.36", "1.35", "v1.36.3-eks-1", Error},   // of a rollback
		{"1.36", "1.35", "v1.35.4-eks-1", Passing},
		{"1.34", "1.35", "", Passing},
		{"1.34", "nonsense", "v1.34.4", Unknown},
	} {
		f := Facts{Version: c.at, Nodes: []Node{{Name: "n", Kubelet: c.kubelet}}}
		var got Insight
		for _, i := range Of(f, Upgrade, c.to) {
			if i.Name == KubeletSkew {
				got = i
			}
		}
		if got.Status != c.want || got.Reason == "" || (c.want == Error) != (len(got.Resources) == 1 && got.Resources[0].Status == Error) {
			t.Errorf("from %s to %s with kubelet %q: %+v", c.at, c.to, c.kubelet, got)
		}
	}
}
