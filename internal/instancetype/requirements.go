package instancetype

import (
	"path"
	"slices"
	"strings"
)

// A Range is what a number may be; a bound that is nil bounds nothing.
type Range[N int | float64] struct{ Min, Max *N }

func (r *Range[N]) admits(n N) bool {
	return r == nil || (r.Min == nil || n >= *r.Min) && (r.Max == nil || n <= *r.Max)
}

// Requirements say what types are wanted by what they have. Its members have the names of
// EC2's InstanceRequirements, as whose JSON it is read.
type Requirements struct {
	VCpuCount                 *Range[int]
	MemoryMiB                 *Range[int]
	MemoryGiBPerVCpu          *Range[float64]
	NetworkInterfaceCount     *Range[int]
	AcceleratorCount          *Range[int]
	AcceleratorTotalMemoryMiB *Range[int]
	CpuManufacturers          []string
	AcceleratorManufacturers  []string
	AcceleratorNames          []string
	AcceleratorTypes          []string
	AllowedInstanceTypes      []string // patterns with *
	ExcludedInstanceTypes     []string // patterns with *
	InstanceGenerations       []string // current, previous
	BareMetal                 string   // included, required, excluded: the default
	BurstablePerformance      string   // as BareMetal
	LocalStorage              string   // as BareMetal, included by default

	// What the table says nothing about.
	RequireHibernateSupport    *bool
	RequireEncryptionInTransit *bool
	LocalStorageTypes          []string
	TotalLocalStorageGB        *Range[float64]
	BaselineEbsBandwidthMbps   *Range[int]
	NetworkBandwidthGbps       *Range[float64]
	BaselinePerformanceFactors *struct{}
}

// Unknown names the requirements by which types cannot be told apart here.
func (q Requirements) Unknown() (names []string) {
	for _, r := range []struct {
		name  string
		given bool
	}{
		{"RequireHibernateSupport", q.RequireHibernateSupport != nil && *q.RequireHibernateSupport},
		{"RequireEncryptionInTransit", q.RequireEncryptionInTransit != nil && *q.RequireEncryptionInTransit},
		{"LocalStorageTypes", len(q.LocalStorageTypes) > 0},
		{"TotalLocalStorageGB", q.TotalLocalStorageGB != nil},
		{"BaselineEbsBandwidthMbps", q.BaselineEbsBandwidthMbps != nil},
		{"NetworkBandwidthGbps", q.NetworkBandwidthGbps != nil},
		{"BaselinePerformanceFactors", q.BaselinePerformanceFactors != nil},
	} {
		if r.given {
			names = append(names, r.name)
		}
	}
	return names
}

// manufacturers are those of processors and accelerators as requirements spell them.
var manufacturers = map[string]string{
	"Intel": "intel", "AMD": "amd", "AWS": "amazon-web-services", "Apple": "apple", "NVIDIA": "nvidia", "Habana": "habana",
}

// Match says whether a type is what is wanted, but for its price.
func (q Requirements) Match(t Type) bool {
	generation := "current"
	if !t.Current() {
		generation = "previous"
	}
	switch {
	case !q.VCpuCount.admits(t.VCPU), !q.MemoryMiB.admits(t.MemoryMiB), !q.NetworkInterfaceCount.admits(t.MaxENIs),
		!q.MemoryGiBPerVCpu.admits(float64(t.MemoryMiB) / 1024 / float64(max(t.VCPU, 1))),
		!allows(q.BareMetal, "excluded", t.BareMetal), !allows(q.BurstablePerformance, "excluded", t.Burstable()), !allows(q.LocalStorage, "included", t.HasDisks()),
		len(q.CpuManufacturers) > 0 && !slices.Contains(q.CpuManufacturers, manufacturers[t.Manufacturer()]),
		len(q.InstanceGenerations) > 0 && !slices.Contains(q.InstanceGenerations, generation),
		len(q.AllowedInstanceTypes) > 0 && !like(q.AllowedInstanceTypes, t.Name),
		like(q.ExcludedInstanceTypes, t.Name):
		return false
	}
	return q.matchAccelerators(t)
}

func (q Requirements) matchAccelerators(t Type) bool {
	g, ok := t.GPUModel()
	if !q.AcceleratorCount.admits(t.GPU) {
		return false
	}
	wanted := len(q.AcceleratorManufacturers)+len(q.AcceleratorNames)+len(q.AcceleratorTypes) > 0 || q.AcceleratorTotalMemoryMiB != nil
	if !wanted {
		return true
	}
	name := strings.ReplaceAll(strings.ToLower(g.Name), " ", "-")
	return ok && q.AcceleratorTotalMemoryMiB.admits(t.GPU*g.MemoryMiB) &&
		(len(q.AcceleratorManufacturers) == 0 || slices.Contains(q.AcceleratorManufacturers, manufacturers[g.Manufacturer])) &&
		(len(q.AcceleratorNames) == 0 || slices.Contains(q.AcceleratorNames, name)) &&
		(len(q.AcceleratorTypes) == 0 || slices.Contains(q.AcceleratorTypes, "gpu"))
}

// allows says whether included, required or excluded lets a type in that has something.
func allows(word, otherwise string, has bool) bool {
	if word == "" {
		word = otherwise
	}
	return word == "included" || has == (word == "required")
}

// like says whether a pattern is that of a type's name.
func like(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
