// Package insight judges whether a cluster is ready for another Kubernetes version, as
// EKS's cluster insights do.
//
//	Facts (nodes, their kubelets and kube-proxies, add-ons, deprecated APIs seen, health issues)
//	  └─ Of(facts, category, version) ─▶ one Insight a check: PASSING, WARNING, ERROR, UNKNOWN
//
// It is pure: callers gather the facts and keep what comes out. It knows no node images,
// and not who asks for a deprecated API.
package insight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Category is what an insight is about, as the API spells it.
type Category string

// The categories.
const (
	Upgrade  Category = "UPGRADE_READINESS"
	Rollback Category = "ROLLBACK_READINESS"
)

// A Status is the verdict of an insight, as the API spells it.
type Status string

// The verdicts: nothing is in the way; it will be of a version after the next; it is of
// the version itself; it cannot be told.
const (
	Passing Status = "PASSING"
	Warning Status = "WARNING"
	Error   Status = "ERROR"
	Unknown Status = "UNKNOWN"
)

// Names of the insights, as EKS has them.
const (
	AmazonLinux2  = "Amazon Linux 2 compatibility"
	Health        = "Cluster health issues"
	KubeletSkew   = "Kubelet version skew"
	KubeProxySkew = "kube-proxy version skew"
	AddonVersions = "EKS add-on version compatibility"
)

// behind is how many minor versions a node may be older than its control plane.
const behind = 3

// Facts are what is so in a cluster.
type Facts struct {
	Version string // minor version of the control plane
	Nodes   []Node
	// Deprecated are the APIs that have been asked for and will be removed.
	Deprecated []API
	Looked     bool // somebody has looked for proxies and APIs
	Addons     []Addon
	Issues     []Issue
	Legacy     []string // ARNs of node groups with Amazon Linux 2
}

// An Issue is one of the cluster's health.
type Issue struct {
	Message string
	ARN     string // of the cluster
}

// An Addon is an EKS add-on that the cluster has.
type Addon struct {
	Name, ARN, Version string
	RunsOn             map[string][]string // minor version → versions of the add-on for it, newest first
}

// An API is a kind of objects in a version of its group.
type API struct {
	Group, Version, Resource string
	Removed                  string    // the minor version without it
	Replacement              string    // the version to be used instead, if there is one
	Requests                 int64     // for it in the last thirty days
	Last                     time.Time // when there was one
}

// Path is where the API server serves it.
func (a API) Path() string { return "/apis/" + a.Group + "/" + a.Version + "/" + a.Resource }

// ReplacedBy is where its replacement is served; empty if there is none.
func (a API) ReplacedBy() string {
	if a.Replacement == "" {
		return ""
	}
	a.Version = a.Replacement
	return a.Path()
}

// A Node is one node of the cluster.
type Node struct {
	Name     string
	Instance string
	Kubelet  string // v1.35.4-eks-…, empty: not known
	Proxy    string // the same of its kube-proxy; empty: there is none, or it is not known
}

// An Insight is one verdict.
type Insight struct {
	Name           string
	Category       Category
	Version        string // the minor version that it is about
	Status         Status
	Reason         string
	Description    string
	Recommendation string
	Info           map[string]string // further reading: title → URL
	Resources      []Resource
	Addons         []Addon // those that a version is not compatible with
	Deprecated     []API   // those that are in use and that a version does not have
}

// A Resource is a thing in the cluster that an insight is about, and the verdict on it.
type Resource struct {
	URI    string // /api/v1/nodes/…; empty for what is none of Kubernetes'
	ARN    string // of what is AWS's
	Status Status
	Reason string
}

// Of returns the insights of a category about a version, in the order of their names.
func Of(f Facts, category Category, version string) []Insight {
	out := []Insight{
		skew(f, category, version, KubeletSkew, "kubelet", func(n Node) string { return n.Kubelet }),
		skew(f, category, version, KubeProxySkew, "kube-proxy", func(n Node) string { return n.Proxy }),
		addons(f, category, version),
	}
	if !f.Looked {
		out[1].Status, out[1].Reason, out[1].Resources = Unknown, "The cluster has not been looked into yet.", nil
	}
	if category == Upgrade {
		out = append(out, removals(f, version), health(f, version), legacy(f, version))
	}
	slices.SortFunc(out, func(a, b Insight) int { return strings.Compare(a.Name, b.Name) })
	return out
}

const deprecationGuide = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"

// removals judges whether APIs are in use that a version does not have.
func removals(f Facts, version string) Insight {
	i := Insight{
		Name: "Deprecated APIs removed in Kubernetes v" + version, Category: Upgrade, Version: version, Status: Passing,
		Description:    fmt.Sprintf("Checks for usage of deprecated APIs that are scheduled for removal in Kubernetes v%s. Upgrading your cluster before migrating to the updated APIs supported by v%s could cause application impact.", version, version),
		Recommendation: fmt.Sprintf("Update manifests and API clients to use newer Kubernetes APIs if applicable before upgrading to Kubernetes v%s.", version),
		Info:           map[string]string{"Kubernetes API deprecation guide": deprecationGuide},
		Reason:         "No deprecated API usage detected within the last 30 days.",
	}
	if !f.Looked {
		i.Status, i.Reason = Unknown, "The cluster has not been looked into yet."
		return i
	}
	want, _ := minor(version)
	at, _ := minor(f.Version)
	for _, a := range f.Deprecated {
		if gone, ok := minor(a.Removed); !ok || gone > want || gone <= at {
			continue
		}
		i.Status = Error
		if want > at+1 {
			i.Status = Warning
		}
		i.Reason = "Deprecated API usage detected within last 30 days."
		i.Resources = append(i.Resources, Resource{URI: a.Path(), Status: i.Status, Reason: "It is not served from Kubernetes v" + a.Removed + " on."})
		i.Deprecated = append(i.Deprecated, a)
	}
	return i
}

