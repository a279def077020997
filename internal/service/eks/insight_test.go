package eks_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestInsights(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.34"))
	list := func(f *types.InsightsFilter) (out []string) {
		t.Helper()
		pages := sdk.NewListInsightsPaginator(w.root, &sdk.ListInsightsInput{ClusterName: aws.String("c"), Filter: f, MaxResults: aws.Int32(2)})
		for pages.HasMorePages() {
			p, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range p.Insights {
				out = append(out, fmt.Sprintf("%s %s %s", *i.KubernetesVersion, *i.Name, i.InsightStatus.Status))
			}
		}
		return out
	}
	if got := fmt.Sprintf("%q", list(nil)); got != `["1.35 Amazon Linux 2 compatibility PASSING" "1.35 Cluster health issues PASSING" "1.35 Deprecated APIs removed in Kubernetes v1.35 UNKNOWN" "1.35 EKS add-on version compatibility PASSING" "1.35 Kubelet version skew PASSING" "1.35 kube-proxy version skew UNKNOWN" `+
		`"1.36 Amazon Linux 2 compatibility PASSING" "1.36 Cluster health issues PASSING" "1.36 Deprecated APIs removed in Kubernetes v1.36 UNKNOWN" "1.36 EKS add-on version compatibility PASSING" "1.36 Kubelet version skew PASSING" "1.36 kube-proxy version skew UNKNOWN"]` {
		t.Errorf("before anybody looked: %s", got)
	}
	_, err := w.root.DescribeInsightsRefresh(t.Context(), &sdk.DescribeInsightsRefreshInput{ClusterName: aws.String("c")})
	fails(t, err, "ResourceNotFoundException", "No insights refresh found for cluster: c")
	started, err := w.root.StartInsightsRefresh(t.Context(), &sdk.StartInsightsRefreshInput{ClusterName: aws.String("c")})
	if err != nil || started.Status != types.InsightsRefreshStatusInProgress {
		t.Fatalf("%+v, %v", started, err)
	}
	refresh := func() types.InsightsRefreshStatus {
		out, err := w.root.DescribeInsightsRefresh(t.Context(), &sdk.DescribeInsightsRefreshInput{ClusterName: aws.String("c")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Status
	}
	if got := refresh(); got != types.InsightsRefreshStatusInProgress {
		t.Errorf("asked for it is %s", got)
	}
	w.node(t, c.ARN, "n", "v1.32.11-eks-1")
	lastUse := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) {
		c.Status.Inspection = resource.Inspection{
			Revision: c.Spec.Inspection, Started: now, Ended: now, KubeProxy: "v1.31.14-eks-1",
			Deprecated: []resource.DeprecatedAPI{
				{Group: "flowcontrol.apiserver.k8s.io", Version: "v1beta3", Resource: "flowschemas", Removed: "1.35", Replacement: "v1", Days: map[string]int64{"2026-11-01": 3, "2026-11-02": 4}, Last: lastUse},
				{Group: "policy", Version: "v1beta1", Resource: "podsecuritypolicies", Removed: "1.35", Counted: 7},
			},
		}
	})
	if got := refresh(); got != types.InsightsRefreshStatusCompleted {
		t.Errorf("looked into it is %s", got)
	}
	if got := fmt.Sprintf("%q", list(nil)); got != `["1.35 Amazon Linux 2 compatibility PASSING" "1.35 Cluster health issues PASSING" "1.35 Deprecated APIs removed in Kubernetes v1.35 ERROR" "1.35 EKS add-on version compatibility PASSING" "1.35 Kubelet version skew PASSING" "1.35 kube-proxy version skew ERROR" `+
		`"1.36 Amazon Linux 2 compatibility PASSING" "1.36 Cluster health issues PASSING" "1.36 Deprecated APIs removed in Kubernetes v1.36 WARNING" "1.36 EKS add-on version compatibility PASSING" "1.36 Kubelet version skew WARNING" "1.36 kube-proxy version skew WARNING"]` {
		t.Errorf("after it: %s", got)
	}
	if got := fmt.Sprintf("%q", list(&types.InsightsFilter{Statuses: []types.InsightStatusValue{"ERROR"}, KubernetesVersions: []string{"1.35"}})); got != `["1.35 Deprecated APIs removed in Kubernetes v1.35 ERROR" "1.35 kube-proxy version skew ERROR"]` {
		t.Errorf("errors: %s", got)
	}
	p, err := w.root.ListInsights(t.Context(), &sdk.ListInsightsInput{ClusterName: aws.String("c")})
	if err != nil {
		t.Fatal(err)
	}
	d, err := w.root.DescribeInsight(t.Context(), &sdk.DescribeInsightInput{ClusterName: aws.String("c"), Id: p.Insights[5].Id})
	if err != nil || *d.Insight.Name != "kube-proxy version skew" || len(d.Insight.Resources) != 1 || *d.Insight.Resources[0].KubernetesResourceUri != "/api/v1/nodes/n" || d.Insight.LastRefreshTime == nil {
		t.Fatalf("%+v, %v", d, err)
	}
	d, err = w.root.DescribeInsight(t.Context(), &sdk.DescribeInsightInput{ClusterName: aws.String("c"), Id: p.Insights[2].Id})
	if err != nil || len(d.Insight.CategorySpecificSummary.DeprecationDetails) != 1 {
		t.Fatalf("%s, %v", w.body, err)
	}
	use := d.Insight.CategorySpecificSummary.DeprecationDetails[0]
	if *use.Usage != "/apis/flowcontrol.apiserver.k8s.io/v1beta3/flowschemas" || *use.ReplacedWith != "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas" || *use.StopServingVersion != "1.35" ||
		len(use.ClientStats) != 1 || use.ClientStats[0].NumberOfRequestsLast30Days != 7 || !use.ClientStats[0].LastRequestTime.Equal(lastUse) {
		t.Errorf("%s", w.body)
	}
	_, err = w.root.DescribeInsight(t.Context(), &sdk.DescribeInsightInput{ClusterName: aws.String("c"), Id: aws.String("x")})
	fails(t, err, "ResourceNotFoundException", "No insight found for ID: x")
	_, err = w.root.UpdateClusterVersion(t.Context(), &sdk.UpdateClusterVersionInput{Name: aws.String("c"), Version: aws.String("1.35")})
	fails(t, err, "InvalidStateException", "Cluster c has insights with status ERROR that must be resolved before the update to version 1.35: Deprecated APIs removed in Kubernetes v1.35, kube-proxy version skew. Use the force flag to override them.")
}

