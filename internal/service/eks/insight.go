package eks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/eksversion"
	"ekster.dev/ekster/internal/insight"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// insightsAhead is how many versions ahead insights look.
const insightsAhead = 2

// ListInsights lists what is known of a cluster's readiness for other versions: those of its
// nodes as they are now, the rest as of the last refresh.
func (s *Service) ListInsights(_ context.Context, call awsapi.Call, in *eks.ListInsightsInput) (*eks.ListInsightsOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.ListInsightsOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		all := s.insightsOf(tx, call.Time, c)
		if f := in.Filter; f != nil {
			all = slices.DeleteFunc(all, func(i insight.Insight) bool { return !chosen(f, i) })
		}
		key := func(i insight.Insight) string { return i.Version + " " + string(i.Category) + " " + i.Name }
		slices.SortFunc(all, func(a, b insight.Insight) int { return cmp.Compare(key(a), key(b)) })
		all, next, err := pageBy(all, key, cmp.Compare[string], in.NextToken, in.MaxResults)
		out := &eks.ListInsightsOutput{NextToken: next, Insights: []eks.InsightSummary{}}
		for _, i := range all {
			d := describeInsight(c, i)
			out.Insights = append(out.Insights, eks.InsightSummary{
				Id: d.Id, Name: d.Name, Category: d.Category, KubernetesVersion: d.KubernetesVersion, LastRefreshTime: d.LastRefreshTime, LastTransitionTime: d.LastTransitionTime,
				Description: d.Description, InsightStatus: d.InsightStatus,
			})
		}
		return out, err
	})
}

// DescribeInsight describes one insight, with what in the cluster it is about.
func (s *Service) DescribeInsight(_ context.Context, call awsapi.Call, in *eks.DescribeInsightInput) (*eks.DescribeInsightOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeInsightOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		for _, i := range s.insightsOf(tx, call.Time, c) {
			if insightID(c, i) == deref(in.Id) {
				return &eks.DescribeInsightOutput{Insight: describeInsight(c, i)}, nil
			}
		}
		return nil, subject{cluster: c.Name}.notFound("No insight found for ID: %s", deref(in.Id))
	})
}

// StartInsightsRefresh has a cluster looked into now; package controller/cluster does.
func (s *Service) StartInsightsRefresh(ctx context.Context, call awsapi.Call, in *eks.StartInsightsRefreshInput) (*eks.StartInsightsRefreshOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*eks.StartInsightsRefreshOutput, error) {
		c, err := findActiveCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		if c.Status.Inspection.Revision >= c.Spec.Inspection { // else one is under way, which will do
			c.Spec.Inspection++
			tx.Clusters.Put(c.ARN, c)
		}
		return &eks.StartInsightsRefreshOutput{Status: new("IN_PROGRESS"), Message: new("Insights refresh is in progress")}, nil
	})
}

// DescribeInsightsRefresh describes the last refresh of a cluster's insights.
func (s *Service) DescribeInsightsRefresh(_ context.Context, call awsapi.Call, in *eks.DescribeInsightsRefreshInput) (*eks.DescribeInsightsRefreshOutput, error) {
	return view(s, func(tx *store.Tx) (*eks.DescribeInsightsRefreshOutput, error) {
		c, err := findCluster(tx, call, deref(in.ClusterName))
		if err != nil {
			return nil, err
		}
		last := c.Status.Inspection
		switch {
		case last.Revision < c.Spec.Inspection:
			return &eks.DescribeInsightsRefreshOutput{Status: new("IN_PROGRESS"), Message: new("Insights refresh is in progress")}, nil
		case last.Ended.IsZero():
			return nil, subject{cluster: c.Name}.notFound("No insights refresh found for cluster: %s", c.Name)
		}
		out := &eks.DescribeInsightsRefreshOutput{
			Status: new("COMPLETED"), Message: new("Insights refresh completed successfully"), StartedAt: new(moment(last.Started)), EndedAt: new(moment(last.Ended)),
		}
		if last.Error != "" {
			out.Status, out.Message = new("FAILED"), new("Insights refresh failed: "+last.Error)
		}
		return out, nil
	})
}

