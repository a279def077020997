package ec2_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/crypto/ssh"

	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

var everywhere = new("0.0.0.0/0")

// A VPC made by hand, as eksctl and Terraform make theirs, and taken down again, each
// thing refused while another needs it.
func TestVPCByHand(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	public, private := w.subnet(vpc, "10.0.0.0/24", "us-west-2a"), w.subnet(vpc, "10.0.1.0/24", "us-west-2a")
	igw := *must(w.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{}))(w).InternetGateway.InternetGatewayId
	eip := must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{Domain: "vpc", TagSpecifications: tagSpec("elastic-ip", "a", "b")}))(w)
	if !strings.HasPrefix(*eip.PublicIp, "127.") || !strings.HasPrefix(*eip.AllocationId, "eipalloc-") {
		t.Errorf("got %+v", eip)
	}
	nat := &sdk.CreateNatGatewayInput{SubnetId: &public, AllocationId: eip.AllocationId, ClientToken: new("t")}
	fails(w.CreateNatGateway(ctx, nat))(w, "Gateway.NotAttached", "Network "+vpc+" has no Internet gateway attached")
	must(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{VpcId: &vpc, InternetGatewayId: &igw}))(w)
	made := must(w.CreateNatGateway(ctx, nat))(w).NatGateway
	if again := must(w.CreateNatGateway(ctx, nat))(w).NatGateway; *again.NatGatewayId != *made.NatGatewayId {
		t.Error("the token made a second one")
	}
	if a := made.NatGatewayAddresses[0]; *a.PublicIp != *eip.PublicIp || made.State != types.NatGatewayStateAvailable {
		t.Errorf("got %+v", made)
	}
	table := func(subnet string, route *sdk.CreateRouteInput) (id, association string) {
		id = *must(w.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: &vpc}))(w).RouteTable.RouteTableId
		route.RouteTableId, route.DestinationCidrBlock = &id, everywhere
		must(w.CreateRoute(ctx, route))(w)
		return id, *must(w.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: &id, SubnetId: &subnet}))(w).AssociationId
	}
	publicTable, publicAssociation := table(public, &sdk.CreateRouteInput{GatewayId: &igw})
	privateTable, privateAssociation := table(private, &sdk.CreateRouteInput{NatGatewayId: made.NatGatewayId})
	state := func(id string) types.RouteState {
		return must(w.DescribeRouteTables(ctx, &sdk.DescribeRouteTablesInput{RouteTableIds: []string{id}}))(w).RouteTables[0].Routes[1].State
	}
	if state(privateTable) != types.RouteStateActive {
		t.Error("the route to the NAT gateway is not active")
	}

	// And down.
	fails(w.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: eip.AllocationId}))(w, "InvalidIPAddress.InUse", "")
	fails(w.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{VpcId: &vpc, InternetGatewayId: &igw}))(w, "DependencyViolation", "")
	fails(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &public}))(w, "DependencyViolation", "")
	must(w.DeleteNatGateway(ctx, &sdk.DeleteNatGatewayInput{NatGatewayId: made.NatGatewayId}))(w)
	if got := must(w.DescribeNatGateways(ctx, &sdk.DescribeNatGatewaysInput{NatGatewayIds: []string{*made.NatGatewayId}}))(w).NatGateways; got[0].State != types.NatGatewayStateDeleted || state(privateTable) != types.RouteStateBlackhole {
		t.Errorf("got %+v, its route %s", got, state(privateTable))
	}
	must(w.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: eip.AllocationId}))(w)
	must(w.DetachInternetGateway(ctx, &sdk.DetachInternetGatewayInput{VpcId: &vpc, InternetGatewayId: &igw}))(w)
	must(w.DeleteInternetGateway(ctx, &sdk.DeleteInternetGatewayInput{InternetGatewayId: &igw}))(w)
	if state(publicTable) != types.RouteStateBlackhole {
		t.Error("the route to the deleted gateway is active")
	}
	fails(w.DeleteRouteTable(ctx, &sdk.DeleteRouteTableInput{RouteTableId: &publicTable}))(w, "DependencyViolation", "The routeTable '"+publicTable+"' has dependencies and cannot be deleted.")
	must(w.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: &publicTable, DestinationCidrBlock: everywhere}))(w)
	fails(w.DeleteRoute(ctx, &sdk.DeleteRouteInput{RouteTableId: &publicTable, DestinationCidrBlock: everywhere}))(w, "InvalidRoute.NotFound", "no route with destination-cidr-block 0.0.0.0/0 in route table "+publicTable)
	moved := must(w.ReplaceRouteTableAssociation(ctx, &sdk.ReplaceRouteTableAssociationInput{AssociationId: &publicAssociation, RouteTableId: &privateTable}))(w)
	for _, a := range []*string{moved.NewAssociationId, &privateAssociation} {
		must(w.DisassociateRouteTable(ctx, &sdk.DisassociateRouteTableInput{AssociationId: a}))(w)
	}
	for _, id := range []string{publicTable, privateTable} {
		must(w.DeleteRouteTable(ctx, &sdk.DeleteRouteTableInput{RouteTableId: &id}))(w)
	}
	for _, id := range []string{public, private} {
		must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &id}))(w)
	}
	must(w.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: &vpc}))(w)
}

