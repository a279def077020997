package cluster

import (
	"net/netip"
	"slices"
	"testing"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/reconcile"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// An upgrade needs the cluster's subnets and groups, and addresses; other updates do not.
func TestUpgradeWithoutWhatItNeeds(t *testing.T) {
	for code, take := range map[string]func(*store.Tx, *resource.Cluster) (resourceID string){
		"SubnetNotFound": func(_ *store.Tx, cl *resource.Cluster) string {
			cl.Spec.Subnets = append(cl.Spec.Subnets, "subnet-0")
			return "subnet-0"
		},
		"SecurityGroupNotFound": func(_ *store.Tx, cl *resource.Cluster) string {
			cl.Spec.SecurityGroups = []string{"sg-0"}
			return "sg-0"
		},
		"IpNotAvailable": func(tx *store.Tx, cl *resource.Cluster) string {
			s, err := provision.Subnet(tx, provision.SubnetRequest{Home: home, VPC: cl.Spec.VPC, CIDR: netip.MustParsePrefix("172.31.240.0/28"), Zone: region.Zone{Name: "us-west-2a", ID: "usw2-az1"}})
			if err != nil {
				t.Fatal(err)
			}
			cl.Spec.Subnets = []string{s.ID}
			for provision.FreeAddresses(tx, s) > 4 {
				if _, err := provision.Interface(tx, provision.InterfaceRequest{Home: home, Subnet: s.ID}); err != nil {
					t.Fatal(err)
				}
			}
			return s.ID
		},
		// Its own rule is gone, and others are where it would be put back.
		"Unknown": func(tx *store.Tx, cl *resource.Cluster) string {
			g, _ := tx.SecurityGroups.Get(cl.Spec.ClusterSecurityGroup)
			g.Rules = nil
			for port := range int32(60) {
				g.Rules = append(g.Rules, resource.SecurityGroupRule{Protocol: "tcp", FromPort: port, ToPort: port, CIDR: netip.MustParsePrefix("10.0.0.0/8")})
			}
			tx.SecurityGroups.Put(g.ID, g)
			return g.ID
		},
	} {
		t.Run(code, func(t *testing.T) {
			w := newWorld(t)
			w.settle()
			lost := ""
			w.update(func(tx *store.Tx) error {
				cl, _ := tx.Clusters.Get(clusterARN)
				lost = take(tx, &cl)
				tx.Clusters.Put(cl.ARN, cl)
				return nil
			})
			w.ask("VersionUpdate", "u1", w.to("1.36"))
			w.settle()
			cl, _ := w.cluster()
			if u := w.updated("u1"); u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != code || u.Errors[0].ResourceIDs[0] != lost {
				t.Fatalf("%+v", u)
			}
			if cl.Current() != resource.ClusterActive || cl.Version() != "1.35" || w.binary() != "1.35" || cl.Status.UpgradedFrom != "" || slices.Contains(w.host.log, "ensure 1.36") {
				t.Errorf("%+v, runs %s", cl.Status, w.binary())
			}
			w.ask("LoggingUpdate", "u2", func(*resource.Cluster) {})
			w.settle()
			if u := w.updated("u2"); u.State != resource.UpdateSuccessful {
				t.Errorf("%+v", u)
			}
		})
	}
}

// What waits for a network interface ends in its time, and so does what is asked of the providers.
func TestUpdateWithoutInterface(t *testing.T) {
	w := newWorld(t)
	w.settle()
	w.update(func(tx *store.Tx) error {
		for id, i := range tx.Interfaces.All() {
			if i.Owner == clusterARN {
				i.Status.Plugged = ""
				tx.Interfaces.Put(id, i)
			}
		}
		tx.IdentityProviders.Put("p", resource.IdentityProvider{ARN: "p", ID: "1", Cluster: clusterARN, State: resource.ProviderCreating, Update: "p"})
		tx.Updates.Put("p", resource.Update{ID: "p", Cluster: clusterARN, Type: "AssociateIdentityProviderConfig", State: resource.UpdateInProgress, Created: w.now})
		return nil
	})
	w.ask("LoggingUpdate", "u", func(*resource.Cluster) {})
	for range 20 {
		again, err := w.c.Reconcile(t.Context(), clusterARN)
		if err != nil {
			t.Fatal(err)
		}
		if again == reconcile.Never {
			break
		}
		w.now = w.now.Add(again)
	}
	for _, id := range []string{"u", "p"} {
		if u := w.updated(id); u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "ClusterUnreachable" {
			t.Errorf("%+v", u)
		}
	}
}
