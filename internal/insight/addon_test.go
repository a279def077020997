package insight

import "testing"

func TestAddons(t *testing.T) {
	proxy := Addon{Name: "kube-proxy", ARN: "arn", Version: "v1.35", RunsOn: map[string][]string{"1.35": {"v1.35", "v1.34"}, "1.36": {"v1.36", "v1.35"}, "1.37": {"v1.37"}}}
	for _, c := range []struct {
		at, to  string
		version string
		want    Status
	}{
		{"1.35", "1.36", "v1.35", Passing},
		{"1.35", "1.36", "v1.34", Error},
		{"1.35", "1.37", "v1.35", Warning},
		{"1.36", "1.35", "v1.36", Error}, // a rollback
		{"1.36", "1.35", "v1.35", Passing},
	} {
		proxy.Version = c.version
		var got Insight
		for _, i := range Of(Facts{Version: c.at, Addons: []Addon{proxy}}, Upgrade, c.to) {
			if i.Name == AddonVersions {
				got = i
			}
		}
		bad := c.want != Passing
		if got.Status != c.want || bad != (len(got.Resources) == 1 && got.Resources[0].ARN == "arn") || bad != (len(got.Addons) == 1) {
			t.Errorf("from %s to %s with %s: %+v", c.at, c.to, c.version, got)
		}
	}
}