func TestSecondBlock(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	fails(w.AssociateVpcCidrBlock(ctx, &sdk.AssociateVpcCidrBlockInput{VpcId: &vpc, CidrBlock: new("10.0.128.0/17")}))(w, "InvalidVpc.Range", "")
	id := must(w.AssociateVpcCidrBlock(ctx, &sdk.AssociateVpcCidrBlockInput{VpcId: &vpc, CidrBlock: new("100.64.0.0/16")}))(w).CidrBlockAssociation.AssociationId
	sub := w.subnet(vpc, "100.64.1.0/24", "us-west-2a")
	fails(w.DisassociateVpcCidrBlock(ctx, &sdk.DisassociateVpcCidrBlockInput{AssociationId: id}))(w, "InvalidCidrBlock.InUse", "")
	must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w)
	must(w.DisassociateVpcCidrBlock(ctx, &sdk.DisassociateVpcCidrBlockInput{AssociationId: id}))(w)
	if v := must(w.DescribeVpcs(ctx, &sdk.DescribeVpcsInput{VpcIds: []string{vpc}}))(w).Vpcs[0]; len(v.CidrBlockAssociationSet) != 1 {
		t.Errorf("got %+v", v)
	}
}

// Instances in subnets that map public addresses have one; it goes with a stop, an
// elastic one stays.
func TestPublicAddresses(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	id := *must(w.RunInstances(ctx, launch(1)))(w).Instances[0].InstanceId
	describe := func() types.Instance {
		return must(w.DescribeInstances(ctx, &sdk.DescribeInstancesInput{InstanceIds: []string{id}}))(w).Reservations[0].Instances[0]
	}
	first := *describe().PublicIpAddress
	if name := *describe().PublicDnsName; name != "ec2-"+strings.ReplaceAll(first, ".", "-")+".us-west-2.compute.amazonaws.com" {
		t.Errorf("its name is %s", name)
	}
	if got := must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{Filters: filters("association.public-ip", first)}))(w).NetworkInterfaces; len(got) != 1 || *got[0].Association.IpOwnerId != "amazon" {
		t.Errorf("got %+v", got)
	}
	to := func(state string) {
		w.edit(func(tx *store.Tx) {
			i, _ := tx.Instances.Get(id)
			i.Status.State = state
			tx.Instances.Put(id, i)
		})
	}
	to(resource.InstanceRunning)
	if c := must(w.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{id}}))(w).StoppingInstances[0]; c.CurrentState.Name != "stopping" || c.PreviousState.Name != "running" {
		t.Errorf("got %+v", c)
	}
	fails(w.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: []string{id}}))(w, "IncorrectInstanceState", "The instance '"+id+"' is not in a state from which it can be started.")
	w.edit(func(tx *store.Tx) { provision.Stopped(tx, id) })
	if i := describe(); i.PublicIpAddress != nil || i.State.Name != "stopped" {
		t.Errorf("stopped: %v %v", i.PublicIpAddress, i.State.Name)
	}
	must(w.ModifyInstanceAttribute(ctx, &sdk.ModifyInstanceAttributeInput{InstanceId: &id, InstanceType: &types.AttributeValue{Value: new("t3.large")}}))(w)
	must(w.StartInstances(ctx, &sdk.StartInstancesInput{InstanceIds: []string{id}}))(w)
	if i := describe(); i.PublicIpAddress == nil || i.State.Name != "pending" || i.InstanceType != "t3.large" {
		t.Errorf("started: %+v", i)
	}
	fails(w.ModifyInstanceAttribute(ctx, &sdk.ModifyInstanceAttributeInput{InstanceId: &id, Attribute: "instanceType", Value: new("t3.small")}))(w, "IncorrectInstanceState", "")
	to(resource.InstanceRunning)
	must(w.RebootInstances(ctx, &sdk.RebootInstancesInput{InstanceIds: []string{id}}))(w)

	eip := must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w)
	association := must(w.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: eip.AllocationId, InstanceId: &id}))(w).AssociationId
	if i := describe(); *i.PublicIpAddress != *eip.PublicIp {
		t.Errorf("its address is %s, not %s", *i.PublicIpAddress, *eip.PublicIp)
	}
	if a := must(w.DescribeAddresses(ctx, &sdk.DescribeAddressesInput{Filters: filters("instance-id", id)}))(w).Addresses; len(a) != 1 || *a[0].AssociationId != *association {
		t.Errorf("got %+v", a)
	}
	must(w.StopInstances(ctx, &sdk.StopInstancesInput{InstanceIds: []string{id}}))(w)
	w.edit(func(tx *store.Tx) { provision.Stopped(tx, id) })
	if i := describe(); i.PublicIpAddress == nil {
		t.Error("the elastic address went with the stop")
	}
	must(w.DisassociateAddress(ctx, &sdk.DisassociateAddressInput{AssociationId: association}))(w)
	must(w.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: eip.AllocationId}))(w)
	testSecondaryPublicAddress(w, describe().NetworkInterfaces[0])

	for range 5 {
		must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w)
	}
	fails(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w, "AddressLimitExceeded", "The maximum number of addresses has been reached.")

	none := launch(1)
	none.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: new(int32(0)), AssociatePublicIpAddress: new(false)}}
	if i := must(w.RunInstances(ctx, none))(w).Instances[0]; i.PublicIpAddress != nil {
		t.Errorf("it has %s", *i.PublicIpAddress)
	}
}

