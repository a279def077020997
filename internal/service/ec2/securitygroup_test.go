package ec2_test

import (
	"slices"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestSecurityGroups(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	web, db := w.group(vpc, "web"), w.group(vpc, "db")
	fails(w.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{VpcId: &vpc, GroupName: new("web"), Description: new("x")}))(w, "InvalidGroup.Duplicate", "The security group 'web' already exists for VPC '"+vpc+"'")
	fails(w.CreateSecurityGroup(ctx, &sdk.CreateSecurityGroupInput{VpcId: &vpc, GroupName: new("sg-x"), Description: new("x")}))(w, "InvalidParameterValue", "Invalid security group name. Group names may not be in the format sg-*")

	allow := &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &db, TagSpecifications: tagSpec("security-group-rule", "why", "sql"), IpPermissions: []types.IpPermission{{
		IpProtocol: new("tcp"), FromPort: new(int32(5432)), ToPort: new(int32(5432)),
		UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: &web, Description: new("from web")}},
		IpRanges:         []types.IpRange{{CidrIp: new("10.0.0.0/24")}, {CidrIp: new("10.0.1.0/24"), Description: new("second")}},
		Ipv6Ranges:       []types.Ipv6Range{{CidrIpv6: new("fd00::/64")}},
	}}}
	added := must(w.AuthorizeSecurityGroupIngress(ctx, allow))(w).SecurityGroupRules
	if len(added) != 4 || *added[0].CidrIpv4 != "10.0.0.0/24" || *added[2].CidrIpv6 != "fd00::/64" || *added[3].ReferencedGroupInfo.GroupId != web || tags(added[0].Tags)["why"] != "sql" {
		t.Fatalf("got %+v", added)
	}
	fails(w.AuthorizeSecurityGroupIngress(ctx, allow))(w, "InvalidPermission.Duplicate", `the specified rule "peer: 10.0.0.0/24, TCP, from port: 5432, to port: 5432, ALLOW" already exists`)
	got := must(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{db}}))(w).SecurityGroups[0]
	if p := got.IpPermissions; len(p) != 1 || len(p[0].IpRanges) != 2 || *p[0].IpRanges[1].Description != "second" || *p[0].UserIdGroupPairs[0].Description != "from web" || *p[0].UserIdGroupPairs[0].UserId != account {
		t.Errorf("got %+v", p)
	}
	for _, f := range [][]types.Filter{
		filters("ip-permission.group-id", web), filters("ip-permission.group-name", "web"), filters("ip-permission.cidr", "10.0.1.*"),
		filters("ip-permission.to-port", "5432"), filters("group-name", "d?"), filters("vpc-id", vpc, "ip-permission.ipv6-cidr", "fd00::/64"),
	} {
		out := must(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{Filters: f}))(w).SecurityGroups
		if len(out) != 1 || *out[0].GroupId != db {
			t.Errorf("%s: got %+v", *f[0].Name, out)
		}
	}
	rules := must(w.DescribeSecurityGroupRules(ctx, &sdk.DescribeSecurityGroupRulesInput{Filters: filters("group-id", db, "tag:why", "sql")}))(w).SecurityGroupRules
	if len(rules) != 4 {
		t.Errorf("got %+v", rules)
	}

	fails(w.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: &web}))(w, "DependencyViolation", "resource "+web+" has a dependent object")
	fails(w.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: &db, IpPermissions: []types.IpPermission{{IpProtocol: new("-1"), IpRanges: []types.IpRange{{CidrIp: new("1.0.0.0/8")}}}}}))(w,
		"InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	revoked := must(w.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: &db, SecurityGroupRuleIds: []string{*added[3].SecurityGroupRuleId}}))(w)
	if !*revoked.Return || len(revoked.RevokedSecurityGroupRules) != 1 || *revoked.RevokedSecurityGroupRules[0].ReferencedGroupId != web {
		t.Errorf("got %+v", revoked)
	}
	must(w.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupId: &db, IpProtocol: new("tcp"), FromPort: new(int32(5432)), ToPort: new(int32(5432)), CidrIp: new("10.0.0.0/24")}))(w)
	must(w.RevokeSecurityGroupEgress(ctx, &sdk.RevokeSecurityGroupEgressInput{GroupId: &db, IpPermissions: []types.IpPermission{{IpProtocol: new("-1"), IpRanges: []types.IpRange{{CidrIp: new("0.0.0.0/0")}}}}}))(w)
	got = must(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{db}}))(w).SecurityGroups[0]
	if len(got.IpPermissionsEgress) != 0 || len(got.IpPermissions[0].IpRanges) != 1 {
		t.Errorf("got %+v", got)
	}
	must(w.AuthorizeSecurityGroupEgress(ctx, &sdk.AuthorizeSecurityGroupEgressInput{GroupId: &db, IpPermissions: []types.IpPermission{{IpProtocol: new("icmp"), IpRanges: []types.IpRange{{CidrIp: new("0.0.0.0/0")}}}}}))(w)
	must(w.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupId: &web}))(w)
	fails(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{web}}))(w, "InvalidGroup.NotFound", "The security group '"+web+"' does not exist")
	fails(w.DescribeSecurityGroups(ctx, &sdk.DescribeSecurityGroupsInput{GroupIds: []string{"web"}}))(w, "InvalidGroupId.Malformed", `Invalid id: "web" (expecting "sg-...")`)

	// In a default VPC a rule that is not there is told, and no error.
	home := w.defaultVPC()
	other := w.group(home, "other")
	unknown := must(w.RevokeSecurityGroupIngress(ctx, &sdk.RevokeSecurityGroupIngressInput{GroupName: new("other"), IpPermissions: []types.IpPermission{{IpProtocol: new("-1"), IpRanges: []types.IpRange{{CidrIp: new("1.0.0.0/8")}}}}}))(w)
	if len(unknown.UnknownIpPermissions) != 1 || len(unknown.RevokedSecurityGroupRules) != 0 {
		t.Errorf("got %+v", unknown)
	}
	if out := must(w.DeleteSecurityGroup(ctx, &sdk.DeleteSecurityGroupInput{GroupName: new("other")}))(w); *out.GroupId != other {
		t.Errorf("got %+v", out)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	sub, group := w.subnet(vpc, "10.0.0.0/24", "us-west-2a"), w.group(vpc, "web")
	rule := *must(w.DescribeSecurityGroupRules(ctx, &sdk.DescribeSecurityGroupRulesInput{Filters: filters("group-id", group)}))(w).SecurityGroupRules[0].SecurityGroupRuleId
	pair := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	all := []string{vpc, sub, group, rule}
	must(w.CreateTags(ctx, &sdk.CreateTagsInput{Resources: all, Tags: []types.Tag{pair("Name", "x"), pair("kubernetes.io/role/elb", "")}}))(w)
	out := must(w.DescribeTags(ctx, &sdk.DescribeTagsInput{Filters: filters("key", "Name")}))(w).Tags
	var got []string
	for _, tag := range out {
		got = append(got, string(tag.ResourceType)+" "+*tag.ResourceId+" "+*tag.Value)
	}
	slices.Sort(got)
	if want := []string{"security-group " + group + " x", "security-group-rule " + rule + " x", "subnet " + sub + " x", "vpc " + vpc + " x"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, f := range [][]types.Filter{filters("tag-key", "kubernetes.io/role/*"), filters("tag:Name", "x"), {{Name: new("tag:kubernetes.io/role/elb"), Values: []string{"1", ""}}}} {
		if s := must(w.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{Filters: f}))(w).Subnets; len(s) != 1 || *s[0].SubnetId != sub {
			t.Errorf("%s: got %+v", *f[0].Name, s)
		}
	}
	// Another value keeps the tag, the same one and none take it.
	must(w.DeleteTags(ctx, &sdk.DeleteTagsInput{Resources: all, Tags: []types.Tag{pair("Name", "y"), {Key: new("kubernetes.io/role/elb")}}}))(w)
	if s := must(w.DescribeSubnets(ctx, &sdk.DescribeSubnetsInput{SubnetIds: []string{sub}}))(w).Subnets[0]; len(s.Tags) != 1 {
		t.Errorf("got %+v", s.Tags)
	}
	must(w.DeleteTags(ctx, &sdk.DeleteTagsInput{Resources: all}))(w)
	if out := must(w.DescribeTags(ctx, &sdk.DescribeTagsInput{}))(w).Tags; len(out) != 0 {
		t.Errorf("got %+v", out)
	}

	create := func(resource string, list ...types.Tag) func(*world, string, string) {
		return fails(w.CreateTags(ctx, &sdk.CreateTagsInput{Resources: []string{vpc, resource}, Tags: list}))
	}
	long := make([]byte, 129)
	for i := range long {
		long[i] = 'k'
	}
	var many []types.Tag
	for i := range 51 {
		many = append(many, pair(string(long[:i+1]), ""))
	}
	create(sub, pair("aws:x", ""))(w, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
	create(sub, pair("a", ""), pair("a", "b"))(w, "InvalidParameterValue", "Duplicate tag key 'a' specified.")
	create(sub, pair(string(long), ""))(w, "InvalidParameterValue", "")
	create(sub, many...)(w, "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	create("subnet-0123456789abcdef0", pair("a", ""))(w, "InvalidSubnetID.NotFound", "")
	create("thing-1", pair("a", ""))(w, "InvalidID", "The ID 'thing-1' is not valid")
	if v := must(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{VpcIds: []string{vpc}}))(w).Vpcs[0]; len(v.Tags) != 0 {
		t.Errorf("a failed CreateTags has tagged %+v", v.Tags)
	}
	fails(w.CreateVpc(ctx, &sdk.CreateVpcInput{CidrBlock: new("10.0.0.0/16"), TagSpecifications: tagSpec("subnet", "a", "b")}))(w, "InvalidParameterValue", "'subnet' is not a valid taggable resource type for this operation.")
}

// A rule that is modified keeps its id, its direction and its tags.
func TestModifySecurityGroupRules(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	db, web := w.group(vpc, "db"), w.group(vpc, "web")
	added := must(w.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{
		GroupId: &db, TagSpecifications: tagSpec("security-group-rule", "why", "sql"), IpPermissions: []types.IpPermission{{
			IpProtocol: new("tcp"), FromPort: new(int32(5432)), ToPort: new(int32(5432)), IpRanges: []types.IpRange{{CidrIp: new("10.0.0.0/24")}, {CidrIp: new("10.0.1.0/24")}},
		}},
	}))(w).SecurityGroupRules
	modify := func(id *string, r types.SecurityGroupRuleRequest) *sdk.ModifySecurityGroupRulesInput {
		return &sdk.ModifySecurityGroupRulesInput{GroupId: &db, SecurityGroupRules: []types.SecurityGroupRuleUpdate{{SecurityGroupRuleId: id, SecurityGroupRule: &r}}}
	}
	port := new(int32(3306))
	must(w.ModifySecurityGroupRules(ctx, modify(added[0].SecurityGroupRuleId, types.SecurityGroupRuleRequest{
		IpProtocol: new("tcp"), FromPort: port, ToPort: port, ReferencedGroupId: &web, Description: new("from web"),
	})))(w)
	got := must(w.DescribeSecurityGroupRules(ctx, &sdk.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*added[0].SecurityGroupRuleId}}))(w).SecurityGroupRules[0]
	if *got.ReferencedGroupInfo.GroupId != web || *got.FromPort != 3306 || *got.Description != "from web" || got.CidrIpv4 != nil || *got.IsEgress || tags(got.Tags)["why"] != "sql" {
		t.Errorf("got %+v", got)
	}
	fails(w.ModifySecurityGroupRules(ctx, modify(added[1].SecurityGroupRuleId, types.SecurityGroupRuleRequest{IpProtocol: new("tcp"), FromPort: port, ToPort: port, ReferencedGroupId: &web})))(w, "InvalidPermission.Duplicate", "")
	fails(w.ModifySecurityGroupRules(ctx, modify(added[1].SecurityGroupRuleId, types.SecurityGroupRuleRequest{IpProtocol: new("-1"), CidrIpv4: new("10.0.0.0/8"), ReferencedGroupId: &web})))(w, "InvalidParameterCombination", "")
	fails(w.ModifySecurityGroupRules(ctx, modify(new("sgr-0123456789abcdef0"), types.SecurityGroupRuleRequest{IpProtocol: new("-1"), CidrIpv4: new("10.0.0.0/8")})))(w, "InvalidSecurityGroupRuleId.NotFound", "")
	if got := must(w.DescribeSecurityGroupRules(ctx, &sdk.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*added[1].SecurityGroupRuleId}}))(w).SecurityGroupRules[0]; *got.CidrIpv4 != "10.0.1.0/24" {
		t.Errorf("a refused change left %+v", got)
	}
}
