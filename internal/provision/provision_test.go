package provision

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/region"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var (
	home = resource.Home{Account: "000000000000", Region: "us-west-2"}
	now  = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
)

// world is a store with a default VPC in it.
type world struct {
	*testing.T
	store *store.Store
}

func newWorld(t *testing.T) world {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := world{t, s}
	w.do("", func(tx *store.Tx) error {
		_, err := EnsureRegion(tx, home, now)
		return err
	})
	return w
}

// do runs f in a transaction, which has to end with the error code given, or well.
func (w world) do(code string, f func(tx *store.Tx) error) {
	w.Helper()
	err := w.store.Update(w.Context(), f)
	var e *awsapi.Error
	switch {
	case code == "" && err != nil:
		w.Fatal(err)
	case code != "" && (!errors.As(err, &e) || e.Code != code || e.Status != 400):
		w.Fatalf("want %s, got %v", code, err)
	}
}

func (w world) subnet(cidr string) resource.Subnet {
	w.Helper()
	var s resource.Subnet
	w.do("", func(tx *store.Tx) error {
		v, _ := DefaultVPC(tx, home)
		r, _ := region.Lookup(home.Region)
		var err error
		s, err = Subnet(tx, SubnetRequest{Home: home, VPC: v.ID, CIDR: netip.MustParsePrefix(cidr), Zone: r.Zones[0]})
		return err
	})
	return s
}

func TestEnsureRegion(t *testing.T) {
	w := newWorld(t)
	w.do("", func(tx *store.Tx) error {
		made, err := EnsureRegion(tx, home, now)
		if made || err != nil {
			t.Errorf("again: %v, %v", made, err)
		}
		v, ok := DefaultVPC(tx, home)
		if !ok || v.CIDRs[0].CIDR.String() != "172.31.0.0/16" || !v.DNSHostnames || !v.DNSSupport {
			t.Errorf("got %+v, %v", v, ok)
		}
		var subnets []string
		for _, s := range tx.Subnets.All() {
			subnets = append(subnets, s.Zone+" "+s.CIDR.String())
			if n := FreeAddresses(tx, s); n != 4091 || !s.Default || !s.MapPublicIP {
				t.Errorf("%d free in %+v", n, s)
			}
		}
		slices.Sort(subnets)
		if want := []string{"us-west-2a 172.31.0.0/20", "us-west-2b 172.31.16.0/20", "us-west-2c 172.31.32.0/20"}; !slices.Equal(subnets, want) {
			t.Errorf("got %v", subnets)
		}
		main, _ := tx.RouteTables.Get(v.MainRouteTable)
		gateway, _ := tx.InternetGateways.Get(main.Routes[0].Gateway)
		if gateway.VPC != v.ID || main.Routes[0].Destination.String() != "0.0.0.0/0" {
			t.Errorf("got %+v, %+v", main, gateway)
		}
		g, _ := tx.SecurityGroups.Get(v.DefaultGroup)
		if len(g.Rules) != 2 || g.Rules[1].Group != g.ID || !g.Rules[0].Egress {
			t.Errorf("got %+v", g)
		}
		return nil
	})
	w.do("InvalidParameterValue", func(tx *store.Tx) error {
		_, err := EnsureRegion(tx, resource.Home{Account: "1", Region: "mars-1"}, now)
		return err
	})
}

func TestDeletedDefaultVPCStaysDeleted(t *testing.T) {
	w := newWorld(t)
	var vpc resource.VPC
	w.do("DependencyViolation", func(tx *store.Tx) error {
		vpc, _ = DefaultVPC(tx, home)
		return DeleteVPC(tx, home, vpc.ID, time.Now())
	})
	w.do("", func(tx *store.Tx) error {
		for _, s := range tx.Subnets.All() {
			if err := DeleteSubnet(tx, home, s.ID); err != nil {
				return err
			}
		}
		for id := range tx.InternetGateways.All() {
			tx.InternetGateways.Delete(id)
		}
		return DeleteVPC(tx, home, vpc.ID, time.Now())
	})
	w.do("", func(tx *store.Tx) error {
		made, err := EnsureRegion(tx, home, now)
		if made || tx.VPCs.Has(vpc.ID) || tx.RouteTables.Has(vpc.MainRouteTable) || tx.SecurityGroups.Has(vpc.DefaultGroup) {
			t.Error("something of it is there")
		}
		return err
	})
}

