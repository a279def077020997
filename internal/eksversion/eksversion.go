// Package eksversion knows the Kubernetes versions that EKS publishes, and until when
// EKS supports each:
//
//	release ── 14 months standard ── 12 months extended ── unsupported
//
// The dates are those of the EKS user guide; those of 1.36 are not known to us at first
// hand and follow from the rule. Patch versions of the minor versions that Ekster builds
// are those of distro/, checked by a test.
//
// Whether a version can be had is not known here: callers say what payload is there.
package eksversion

import (
	"strconv"
	"strings"
	"time"
)

// preferred is the version that a new cluster gets if its payload is there.
const preferred = "1.35"

// A Version is one minor version as EKS offers it.
type Version struct {
	Minor       string // 1.35
	Patch       string // 1.35.4
	Platform    string // of a new cluster: eks.3
	Released    time.Time
	StandardEnd time.Time
	ExtendedEnd time.Time
}

// A Support is the phase of life that a version is in, as VersionStatus spells it.
type Support string

// The phases.
const (
	Standard    Support = "STANDARD_SUPPORT"
	Extended    Support = "EXTENDED_SUPPORT"
	Unsupported Support = "UNSUPPORTED"
)

var versions = [...]Version{
	{"1.36", "1.36.3", "eks.1", day("2026-06-02"), day("2027-08-02"), day("2028-08-02")},
	{"1.35", "1.35.4", "eks.3", day("2026-01-27"), day("2027-03-27"), day("2028-03-27")},
	{"1.34", "1.34.4", "eks.13", day("2025-10-02"), day("2026-12-02"), day("2027-12-02")},
	{"1.33", "1.33.7", "eks.27", day("2025-05-29"), day("2026-07-29"), day("2027-07-29")},
	{"1.32", "1.32.11", "eks.34", day("2025-01-23"), day("2026-03-23"), day("2027-03-23")},
	{"1.31", "1.31.14", "eks.50", day("2024-09-26"), day("2025-11-26"), day("2026-11-26")},
	{"1.30", "1.30.14", "eks.58", day("2024-05-23"), day("2025-07-23"), day("2026-07-23")},
}

// day is a date of the table above; the test sees that none is wrong.
func day(s string) time.Time {
	t, _ := time.Parse(time.DateOnly, s)
	return t
}

// All returns the versions, newest first.
func All() []Version { return append([]Version(nil), versions[:]...) }

// Lookup returns a minor version, and whether EKS has it.
func Lookup(minor string) (Version, bool) {
	for _, v := range versions {
		if v.Minor == minor {
			return v, true
		}
	}
	return Version{}, false
}

// Available returns the versions that have a payload, newest first.
func Available(payload func(minor string) bool) []Version {
	var out []Version
	for _, v := range versions {
		if payload(v.Minor) {
			out = append(out, v)
		}
	}
	return out
}

// Default returns the version of a cluster that asks for none: 1.35, or where its payload
// is absent the newest that is there. ok is false where there is none at all.
func Default(payload func(minor string) bool) (v Version, ok bool) {
	if payload(preferred) {
		return Lookup(preferred)
	}
	if all := Available(payload); len(all) > 0 {
		return all[0], true
	}
	return Version{}, false
}

// Support is the phase that the version is in.
func (v Version) Support(now time.Time) Support {
	switch {
	case now.Before(v.StandardEnd):
		return Standard
	case now.Before(v.ExtendedEnd):
		return Extended
	}
	return Unsupported
}

// Older returns the minor version that is n below minor: Older("1.35", 3) is "1.32". It
// is "" for what is no minor version.
func Older(minor string, n int) string {
	major, rest, ok := strings.Cut(minor, ".")
	m, err := strconv.Atoi(rest)
	if !ok || err != nil || m < n {
		return ""
	}
	return major + "." + strconv.Itoa(m-n)
}
