package authz

import (
	"fmt"
	"strings"
	"testing"
)

// typical is what a cluster administrator's policy looks like.
func typical(t testing.TB) *Policy {
	return parse(t, Identity,
		`{"Sid":"Read","Effect":"Allow","Action":["eks:Describe*","eks:List*","ec2:Describe*","iam:Get*","iam:List*"],"Resource":"*"},`+
			`{"Sid":"Write","Effect":"Allow","Action":["eks:CreateCluster","eks:DeleteCluster","eks:UpdateClusterConfig","eks:UpdateClusterVersion","eks:CreateNodegroup","eks:TagResource"],"Resource":"arn:aws:eks:*:*:cluster/dev-*"},`+
			`{"Sid":"Pass","Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/eks-*","Condition":{"StringEquals":{"iam:PassedToService":"eks.amazonaws.com"}}},`+
			`{"Sid":"Own","Effect":"Allow","Action":["ec2:StopInstances","ec2:TerminateInstances"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/owner":"${aws:username}"}}},`+
			`{"Sid":"Never","Effect":"Deny","Action":["organizations:*","account:*"],"Resource":"*"}`)
}

func benchRequest(action, resource string) Request {
	return Request{Principal: ann, Action: action, Resources: []string{resource}, Context: map[string][]string{
		"aws:username": {"ann"}, "aws:PrincipalArn": {ann.ARN}, "aws:PrincipalAccount": {home}, "aws:PrincipalType": {"User"}, "aws:userid": {ann.ID},
		"aws:SourceIp": {"10.0.0.1"}, "aws:SecureTransport": {"true"}, "aws:CurrentTime": {"2026-01-01T00:00:00Z"}, "aws:RequestedRegion": {"eu-west-1"},
		"aws:ResourceTag/owner": {"ann"}, "iam:PassedToService": {"eks.amazonaws.com"},
	}}
}

func BenchmarkEvaluate(b *testing.B) {
	one := Inputs{Identity: []Source{{"typical", typical(b)}}}
	twenty := Inputs{}
	for i := range 19 {
		var actions []string
		for j := range 40 {
			actions = append(actions, fmt.Sprintf(`"svc%d:Do%d"`, i, j), fmt.Sprintf(`"svc%d:Get%d*"`, i, j))
		}
		p := parse(b, Identity, `{"Effect":"Allow","Action":[`+strings.Join(actions, ",")+`],"Resource":"*"}`)
		twenty.Identity = append(twenty.Identity, Source{fmt.Sprint(i), p})
	}
	twenty.Identity = append(twenty.Identity, one.Identity...)
	limited := one
	limited.Boundary = parse(b, Boundary, allow("*", "*"))
	limited.Session = sources(b, Session, allow("eks:*", "*"))
	const dev = "arn:aws:eks:eu-west-1:" + home + ":cluster/dev-1"
	for _, c := range []struct {
		name string
		in   Inputs
		req  Request
		want bool
	}{
		{"one policy", one, benchRequest("eks:CreateCluster", dev), true},
		{"one policy, denied", one, benchRequest("eks:CreateAddon", dev), false},
		{"one policy, condition", one, benchRequest("iam:PassRole", "arn:aws:iam::"+home+":role/eks-cluster"), true},
		{"one policy, variable", one, benchRequest("ec2:StopInstances", "arn:aws:ec2:eu-west-1:"+home+":instance/i-1"), true},
		{"boundary and session", limited, benchRequest("eks:CreateCluster", dev), true},
		{"20 policies", twenty, benchRequest("eks:CreateCluster", dev), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := Evaluate(c.in, c.req); d.Allowed != c.want {
					b.Fatalf("allowed=%v", d.Allowed)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	document := []byte(doc(`"Effect":"Allow","Action":["eks:Describe*","eks:List*"],"Resource":"arn:aws:eks:*:*:cluster/*","Condition":{"StringEquals":{"aws:ResourceTag/a":"${aws:username}"}}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(document, Identity); err != nil {
			b.Fatal(err)
		}
	}
}