func TestSubnetRanges(t *testing.T) {
	w := newWorld(t)
	for cidr, code := range map[string]string{
		"172.31.0.0/24":   "InvalidSubnet.Conflict",
		"172.31.0.0/16":   "InvalidSubnet.Conflict",
		"172.32.0.0/24":   "InvalidSubnet.Range",
		"172.31.64.0/29":  "InvalidSubnet.Range",
		"172.30.0.0/15":   "InvalidSubnet.Range",
		"fd00::/64":       "InvalidSubnet.Range",
		"172.31.255.0/24": "",
	} {
		w.do(code, func(tx *store.Tx) error {
			v, _ := DefaultVPC(tx, home)
			_, err := Subnet(tx, SubnetRequest{Home: home, VPC: v.ID, CIDR: netip.MustParsePrefix(cidr)})
			return err
		})
	}
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	s := w.subnet("172.31.48.0/28") // 16 - 5 = 11
	for want, code := range map[string]string{
		"172.31.48.3":  "InvalidParameterValue",
		"172.31.48.15": "InvalidParameterValue",
		"172.31.49.5":  "InvalidParameterValue",
		"::1":          "InvalidParameterValue",
		"172.31.48.4":  "",
		"172.31.48.14": "",
	} {
		w.do(code, func(tx *store.Tx) error {
			got, err := Address(tx, s, netip.MustParseAddr(want))
			if err == nil && got.String() != want {
				t.Errorf("want %s, got %s", want, got)
			}
			return err
		})
	}
	var id string
	w.do("", func(tx *store.Tx) error {
		eni, err := Interface(tx, InterfaceRequest{Home: home, Subnet: s.ID, Address: netip.MustParseAddr("172.31.48.4"), SecondaryCount: 9})
		id = eni.ID
		if n := FreeAddresses(tx, s); n != 1 {
			t.Errorf("%d free", n)
		}
		if n := FreeAddressesBySubnet(tx)[s.ID]; n != 1 {
			t.Errorf("%d free", n)
		}
		distinct := map[netip.Addr]bool{}
		for _, a := range eni.Addresses {
			distinct[a] = true
		}
		if len(distinct) != 10 || eni.Addresses[0].String() != "172.31.48.4" {
			t.Errorf("got %v", eni.Addresses)
		}
		return err
	})
	w.do("InvalidIPAddress.InUse", func(tx *store.Tx) error {
		_, err := Interface(tx, InterfaceRequest{Home: home, Subnet: s.ID, Address: netip.MustParseAddr("172.31.48.4")})
		return err
	})
	w.do("InsufficientFreeAddressesInSubnet", func(tx *store.Tx) error {
		_, err := AssignAddresses(tx, home, id, nil, 2, false)
		return err
	})
	w.do("", func(tx *store.Tx) error {
		got, err := AssignAddresses(tx, home, id, nil, 1, false)
		if err != nil || len(got) != 1 || FreeAddresses(tx, s) != 0 {
			t.Errorf("got %v, %v", got, err)
		}
		return UnassignAddresses(tx, home, id, got)
	})
	w.do("InvalidParameterValue", func(tx *store.Tx) error { // the primary one
		return UnassignAddresses(tx, home, id, []netip.Addr{netip.MustParseAddr("172.31.48.4")})
	})
	w.do("DependencyViolation", func(tx *store.Tx) error { return DeleteSubnet(tx, home, s.ID) })
}

