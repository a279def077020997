package iam_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const stranger = "999988887777"

// mark is in the name, the id or the tags of everything that the account has.
const mark = "zzmark"

// furnish gives the account one of everything, each with the mark on it.
func furnish(tx *store.Tx) {
	home := resource.Home{Account: account, Region: identitytest.Region}
	tags := resource.Tags{mark: mark}
	arn := func(kind string) string { return "arn:aws:iam::" + account + ":" + kind + "/" + mark }
	cluster := "arn:aws:eks:" + home.Region + ":" + account + ":cluster/" + mark
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}]}`
	inline := map[string]string{mark: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`}
	tx.Users.Put(arn("user"), resource.User{Account: account, ARN: arn("user"), Name: mark, Path: "/", ID: "AIDA" + mark, Tags: tags, Inline: inline})
	tx.Groups.Put(arn("group"), resource.Group{Account: account, ARN: arn("group"), Name: mark, Path: "/", ID: "AGPA" + mark, Inline: inline})
	tx.Roles.Put(arn("role"), resource.Role{Account: account, ARN: arn("role"), Name: mark, Path: "/", ID: "AROA" + mark, Trust: trust, Tags: tags, Inline: inline, MaxSession: 3600})
	tx.InstanceProfiles.Put(arn("instance-profile"), resource.InstanceProfile{Account: account, ARN: arn("instance-profile"), Name: mark, Path: "/", ID: "AIPA" + mark, Role: arn("role"), Tags: tags})
	tx.Policies.Put(arn("policy"), resource.Policy{Account: account, ARN: arn("policy"), Name: mark, Path: "/", ID: "ANPA" + mark, Default: "v1", Tags: tags,
		Versions: []resource.PolicyVersion{{ID: "v1", Document: inline[mark]}, {ID: "v2", Document: inline[mark]}}})
	tx.OIDCProviders.Put(arn("oidc-provider"), resource.OIDCProvider{Account: account, ARN: arn("oidc-provider"), URL: mark, ClientIDs: []string{mark}, Tags: tags})
	tx.AccessKeys.Put("AKIA"+mark, resource.AccessKey{Account: account, ID: "AKIA" + mark, Principal: arn("user"), Active: true, Created: time.Unix(1, 0)})
	tx.Clusters.Put(cluster, resource.Cluster{Home: home, ARN: cluster, Name: mark, Spec: resource.ClusterSpec{Version: "1.35", Tags: tags}, Status: resource.ClusterStatus{State: resource.ClusterActive}})
	tx.Nodegroups.Put(cluster+"/n", resource.Nodegroup{Home: home, ARN: strings.Replace(cluster, "cluster/", "nodegroup/", 1) + "/" + mark + "/u", Cluster: cluster, Name: mark, Status: resource.NodegroupStatus{State: resource.NodegroupActive}})
	tx.VPCs.Put("vpc-"+mark, resource.VPC{Home: home, ID: "vpc-" + mark, Tags: tags})
	tx.Subnets.Put("subnet-"+mark, resource.Subnet{Home: home, ID: "subnet-" + mark, VPC: "vpc-" + mark, Tags: tags})
	tx.SecurityGroups.Put("sg-"+mark, resource.SecurityGroup{Home: home, ID: "sg-" + mark, VPC: "vpc-" + mark, Name: mark, Tags: tags})
	tx.RouteTables.Put("rtb-"+mark, resource.RouteTable{Home: home, ID: "rtb-" + mark, VPC: "vpc-" + mark, Tags: tags})
	tx.InternetGateways.Put("igw-"+mark, resource.InternetGateway{Home: home, ID: "igw-" + mark, Tags: tags})
	tx.Interfaces.Put("eni-"+mark, resource.NetworkInterface{Home: home, ID: "eni-" + mark, VPC: "vpc-" + mark, Subnet: "subnet-" + mark, Tags: tags})
	tx.LaunchTemplates.Put("lt-"+mark, resource.LaunchTemplate{Home: home, ID: "lt-" + mark, Name: mark, Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: []byte("{}")}}, Tags: tags})
	tx.KeyPairs.Put("key-"+mark, resource.KeyPair{Home: home, ID: "key-" + mark, Name: mark, Tags: tags})
	tx.Instances.Put("i-"+mark, resource.Instance{Home: home, ID: "i-" + mark, Status: resource.InstanceStatus{State: resource.InstanceRunning}, Tags: tags})
	group := "arn:aws:autoscaling:" + home.Region + ":" + account + ":autoScalingGroup:u:autoScalingGroupName/" + mark
	tx.AutoScalingGroups.Put(group, resource.AutoScalingGroup{Home: home, ARN: group, Name: mark})
}

// values are what a field of an input may hold to mean something of the account's, by the
// end of its name. A field that none fits gets the first.
var values = []struct{ suffix, value string }{
	{"", mark},
	{"VpcId", "vpc-" + mark}, {"VpcIds", "vpc-" + mark}, {"SubnetId", "subnet-" + mark}, {"SubnetIds", "subnet-" + mark}, {"GroupId", "sg-" + mark}, {"GroupIds", "sg-" + mark},
	{"RouteTableId", "rtb-" + mark}, {"RouteTableIds", "rtb-" + mark}, {"InternetGatewayId", "igw-" + mark}, {"InternetGatewayIds", "igw-" + mark},
	{"NetworkInterfaceId", "eni-" + mark}, {"NetworkInterfaceIds", "eni-" + mark}, {"LaunchTemplateId", "lt-" + mark}, {"LaunchTemplateIds", "lt-" + mark},
	{"InstanceId", "i-" + mark}, {"InstanceIds", "i-" + mark}, {"KeyPairId", "key-" + mark}, {"Resources", "i-" + mark},
	{"AccessKeyId", "AKIA" + mark}, {"VersionId", "v2"}, {"RoleArn", "arn:aws:iam::" + account + ":role/" + mark}, {"PolicyArn", "arn:aws:iam::" + account + ":policy/" + mark},
	{"PolicySourceArn", "arn:aws:iam::" + account + ":role/" + mark}, {"OpenIDConnectProviderArn", "arn:aws:iam::" + account + ":oidc-provider/" + mark},
	{"ResourceArn", "arn:aws:eks:" + identitytest.Region + ":" + account + ":cluster/" + mark},
}

