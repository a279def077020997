package lifecycle

import (
	"slices"
	"strings"
)

// What EKS answers, by the facts about it: a request is refused for its cluster's state, for
// the state of what it is about, or for what it asks for. Where there are several reasons,
// each may be the one that is named.
const (
	notFound         = "ResourceNotFoundException"
	inUse            = "ResourceInUseException"
	invalidRequest   = "InvalidRequestException"
	invalidParameter = "InvalidParameterException"
	invalidState     = "InvalidStateException"
	noTarget         = "NotFoundException" // of the operations on tags
)

// answers are the reasons, or acceptance if there are none.
func answers(reasons ...string) []string {
	reasons = slices.DeleteFunc(reasons, func(r string) bool { return r == "" })
	if len(reasons) == 0 {
		return []string{accepted}
	}
	return reasons
}

// when is a reason that holds only under a condition.
func when(cond bool, reason string) string {
	if cond {
		return reason
	}
	return ""
}

// forCluster is why a cluster cannot be asked for anything: it is not there, or in none of
// these states.
func forCluster(v view, name string, states ...string) string {
	c, ok := clusterNamed(v, name)
	switch {
	case !ok:
		return notFound
	case !slices.Contains(states, c.status):
		return invalidRequest
	}
	return ""
}

// forUpdate is why a cluster cannot be updated: one update at a time, of whatever kind.
func forUpdate(v view, name string) string {
	key, c, ok := v.of("cluster", "", name)
	switch {
	case !ok:
		return notFound
	case c.status == "UPDATING" || c.status == "ACTIVE" && v.busy(key) > 0:
		return inUse
	case c.status != "ACTIVE":
		return invalidRequest
	}
	return ""
}

// minor is the number of a minor version.
func minor(version string) int { return slices.Index(versions, version) }

// facts are what was asked of a cluster, and what it is therefore known to be.
type facts struct {
	mode      string // authentication
	logs      map[string]bool
	cidrs     string
	protected bool
}

var modes = []string{"CONFIG_MAP", "API_AND_CONFIG_MAP", "API"}

// next is the authentication mode after one; there is no way back.
func next(mode string) string {
	if i := slices.Index(modes, mode); i < len(modes)-1 {
		return modes[i+1]
	}
	return ""
}

// forDelete is why a cluster cannot be deleted.
func (l *life) forDelete(v view, name string) []string {
	key, c, ok := v.of("cluster", "", name)
	if !ok {
		return []string{notFound}
	}
	works := c.status == "ACTIVE" || c.status == "UPDATING"
	return answers(when(c.status == "DELETING" || v.busy(key) > 0 || len(v.all("nodegroup", name)) > 0, inUse), when(works && l.facts[name].protected, invalidRequest))
}

// forVersion is why a cluster cannot be moved to a version. Insights may be in the way,
// unless it is forced.
func forVersion(v view, name, to string, force bool) []string {
	c, ok := clusterNamed(v, name)
	up := minor(to) == minor(c.version)+1 && minor(to) > 0
	back := to != "" && c.before == to
	out := answers(forUpdate(v, name), when(ok && !up && !back, invalidParameter))
	if !force && (up || back) {
		out = append(out, invalidState)
	}
	return out
}

// forNodegroup is why a node group cannot be updated.
func forNodegroup(v view, cluster, name string) string {
	_, n, ok := v.of("nodegroup", cluster, name)
	switch {
	case !ok:
		return notFound
	case n.status != "ACTIVE" && n.status != "DEGRADED":
		return inUse
	}
	return ""
}

// forRoll is why a node group cannot be moved to a version: nodes are as old as their
// cluster or up to three minor versions older, and they go back only with the cluster.
func forRoll(v view, cluster, name, to string) []string {
	c, _ := clusterNamed(v, cluster)
	_, n, ok := v.of("nodegroup", cluster, name)
	if to == "" {
		to = n.version
	}
	bad := minor(to) < 0 || minor(to) > minor(c.version) || minor(to) < minor(n.version) && to != c.version && to != c.before
	return answers(forNodegroup(v, cluster, name), when(ok && bad, invalidParameter))
}

// forAddon is why an add-on cannot be updated.
func forAddon(v view, cluster, name string) []string {
	_, a, ok := v.of("addon", cluster, name)
	if !ok {
		return []string{notFound}
	}
	return answers(when(slices.Contains(strings.Fields("CREATING UPDATING DELETING DELETE_FAILED"), a.status), inUse), forCluster(v, cluster, "ACTIVE", "UPDATING"))
}