func TestNetworkACLs(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	vpc := w.vpc("10.0.0.0/16")
	sub := w.subnet(vpc, "10.0.0.0/24", "us-west-2a")
	of := must(w.DescribeNetworkAcls(ctx, &sdk.DescribeNetworkAclsInput{Filters: filters("association.subnet-id", sub)}))(w).NetworkAcls
	if len(of) != 1 || !*of[0].IsDefault || len(of[0].Entries) != 4 || of[0].Entries[0].RuleAction != "allow" {
		t.Fatalf("got %+v", of)
	}
	id := must(w.CreateNetworkAcl(ctx, &sdk.CreateNetworkAclInput{VpcId: &vpc}))(w).NetworkAcl.NetworkAclId
	entry := &sdk.CreateNetworkAclEntryInput{
		NetworkAclId: id, RuleNumber: new(int32(100)), Protocol: new("6"), RuleAction: "allow", Egress: new(false), CidrBlock: everywhere, PortRange: &types.PortRange{From: new(int32(443)), To: new(int32(443))},
	}
	must(w.CreateNetworkAclEntry(ctx, entry))(w)
	fails(w.CreateNetworkAclEntry(ctx, entry))(w, "NetworkAclEntryAlreadyExists", "The network acl entry identified by 100 already exists.")
	moved := must(w.ReplaceNetworkAclAssociation(ctx, &sdk.ReplaceNetworkAclAssociationInput{AssociationId: of[0].Associations[0].NetworkAclAssociationId, NetworkAclId: id}))(w)
	fails(w.DeleteNetworkAcl(ctx, &sdk.DeleteNetworkAclInput{NetworkAclId: id}))(w, "DependencyViolation", "")
	must(w.ReplaceNetworkAclAssociation(ctx, &sdk.ReplaceNetworkAclAssociationInput{AssociationId: moved.NewAssociationId, NetworkAclId: of[0].NetworkAclId}))(w)
	must(w.DeleteNetworkAclEntry(ctx, &sdk.DeleteNetworkAclEntryInput{NetworkAclId: id, RuleNumber: new(int32(100)), Egress: new(false)}))(w)
	must(w.DeleteNetworkAcl(ctx, &sdk.DeleteNetworkAclInput{NetworkAclId: id}))(w)
	fails(w.DeleteNetworkAcl(ctx, &sdk.DeleteNetworkAclInput{NetworkAclId: of[0].NetworkAclId}))(w, "InvalidParameterValue", "")
	must(w.DeleteSubnet(ctx, &sdk.DeleteSubnetInput{SubnetId: &sub}))(w)
	must(w.DeleteVpc(ctx, &sdk.DeleteVpcInput{VpcId: &vpc}))(w)
}

