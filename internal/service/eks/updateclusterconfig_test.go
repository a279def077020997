package eks_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func logs(on bool, names ...types.LogType) *types.Logging {
	return &types.Logging{ClusterLogging: []types.LogSetup{{Types: names, Enabled: aws.Bool(on)}}}
}

func TestUpdateClusterConfigRefuses(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c", withMode(types.AuthenticationModeApiAndConfigMap))
	w.active(t, "old", withMode(types.AuthenticationModeConfigMap), at("1.31"))
	vpc := func(c types.VpcConfigRequest) sdk.UpdateClusterConfigInput {
		return sdk.UpdateClusterConfigInput{ResourcesVpcConfig: &c}
	}
	mode := func(m types.AuthenticationMode) sdk.UpdateClusterConfigInput {
		return sdk.UpdateClusterConfigInput{AccessConfig: &types.UpdateAccessConfigRequest{AuthenticationMode: m}}
	}
	before := w.records(t)
	for _, c := range []struct {
		cluster string
		in      sdk.UpdateClusterConfigInput
		message string
	}{
		{"c", sdk.UpdateClusterConfigInput{}, "The type for cluster update was not provided."},
		{"c", sdk.UpdateClusterConfigInput{Logging: logs(true, "api"), DeletionProtection: aws.Bool(true)}, "Only one type of update can be allowed."},
		{"c", vpc(types.VpcConfigRequest{EndpointPublicAccess: aws.Bool(false), SubnetIds: []string{w.a, w.b}}), "Only one type of update can be allowed."},
		{"c", sdk.UpdateClusterConfigInput{Logging: logs(false, "api")}, "No changes needed for the logging config provided"},
		{"c", vpc(types.VpcConfigRequest{EndpointPublicAccess: aws.Bool(true)}),
			"Cluster is already at the desired configuration with endpointPrivateAccess: false , endpointPublicAccess: true, and Public Endpoint Restrictions: [0.0.0.0/0]"},
		{"c", vpc(types.VpcConfigRequest{EndpointPublicAccess: aws.Bool(false)}), "Private and public endpoint access cannot be false at same time."},
		{"c", vpc(types.VpcConfigRequest{PublicAccessCidrs: []string{"10.0.0.0/8"}}), "The following CIDRs are not allowed in publicAccessCidrs: [10.0.0.0/8]"},
		{"c", vpc(types.VpcConfigRequest{SubnetIds: []string{w.other[0], w.other[1]}}), "Subnets specified must belong to the VPC of the cluster: " + w.vpc},
		{"c", vpc(types.VpcConfigRequest{SubnetIds: []string{w.a, w.c}}), "Subnets specified must be in the same set of AZs as those that the cluster was created with: [us-west-2a, us-west-2b]"},
		{"c", vpc(types.VpcConfigRequest{SubnetIds: []string{w.a}}), "Subnets specified must be in at least two different AZs"},
		{"c", mode("CONFIG_MAP"), "Unsupported authentication mode update from API_AND_CONFIG_MAP to CONFIG_MAP"},
		{"old", mode("API"), "Unsupported authentication mode update from CONFIG_MAP to API"},
		{"old", sdk.UpdateClusterConfigInput{UpgradePolicy: &types.UpgradePolicyRequest{SupportType: "STANDARD"}},
			"The support type cannot be changed to STANDARD because Kubernetes version 1.31 is not in standard support"},
	} {
		c.in.Name = aws.String(c.cluster)
		_, err := w.root.UpdateClusterConfig(t.Context(), &c.in)
		fails(t, err, "InvalidParameterException", c.message)
	}
	_, err := w.root.UpdateClusterConfig(t.Context(), &sdk.UpdateClusterConfigInput{Name: aws.String("c"), ComputeConfig: &types.ComputeConfigRequest{Enabled: aws.Bool(false)}})
	fails(t, err, "InvalidRequestException", "Cannot modify EKS Auto Mode configuration. Auto Mode is not enabled on this cluster.")
	if after := w.records(t); after != before {
		t.Errorf("refusals left something behind:\n%s\n%s", before, after)
	}
}