func TestRules(t *testing.T) {
	w := newWorld(t)
	var g resource.SecurityGroup
	w.do("", func(tx *store.Tx) (err error) {
		v, _ := DefaultVPC(tx, home)
		g, err = SecurityGroup(tx, SecurityGroupRequest{Home: home, VPC: v.ID, Name: "web", Description: "web"})
		return err
	})
	w.do("InvalidGroup.Duplicate", func(tx *store.Tx) error {
		_, err := SecurityGroup(tx, SecurityGroupRequest{Home: home, VPC: g.VPC, Name: "web", Description: "web"})
		return err
	})
	from := func(cidr string) netip.Prefix { return netip.MustParsePrefix(cidr) }
	tcp := resource.SecurityGroupRule{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDR: from("10.0.0.1/8")}
	for _, c := range []struct {
		name, code string
		rules      []resource.SecurityGroupRule
	}{
		{"one", "", []resource.SecurityGroupRule{tcp}},
		{"again", "InvalidPermission.Duplicate", []resource.SecurityGroupRule{tcp}},
		{"again with another description", "InvalidPermission.Duplicate", []resource.SecurityGroupRule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDR: from("10.0.0.0/8"), Description: "x"}}},
		{"as egress", "", []resource.SecurityGroupRule{{Egress: true, Protocol: "tcp", FromPort: 80, ToPort: 80, CIDR: from("10.0.0.0/8")}}},
		{"twice", "InvalidParameterValue", []resource.SecurityGroupRule{{Protocol: "-1", CIDR: from("1.0.0.0/8")}, {Protocol: "-1", FromPort: 5, ToPort: 6, CIDR: from("1.0.0.0/8")}}},
		{"ports", "InvalidParameterValue", []resource.SecurityGroupRule{{Protocol: "tcp", FromPort: 90, ToPort: 80, CIDR: from("1.0.0.0/8")}}},
		{"no ports", "InvalidParameterValue", []resource.SecurityGroupRule{{Protocol: "tcp", FromPort: -1, ToPort: -1, CIDR: from("1.0.0.0/8")}}},
		{"no peer", "MissingParameter", []resource.SecurityGroupRule{{Protocol: "-1"}}},
		{"no such group", "InvalidGroup.NotFound", []resource.SecurityGroupRule{{Protocol: "-1", Group: "sg-0123456789abcdef0"}}},
		{"bad group", "InvalidGroupId.Malformed", []resource.SecurityGroupRule{{Protocol: "-1", Group: "web"}}},
		{"self", "", []resource.SecurityGroupRule{{Protocol: "-1", Group: g.ID}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			world{t, w.store}.do(c.code, func(tx *store.Tx) error {
				got, err := AuthorizeRules(tx, home, g.ID, c.rules)
				for _, r := range got {
					if !strings.HasPrefix(r.ID, "sgr-0") {
						t.Errorf("got %+v", r)
					}
				}
				return err
			})
		})
	}
	w.do("RulesPerSecurityGroupLimitExceeded", func(tx *store.Tx) error {
		var many []resource.SecurityGroupRule
		for port := range int32(59) { // two are there
			many = append(many, resource.SecurityGroupRule{Protocol: "udp", FromPort: port, ToPort: port, CIDR: from("1.0.0.0/8")})
		}
		if _, err := AuthorizeRules(tx, home, g.ID, many[:58]); err != nil {
			t.Error(err)
		}
		_, err := AuthorizeRules(tx, home, g.ID, many[58:])
		return err
	})
	w.do("", func(tx *store.Tx) error {
		taken, unknown, err := RevokeRules(tx, home, g.ID, false, nil, []resource.SecurityGroupRule{tcp, {Protocol: "udp", CIDR: from("1.0.0.0/8")}})
		if len(taken) != 1 || len(unknown) != 1 || unknown[0].Protocol != "udp" {
			t.Errorf("took %v, not %v", taken, unknown)
		}
		return err
	})
	w.do("InvalidSecurityGroupRuleId.NotFound", func(tx *store.Tx) error { // an egress rule is no ingress rule
		_, _, err := RevokeRules(tx, home, g.ID, false, []string{g.Rules[0].ID}, nil)
		return err
	})
	w.do("CannotDelete", func(tx *store.Tx) error {
		v, _ := DefaultVPC(tx, home)
		return DeleteSecurityGroup(tx, home, v.DefaultGroup)
	})
	w.do("", func(tx *store.Tx) error { return DeleteSecurityGroup(tx, home, g.ID) })
}