func TestKeyPairs(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	made := must(w.CreateKeyPair(ctx, &sdk.CreateKeyPairInput{KeyName: new("mine")}))(w)
	if !strings.HasPrefix(*made.KeyMaterial, "-----BEGIN RSA PRIVATE KEY-----") || len(*made.KeyFingerprint) != 59 {
		t.Errorf("got %s %s", *made.KeyFingerprint, *made.KeyMaterial)
	}
	fails(w.CreateKeyPair(ctx, &sdk.CreateKeyPairInput{KeyName: new("mine")}))(w, "InvalidKeyPair.Duplicate", "")
	// The pair's public half, imported: what EC2 shows as its fingerprint is another hash.
	public := *must(w.DescribeKeyPairs(ctx, &sdk.DescribeKeyPairsInput{IncludePublicKey: new(true)}))(w).KeyPairs[0].PublicKey
	imported := must(w.ImportKeyPair(ctx, &sdk.ImportKeyPairInput{KeyName: new("again"), PublicKeyMaterial: []byte(public)}))(w)
	if len(*imported.KeyFingerprint) != 47 {
		t.Errorf("got %s", *imported.KeyFingerprint)
	}
	fails(w.ImportKeyPair(ctx, &sdk.ImportKeyPairInput{KeyName: new("bad"), PublicKeyMaterial: []byte("ssh-rsa AAAA")}))(w, "InvalidKey.Format", "")
	must(w.DeleteKeyPair(ctx, &sdk.DeleteKeyPairInput{KeyName: new("mine")}))(w)
	must(w.DeleteKeyPair(ctx, &sdk.DeleteKeyPairInput{KeyName: new("mine")}))(w)
	if got := must(w.DescribeKeyPairs(ctx, &sdk.DescribeKeyPairsInput{}))(w).KeyPairs; len(got) != 1 || *got[0].KeyName != "again" {
		t.Errorf("got %+v", got)
	}
}

func TestVolumesAndOptions(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	id := must(w.RunInstances(ctx, launch(1)))(w).Instances[0].InstanceId
	v := must(w.DescribeVolumes(ctx, &sdk.DescribeVolumesInput{Filters: filters("attachment.instance-id", *id)}))(w).Volumes
	if len(v) != 1 || v[0].State != types.VolumeStateInUse || *v[0].Size < 20 {
		t.Errorf("got %+v", v)
	}
	fails(w.DescribeVolumes(ctx, &sdk.DescribeVolumesInput{VolumeIds: []string{"vol-0123456789abcdef0"}}))(w, "InvalidVolume.NotFound", "")
	if o := must(w.DescribeDhcpOptions(ctx, &sdk.DescribeDhcpOptionsInput{}))(w).DhcpOptions; len(o) != 1 || *o[0].DhcpConfigurations[0].Values[0].Value != "us-west-2.compute.internal" {
		t.Errorf("got %+v", o)
	}
	out := must(w.ModifyInstanceMetadataOptions(ctx, &sdk.ModifyInstanceMetadataOptionsInput{InstanceId: id, HttpTokens: "optional", HttpPutResponseHopLimit: new(int32(1)), HttpProtocolIpv6: "enabled"}))(w)
	if o := out.InstanceMetadataOptions; o.HttpTokens != "optional" || *o.HttpPutResponseHopLimit != 1 {
		t.Errorf("got %+v", o)
	}
	must(w.ModifyInstanceAttribute(ctx, &sdk.ModifyInstanceAttributeInput{InstanceId: id, DisableApiTermination: &types.AttributeBooleanValue{Value: new(true)}}))(w)
	if a := must(w.DescribeInstanceAttribute(ctx, &sdk.DescribeInstanceAttributeInput{InstanceId: id, Attribute: "disableApiTermination"}))(w); !*a.DisableApiTermination.Value {
		t.Errorf("got %+v", a)
	}
	fails(w.TerminateInstances(ctx, &sdk.TerminateInstancesInput{InstanceIds: []string{*id}}))(w, "OperationNotPermitted", "")
}

