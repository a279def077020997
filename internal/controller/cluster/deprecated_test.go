package cluster

import (
	"fmt"
	"testing"
	"time"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const metrics = `# HELP apiserver_requested_deprecated_apis [STABLE] Gauge
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.36",resource="flowschemas",subresource="",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="flowcontrol.apiserver.k8s.io",removed_release="1.36",resource="flowschemas",subresource="status",version="v1beta3"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="endpoints",subresource="",version="v1"} 1
apiserver_request_total{code="200",group="flowcontrol.apiserver.k8s.io",resource="flowschemas",verb="GET",version="v1"} 100
apiserver_request_total{code="200",group="flowcontrol.apiserver.k8s.io",resource="flowschemas",verb="GET",version="v1beta3"} 7
apiserver_request_total{code="200",group="flowcontrol.apiserver.k8s.io",resource="flowschemas",verb="LIST",version="v1beta3"} 2
process_start_time_seconds 1.7e+09
`

func TestDeprecatedIn(t *testing.T) {
	got, counter, err := deprecatedIn(metrics)
	if err != nil || counter != "1.7e+09" {
		t.Errorf("counted since %s: %v", counter, err)
	}
	want := []resource.DeprecatedAPI{{Group: "flowcontrol.apiserver.k8s.io", Version: "v1beta3", Resource: "flowschemas", Removed: "1.36", Counted: 9}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	if _, _, err := deprecatedIn("# nothing\n"); err == nil {
		t.Error("metrics that say nothing are taken for those of an API server")
	}
}

// The use of an API is kept for thirty days, beyond the life of the API server that counts.
func TestRemember(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var known resource.Inspection
	look := func(counter string, count int64) string {
		t.Helper()
		found := resource.Inspection{Counter: counter}
		if count > 0 {
			found.Deprecated = []resource.DeprecatedAPI{{Group: "g", Version: "v1beta1", Resource: "r", Removed: "1.36", Counted: count}}
		}
		found.Deprecated = remember(known, found, now)
		known = found
		if len(known.Deprecated) == 0 {
			return "none"
		}
		a := known.Deprecated[0]
		return fmt.Sprint(a.Days, " ", a.Last.Format(day))
	}
	for _, c := range []struct {
		days    int // since the look before
		counter string
		count   int64
		want    string
	}{
		{0, "a", 0, "none"},
		{0, "a", 5, "map[2026-11-01:5] 2026-11-01"},
		{1, "a", 5, "map[2026-11-01:5] 2026-11-01"},
		{1, "a", 6, "map[2026-11-01:5 2026-11-03:1] 2026-11-03"},
		{1, "b", 0, "map[2026-11-01:5 2026-11-03:1] 2026-11-03"}, // another API server
		{1, "b", 7, "map[2026-11-01:5 2026-11-03:1 2026-11-05:7] 2026-11-05"},
		{26, "b", 7, "map[2026-11-03:1 2026-11-05:7] 2026-11-05"},
		{4, "b", 7, "map[] 2026-11-05"},
		{1, "b", 8, "map[2026-12-06:1] 2026-12-06"},
		{40, "c", 0, "none"},
	} {
		now = now.AddDate(0, 0, c.days)
		if got := look(c.counter, c.count); got != c.want {
			t.Errorf("on %s, %d counted by %s: %s, want %s", now.Format(day), c.count, c.counter, got, c.want)
		}
	}
}

// An insight's verdict is as old as the first look at which it was so.
func TestVerdicts(t *testing.T) {
	w := newWorld(t)
	says := "PASSING"
	w.c.cfg.Verdicts = func(*store.Tx, resource.Cluster, time.Time) map[string]string { return map[string]string{"id": says} }
	w.settle()
	first := w.now
	look := func() resource.Verdict {
		w.now = w.now.Add(25 * time.Hour)
		w.settle()
		cl, _ := w.cluster()
		return cl.Status.Inspection.Verdicts["id"]
	}
	if v := look(); v.Status != "PASSING" || v.Since.After(first) {
		t.Errorf("%+v, first seen at %s", v, first)
	}
	says = "ERROR"
	if v := look(); v.Status != "ERROR" || !v.Since.Equal(w.now) {
		t.Errorf("%+v, now it is %s", v, w.now)
	}
}
