package recurrence

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, time.March, 6, 12, 30, 30, 0, time.UTC) // a Friday
	for _, c := range []struct{ fields, zone, want string }{
		{"*/15 * * * *", "", "2026-03-06T12:45:00Z"},
		{"0 6 * * 1-5", "", "2026-03-09T06:00:00Z"},
		{"0 6 1 * MON", "", "2026-03-09T06:00:00Z"}, // either day will do
		{"30 9 * * *", "America/New_York", "2026-03-06T14:30:00Z"},
		{"0 12 8 3 *", "America/New_York", "2026-03-08T16:00:00Z"}, // the clock has moved that night
		{"0 0 30 2 *", "", "0001-01-01T00:00:00Z"},
	} {
		got, err := Next(c.fields, c.zone, now)
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%q in %q: %s, %v; want %s", c.fields, c.zone, got, err, c.want)
		}
	}
	for _, c := range [][2]string{{"0 0 6 * * 1-5", ""}, {"0 6 ? * 1", ""}, {"cron(0 6 * * *)", ""}, {"@hourly", ""}, {"TZ=UTC 0 6 * * *", ""}, {"61 * * * *", ""}, {"0 6 * * *", "Mars/Base"}} {
		if got, err := Next(c[0], c[1], now); err == nil {
			t.Errorf("%q in %q is %s", c[0], c[1], got)
		}
	}
}