func TestUpdateClusterConfig(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c", at("1.35"))
	for _, s := range []struct {
		in     sdk.UpdateClusterConfigInput
		kind   types.UpdateType
		params string
		now    func(resource.ClusterSpec) bool
	}{
		{sdk.UpdateClusterConfigInput{Logging: logs(true, "audit", "api")}, types.UpdateTypeLoggingUpdate,
			`[ClusterLogging={"clusterLogging":[{"types":["audit","api"],"enabled":true}]}]`,
			func(s resource.ClusterSpec) bool { return fmt.Sprint(s.LogTypes) == "[api audit]" }},
		{sdk.UpdateClusterConfigInput{Logging: logs(false, "audit")}, types.UpdateTypeLoggingUpdate,
			`[ClusterLogging={"clusterLogging":[{"types":["audit"],"enabled":false}]}]`,
			func(s resource.ClusterSpec) bool { return fmt.Sprint(s.LogTypes) == "[api]" }},
		{sdk.UpdateClusterConfigInput{ResourcesVpcConfig: &types.VpcConfigRequest{EndpointPrivateAccess: aws.Bool(true), PublicAccessCidrs: []string{"203.0.113.5/32"}}},
			types.UpdateTypeEndpointAccessUpdate, `[EndpointPublicAccess=true EndpointPrivateAccess=true PublicAccessCidrs=["203.0.113.5/32"]]`,
			func(s resource.ClusterSpec) bool {
				return s.PublicAccess && s.PrivateAccess && fmt.Sprint(s.PublicAccessCIDRs) == "[203.0.113.5/32]"
			}},
		{sdk.UpdateClusterConfigInput{ResourcesVpcConfig: &types.VpcConfigRequest{SecurityGroupIds: []string{w.sg}}}, types.UpdateTypeVpcConfigUpdate,
			`[SecurityGroups=["` + w.sg + `"]]`,
			func(s resource.ClusterSpec) bool {
				ok := fmt.Sprint(s.SecurityGroups) == "["+w.sg+"]"
				_ = w.Store.View(func(tx *store.Tx) error {
					for _, id := range s.Interfaces {
						e, _ := tx.Interfaces.Get(id)
						ok = ok && slices.Equal(e.SecurityGroups, []string{s.ClusterSecurityGroup, w.sg})
					}
					return nil
				})
				return ok
			}},
		{sdk.UpdateClusterConfigInput{UpgradePolicy: &types.UpgradePolicyRequest{SupportType: "STANDARD"}}, types.UpdateTypeUpgradePolicyUpdate,
			`[UpgradePolicy={"supportType":"STANDARD"}]`, func(s resource.ClusterSpec) bool { return s.SupportType == "STANDARD" }},
		{sdk.UpdateClusterConfigInput{DeletionProtection: aws.Bool(true)}, types.UpdateTypeDeletionProtectionUpdate, `[DeletionProtection=true]`,
			func(s resource.ClusterSpec) bool { return s.DeletionProtection }},
		{sdk.UpdateClusterConfigInput{ControlPlaneScalingConfig: &types.ControlPlaneScalingConfig{Tier: "tier-2xl"}}, types.UpdateTypeControlPlaneScalingConfigUpdate,
			`[PreviousTier=standard UpdatedTier=tier-2xl]`, func(s resource.ClusterSpec) bool { return s.ScalingTier == "tier-2xl" }},
		{sdk.UpdateClusterConfigInput{ControlPlaneScalingConfig: &types.ControlPlaneScalingConfig{Tier: "standard"}}, types.UpdateTypeControlPlaneScalingConfigUpdate,
			`[PreviousTier=tier-2xl UpdatedTier=standard]`, func(s resource.ClusterSpec) bool { return s.ScalingTier == "standard" }},
		{sdk.UpdateClusterConfigInput{ZonalShiftConfig: &types.ZonalShiftConfigRequest{Enabled: aws.Bool(true)}}, types.UpdateTypeZonalShiftConfigUpdate,
			`[ZonalShiftConfig={"enabled":true}]`, func(s resource.ClusterSpec) bool { return s.ZonalShiftOn && !s.ZonalShiftOff }},
		{sdk.UpdateClusterConfigInput{ZonalShiftConfig: &types.ZonalShiftConfigRequest{Enabled: aws.Bool(false)}}, types.UpdateTypeZonalShiftConfigUpdate,
			`[ZonalShiftConfig={"enabled":false}]`, func(s resource.ClusterSpec) bool { return !s.ZonalShiftOn && s.ZonalShiftOff }},
	} {
		s.in.Name = aws.String("c")
		out, err := w.root.UpdateClusterConfig(t.Context(), &s.in)
		if err != nil {
			t.Fatalf("%s: %v", s.kind, err)
		}
		var params []string
		for _, p := range out.Update.Params {
			params = append(params, string(p.Type)+"="+*p.Value)
		}
		if out.Update.Type != s.kind || fmt.Sprint(params) != s.params || out.Update.Status != types.UpdateStatusInProgress {
			t.Errorf("%s %s: %s", out.Update.Status, out.Update.Type, params)
		}
		_, err = w.root.UpdateClusterConfig(t.Context(), &sdk.UpdateClusterConfigInput{Name: aws.String("c"), DeletionProtection: aws.Bool(false)})
		fails(t, err, "ResourceInUseException", "Cannot DeletionProtectionUpdate because cluster c currently has an update in progress")
		w.done(t, c.ARN)
		if now := w.changeCluster(t, c.ARN, func(*resource.Cluster) {}); !s.now(now.Spec) {
			t.Errorf("%s: the record is %+v", s.kind, now.Spec)
		}
	}
}