// bad is the verdict on what stands in the way of a version: that of the next one, or of
// one after it, before which there is time.
func bad(f Facts, version string) Status {
	want, _ := minor(version)
	if at, _ := minor(f.Version); want > at+1 {
		return Warning
	}
	return Error
}

// health judges whether the cluster has what it needs.
func health(f Facts, version string) Insight {
	i := Insight{
		Name: Health, Category: Upgrade, Version: version, Status: Passing, Reason: "No cluster health issues detected.",
		Description:    "Checks for any cluster health issues that prevent successful upgrade to the next Kubernetes version on EKS.",
		Recommendation: "Resolve the cluster's health issues before upgrading it.",
		Info:           map[string]string{"Cluster health": "https://docs.aws.amazon.com/eks/latest/userguide/troubleshooting.html#cluster-health-status"},
	}
	for _, issue := range f.Issues {
		i.Status, i.Reason = bad(f, version), "One or more cluster health issues detected."
		i.Resources = append(i.Resources, Resource{ARN: issue.ARN, Status: i.Status, Reason: issue.Message})
	}
	return i
}

// legacy judges whether there are nodes with Amazon Linux 2.
func legacy(f Facts, version string) Insight {
	i := Insight{
		Name: AmazonLinux2, Category: Upgrade, Version: version, Status: Passing, Reason: "No Amazon Linux 2 nodes detected.",
		Description:    "Checks if any nodes in the cluster are running Amazon Linux 2, for which there are no images of Kubernetes version 1.33 and higher.",
		Recommendation: "Replace node groups with Amazon Linux 2 by ones with Amazon Linux 2023 or Bottlerocket.",
		Info:           map[string]string{"Amazon Linux 2 end of support": "https://docs.aws.amazon.com/eks/latest/userguide/eks-ami-deprecation-faqs.html"},
	}
	for _, arn := range f.Legacy {
		i.Status, i.Reason = bad(f, version), "The cluster contains Amazon Linux 2 nodes."
		i.Resources = append(i.Resources, Resource{ARN: arn, Status: i.Status, Reason: "Its nodes run Amazon Linux 2."})
	}
	return i
}

const addonsGuide = "https://docs.aws.amazon.com/eks/latest/userguide/managing-add-ons.html"

// addons judges whether the versions of the EKS add-ons run on a version.
func addons(f Facts, category Category, version string) Insight {
	i := Insight{
		Name: AddonVersions, Category: category, Version: version, Status: Passing,
		Description:    fmt.Sprintf("Checks version of installed EKS add-ons to ensure compatibility with version %s of Kubernetes.", version),
		Recommendation: fmt.Sprintf("Update the EKS add-ons to versions that are compatible with Kubernetes v%s.", version),
		Info:           map[string]string{"Managing EKS add-ons": addonsGuide},
		Reason:         "All installed EKS add-on versions are compatible with Kubernetes v" + version + ".",
	}
	want, _ := minor(version)
	at, _ := minor(f.Version)
	for _, a := range f.Addons {
		if slices.Contains(a.RunsOn[version], a.Version) {
			continue
		}
		i.Status = Error
		if want > at+1 {
			i.Status = Warning
		}
		i.Reason = "One or more installed EKS add-on versions are not compatible with Kubernetes v" + version + "."
		i.Resources = append(i.Resources, Resource{ARN: a.ARN, Status: i.Status, Reason: fmt.Sprintf("Version %s of add-on %s is not compatible with Kubernetes v%s.", a.Version, a.Name, version)})
		i.Addons = append(i.Addons, a)
	}
	return i
}

const skewPolicy = "https://kubernetes.io/releases/version-skew-policy/"

// skew judges the version of one program on all nodes against that of a control plane.
func skew(f Facts, category Category, version, name, program string, of func(Node) string) Insight {
	i := Insight{
		Name: name, Category: category, Version: version, Status: Passing,
		Description:    fmt.Sprintf("Checks for %s versions of worker nodes in the cluster to see if upgrade would cause non compliance with supported Kubernetes %s version skew policy.", program, program),
		Recommendation: fmt.Sprintf("Update your worker nodes to match the Kubernetes version of your cluster control plane, so that every %s is at most %d minor versions older than it and none is newer.", program, behind),
		Info:           map[string]string{"Kubernetes version skew policy": skewPolicy},
	}
	want, ok := minor(version)
	at, _ := minor(f.Version)
	if !ok {
		i.Status, i.Reason = Unknown, "The version "+version+" cannot be read."
		return i
	}
	for _, n := range f.Nodes {
		have, known := minor(of(n))
		if !known {
			continue
		}
		r := Resource{URI: "/api/v1/nodes/" + n.Name, Status: Passing}
		switch {
		case have > want, want-have > behind:
			r.Status = Error
			if want > at+1 { // the one before it comes first
				r.Status = Warning
			}
		default:
			continue
		}
		r.Reason = fmt.Sprintf("Node is using %s version %s.", program, of(n))
		i.Resources = append(i.Resources, r)
	}
	if len(i.Resources) == 0 {
		i.Reason = fmt.Sprintf("Node %s versions match the cluster control plane version.", program)
		return i
	}
	i.Status = i.Resources[0].Status
	i.Reason = fmt.Sprintf("Node %s versions are not compatible with version %s of the cluster control plane.", program, version)
	return i
}

// minor is the second number of a version: 35 of v1.35.4-eks-0123456 and of 1.35.
func minor(version string) (int, bool) {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(parts) < 2 {
		return 0, false
	}
	n, err := strconv.Atoi(parts[1])
	return n, err == nil
}
