package lifecycle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Ways that EKS goes, from the API reference and the user guide: "" is before the first
// state and after the last.
var ways = map[string]map[string]string{
	"cluster": {
		"":         "CREATING",
		"CREATING": "ACTIVE FAILED DELETING",
		"ACTIVE":   "UPDATING DELETING",
		"UPDATING": "ACTIVE",
		"FAILED":   "DELETING",
		"DELETING": "",
	},
	"nodegroup": {
		"":              "CREATING",
		"CREATING":      "ACTIVE CREATE_FAILED DELETING",
		"ACTIVE":        "UPDATING DEGRADED DELETING",
		"UPDATING":      "ACTIVE DEGRADED DELETING",
		"DEGRADED":      "ACTIVE UPDATING DELETING",
		"CREATE_FAILED": "DELETING",
		"DELETING":      " DELETE_FAILED",
		"DELETE_FAILED": "DELETING",
	},
	"addon": {
		"":              "CREATING",
		"CREATING":      "ACTIVE DEGRADED CREATE_FAILED DELETING",
		"ACTIVE":        "DEGRADED UPDATING DELETING",
		"DEGRADED":      "ACTIVE UPDATING DELETING",
		"UPDATING":      "ACTIVE DEGRADED UPDATE_FAILED DELETING",
		"UPDATE_FAILED": "UPDATING DELETING",
		"CREATE_FAILED": "UPDATING DELETING",
		"DELETING":      " DELETE_FAILED",
		"DELETE_FAILED": "DELETING",
	},
	"identity provider": {
		"":         "CREATING",
		"CREATING": "ACTIVE ",
		"ACTIVE":   "DELETING",
		"DELETING": " ACTIVE",
	},
	"update": {
		"":           "InProgress",
		"InProgress": "Successful Failed Cancelled",
	},
}

// final are the states in which nothing goes on.
var final = strings.Fields("ACTIVE FAILED CREATE_FAILED DEGRADED DELETE_FAILED UPDATE_FAILED Successful Failed Cancelled")

// A thing is one of what has a status machine.
type thing struct {
	kind    string
	name    string
	cluster string // name; of the others
	status  string
	version string // of a cluster or a node group: what its description shows
	before  string // of a cluster: the version that it can go back to
	// Of an update:
	of     string // key of the thing updated
	what   string // type
	errors int
}

// A view is all things as one commit has left them, by key.
type view map[string]thing

// look reads the states as the API shows them.
func look(tx *store.Tx) view {
	v := view{}
	for arn, c := range tx.Clusters.All() {
		v[arn] = thing{kind: "cluster", name: c.Name, status: c.Current(), version: c.Version()}
	}
	for arn, n := range tx.Nodegroups.All() {
		v[arn] = thing{kind: "nodegroup", name: n.Name, cluster: clusterOf(n.Cluster), status: n.Current(), version: n.Rolled().Version}
	}
	addons := map[string]string{}
	for arn, a := range tx.Addons.All() {
		v[arn] = thing{kind: "addon", name: a.Name, cluster: clusterOf(a.Cluster), status: a.Current()}
		addons[a.Cluster+a.Name] = arn
	}
	for arn, p := range tx.IdentityProviders.All() {
		v[arn] = thing{kind: "identity provider", name: p.Name, cluster: clusterOf(p.Cluster), status: p.Current()}
	}
	for key, e := range tx.AccessEntries.All() {
		v[key] = thing{kind: "access entry", name: e.Principal, cluster: clusterOf(e.Cluster)}
	}
	for id, u := range tx.Updates.All() {
		of := u.Cluster
		switch {
		case u.Nodegroup != "":
			of = u.Nodegroup
		case u.Addon != "":
			of = addons[u.Cluster+u.Addon]
		}
		v[id] = thing{kind: "update", name: id, cluster: clusterOf(u.Cluster), status: u.State, of: of, what: u.Type, errors: len(u.Errors)}
	}
	return v
}

func clusterOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// busy counts the updates of a thing that are under way.
func (v view) busy(key string) (n int) {
	for _, t := range v {
		if t.kind == "update" && t.of == key && t.status == resource.UpdateInProgress {
			n++
		}
	}
	return n
}

