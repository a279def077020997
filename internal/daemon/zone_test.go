package daemon

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What a VPC's DNS server says of AWS's names, with endpoints and without, and of the names
// of instances; and what enableDnsSupport and enableDnsHostnames change.
func TestZone(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d := &Daemon{store: st}
	home := resource.Home{Account: "000000000000", Region: "us-west-2"}
	var vpc, sts, quiet, s3 string
	var machine resource.NetworkInterface
	edit := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := st.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(tx *store.Tx) error {
		r, _ := region.Lookup(home.Region)
		v, err := provision.VPC(tx, provision.VPCRequest{Home: home, CIDR: netip.MustParsePrefix("10.0.0.0/16")})
		if err != nil {
			return err
		}
		v.DNSHostnames = true
		tx.VPCs.Put(v.ID, v)
		vpc = v.ID
		s, err := provision.Subnet(tx, provision.SubnetRequest{Home: home, VPC: vpc, CIDR: netip.MustParsePrefix("10.0.1.0/24"), Zone: r.Zones[0]})
		if err != nil {
			return err
		}
		machine, err = provision.Interface(tx, provision.InterfaceRequest{Home: home, Subnet: s.ID, Address: netip.MustParseAddr("10.0.1.10"), AutoPublic: true, Now: time.Now()})
		if err != nil {
			return err
		}
		for _, e := range []struct {
			service, kind string
			quiet         bool
			id            *string
		}{{"sts", provision.EndpointInterface, false, &sts}, {"ec2", provision.EndpointInterface, true, &quiet}, {"s3", provision.EndpointGateway, false, &s3}} {
			made := provision.EndpointRequest{Home: home, VPC: vpc, Service: "com.amazonaws.us-west-2." + e.service, Type: e.kind, NoPrivateDNS: e.quiet, Now: time.Now()}
			if e.kind == provision.EndpointInterface {
				made.Subnets = []string{s.ID}
			} else {
				made.RouteTables = []string{v.MainRouteTable}
			}
			got, err := provision.Endpoint(tx, made)
			if err != nil {
				return err
			}
			*e.id = got.ID
		}
		return nil
	})
	var at netip.Addr
	_ = st.View(func(tx *store.Tx) error {
		e, _ := tx.VPCEndpoints.Get(sts)
		i, _ := tx.Interfaces.Get(e.Interfaces[0])
		at = i.Addresses[0]
		return nil
	})
	public := provision.PublicDNS(home.Region, machine.PublicIP)
	check := func(what string, names map[string]string) {
		t.Helper()
		for name, want := range names {
			got, known := d.zone(vpc).Zone(name)
			if text := fmt.Sprint(got); text != want || known != (want != "[]") {
				t.Errorf("%s: %s is %s, %t; want %s", what, name, text, known, want)
			}
		}
	}
	check("with endpoints", map[string]string{
		"sts.us-west-2.amazonaws.com": "[" + at.String() + "]",
		"sts.eu-west-1.amazonaws.com": "[198.18.0.1]", // another region's has no endpoint here
		"ec2.us-west-2.amazonaws.com": "[198.18.0.1]", // its endpoint has no private DNS
		"iam.amazonaws.com":           "[198.18.0.1]",
		// What is not served is refused there, instead of looked for on a way that leads nowhere.
		"elasticloadbalancing.us-west-2.amazonaws.com":  "[198.18.0.1]",
		"kms.us-west-2.api.aws":                         "[198.18.0.1]",
		"api.ecr.us-west-2.amazonaws.com":               "[198.18.0.1]",
		"602401143452.dkr.ecr.us-west-2.amazonaws.com":  "[]",
		"bucket.s3.us-west-2.amazonaws.com":             "[]",
		"ec2-127-9-9-9.us-west-2.compute.amazonaws.com": "[]",
		"sqs.mars-1.amazonaws.com":                      "[]",
		"amazonaws.com":                                 "[]",
		"ip-10-0-1-10.us-west-2.compute.internal":       "[10.0.1.10]",
		"ip-10-0-2-11.us-west-2.compute.internal":       "[]", // endpoints take any address of the subnet
		public: "[10.0.1.10]",
	})
	// An instance's own name stands for the families that its options say.
	const id = "i-0123456789abcdef0"
	own, six := provision.ResourceDNS(home.Region, id), netip.MustParseAddr("2001:db8:1:1::10")
	for _, n := range []struct {
		names resource.ResourceNames
		want  string
		back  bool
	}{{resource.ResourceNames{}, "[]", false}, {resource.ResourceNames{A: true}, "[10.0.1.10]", false}, {resource.ResourceNames{A: true, AAAA: true}, "[10.0.1.10 2001:db8:1:1::10]", true}} {
		edit(func(tx *store.Tx) error {
			machine.Addresses6, machine.Attachment = []netip.Addr{six}, &resource.Attachment{Instance: id}
			tx.Interfaces.Put(machine.ID, machine)
			tx.Instances.Put(id, resource.Instance{Home: home, ID: id, Spec: resource.InstanceSpec{VPC: vpc, PrimaryInterface: machine.ID, Names: n.names}})
			return nil
		})
		check(fmt.Sprint(n.names), map[string]string{own: n.want})
		if name, known := d.zone(vpc).Reverse(six); known != n.back || known && name != own {
			t.Errorf("%v: the name of %s is %q, %t", n.names, six, name, known)
		}
	}
	if off := d.zone(vpc).Off(); off {
		t.Error("the DNS server of a new VPC is off")
	}
	edit(func(tx *store.Tx) error {
		v, _ := tx.VPCs.Get(vpc)
		v.DNSHostnames = false
		tx.VPCs.Put(vpc, v)
		return provision.DeleteEndpoint(tx, home, sts)
	})
	check("without", map[string]string{
		"sts.us-west-2.amazonaws.com":             "[198.18.0.1]",
		"ip-10-0-1-10.us-west-2.compute.internal": "[10.0.1.10]",
		public: "[]",
	})
	edit(func(tx *store.Tx) error {
		v, _ := tx.VPCs.Get(vpc)
		v.DNSSupport = false
		tx.VPCs.Put(vpc, v)
		return nil
	})
	if off := d.zone(vpc).Off(); !off {
		t.Error("enableDnsSupport is false, and the DNS server answers")
	}
}