// insightsOf are a cluster's insights: of the versions that it may be updated to, and of the
// one that it may go back to.
func (s *Service) insightsOf(tx *store.Tx, at time.Time, c resource.Cluster) (out []insight.Insight) {
	facts := s.factsOf(tx, c)
	for _, v := range eksversion.All() {
		for n := range insightsAhead {
			if eksversion.Older(v.Minor, n+1) == c.Version() {
				out = append(out, insight.Of(facts, insight.Upgrade, v.Minor)...)
			}
		}
	}
	if back := c.Status.UpgradedFrom; back != "" && at.Sub(c.Status.Upgraded) <= rollbackWindow {
		out = append(out, insight.Of(facts, insight.Rollback, back)...)
	}
	return out
}

func chosen(f *eks.InsightsFilter, i insight.Insight) bool {
	among := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	return among(f.Categories, string(i.Category)) && among(f.KubernetesVersions, i.Version) && among(f.Statuses, string(i.Status))
}

// insightID is a UUID that an insight has for as long as there is one of its kind.
func insightID(c resource.Cluster, i insight.Insight) string {
	h := sha256.Sum256([]byte(c.Spec.Hex + " " + string(i.Category) + " " + i.Version + " " + i.Name))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func describeInsight(c resource.Cluster, i insight.Insight) *eks.Insight {
	out := &eks.Insight{
		Id: new(insightID(c, i)), Name: new(i.Name), Category: new(string(i.Category)), KubernetesVersion: new(i.Version),
		Description: new(i.Description), InsightStatus: &eks.InsightStatus{Status: new(string(i.Status)), Reason: new(i.Reason)},
		Recommendation: new(i.Recommendation), AdditionalInfo: i.Info, Resources: []eks.InsightResourceDetail{},
	}
	if last := c.Status.Inspection.Ended; !last.IsZero() {
		out.LastRefreshTime, out.LastTransitionTime = new(moment(last)), new(moment(last))
	}
	// What has changed since the last refresh has no better time than that.
	if v, ok := c.Status.Inspection.Verdicts[insightID(c, i)]; ok && v.Status == string(i.Status) {
		out.LastTransitionTime = new(moment(v.Since))
	}
	if len(i.Addons)+len(i.Deprecated) > 0 {
		out.CategorySpecificSummary = &eks.InsightCategorySpecificSummary{}
		for _, a := range i.Deprecated {
			out.CategorySpecificSummary.DeprecationDetails = append(out.CategorySpecificSummary.DeprecationDetails, deprecationDetail(a))
		}
		for _, a := range i.Addons {
			out.CategorySpecificSummary.AddonCompatibilityDetails = append(out.CategorySpecificSummary.AddonCompatibilityDetails,
				eks.AddonCompatibilityDetail{Name: new(a.Name), CompatibleVersions: list(a.RunsOn[i.Version])})
		}
	}
	for _, r := range i.Resources {
		out.Resources = append(out.Resources, eks.InsightResourceDetail{
			KubernetesResourceUri: optional(r.URI), Arn: optional(r.ARN), InsightStatus: &eks.InsightStatus{Status: new(string(r.Status)), Reason: new(r.Reason)},
		})
	}
	return out
}

// deprecationDetail describes the use of an API. Who uses it is not known: all requests are
// those of one client without a name.
func deprecationDetail(a insight.API) eks.DeprecationDetail {
	return eks.DeprecationDetail{
		Usage: new(a.Path()), ReplacedWith: optional(a.ReplacedBy()), StopServingVersion: new(a.Removed),
		ClientStats: []eks.ClientStat{{NumberOfRequestsLast30Days: new(int32(min(a.Requests, math.MaxInt32))), LastRequestTime: new(moment(a.Last))}},
	}
}

// Verdicts are the statuses of a cluster's insights at some time, by their ids.
func (s *Service) Verdicts(tx *store.Tx, c resource.Cluster, at time.Time) map[string]string {
	out := map[string]string{}
	for _, i := range s.insightsOf(tx, at, c) {
		out[insightID(c, i)] = string(i.Status)
	}
	return out
}
