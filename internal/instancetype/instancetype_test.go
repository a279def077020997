package instancetype

import (
	"strconv"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name string
		want Type
		pods int
	}{
		{"t3.medium", Type{"t3.medium", 2, 4096, 0, AMD64, 3, 6, "nitro", false, 0.0416}, 17},
		{"m5.large", Type{"m5.large", 2, 8192, 0, AMD64, 3, 10, "nitro", false, 0.096}, 29},
		{"a1.metal", Type{"a1.metal", 16, 32768, 0, ARM64, 8, 30, "unknown", true, 0.408}, 234},
	} {
		got, ok := Lookup(c.name)
		if !ok || got != c.want || MaxPods(got) != c.pods {
			t.Errorf("%s: got %+v, %v, %d pods", c.name, got, ok, MaxPods(got))
		}
	}
	for _, no := range []string{"", "a", "m5", "m5.larg", "m5.larger", "zzz.large", "t3.medium,2"} {
		if got, ok := Lookup(no); ok {
			t.Errorf("%q: got %+v", no, got)
		}
	}
}

func TestEveryLineIsFound(t *testing.T) {
	n := 0
	last := ""
	for ty := range All() {
		n++
		if ty.Name <= last {
			t.Errorf("%s comes after %s", ty.Name, last)
		}
		last = ty.Name
		if got, ok := Lookup(ty.Name); !ok || got != ty {
			t.Errorf("%s: got %+v, %v", ty.Name, got, ok)
		}
		if ty.VCPU < 1 || ty.MemoryMiB < 1 || ty.MaxENIs < 1 || ty.IPv4PerENI < 1 || (ty.Arch != AMD64 && ty.Arch != ARM64) {
			t.Errorf("odd facts: %+v", ty)
		}
	}
	if n != 1108 {
		t.Errorf("%d types", n)
	}
}

// What parse takes for granted.
func TestTableIsWellFormed(t *testing.T) {
	for line := range strings.Lines(table) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		if len(f) != 10 {
			t.Fatalf("%q has %d fields", line, len(f))
		}
		for _, i := range []int{1, 2, 3, 5, 6} {
			if _, err := strconv.Atoi(f[i]); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
		if f[9] != "" {
			if _, err := strconv.ParseFloat(f[9], 64); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
}

func TestWhatNamesSay(t *testing.T) {
	for name, want := range map[string]string{
		"m5.large": "Intel", "m5a.large": "AMD", "m7g.large": "AWS", "m6idn.large": "Intel", "g4ad.xlarge": "AMD", "c7a.large": "AMD",
		"u-3tb1.56xlarge": "Intel", "mac2.metal": "Apple", "mac1.metal": "Intel", "g5.xlarge": "AMD", "a1.large": "AWS",
	} {
		ty, ok := Lookup(name)
		if got := ty.Manufacturer(); !ok || got != want {
			t.Errorf("%s: got %s, %v", name, got, ok)
		}
	}
	for ty := range All() {
		if _, ok := ty.GPUModel(); ok && ty.GPU == 0 {
			t.Errorf("%s has no GPU", ty.Name)
		}
		if _, ok := ty.GPUModel(); !ok && ty.GPU > 0 {
			t.Errorf("the GPU of %s is not known", ty.Name)
		}
		if ty.Burstable() != strings.HasPrefix(ty.Family(), "t") && !strings.HasPrefix(ty.Family(), "trn") {
			t.Errorf("%s burstable: %v", ty.Name, ty.Burstable())
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for b.Loop() {
		if _, ok := Lookup("t3.medium"); !ok {
			b.Fatal("not found")
		}
	}
}

func TestCoresAndDisks(t *testing.T) {
	for _, c := range []struct {
		name    string
		threads int
		disks   bool
	}{
		{"t3.medium", 2, false}, {"t2.medium", 1, false}, {"m5.large", 2, false}, {"m5d.large", 2, true}, {"c6gd.large", 1, true},
		{"m6a.large", 2, false}, {"m7a.large", 1, false}, {"c7g.large", 1, false}, {"i3.large", 2, true}, {"im4gn.large", 1, true},
		{"g4dn.xlarge", 2, true}, {"g5g.xlarge", 1, false}, {"inf1.xlarge", 2, false}, {"x1e.xlarge", 2, true}, {"d3en.xlarge", 2, true},
		{"m3.medium", 0, false}, {"r5b.large", 2, false},
	} {
		got, ok := Lookup(c.name)
		if !ok || got.ThreadsPerCore() != c.threads || got.HasDisks() != c.disks {
			t.Errorf("%s, %t: %d threads, disks %t", c.name, ok, got.ThreadsPerCore(), got.HasDisks())
		}
	}
}
