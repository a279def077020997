package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// A line is one figure of the report.
type line struct {
	Figure  string    `json:"figure"`
	What    string    `json:"what"`
	Value   float64   `json:"value"`
	Unit    string    `json:"unit"`
	Floor   float64   `json:"floor,omitempty"` // measured in the same run
	Ratio   float64   `json:"ratio,omitempty"` // of value to floor
	Limit   string    `json:"limit,omitempty"`
	Pass    *bool     `json:"pass,omitempty"` // absent without a limit
	Samples []float64 `json:"samples,omitempty"`
	Note    string    `json:"note,omitempty"`
}

type report struct {
	When    time.Time `json:"when"`
	CPUs    int       `json:"cpus"`
	Kernel  string    `json:"kernel"`
	Lines   []line    `json:"lines"`
	Errors  []string  `json:"errors,omitempty"`
	problem error
}

func newReport() *report {
	r := &report{When: time.Now().UTC(), CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		r.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return r
}

func (r *report) add(l line) { r.Lines = append(r.Lines, l) }

// atMost adds a line that passes if its value is at most limit.
func (r *report) atMost(l line, limit float64) {
	l.Limit, l.Pass = fmt.Sprintf("≤ %g %s", limit, l.Unit), new(l.Value <= limit)
	r.add(l)
}

// atLeast adds a line that passes if its value is at least limit.
func (r *report) atLeast(l line, limit float64) {
	l.Limit, l.Pass = fmt.Sprintf("≥ %g %s", limit, l.Unit), new(l.Value >= limit)
	r.add(l)
}

// ratio adds a line that passes if value is at most limit times floor.
func (r *report) ratio(l line, limit float64) {
	l.Ratio = l.Value / l.Floor
	l.Limit, l.Pass = fmt.Sprintf("≤ %g × floor", limit), new(l.Ratio <= limit)
	r.add(l)
}

func (r *report) failed(figure string, err error) {
	err = fmt.Errorf("figure %s: %w", figure, err)
	r.Errors, r.problem = append(r.Errors, err.Error()), errors.Join(r.problem, err)
}

func (r *report) err() error { return r.problem }

func (r *report) missed() (n int) {
	for _, l := range r.Lines {
		if l.Pass != nil && !*l.Pass {
			n++
		}
	}
	return n
}

func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "#\tWHAT\tVALUE\tFLOOR\tRATIO\tLIMIT\t\tNOTE")
	for _, l := range r.Lines {
		floor, ratio, verdict := "", "", ""
		if l.Floor != 0 {
			floor = fmt.Sprintf("%.4g %s", l.Floor, l.Unit)
		}
		if l.Ratio != 0 {
			ratio = fmt.Sprintf("%.2f", l.Ratio)
		}
		if l.Pass != nil {
			verdict = map[bool]string{true: "pass", false: "MISSED"}[*l.Pass]
		}
		fmt.Fprintf(w, "%s\t%s\t%.4g %s\t%s\t%s\t%s\t%s\t%s\n", l.Figure, l.What, l.Value, l.Unit, floor, ratio, l.Limit, verdict, l.Note)
	}
	w.Flush()
	fmt.Fprintf(out, "%d CPUs, Linux %s, %s\n", r.CPUs, r.Kernel, r.When.Format(time.RFC3339))
}

func (r *report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

// median is the middle of the samples, or the mean of the middle two.
func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func seconds(since time.Time) float64 { return time.Since(since).Seconds() }