// A key pair of type ed25519 has a private half that SSH reads, and the fingerprint of its
// public half, as an imported one has.
func TestED25519KeyPair(t *testing.T) {
	w := newWorld(t)
	made := must(w.CreateKeyPair(t.Context(), &sdk.CreateKeyPairInput{KeyName: new("mine"), KeyType: types.KeyTypeEd25519}))(w)
	signer, err := ssh.ParsePrivateKey([]byte(*made.KeyMaterial))
	if err != nil {
		t.Fatal(err)
	}
	public := must(w.DescribeKeyPairs(t.Context(), &sdk.DescribeKeyPairsInput{IncludePublicKey: new(true)}))(w).KeyPairs[0]
	if want := string(ssh.MarshalAuthorizedKey(signer.PublicKey())); public.KeyType != types.KeyTypeEd25519 || *public.PublicKey != strings.TrimSpace(want)+" mine" {
		t.Errorf("%s %q, want %q", public.KeyType, *public.PublicKey, want)
	}
	imported := must(w.ImportKeyPair(t.Context(), &sdk.ImportKeyPairInput{KeyName: new("again"), PublicKeyMaterial: []byte(*public.PublicKey)}))(w)
	if *imported.KeyFingerprint != *made.KeyFingerprint {
		t.Errorf("made %s, imported %s", *made.KeyFingerprint, *imported.KeyFingerprint)
	}
}

// A secondary private address has an elastic one of its own, which moves with it.
func testSecondaryPublicAddress(w *world, eni types.InstanceNetworkInterface) {
	w.Helper()
	ctx := w.Context()
	second := *must(w.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: eni.NetworkInterfaceId, SecondaryPrivateIpAddressCount: new(int32(1))}))(w).AssignedPrivateIpAddresses[0].PrivateIpAddress
	eip := must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w)
	on := func(private string) *sdk.AssociateAddressInput {
		return &sdk.AssociateAddressInput{AllocationId: eip.AllocationId, NetworkInterfaceId: eni.NetworkInterfaceId, PrivateIpAddress: &private}
	}
	fails(w.AssociateAddress(ctx, on("10.255.255.1")))(w, "InvalidParameterValue", "")
	must(w.AssociateAddress(ctx, on(second)))(w)
	public := func(id *string) map[string]string {
		w.Helper()
		out := map[string]string{}
		for _, a := range must(w.DescribeNetworkInterfaces(ctx, &sdk.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*id}}))(w).NetworkInterfaces[0].PrivateIpAddresses {
			if a.Association != nil {
				out[*a.PrivateIpAddress] = *a.Association.PublicIp
			}
		}
		return out
	}
	if got := public(eni.NetworkInterfaceId); got[second] != *eip.PublicIp {
		w.Errorf("public addresses: %v", got)
	}
	if a := must(w.DescribeAddresses(ctx, &sdk.DescribeAddressesInput{AllocationIds: []string{*eip.AllocationId}}))(w).Addresses[0]; *a.PrivateIpAddress != second || *a.InstanceId == "" {
		w.Errorf("got %+v", a)
	}
	other := must(w.CreateNetworkInterface(ctx, &sdk.CreateNetworkInterfaceInput{SubnetId: eni.SubnetId}))(w).NetworkInterface.NetworkInterfaceId
	move := &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: other, PrivateIpAddresses: []string{second}}
	fails(w.AssignPrivateIpAddresses(ctx, move))(w, "InvalidIPAddress.InUse", "Address "+second+" is in use.")
	move.AllowReassignment = new(true)
	must(w.AssignPrivateIpAddresses(ctx, move))(w)
	if had, has := public(eni.NetworkInterfaceId), public(other); had[second] != "" || has[second] != *eip.PublicIp {
		w.Errorf("after the move: %v, %v", had, has)
	}
	fails(w.AssignPrivateIpAddresses(ctx, &sdk.AssignPrivateIpAddressesInput{NetworkInterfaceId: other, PrivateIpAddresses: []string{*eni.PrivateIpAddress}, AllowReassignment: new(true)}))(w, "InvalidParameterValue", "")
	must(w.UnassignPrivateIpAddresses(ctx, &sdk.UnassignPrivateIpAddressesInput{NetworkInterfaceId: other, PrivateIpAddresses: []string{second}}))(w)
	if got := public(other); len(got) != 0 {
		w.Errorf("after it was unassigned: %v", got)
	}
	must(w.ReleaseAddress(ctx, &sdk.ReleaseAddressInput{AllocationId: eip.AllocationId}))(w)
}
