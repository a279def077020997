package awsapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/internal/awsapi"
)

// TestResponses: the bytes of one response in each protocol.
func TestResponses(t *testing.T) {
	at := time.Unix(1700000000, 120e6)
	for _, c := range []struct {
		name    string
		r       *http.Request
		out     any
		content string
		want    string // ID stands for the request id
	}{
		{"rest-json", signed(t, "GET", "http://h/clusters/a", "eks", "", noon, nil),
			&eks.DescribeClusterOutput{Cluster: &eks.Cluster{Name: new("a\"\n"), CreatedAt: &at, Tags: map[string]string{"b": "2", "a": "1"}, EncryptionConfig: []eks.EncryptionConfig{}}},
			"application/json", `{"cluster":{"name":"a\"\n","createdAt":1700000000.120,"tags":{"a":"1","b":"2"},"encryptionConfig":[]}}`},
		{"json", getParameter(t, `{"Name":"a"}`), &ssm.GetParameterOutput{Parameter: &ssm.Parameter{Name: new("a"), Version: new(int64(1))}},
			"application/x-amz-json-1.1", `{"Parameter":{"Name":"a","Version":1}}`},
		{"query", formPost(t, "iam", "Action=ListRoles&Version=2010-05-08"),
			&iam.ListRolesOutput{Roles: []iam.Role{{RoleName: new("a<b>&"), CreateDate: &at}}, IsTruncated: new(false)}, "text/xml",
			`<ListRolesResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListRolesResult><Roles><member><RoleName>a&lt;b&gt;&amp;</RoleName><CreateDate>2023-11-14T22:13:20.120Z</CreateDate></member></Roles><IsTruncated>false</IsTruncated></ListRolesResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></ListRolesResponse>` + "\n"},
		{"query without output", formPost(t, "iam", "Action=DeleteRole&RoleName=a&Version=2010-05-08"), &iam.DeleteRoleOutput{}, "text/xml",
			`<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></DeleteRoleResponse>` + "\n"},
		{"ec2", formPost(t, "ec2", "Action=DescribeVpcs&Version=2016-11-15"), &ec2.DescribeVpcsOutput{Vpcs: []ec2.Vpc{{VpcId: new("vpc-1"), Tags: []ec2.Tag{{Key: new("k"), Value: new("")}}}}},
			"text/xml;charset=UTF-8", `<?xml version="1.0" encoding="UTF-8"?>
<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>ID</requestId><vpcSet><item><tagSet><item><key>k</key><value></value></item></tagSet><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>`},
		{"ec2 without output", formPost(t, "ec2", "Action=DeleteSubnet&SubnetId=subnet-1&Version=2016-11-15"), &ec2.DeleteSubnetOutput{},
			"text/xml;charset=UTF-8", `<?xml version="1.0" encoding="UTF-8"?>
<DeleteSubnetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>ID</requestId><return>true</return></DeleteSubnetResponse>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := services()
			for _, svc := range all {
				for i := range svc.Operations {
					if svc.Operations[i].Handle.Call != nil {
						svc.Operations[i].Handle.Call = func(context.Context, awsapi.Call, any) (any, error) { return c.out, nil }
					}
				}
			}
			status, head, body := answer(newServer(t, awsapi.Config{Services: all, Now: front0}), c.r)
			body = strings.ReplaceAll(body, head.Get("X-Amzn-RequestId"), "ID")
			if status != 200 || head.Get("Content-Type") != c.content || body != c.want {
				t.Errorf("%d %s\n%s\nwant %s\n%s", status, head.Get("Content-Type"), body, c.content, c.want)
			}
		})
	}
}
