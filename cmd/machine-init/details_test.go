package main

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, c := range []struct{ name, status, body, want, err string }{
		{"a name", "200 OK", `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><instancesSet><item>
			<instanceId>i-1</instanceId><privateDnsName>ip-10-0-0-2.us-west-2.compute.internal</privateDnsName></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
			"ip-10-0-0-2.us-west-2.compute.internal", ""},
		{"no name yet", "200 OK", `<DescribeInstancesResponse><reservationSet><item><instancesSet><item><privateDnsName/></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`,
			"", "no name of the instance"},
		{"no instance", "200 OK", `<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>`, "", "no name of the instance"},
		{"refused", "403 Forbidden", `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation.</Message></Error></Errors></Response>`,
			"", "UnauthorizedOperation: You are not authorized"},
		{"not EC2", "502 Bad Gateway", `oops`, "", "502 Bad Gateway"},
	} {
		got, err := parseName(c.status, []byte(c.body))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