// An add-on's version that does not run on the next Kubernetes stands in its way, and the
// versions that do are named.
func TestInsightOfAddons(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.35"))
	w.Update(t, func(tx *store.Tx) {
		tx.Addons.Put("a", resource.Addon{Home: home(), ARN: "a", Cluster: c.ARN, Name: "kube-proxy", Spec: resource.AddonSpec{Version: "v1.29.0-eksbuild.1"}})
	})
	p, err := w.root.ListInsights(t.Context(), &sdk.ListInsightsInput{ClusterName: aws.String("c"), Filter: &types.InsightsFilter{Statuses: []types.InsightStatusValue{"ERROR"}}})
	if err != nil || len(p.Insights) != 1 || *p.Insights[0].Name != "EKS add-on version compatibility" || *p.Insights[0].KubernetesVersion != "1.36" {
		t.Fatalf("%+v, %v", p, err)
	}
	d, err := w.root.DescribeInsight(t.Context(), &sdk.DescribeInsightInput{ClusterName: aws.String("c"), Id: p.Insights[0].Id})
	if err != nil {
		t.Fatal(err)
	}
	details := d.Insight.CategorySpecificSummary.AddonCompatibilityDetails
	if len(details) != 1 || *details[0].Name != "kube-proxy" || fmt.Sprint(details[0].CompatibleVersions) != "[v1.36.3-eksbuild.1 v1.35.4-eksbuild.1 v1.34.4-eksbuild.1]" || *d.Insight.Resources[0].Arn != "a" {
		t.Errorf("%s", w.body)
	}
}

// An issue of the cluster's health stands in the way of the next version, and an insight says
// since when; one that has changed since the last refresh, since then.
func TestInsightOfHealth(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.35"))
	refreshed, before := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	find := func() types.InsightSummary {
		t.Helper()
		p, err := w.root.ListInsights(t.Context(), &sdk.ListInsightsInput{ClusterName: aws.String("c")})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range p.Insights {
			if *i.Name == "Cluster health issues" {
				return i
			}
		}
		t.Fatal("there is none")
		return types.InsightSummary{}
	}
	id := *find().Id
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) {
		c.Status.Inspection = resource.Inspection{Ended: refreshed, Verdicts: map[string]resource.Verdict{id: {Status: "PASSING", Since: before}}}
	})
	if i := find(); i.InsightStatus.Status != "PASSING" || !i.LastTransitionTime.Equal(before) || !i.LastRefreshTime.Equal(refreshed) {
		t.Errorf("%s", w.body)
	}
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) {
		c.Status.Issues = []resource.Issue{{Code: "IamRoleNotFound", Message: "We couldn't find the IAM role associated with your cluster."}}
	})
	i := find()
	if i.InsightStatus.Status != "ERROR" || !i.LastTransitionTime.Equal(refreshed) {
		t.Errorf("%s", w.body)
	}
	d, err := w.root.DescribeInsight(t.Context(), &sdk.DescribeInsightInput{ClusterName: aws.String("c"), Id: i.Id})
	if err != nil || len(d.Insight.Resources) != 1 || *d.Insight.Resources[0].Arn != c.ARN || *d.Insight.Resources[0].InsightStatus.Reason != "We couldn't find the IAM role associated with your cluster." {
		t.Errorf("%s, %v", w.body, err)
	}
}
