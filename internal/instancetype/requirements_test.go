package instancetype

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestRequirements(t *testing.T) {
	for _, c := range []struct{ json, has, not string }{
		{`{"VCpuCount":{"Min":2,"Max":2},"MemoryMiB":{"Min":8192,"Max":8192}}`, "m5.large m6g.large m5d.large", "t3.large m5.xlarge c5.large"},
		{`{"VCpuCount":{"Min":2,"Max":2},"MemoryMiB":{"Min":0},"BurstablePerformance":"required"}`, "t3.large t4g.nano", "m5.large"},
		{`{"VCpuCount":{"Min":2},"MemoryMiB":{"Min":0},"CpuManufacturers":["amazon-web-services"]}`, "m6g.large", "m6i.large m6a.large m6g.metal"},
		{`{"VCpuCount":{"Min":0},"MemoryMiB":{"Min":0},"AllowedInstanceTypes":["c5*.large"],"LocalStorage":"excluded"}`, "c5.large c5n.large", "c5d.large m5.large"},
		{`{"VCpuCount":{"Min":0},"MemoryMiB":{"Min":0},"ExcludedInstanceTypes":["m5*"],"InstanceGenerations":["current"]}`, "m6i.large", "m5.large m5d.large m3.large"},
		{`{"VCpuCount":{"Min":0},"MemoryMiB":{"Min":0},"AcceleratorNames":["t4"],"AcceleratorCount":{"Max":1}}`, "g4dn.xlarge", "g4dn.12xlarge g5.xlarge m5.large"},
		{`{"VCpuCount":{"Min":0},"MemoryMiB":{"Min":0},"AcceleratorCount":{"Max":0},"MemoryGiBPerVCpu":{"Min":8,"Max":8}}`, "r5.large", "m5.large p3.2xlarge"},
	} {
		var q Requirements
		if err := json.Unmarshal([]byte(c.json), &q); err != nil {
			t.Fatal(err)
		}
		var got []string
		for k := range All() {
			if q.Match(k) {
				got = append(got, k.Name)
			}
		}
		for _, name := range strings.Fields(c.has) {
			if !slices.Contains(got, name) {
				t.Errorf("%s: without %s", c.json, name)
			}
		}
		for _, name := range strings.Fields(c.not) {
			if slices.Contains(got, name) {
				t.Errorf("%s: with %s", c.json, name)
			}
		}
	}
	var q Requirements
	if err := json.Unmarshal([]byte(`{"NetworkBandwidthGbps":{"Min":10},"RequireHibernateSupport":false}`), &q); err != nil || !slices.Equal(q.Unknown(), []string{"NetworkBandwidthGbps"}) {
		t.Errorf("%v, %v", q.Unknown(), err)
	}
}
