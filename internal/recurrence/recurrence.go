// Package recurrence says when a scheduled action comes next: Auto Scaling's recurrences are
// the five fields of Unix cron (minute, hour, day of the month, month, day of the week) in a
// time zone of the IANA's names.
//
// It executes nothing.
package recurrence

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a host without zoneinfo

	"github.com/robfig/cron/v3"
)

// parser reads the five fields; no descriptors such as @hourly, which Auto Scaling does not know.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Next is the first time after now, the zero time if there is none. An empty zone is UTC.
func Next(fields, zone string, now time.Time) (time.Time, error) {
	if strings.Contains(fields, "TZ=") || strings.Contains(fields, "?") { // the parser's own extensions
		return time.Time{}, fmt.Errorf("recurrence %q is not five fields of cron", fields)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("time zone %q: %w", zone, err)
	}
	s, err := parser.Parse(fields)
	if err != nil {
		return time.Time{}, fmt.Errorf("recurrence %q: %w", fields, err)
	}
	return s.Next(now.In(loc)).UTC(), nil
}
