package identity_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// BenchmarkAuthorize is a whole decision: finding a user's twenty policies, the keys of the
// call and of its resource, and evaluating them.
func BenchmarkAuthorize(b *testing.B) {
	d := open(b)
	const user = "arn:aws:iam::000000000000:user/u"
	d.Update(b, func(tx *store.Tx) {
		u := resource.User{Account: account, ARN: user, Name: "u", ID: "AIDAU", Inline: map[string]string{}}
		for i := range 19 {
			u.Inline[fmt.Sprint("p", i)] = policyOf(fmt.Sprintf("Allow svc%d:Get* *", i), "Allow ec2:Describe* *")
		}
		u.Inline["q"] = policyOf("Allow eks:* arn:aws:eks:*:*:cluster/* " + is("aws:ResourceTag/owner", "u"))
		tx.Users.Put(user, u)
		tx.Clusters.Put("arn:aws:eks:us-west-2:000000000000:cluster/c", resource.Cluster{Home: resource.Home{Account: account, Region: "us-west-2"}, Spec: resource.ClusterSpec{Tags: resource.Tags{"owner": "u"}}})
	})
	call := awsapi.Call{Service: "eks", Operation: "DescribeCluster", Region: "us-west-2", Account: account, Time: time.Now(), SourceIP: netip.MustParseAddr("127.0.0.1"),
		Caller: awsapi.Principal{ARN: user, Account: account, ID: "AIDAU", Type: awsapi.TypeUser, AccessKeyID: "AKIA"}}
	in := &eks.DescribeClusterInput{Name: new("c")}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Authorizer.Authorize(b.Context(), call, in); err != nil {
			b.Fatal(err)
		}
	}
}
