package ec2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	gen "ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/ami"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/service/ec2"
	"ekster.dev/ekster/internal/store"
)

// dryRuns are what operations are asked in the walk of dry runs, where an empty request is
// none that would succeed: the request's parameters, with {names} of what is there.
var dryRuns = map[string]string{
	"AcceptVpcPeeringConnection":               "VpcPeeringConnectionId={pending}",
	"AssociateDhcpOptions":                     "DhcpOptionsId={dopt}&VpcId={vpc}",
	"CreateDhcpOptions":                        "DhcpConfiguration.1.Key=domain-name&DhcpConfiguration.1.Value.1=example.com",
	"DeleteDhcpOptions":                        "DhcpOptionsId={dopt}",
	"DescribeSecurityGroupReferences":          "GroupId.1={sg}",
	"DescribeStaleSecurityGroups":              "VpcId={vpc}",
	"AssociateAddress":                         "AllocationId={eip}&InstanceId={running}",
	"AssociateRouteTable":                      "RouteTableId={rtb}&SubnetId={subnet2}",
	"AttachInternetGateway":                    "InternetGatewayId={loose}&VpcId={empty}",
	"AttachNetworkInterface":                   "NetworkInterfaceId={eni}&InstanceId={running}&DeviceIndex=2",
	"AuthorizeSecurityGroupEgress":             "GroupId={sg}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
	"AuthorizeSecurityGroupIngress":            "GroupId={sg}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&IpPermissions.1.ToPort=2&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
	"CancelSpotInstanceRequests":               "SpotInstanceRequestId.1={spot}",
	"CreateEgressOnlyInternetGateway":          "VpcId={vpc}",
	"CreateFleet":                              "Type=instant&LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={lt}&LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1&LaunchTemplateConfigs.1.Overrides.1.SubnetId={subnet}&TargetCapacitySpecification.TotalTargetCapacity=1&TargetCapacitySpecification.DefaultTargetCapacityType=on-demand",
	"CreateKeyPair":                            "KeyName=new",
	"CreateLaunchTemplate":                     "LaunchTemplateName=new&LaunchTemplateData.ImageId={image}",
	"CreateLaunchTemplateVersion":              "LaunchTemplateId={lt}&LaunchTemplateData.ImageId={image}",
	"CreateManagedPrefixList":                  "PrefixListName=new&MaxEntries=1&AddressFamily=IPv4",
	"CreateNatGateway":                         "SubnetId={subnet}&AllocationId={eip}",
	"CreateNetworkAcl":                         "VpcId={vpc}",
	"CreateNetworkAclEntry":                    "NetworkAclId={acl}&RuleNumber=7&Protocol=-1&RuleAction=allow&Egress=false&CidrBlock=10.0.0.0/8",
	"CreateNetworkInterface":                   "SubnetId={subnet}",
	"CreatePlacementGroup":                     "GroupName=new",
	"CreateRoute":                              "RouteTableId={rtb}&DestinationCidrBlock=192.0.2.0/24&GatewayId={igw}",
	"CreateRouteTable":                         "VpcId={vpc}",
	"CreateSecurityGroup":                      "VpcId={vpc}&GroupName=new&GroupDescription=new",
	"CreateSubnet":                             "VpcId={vpc}&CidrBlock=10.0.9.0/24",
	"CreateTags":                               "ResourceId.1={vpc}&Tag.1.Key=k&Tag.1.Value=v",
	"CreateVpc":                                "CidrBlock=10.9.0.0/16",
	"CreateVpcEndpoint":                        "VpcId={vpc}&ServiceName=com.amazonaws.us-west-2.s3",
	"CreateVpcPeeringConnection":               "VpcId={vpc}&PeerVpcId={empty}",
	"DeleteEgressOnlyInternetGateway":          "EgressOnlyInternetGatewayId={eigw}",
	"DeleteFleets":                             "FleetId.1={fleet}&TerminateInstances=true",
	"DeleteInternetGateway":                    "InternetGatewayId={loose}",
	"DeleteKeyPair":                            "KeyName=key",
	"DeleteLaunchTemplate":                     "LaunchTemplateId={lt}",
	"DeleteLaunchTemplateVersions":             "LaunchTemplateId={lt}&LaunchTemplateVersion.1=1",
	"DeleteManagedPrefixList":                  "PrefixListId={pl}",
	"DeleteNatGateway":                         "NatGatewayId={nat}",
	"DeleteNetworkAcl":                         "NetworkAclId={acl}",
	"DeleteNetworkAclEntry":                    "NetworkAclId={acl}&RuleNumber=5&Egress=false",
	"DeleteNetworkInterface":                   "NetworkInterfaceId={eni}",
	"DeletePlacementGroup":                     "GroupName=pg",
	"DeleteRoute":                              "RouteTableId={rtb}&DestinationCidrBlock=198.51.100.0/24",
	"DeleteRouteTable":                         "RouteTableId={free}",
	"DeleteSecurityGroup":                      "GroupId={sg}",
	"DeleteSubnet":                             "SubnetId={subnet3}",
	"DeleteTags":                               "ResourceId.1={vpc}&Tag.1.Key=k",
	"DeleteVpc":                                "VpcId={empty}",
	"DeleteVpcEndpoints":                       "VpcEndpointId.1={vpce}",
	"DeleteVpcPeeringConnection":               "VpcPeeringConnectionId={pending}",
	"DescribeInstanceAttribute":                "InstanceId={running}&Attribute=userData",
	"DescribeVpcAttribute":                     "VpcId={vpc}&Attribute=enableDnsSupport",
	"DetachInternetGateway":                    "InternetGatewayId={quiet}&VpcId={peer}",
	"DetachNetworkInterface":                   "AttachmentId={attachment}",
	"DisassociateAddress":                      "AssociationId={eipassoc}",
	"DisassociateRouteTable":                   "AssociationId={rtbassoc}",
	"GetConsoleOutput":                         "InstanceId={running}",
	"GetInstanceTypesFromInstanceRequirements": "ArchitectureType.1=x86_64&VirtualizationType.1=hvm&InstanceRequirements.VCpuCount.Min=1&InstanceRequirements.MemoryMiB.Min=1",
	"GetManagedPrefixListAssociations":         "PrefixListId={pl}",
	"GetManagedPrefixListEntries":              "PrefixListId={pl}",
	"ImportKeyPair":                            "KeyName=new&PublicKeyMaterial={material}",
	"ModifyInstanceAttribute":                  "InstanceId={running}&DisableApiTermination.Value=true",
	"ModifyInstanceMetadataOptions":            "InstanceId={running}&HttpTokens=required",
	"ModifyPrivateDnsNameOptions":              "InstanceId={running}&EnableResourceNameDnsARecord=true",
	"ModifyLaunchTemplate":                     "LaunchTemplateId={lt}&SetDefaultVersion=1",
	"ModifyManagedPrefixList":                  "PrefixListId={pl}&PrefixListName=renamed",
	"ModifyNetworkInterfaceAttribute":          "NetworkInterfaceId={eni}&Description.Value=new",
	"ModifyVpcEndpoint":                        "VpcEndpointId={vpce}&ResetPolicy=true",
	"ModifySecurityGroupRules":                 "GroupId={sg}&SecurityGroupRule.1.SecurityGroupRuleId={sgr}&SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp&SecurityGroupRule.1.SecurityGroupRule.FromPort=443&SecurityGroupRule.1.SecurityGroupRule.ToPort=443&SecurityGroupRule.1.SecurityGroupRule.CidrIpv4=10.1.0.0/16",
	"RebootInstances":                          "InstanceId.1={running}",
	"RejectVpcPeeringConnection":               "VpcPeeringConnectionId={pending}",
	"ReleaseAddress":                           "AllocationId={eip}",
	"ReplaceNetworkAclAssociation":             "AssociationId={aclassoc}&NetworkAclId={acl}",
	"ReplaceNetworkAclEntry":                   "NetworkAclId={acl}&RuleNumber=5&Protocol=-1&RuleAction=deny&Egress=false&CidrBlock=10.0.0.0/8",
	"ReplaceRoute":                             "RouteTableId={rtb}&DestinationCidrBlock=198.51.100.0/24&GatewayId={igw}",
	"ReplaceRouteTableAssociation":             "AssociationId={rtbassoc}&RouteTableId={free}",
	"RequestSpotInstances":                     "LaunchSpecification.ImageId={image}&LaunchSpecification.InstanceType=t3.medium&LaunchSpecification.SubnetId={subnet}",
	"RestoreManagedPrefixListVersion":          "PrefixListId={pl}&PreviousVersion=1&CurrentVersion=2",
	"RevokeSecurityGroupEgress":                "GroupId={sg}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0",
	"RevokeSecurityGroupIngress":               "GroupId={sg}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
	"RunInstances":                             "ImageId={image}&InstanceType=t3.medium&MinCount=1&MaxCount=1&SubnetId={subnet}",
	"StartInstances":                           "InstanceId.1={stopped}",
	"StopInstances":                            "InstanceId.1={running}",
	"TerminateInstances":                       "InstanceId.1={running}",
}