// name fills the texts of an input with the names and ids of the account's things.
func name(in any) {
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		best := values[0].value
		for _, c := range values {
			if strings.HasSuffix(v.Type().Field(i).Name, c.suffix) {
				best = c.value
			}
		}
		switch f := v.Field(i); {
		case f.Type() == reflect.TypeFor[*string]() && !strings.HasSuffix(v.Type().Field(i).Name, "Token") && !strings.HasSuffix(v.Type().Field(i).Name, "Marker"):
			f.Set(reflect.ValueOf(&best))
		case f.Type() == reflect.TypeFor[*int32]():
			f.Set(reflect.ValueOf(new(int32(100))))
		case f.Type() == reflect.TypeFor[*bool]():
			f.Set(reflect.ValueOf(new(false)))
		case f.Type() == reflect.TypeFor[[]string]() && !slices.Contains([]string{"Filter", "Include"}, v.Type().Field(i).Name):
			f.Set(reflect.ValueOf([]string{best}))
		}
	}
}

// echoes are operations that answer with what they were asked, whatever there is.
var echoes = map[string]bool{
	"IAM.CreateGroup": true, "IAM.CreateUser": true, "IAM.CreateInstanceProfile": true, "IAM.CreateRole": true, "EC2.CreateKeyPair": true, "EC2.ImportKeyPair": true,
	"STS.GetFederationToken": true, "EC2.CreateNetworkInterface": true, "EC2.CreateSecurityGroup": true, "EC2.CreateLaunchTemplate": true,
	"IAM.SimulateCustomPolicy": true, "IAM.CreateAccountAlias": true, "IAM.ListAccountAliases": true, "EC2.DeleteVpcEndpoints": true, "EC2.DeleteFleets": true,
	"Auto Scaling.BatchDeleteScheduledAction": true, "SQS.CreateQueue": true,
}

// A root user of another account, who knows every name and id, sees nothing of an account
// and changes nothing in it by any operation of any service.
func TestAccountsAreIsolated(t *testing.T) {
	d := identitytest.Open(t, everything)
	if _, err := identity.EnsureRoot(t.Context(), d.Store, stranger); err != nil {
		t.Fatal(err)
	}
	d.Update(t, furnish)
	records := func() string {
		out := map[string]any{}
		d.Update(t, func(tx *store.Tx) {
			tx.DeleteWhere(1_000_000, func(table, key string, record any) bool {
				if raw, err := json.Marshal(record); err == nil && strings.Contains(string(raw), account) && !strings.Contains(string(raw), stranger) {
					out[table+"/"+key] = record
				}
				return false
			})
		})
		raw, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	ours, operations := 0, 0
	for _, s := range everything(d) {
		for _, op := range s.Operations {
			if op.Handle.New == nil || op.Unsigned {
				continue
			}
			operations++
			call := func(who string, named bool) string {
				in := op.Handle.New()
				if named {
					name(in)
				}
				// The front door checks inputs against the model; without it handlers miss what is required.
				defer func() { _ = recover() }()
				out, err := op.Handle.Call(t.Context(), awsapi.Call{
					Service: s.SigningName, Operation: op.Name, Region: identitytest.Region, Account: who, Time: time.Now(),
					Caller: awsapi.Principal{ARN: identity.RootARN(who), Account: who, ID: who, Type: awsapi.TypeRoot},
				}, in)
				if err != nil {
					return ""
				}
				raw, err := json.Marshal(out)
				if err != nil {
					t.Fatal(err)
				}
				return string(raw)
			}
			if strings.HasPrefix(op.Name, "List") || strings.HasPrefix(op.Name, "Describe") || strings.HasPrefix(op.Name, "Get") {
				if strings.Contains(call(account, false), mark) || strings.Contains(call(account, true), mark) {
					ours++
				}
			}
			before := records()
			for _, named := range []bool{false, true} {
				if op.Name == "GetAccessKeyInfo" { // it is there to tell whose a key is
					continue
				}
				if out := call(stranger, named); strings.Contains(out, account) || strings.Contains(out, mark) && !echoes[s.ID+"."+op.Name] {
					t.Errorf("%s.%s shows another account: %.300s", s.ID, op.Name, out)
				}
			}
			if after := records(); after != before {
				t.Errorf("%s.%s changes another account", s.ID, op.Name)
			}
			d.Update(t, func(tx *store.Tx) { // what the stranger has made of the same names
				tx.DeleteWhere(1_000_000, func(table, _ string, record any) bool {
					raw, err := json.Marshal(record)
					return err == nil && table != store.Accounts && strings.Contains(string(raw), stranger)
				})
			})
		}
	}
	if ours < 40 {
		t.Errorf("only %d operations show the account its own things: the test looks at nothing", ours)
	}
	t.Logf("%d operations, %d show their own account something", operations, ours)
}
