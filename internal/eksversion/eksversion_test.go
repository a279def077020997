package eksversion

import (
	"os"
	"regexp"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	platform := regexp.MustCompile(`^eks\.\d+$`)
	for i, v := range All() {
		if v.Released.IsZero() || !v.Released.Before(v.StandardEnd) || v.ExtendedEnd != v.StandardEnd.AddDate(1, 0, 0) {
			t.Errorf("%s: dates %s, %s, %s", v.Minor, v.Released, v.StandardEnd, v.ExtendedEnd)
		}
		if len(v.Patch) <= len(v.Minor) || v.Patch[:len(v.Minor)+1] != v.Minor+"." || !platform.MatchString(v.Platform) {
			t.Errorf("%s: patch %s, platform %s", v.Minor, v.Patch, v.Platform)
		}
		if i > 0 && Older(All()[i-1].Minor, 1) != v.Minor {
			t.Errorf("%s follows %s", v.Minor, All()[i-1].Minor)
		}
	}
}

// What Ekster builds is what it says that it runs.
func TestPatchesAreThoseOfTheDistro(t *testing.T) {
	module := regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes v(1\.\d+)(\.\d+)`)
	for _, f := range []string{"../../distro/go.mod", "../../distro/1.34.mod", "../../distro/1.36.mod"} {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m := module.FindSubmatch(raw)
		if m == nil {
			t.Fatalf("%s requires no k8s.io/kubernetes", f)
		}
		v, ok := Lookup(string(m[1]))
		if !ok || v.Patch != string(m[1])+string(m[2]) {
			t.Errorf("%s builds %s%s, the table has %q", f, m[1], m[2], v.Patch)
		}
	}
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		have []string
		want string
	}{
		{[]string{"1.34", "1.35", "1.36"}, "1.35"},
		{[]string{"1.34", "1.36"}, "1.36"},
		{[]string{"1.34"}, "1.34"},
		{[]string{"1.12"}, ""},
	} {
		v, ok := Default(func(minor string) bool {
			for _, h := range c.have {
				if h == minor {
					return true
				}
			}
			return false
		})
		if v.Minor != c.want || ok != (c.want != "") {
			t.Errorf("of %v the default is %q", c.have, v.Minor)
		}
	}
}

func TestSupport(t *testing.T) {
	v, _ := Lookup("1.31")
	for _, c := range []struct {
		at   string
		want Support
	}{{"2025-11-25", Standard}, {"2025-11-26", Extended}, {"2026-11-20", Extended}, {"2026-11-26", Unsupported}} {
		at, err := time.Parse(time.DateOnly, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Support(at); got != c.want {
			t.Errorf("on %s 1.31 is in %s", c.at, got)
		}
	}
}