// Every operation that can be asked for a dry run answers one: that it would have succeeded,
// to whom may, and that it may not be asked, to whom may not. None changes any record.
func TestEveryOperationRunsDry(t *testing.T) {
	services := func(d *identitytest.Door) []*awsapi.Service {
		return []*awsapi.Service{gen.Service(ec2.New(d.Store))}
	}
	d := identitytest.Open(t, services)
	there := dryRunWorld(t, d)
	nobody := aws.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "secret"}
	d.Update(t, func(tx *store.Tx) {
		arn := "arn:aws:iam::" + account + ":user/nobody"
		tx.Users.Put(arn, resource.User{Account: account, ARN: arn, Name: "nobody", Path: "/", ID: "AIDANOBODY"})
		tx.AccessKeys.Put(nobody.AccessKeyID, resource.AccessKey{Account: account, ID: nobody.AccessKeyID, Secret: nobody.SecretAccessKey, Principal: arn, Active: true})
	})
	var changed []store.Change
	d.Store.Subscribe(func(c []store.Change) { changed = append(changed, c...) })
	root := aws.Credentials{AccessKeyID: d.Root.ID, SecretAccessKey: d.Root.Secret}
	walked, used := 0, map[string]bool{}
	for _, op := range services(d)[0].Operations {
		if op.Handle.New == nil {
			continue
		}
		if _, ok := reflect.TypeOf(op.Handle.New()).Elem().FieldByName("DryRun"); !ok {
			continue
		}
		walked++
		form := dryRuns[op.Name]
		used[op.Name] = form != ""
		for name, id := range there {
			form = strings.ReplaceAll(form, "{"+name+"}", url.QueryEscape(id))
		}
		form = "Action=" + op.Name + "&Version=2016-11-15&DryRun=true&" + form
		status, body := post(t, d, root, form)
		if status == http.StatusNotImplemented { // listed, and not built yet
			continue
		}
		if status != http.StatusPreconditionFailed || !strings.Contains(body, "<Code>DryRunOperation</Code><Message>Request would have succeeded, but DryRun flag is set.</Message>") {
			t.Errorf("%s\nanswers %d %.400s", form, status, body)
		}
		if status, body := post(t, d, nobody, form); status != http.StatusForbidden || !strings.Contains(body, "<Code>UnauthorizedOperation</Code>") {
			t.Errorf("%s\nanswers %d %.400s\nto somebody without permission", form, status, body)
		}
		if len(changed) > 0 {
			t.Errorf("%s\nchanges %v", form, changed)
			changed = nil
		}
	}
	for name := range dryRuns {
		if !used[name] {
			t.Errorf("%s is not served, or has no dry run", name)
		}
	}
	t.Logf("%d operations", walked)
}

