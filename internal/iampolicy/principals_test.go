package iampolicy

import "testing"

func TestServicePrincipal(t *testing.T) {
	for name, want := range map[string]bool{
		"eks.amazonaws.com": true, "pods.eks.amazonaws.com": true, "EC2.amazonaws.com": true, "states.us-east-1.amazonaws.com": true,
		"delivery.logs.us-gov-west-1.amazonaws.com": true, "tagging.amazonaws.com": false, "eks.amazonaws.com.cn": false,
		"ekss.amazonaws.com": false, "amazonaws.com": false, "us-east-1.amazonaws.com": false, "# The service principals": false,
	} {
		if ServicePrincipal(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