// of finds a thing by what callers call it.
func (v view) of(kind, cluster, name string) (string, thing, bool) {
	for key, t := range v {
		if t.kind == kind && t.cluster == cluster && t.name == name {
			return key, t, true
		}
	}
	return "", thing{}, false
}

// all are the things of a kind in a cluster, in their order.
func (v view) all(kind, cluster string) (out []thing) {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if t := v[key]; t.kind == kind && t.cluster == cluster {
			out = append(out, t)
		}
	}
	return out
}

// restless are the things that something goes on with.
func (v view) restless() (out []string) {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if t := v[key]; t.kind != "access entry" && !slices.Contains(final, t.status) {
			out = append(out, fmt.Sprintf("%s %s is %s", t.kind, t.name, t.status))
		}
	}
	return out
}

// step says what is wrong with a view that follows another.
func step(before, after view) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for key, t := range after {
		was := before[key]
		if t.kind == "access entry" || was.status == t.status {
			continue
		}
		if !slices.Contains(strings.Split(ways[t.kind][was.status], " "), t.status) {
			bad("%s %s goes from %q to %q", t.kind, t.name, was.status, t.status)
		}
		if t.kind == "update" && (t.status == resource.UpdateFailed) != (t.errors > 0) {
			bad("update %s (%s) is %s with %d errors", t.name, t.what, t.status, t.errors)
		}
	}
	for key, t := range before {
		if _, ok := after[key]; ok {
			continue
		}
		_, parent := after[t.of]
		switch t.kind {
		case "update":
			if parent {
				bad("update %s (%s) is forgotten", t.name, t.what)
			}
		case "access entry":
		default:
			if _, ok := clusterNamed(after, t.cluster); (ok || t.kind == "nodegroup") && !slices.Contains(strings.Split(ways[t.kind][t.status], " "), "") {
				bad("%s %s vanishes from %s", t.kind, t.name, t.status)
			}
		}
	}
	return append(wrong, contradictions(before, after)...)
}

func clusterNamed(v view, name string) (thing, bool) {
	_, t, ok := v.of("cluster", "", name)
	return t, ok
}

// contradictions are what is wrong between the things of one view, and what changed a
// cluster's version without a right to.
func contradictions(before, after view) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for key, t := range after {
		if c, ok := clusterNamed(after, t.cluster); t.kind != "cluster" && (!ok || t.kind == "nodegroup" && c.status == "DELETING") {
			bad("%s %s is without its cluster %s (%s)", t.kind, t.name, t.cluster, c.status)
		}
		if t.kind == "update" && t.of == "" {
			bad("update %s (%s) is of nothing", t.name, t.what)
		}
		n := after.busy(key)
		own := n // of the kind that shows in the status
		if t.kind == "cluster" {
			for _, u := range after {
				if u.of == key && u.status == resource.UpdateInProgress && strings.HasSuffix(u.what, "IdentityProviderConfig") {
					own--
				}
			}
		}
		if n > 1 {
			bad("%s %s has %d updates under way", t.kind, t.name, n)
		}
		if t.kind != "update" && t.status != "DELETING" && (own == 1) != (t.status == "UPDATING") {
			bad("%s %s is %s with %d updates under way", t.kind, t.name, t.status, n)
		}
		was, ok := before[key]
		if ok && t.kind == "cluster" && was.version != t.version && !ended(before, after, key, "VersionUpdate", "VersionRollback") {
			bad("cluster %s goes from version %s to %s without an update that has", t.name, was.version, t.version)
		}
		if ok && t.kind == "nodegroup" && was.version != t.version && !ended(before, after, key, "VersionUpdate") {
			bad("node group %s goes from version %s to %s without an update that has", t.name, was.version, t.version)
		}
	}
	return wrong
}

// ended says whether between two views an update of a thing, of one of the types, has ended
// with success.
func ended(before, after view, of string, types ...string) bool {
	for key, u := range after {
		if u.kind == "update" && u.of == of && slices.Contains(types, u.what) && u.status == resource.UpdateSuccessful && before[key].status != u.status {
			return true
		}
	}
	return false
}