func post(t *testing.T, d *identitytest.Door, who aws.Credentials, form string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(form))
	if err := v4.NewSigner().SignHTTP(context.Background(), who, req, hex.EncodeToString(sum[:]), "ec2", identitytest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, buf.String()
}

// dryRunWorld makes what the dry runs are about, by real calls, and returns its ids.
func dryRunWorld(t *testing.T, d *identitytest.Door) map[string]string {
	t.Helper()
	ctx := t.Context()
	w := &world{T: t, Client: sdk.NewFromConfig(d.AsRoot()), store: d.Store, url: d.URL, now: time.Now()}
	vpc, peer, empty := w.vpc("10.0.0.0/16"), w.vpc("10.1.0.0/16"), w.vpc("10.2.0.0/16")
	subnet, subnet2, subnet3 := w.subnet(vpc, "10.0.0.0/24", "us-west-2a"), w.subnet(vpc, "10.0.1.0/24", "us-west-2b"), w.subnet(vpc, "10.0.2.0/24", "us-west-2c")
	gateway := func() string {
		return *must(w.CreateInternetGateway(ctx, &sdk.CreateInternetGatewayInput{}))(w).InternetGateway.InternetGatewayId
	}
	igw, quiet, loose := gateway(), gateway(), gateway()
	must(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: &igw, VpcId: &vpc}))(w)
	must(w.AttachInternetGateway(ctx, &sdk.AttachInternetGatewayInput{InternetGatewayId: &quiet, VpcId: &peer}))(w)
	table := func() string {
		return *must(w.CreateRouteTable(ctx, &sdk.CreateRouteTableInput{VpcId: &vpc}))(w).RouteTable.RouteTableId
	}
	rtb, free := table(), table()
	must(w.CreateRoute(ctx, &sdk.CreateRouteInput{RouteTableId: &rtb, DestinationCidrBlock: aws.String("198.51.100.0/24"), GatewayId: &igw}))(w)
	rtbassoc := must(w.AssociateRouteTable(ctx, &sdk.AssociateRouteTableInput{RouteTableId: &rtb, SubnetId: &subnet}))(w).AssociationId
	acl := must(w.CreateNetworkAcl(ctx, &sdk.CreateNetworkAclInput{VpcId: &vpc}))(w).NetworkAcl.NetworkAclId
	must(w.CreateNetworkAclEntry(ctx, &sdk.CreateNetworkAclEntryInput{
		NetworkAclId: acl, RuleNumber: aws.Int32(5), Protocol: aws.String("-1"), RuleAction: types.RuleActionAllow, Egress: aws.Bool(false), CidrBlock: aws.String("10.0.0.0/8"),
	}))(w)
	acls := must(w.DescribeNetworkAcls(ctx, &sdk.DescribeNetworkAclsInput{Filters: filters("vpc-id", vpc, "default", "true")}))(w).NetworkAcls
	sg := w.group(vpc, "sg")
	sgr := must(w.AuthorizeSecurityGroupIngress(ctx, &sdk.AuthorizeSecurityGroupIngressInput{GroupId: &sg, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443), IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}},
	}}}))(w).SecurityGroupRules
	eni := func() *string {
		return must(w.CreateNetworkInterface(ctx, &sdk.CreateNetworkInterfaceInput{SubnetId: &subnet}))(w).NetworkInterface.NetworkInterfaceId
	}
	run := launch(2)
	run.SubnetId = &subnet
	instances := must(w.RunInstances(ctx, run))(w).Instances
	w.edit(func(tx *store.Tx) {
		for n, state := range []string{resource.InstanceRunning, resource.InstanceStopped} {
			i, _ := tx.Instances.Get(*instances[n].InstanceId)
			i.Status.State = state
			tx.Instances.Put(i.ID, i)
		}
	})
	attached := must(w.AttachNetworkInterface(ctx, &sdk.AttachNetworkInterfaceInput{NetworkInterfaceId: eni(), InstanceId: instances[0].InstanceId, DeviceIndex: aws.Int32(1)}))(w)
	address := func() *string {
		return must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w).AllocationId
	}
	associated := must(w.AssociateAddress(ctx, &sdk.AssociateAddressInput{AllocationId: address(), NetworkInterfaceId: eni()}))(w)
	nat := must(w.CreateNatGateway(ctx, &sdk.CreateNatGatewayInput{SubnetId: &subnet2, AllocationId: address()}))(w).NatGateway
	pending := must(w.CreateVpcPeeringConnection(ctx, &sdk.CreateVpcPeeringConnectionInput{VpcId: &vpc, PeerVpcId: &peer}))(w).VpcPeeringConnection
	endpoint := must(w.CreateVpcEndpoint(ctx, &sdk.CreateVpcEndpointInput{VpcId: &peer, ServiceName: aws.String("com.amazonaws.us-west-2.s3")}))(w).VpcEndpoint
	template := must(w.CreateLaunchTemplate(ctx, &sdk.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String("template"), LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: image(ami.X8664), InstanceType: types.InstanceTypeT3Medium},
	}))(w).LaunchTemplate
	options := must(w.CreateDhcpOptions(ctx, &sdk.CreateDhcpOptionsInput{DhcpConfigurations: []types.NewDhcpConfiguration{{Key: aws.String("domain-name"), Values: []string{"example.com"}}}}))(w).DhcpOptions
	must(w.CreateKeyPair(ctx, &sdk.CreateKeyPairInput{KeyName: aws.String("key")}))(w)
	must(w.CreatePlacementGroup(ctx, &sdk.CreatePlacementGroupInput{GroupName: aws.String("pg")}))(w)
	list := must(w.CreateManagedPrefixList(ctx, &sdk.CreateManagedPrefixListInput{PrefixListName: aws.String("pl"), MaxEntries: aws.Int32(5), AddressFamily: aws.String("IPv4")}))(w).PrefixList
	must(w.ModifyManagedPrefixList(ctx, &sdk.ModifyManagedPrefixListInput{
		PrefixListId: list.PrefixListId, CurrentVersion: list.Version, AddEntries: []types.AddPrefixListEntry{{Cidr: aws.String("10.0.0.0/8")}},
	}))(w)
	spot := must(w.RequestSpotInstances(ctx, &sdk.RequestSpotInstancesInput{LaunchSpecification: &types.RequestSpotLaunchSpecification{
		ImageId: image(ami.X8664), InstanceType: types.InstanceTypeT3Medium, SubnetId: &subnet,
	}}))(w).SpotInstanceRequests
	fleet := must(w.CreateFleet(ctx, &sdk.CreateFleetInput{
		Type: types.FleetTypeInstant, TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: aws.Int32(1), DefaultTargetCapacityType: "on-demand"},
		LaunchTemplateConfigs: []types.FleetLaunchTemplateConfigRequest{{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateId: template.LaunchTemplateId, Version: aws.String("1")},
			Overrides:                   []types.FleetLaunchTemplateOverridesRequest{{SubnetId: &subnet}},
		}},
	}))(w)
	egress := must(w.CreateEgressOnlyInternetGateway(ctx, &sdk.CreateEgressOnlyInternetGatewayInput{VpcId: &vpc}))(w).EgressOnlyInternetGateway
	return map[string]string{
		"dopt": *options.DhcpOptionsId, "eigw": *egress.EgressOnlyInternetGatewayId, "vpc": vpc, "peer": peer, "empty": empty, "subnet": subnet, "subnet2": subnet2, "subnet3": subnet3, "igw": igw, "quiet": quiet, "loose": loose, "rtb": rtb, "free": free,
		"rtbassoc": *rtbassoc, "acl": *acl, "aclassoc": *acls[0].Associations[0].NetworkAclAssociationId, "sg": sg, "sgr": *sgr[0].SecurityGroupRuleId, "eni": *eni(), "attachment": *attached.AttachmentId,
		"running": *instances[0].InstanceId, "stopped": *instances[1].InstanceId, "eip": *address(), "eipassoc": *associated.AssociationId, "nat": *nat.NatGatewayId,
		"pending": *pending.VpcPeeringConnectionId, "vpce": *endpoint.VpcEndpointId, "lt": *template.LaunchTemplateId, "pl": *list.PrefixListId,
		"spot": *spot[0].SpotInstanceRequestId, "fleet": *fleet.FleetId, "image": *image(ami.X8664),
		"material": base64.StdEncoding.EncodeToString([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVrc3RlcmVrc3RlcmVrc3RlcmVrc3RlcmVrc3RlcmVr")),
	}
}
