package cluster

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"ekster.dev/ekster/internal/resource"
)

// usageKept is for how long the use of a deprecated API is remembered, in days.
const usageKept = 30

const day = "2006-01-02"

// deprecatedAPIs asks an API server which APIs that will be removed it was asked for, and
// what to use instead. Its counts begin when it is started, which counter names.
func deprecatedAPIs(ctx context.Context, client *kubernetes.Clientset) (found []resource.DeprecatedAPI, counter string, err error) {
	metrics, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("looking for deprecated APIs: %w", err)
	}
	found, counter, err = deprecatedIn(string(metrics))
	if err != nil || len(found) == 0 {
		return found, counter, err
	}
	groups, err := client.Discovery().ServerGroups()
	if err != nil {
		return nil, "", fmt.Errorf("looking for what replaces deprecated APIs: %w", err)
	}
	for i, api := range found {
		for _, g := range groups.Groups {
			if g.Name == api.Group && g.PreferredVersion.Version != api.Version {
				found[i].Replacement = g.PreferredVersion.Version
			}
		}
	}
	return found, counter, nil
}

type apiKey struct{ group, version, resource string }

func keyOf(a resource.DeprecatedAPI) apiKey { return apiKey{a.Group, a.Version, a.Resource} }

var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// deprecatedIn reads them from the API server's metrics. One that no version has removed
// yet is left out.
func deprecatedIn(metrics string) (found []resource.DeprecatedAPI, counter string, err error) {
	counts := map[apiKey]int64{}
	for line := range strings.Lines(metrics) {
		name, rest, labelled := strings.Cut(line, "{")
		value := strings.TrimSpace(line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1:])
		if !labelled {
			if strings.HasPrefix(line, "process_start_time_seconds ") {
				counter = value
			}
			continue
		}
		if name != "apiserver_requested_deprecated_apis" && name != "apiserver_request_total" {
			continue
		}
		at := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(rest, -1) {
			at[m[1]] = m[2]
		}
		api := apiKey{at["group"], at["version"], at["resource"]}
		if name == "apiserver_request_total" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, "", fmt.Errorf("metric %q: %w", line, err)
			}
			counts[api] += int64(n)
		} else if at["removed_release"] != "" && !slices.ContainsFunc(found, func(f resource.DeprecatedAPI) bool { return keyOf(f) == api }) {
			found = append(found, resource.DeprecatedAPI{Group: api.group, Version: api.version, Resource: api.resource, Removed: at["removed_release"]})
		}
	}
	if counter == "" {
		return nil, "", fmt.Errorf("the API server's metrics do not say when it was started")
	}
	for i, f := range found {
		found[i].Counted = counts[keyOf(f)]
	}
	return found, counter, nil
}

// remember adds to the use of deprecated APIs that is known what was found now, and forgets
// what is too long ago. What an API server had counted when it ended after the last look is
// not known.
func remember(known, found resource.Inspection, now time.Time) (out []resource.DeprecatedAPI) {
	today, oldest := now.UTC().Format(day), now.UTC().AddDate(0, 0, -usageKept).Format(day)
	all := map[apiKey]resource.DeprecatedAPI{}
	for _, a := range known.Deprecated {
		if known.Counter != found.Counter {
			a.Counted = 0
		}
		all[keyOf(a)] = a
	}
	for _, f := range found.Deprecated {
		before := all[keyOf(f)]
		f.Days, f.Last = maps.Clone(before.Days), before.Last
		if more := f.Counted - before.Counted; more > 0 {
			if f.Days == nil {
				f.Days = map[string]int64{}
			}
			f.Days[today] += more
			f.Last = now
		}
		all[keyOf(f)] = f
	}
	for _, a := range all {
		a.Days = maps.Clone(a.Days)
		maps.DeleteFunc(a.Days, func(d string, _ int64) bool { return d <= oldest })
		// One that is not used any more stays as long as its count goes on.
		if len(a.Days) > 0 || a.Counted > 0 {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b resource.DeprecatedAPI) int {
		return strings.Compare(fmt.Sprint(keyOf(a)), fmt.Sprint(keyOf(b)))
	})
	return out
}