func TestAuthenticationModeLetsThoseInWhoWere(t *testing.T) {
	w := newWorld(t)
	ann := w.user(t, "ann")
	in := w.cluster("c")
	in.AccessConfig = &types.CreateAccessConfigRequest{AuthenticationMode: "CONFIG_MAP"}
	if _, err := ann.CreateCluster(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:eks:us-west-2:" + account + ":cluster/c"
	w.changeCluster(t, arn, func(c *resource.Cluster) {
		c.Status.State, c.Status.RunningVersion, c.Status.Ready = resource.ClusterActive, c.Spec.Version, now
	})
	w.activeNodegroup(t, "c", "ng")
	_, err := w.root.UpdateClusterConfig(t.Context(), &sdk.UpdateClusterConfigInput{
		Name: aws.String("c"), AccessConfig: &types.UpdateAccessConfigRequest{AuthenticationMode: "API_AND_CONFIG_MAP"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.done(t, arn)
	out, err := w.root.ListAccessEntries(t.Context(), &sdk.ListAccessEntriesInput{ClusterName: aws.String("c")})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out.AccessEntries)
	if want := []string{linkedRole, nodeRole, "arn:aws:iam::" + account + ":user/ann"}; !slices.Equal(out.AccessEntries, want) {
		t.Errorf("entries of %v, want %v", out.AccessEntries, want)
	}
	p, err := w.root.ListAssociatedAccessPolicies(t.Context(), &sdk.ListAssociatedAccessPoliciesInput{ClusterName: aws.String("c"), PrincipalArn: aws.String("arn:aws:iam::" + account + ":user/ann")})
	if err != nil || len(p.AssociatedAccessPolicies) != 1 || *p.AssociatedAccessPolicies[0].PolicyArn != adminPolicy {
		t.Errorf("%+v, %v", p, err)
	}
	e, err := w.root.DescribeAccessEntry(t.Context(), &sdk.DescribeAccessEntryInput{ClusterName: aws.String("c"), PrincipalArn: aws.String(nodeRole)})
	if err != nil || *e.AccessEntry.Type != "EC2_LINUX" {
		t.Errorf("%+v, %v", e, err)
	}
}

// DescribeCluster shows the tier before until the control plane has the new one, and one that it
// could not have is not asked for again by an update of something else.
func TestScalingTierShown(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c")
	shown := func() types.ProvisionedControlPlaneTier {
		out, err := w.root.DescribeCluster(t.Context(), &sdk.DescribeClusterInput{Name: aws.String("c")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Cluster.ControlPlaneScalingConfig.Tier
	}
	update := func(in sdk.UpdateClusterConfigInput) {
		t.Helper()
		in.Name = aws.String("c")
		if _, err := w.root.UpdateClusterConfig(t.Context(), &in); err != nil {
			t.Fatal(err)
		}
	}
	update(sdk.UpdateClusterConfigInput{ControlPlaneScalingConfig: &types.ControlPlaneScalingConfig{Tier: "tier-xl"}})
	if got := shown(); got != "standard" {
		t.Errorf("it shows %s before it has it", got)
	}
	w.done(t, c.ARN)
	if got := shown(); got != "tier-xl" {
		t.Errorf("it has tier-xl and shows %s", got)
	}
	update(sdk.UpdateClusterConfigInput{ControlPlaneScalingConfig: &types.ControlPlaneScalingConfig{Tier: "standard"}})
	w.changeCluster(t, c.ARN, func(c *resource.Cluster) { c.Status.FailedRevision = c.Spec.Revision })
	w.done(t, c.ARN)
	update(sdk.UpdateClusterConfigInput{DeletionProtection: aws.Bool(true)})
	if now := w.changeCluster(t, c.ARN, func(*resource.Cluster) {}); shown() != "tier-xl" || now.TargetTier() != "tier-xl" {
		t.Errorf("after a change to standard that failed it shows %s, and is to have %s", shown(), now.TargetTier())
	}
}
