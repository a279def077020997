package vpc

import (
	"fmt"
	"net/netip"
	"testing"

	"ekster.dev/ekster/internal/network"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

func TestClustersOfAVPC(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := provision.SetPublicPool(t.Context(), st, netip.MustParsePrefix("127.70.128.0/17")); err != nil {
		t.Fatal(err)
	}
	everywhere := []string{"0.0.0.0/0"}
	for name, c := range map[string]struct {
		listen  string
		spec    resource.ClusterSpec
		in, out []network.Cluster // as its own VPC sees it, and another
	}{
		"not yet":      {"", resource.ClusterSpec{PublicAccess: true, PublicAccessCIDRs: everywhere}, nil, nil},
		"another port": {"127.70.0.2:6443", resource.ClusterSpec{PublicAccess: true, PublicAccessCIDRs: everywhere}, nil, nil},
		"public": {"127.70.1.2:443", resource.ClusterSpec{PublicAccess: true, PublicAccessCIDRs: everywhere},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.129.2"), From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.129.2"), From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}},
		"public to some": {"127.70.0.2:443", resource.ClusterSpec{PublicAccess: true, PublicAccessCIDRs: []string{"203.0.113.0/24", "127.70.129.7/32"}},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.128.2"), From: []netip.Prefix{netip.MustParsePrefix("198.19.129.7/32")}}},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.128.2"), From: []netip.Prefix{netip.MustParsePrefix("198.19.129.7/32")}}}},
		"private": {"127.70.0.2:443", resource.ClusterSpec{PrivateAccess: true},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.128.2"), Private: netip.MustParseAddr("10.0.0.4")}}, nil},
		"both": {"127.70.0.2:443", resource.ClusterSpec{PrivateAccess: true, PublicAccess: true, PublicAccessCIDRs: everywhere},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.128.2"), Private: netip.MustParseAddr("10.0.0.4")}},
			[]network.Cluster{{Address: netip.MustParseAddr("198.18.128.2"), From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}},
	} {
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			addVPC(tx, "a", "10.0.0.0/24")
			i, _ := tx.Interfaces.Get("eni-a")
			i.Owner, i.Attachment = "arn:c1", &resource.Attachment{Guest: "cp-1"}
			tx.Interfaces.Put(i.ID, i)
			c.spec.VPC = "vpc-a"
			tx.Clusters.Put("arn:c1", resource.Cluster{ARN: "arn:c1", Spec: c.spec, Status: resource.ClusterStatus{Listen: c.listen}})
			for vpc, want := range map[string][]network.Cluster{"vpc-a": c.in, "vpc-b": c.out} {
				if got := clustersFor(tx, vpc); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s, from %s: %v, want %v", name, vpc, got, want)
				}
			}
			if got := endpointsOf(tx); got != netip.MustParsePrefix("127.70.0.0/17") {
				t.Errorf("endpoints are from %s", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