func TestProtocol(t *testing.T) {
	for in, want := range map[string]string{"TCP": "tcp", "6": "tcp", "17": "udp", "-1": "-1", "all": "-1", "50": "50", "icmpv6": "icmpv6"} {
		if got, err := Protocol(in); err != nil || got != want {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "tcpp", "256", "-2"} {
		if got, err := Protocol(in); err == nil {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func launch() InstanceRequest {
	i, _ := ami.Recommended(home.Region, "1.35", ami.X8664, ami.Standard)
	return InstanceRequest{Home: home, Type: "t3.medium", Image: i.ID, Now: now}
}

func TestInstance(t *testing.T) {
	w := newWorld(t)
	var i resource.Instance
	w.do("", func(tx *store.Tx) error {
		var err error
		i, err = Instance(tx, launch())
		if err != nil {
			return err
		}
		enis := InterfacesOf(tx, i.ID)
		v, _ := DefaultVPC(tx, home)
		if len(enis) != 1 {
			t.Fatalf("got %v", enis)
		}
		eni := enis[0]
		if eni.Attachment.Guest != i.ID || !eni.Attachment.DeleteOnTermination || eni.Owner != i.ID ||
			!slices.Equal(eni.SecurityGroups, []string{v.DefaultGroup}) || eni.Addresses[0].String() != i.Spec.PrivateIP {
			t.Errorf("got %+v", eni)
		}
		if want := "ip-" + strings.ReplaceAll(i.Spec.PrivateIP, ".", "-") + ".us-west-2.compute.internal"; i.Spec.PrivateDNS != want {
			t.Errorf("got %s", i.Spec.PrivateDNS)
		}
		if i.Status.State != resource.InstancePending || i.Spec.DiskGiB != 20 || i.Spec.HopLimit != 2 {
			t.Errorf("got %+v", i)
		}
		return nil
	})
	for _, c := range []struct {
		name, code string
		change     func(*InstanceRequest)
	}{
		{"type", "InvalidParameterValue", func(r *InstanceRequest) { r.Type = "t99.huge" }},
		{"architecture", "InvalidParameterValue", func(r *InstanceRequest) { r.Type = "t4g.medium" }},
		{"image", "InvalidAMIID.NotFound", func(r *InstanceRequest) { r.Image = "ami-0123456789abcdef0" }},
		{"image id", "InvalidAMIID.Malformed", func(r *InstanceRequest) { r.Image = "al2023" }},
		{"no image", "MissingParameter", func(r *InstanceRequest) { r.Image = "" }},
		{"no type", "MissingParameter", func(r *InstanceRequest) { r.Type = "" }},
		{"subnet", "InvalidSubnetID.NotFound", func(r *InstanceRequest) { r.Subnet = "subnet-0123456789abcdef0" }},
		{"group", "InvalidGroup.NotFound", func(r *InstanceRequest) { r.SecurityGroups = []string{"sg-0123456789abcdef0"} }},
		{"key", "InvalidKeyPair.NotFound", func(r *InstanceRequest) { r.KeyName = "mine" }},
		{"profile", "InvalidParameterValue", func(r *InstanceRequest) { r.ProfileName = "nobody" }},
		{"disk", "InvalidBlockDeviceMapping", func(r *InstanceRequest) { r.Disk.GiB = 5 }},
		{"user data", "InvalidParameterValue", func(r *InstanceRequest) { r.UserData = make([]byte, 16<<10+1) }},
		{"addresses", "PrivateIpAddressLimitExceeded", func(r *InstanceRequest) { r.Interfaces = []InterfaceSpec{{SecondaryCount: 6}} }},
		{"interfaces", "AttachmentLimitExceeded", func(r *InstanceRequest) {
			r.Interfaces = []InterfaceSpec{{}, {DeviceIndex: 1}, {DeviceIndex: 2}, {DeviceIndex: 3}}
		}},
		{"interface twice", "InvalidParameterCombination", func(r *InstanceRequest) { r.Interfaces = []InterfaceSpec{{}, {}} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			world{t, w.store}.do(c.code, func(tx *store.Tx) error {
				r := launch()
				c.change(&r)
				_, err := Instance(tx, r)
				return err
			})
		})
	}
	// Nothing of a failed launch is kept.
	w.do("", func(tx *store.Tx) error {
		n := 0
		for range tx.Interfaces.All() {
			n++
		}
		if n != 1 {
			t.Errorf("%d interfaces", n)
		}
		return nil
	})

	w.do("", func(tx *store.Tx) error {
		previous, err := Terminate(tx, home, i.ID, now)
		if previous != resource.InstancePending {
			t.Errorf("was %s", previous)
		}
		return err
	})
	w.do("", func(tx *store.Tx) error {
		previous, err := Terminate(tx, home, i.ID, now)
		got, _ := tx.Instances.Get(i.ID)
		if previous != resource.InstanceShuttingDown || got.Current() != resource.InstanceShuttingDown || !got.Terminating {
			t.Errorf("was %s, is %+v", previous, got)
		}
		Terminated(tx, i.ID, now)
		got, _ = tx.Instances.Get(i.ID)
		if len(InterfacesOf(tx, i.ID)) != 0 || got.Current() != resource.InstanceTerminated {
			t.Errorf("is %+v", got)
		}
		if !Visible(got, now.Add(59*time.Minute)) || Visible(got, now.Add(time.Hour)) {
			t.Error("is not shown for an hour")
		}
		return err
	})
}

func TestAttachWithinTheTypesLimits(t *testing.T) {
	w := newWorld(t)
	var i resource.Instance
	attach := func(device int32, addresses int) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			eni, err := Interface(tx, InterfaceRequest{Home: home, Subnet: i.Spec.Subnet, SecondaryCount: addresses - 1})
			if err != nil {
				return err
			}
			_, err = Attach(tx, home, eni.ID, i.ID, device, now)
			return err
		}
	}
	w.do("", func(tx *store.Tx) (err error) { i, err = Instance(tx, launch()); return err })
	w.do("PrivateIpAddressLimitExceeded", attach(1, 7))
	w.do("", attach(1, 6))
	w.do("InvalidParameterValue", attach(1, 1))
	w.do("", attach(2, 1))
	w.do("AttachmentLimitExceeded", attach(3, 1))
	w.do("PrivateIpAddressLimitExceeded", func(tx *store.Tx) error {
		_, err := AssignAddresses(tx, home, i.Spec.PrimaryInterface, nil, 6, false)
		return err
	})
	w.do("", func(tx *store.Tx) error {
		_, err := AssignAddresses(tx, home, i.Spec.PrimaryInterface, nil, 5, false)
		return err
	})
	w.do("OperationNotPermitted", func(tx *store.Tx) error { return Detach(tx, home, InterfacesOf(tx, i.ID)[0].Attachment.ID) })
	w.do("", func(tx *store.Tx) error { return Detach(tx, home, InterfacesOf(tx, i.ID)[2].Attachment.ID) })
	w.do("", func(tx *store.Tx) error {
		if n := len(InterfacesOf(tx, i.ID)); n != 2 {
			t.Errorf("%d are left", n)
		}
		Terminated(tx, i.ID, now)
		n := 0
		for _, eni := range tx.Interfaces.All() {
			n++
			if eni.Attachment != nil || eni.Owner != "" {
				t.Errorf("got %+v", eni)
			}
		}
		if n != 2 { // attached by hand: they do not go with the instance
			t.Errorf("%d are left", n)
		}
		return nil
	})
}

func TestGroupsOfThePrimaryInterfaceAreTheInstances(t *testing.T) {
	w := newWorld(t)
	w.do("", func(tx *store.Tx) error {
		i, err := Instance(tx, launch())
		if err != nil {
			return err
		}
		g, err := SecurityGroup(tx, SecurityGroupRequest{Home: home, VPC: i.Spec.VPC, Name: "nodes", Description: "nodes"})
		if err != nil {
			return err
		}
		if err := SetGroups(tx, home, i.Spec.PrimaryInterface, []string{g.ID, g.ID}); err != nil {
			return err
		}
		i, _ = tx.Instances.Get(i.ID)
		if !slices.Equal(i.Spec.SecurityGroups, []string{g.ID}) {
			t.Errorf("got %v", i.Spec.SecurityGroups)
		}
		return nil
	})
	w.do("SecurityGroupsPerInterfaceLimitExceeded", func(tx *store.Tx) error {
		for id := range tx.Interfaces.All() {
			return SetGroups(tx, home, id, []string{"1", "2", "3", "4", "5", "6"})
		}
		return nil
	})
}
