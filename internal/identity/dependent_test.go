package identity_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// statements are a policy's, each "Allow action resource [condition]".
func policyOf(statements ...string) string {
	var out []string
	for _, s := range statements {
		f := strings.SplitN(s, " ", 4)
		st := `{"Effect":"` + f[0] + `","Action":"` + f[1] + `","Resource":"` + f[2] + `"`
		if len(f) == 4 {
			st += `,"Condition":` + f[3]
		}
		out = append(out, st+"}")
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(out, ",") + `]}`
}

func is(key, value string) string { return `{"StringEquals":{"` + key + `":"` + value + `"}}` }

// newDependents is a world with a role, a profile, a launch template and tagged things.
func newDependents(t *testing.T) *dependents {
	d := &dependents{}
	door := open(t)
	home := resource.Home{Account: account, Region: "us-west-2"}
	data, err := json.Marshal(ec2.RequestLaunchTemplateData{
		ImageId: new("ami-1"), InstanceType: new("m5.large"), IamInstanceProfile: &ec2.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new("node")},
		TagSpecifications: []ec2.LaunchTemplateTagSpecificationRequest{{ResourceType: new("instance"), Tags: []ec2.Tag{{Key: new("team"), Value: new("a")}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	door.Update(t, func(tx *store.Tx) {
		addRole(tx, "node", "")
		addRole(tx, "cluster", "")
		tx.LaunchTemplates.Put("lt-1", resource.LaunchTemplate{Home: home, ID: "lt-1", Name: "lt", Default: 1, Latest: 1, Versions: []resource.LaunchTemplateVersion{{Number: 1, Data: data}}})
		tx.Interfaces.Put("eni-1", resource.NetworkInterface{Home: home, ID: "eni-1", VPC: "vpc-1", Subnet: "subnet-1", Tags: resource.Tags{"eks:eni:owner": "amazon-vpc-cni"}})
		tx.Interfaces.Put("eni-2", resource.NetworkInterface{Home: home, ID: "eni-2", VPC: "vpc-2", Subnet: "subnet-2"})
		tx.Clusters.Put("arn:aws:eks:us-west-2:000000000000:cluster/mine", resource.Cluster{Home: home, Name: "mine", Spec: resource.ClusterSpec{Tags: resource.Tags{"owner": "s"}}})
		mine := resource.Tags{"owner": "s"}
		tx.PrefixLists.Put("pl-1", resource.PrefixList{Home: home, ID: "pl-1", Tags: mine})
		tx.EgressOnlyGateways.Put("eigw-1", resource.EgressOnlyGateway{Home: home, ID: "eigw-1", Tags: mine})
		tx.Fleets.Put("fleet-1", resource.Fleet{Home: home, ID: "fleet-1", Tags: mine})
		tx.SpotRequests.Put("sir-1", resource.SpotRequest{Home: home, ID: "sir-1", Tags: mine})
		tx.PlacementGroups.Put("pg-1", resource.PlacementGroup{Home: home, ID: "pg-1", Name: "pg", Tags: mine})
		tx.Instances.Put("i-1", resource.Instance{Home: home, ID: "i-1", Tags: resource.Tags{"eks:eks-cluster-name": "mine"}})
	})
	d.authorize = func(policy, operation string, in any) error {
		service, op, _ := strings.Cut(operation, ":")
		return door.Authorizer.Authorize(t.Context(), as(door, t, policy, service, op), in)
	}
	d.update = func(f func(tx *store.Tx)) { door.Update(t, f) }
	return d
}

type dependents struct {
	authorize func(policy, operation string, in any) error
	update    func(func(tx *store.Tx))
}

const (
	roleARN = "arn:aws:iam::000000000000:role/"
	ec2ARN  = "arn:aws:ec2:us-west-2:000000000000:"
)

func TestDependentActions(t *testing.T) {
	w := newDependents(t)
	cluster := &eks.CreateClusterInput{Name: new("c"), RoleArn: new(roleARN + "cluster"), Tags: map[string]string{"a": "b"},
		AccessConfig: &eks.CreateAccessConfigRequest{AuthenticationMode: new("API")}}
	nodegroup := &eks.CreateNodegroupInput{ClusterName: new("c"), NodegroupName: new("n"), NodeRole: new(roleARN + "node")}
	fleet := &ec2.CreateFleetInput{LaunchTemplateConfigs: []ec2.FleetLaunchTemplateConfigRequest{{
		LaunchTemplateSpecification: &ec2.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: new("lt")},
		Overrides:                   []ec2.FleetLaunchTemplateOverridesRequest{{SubnetId: new("subnet-1"), InstanceType: new("c5.large")}},
	}}}
	run := &ec2.RunInstancesInput{LaunchTemplate: &ec2.LaunchTemplateSpecification{LaunchTemplateName: new("lt")}, SubnetId: new("subnet-1")}
	group := &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: new("g"), LaunchTemplate: &autoscaling.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1")}}
	profile := &iam.AddRoleToInstanceProfileInput{InstanceProfileName: new("node"), RoleName: new("node")}
	eni := &ec2.CreateNetworkInterfaceInput{SubnetId: new("subnet-1"), TagSpecifications: []ec2.TagSpecification{{ResourceType: new("network-interface"), Tags: []ec2.Tag{{Key: new("k"), Value: new("v")}}}}}
	iamTags := []iam.Tag{{Key: new("team"), Value: new("a")}}
	all := func(actions ...string) []string {
		var out []string
		for _, a := range actions {
			out = append(out, "Allow "+a+" *")
		}
		return out
	}
	owned := func(action string) []string {
		return []string{"Allow ec2:" + action + " * " + is("aws:ResourceTag/owner", "s")}
	}
	passEKS := "Allow iam:PassRole " + roleARN + "cluster " + is("iam:PassedToService", "eks.amazonaws.com")
	for _, c := range []struct {
		name      string
		policy    []string
		operation string
		in        any
		denied    string // action and resource in the denial; "" for allowed
	}{
		{"cluster", append(all("eks:*", "iam:CreateServiceLinkedRole"), passEKS), "eks:CreateCluster", cluster, ""},
		{"cluster, no PassRole", all("eks:*", "iam:CreateServiceLinkedRole"), "eks:CreateCluster", cluster, "iam:PassRole on resource: " + roleARN + "cluster"},
		{"cluster, PassRole to another service", append(all("eks:*", "iam:CreateServiceLinkedRole"), "Allow iam:PassRole * "+is("iam:PassedToService", "ec2.amazonaws.com")),
			"eks:CreateCluster", cluster, "iam:PassRole on resource: " + roleARN + "cluster"},
		{"cluster, PassRole of another role", append(all("eks:*", "iam:CreateServiceLinkedRole"), "Allow iam:PassRole "+roleARN+"node"),
			"eks:CreateCluster", cluster, "iam:PassRole on resource: " + roleARN + "cluster"},
		{"cluster, no service-linked role", append(all("eks:*"), passEKS), "eks:CreateCluster", cluster,
			"iam:CreateServiceLinkedRole on resource: " + roleARN + "aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS"},
		{"cluster, tags", append(all("eks:CreateCluster", "eks:CreateAccessEntry", "iam:CreateServiceLinkedRole"), passEKS), "eks:CreateCluster", cluster,
			"eks:TagResource on resource: arn:aws:eks:us-west-2:000000000000:cluster/c"},
		{"cluster, creator's entry", append(all("eks:CreateCluster", "eks:TagResource", "iam:CreateServiceLinkedRole"), passEKS), "eks:CreateCluster", cluster,
			"eks:CreateAccessEntry on resource: arn:aws:eks:us-west-2:000000000000:cluster/c"},
		{"node group, no PassRole", all("eks:*", "iam:CreateServiceLinkedRole"), "eks:CreateNodegroup", nodegroup, "iam:PassRole on resource: " + roleARN + "node"},
		{"node group", all("eks:*", "iam:CreateServiceLinkedRole", "iam:PassRole"), "eks:CreateNodegroup", nodegroup, ""},
		{"access entry of nodes", all("eks:*"), "eks:CreateAccessEntry", &eks.CreateAccessEntryInput{ClusterName: new("c"), PrincipalArn: new(roleARN + "node"), Type: new("EC2_LINUX")},
			"iam:PassRole on resource: " + roleARN + "node"},
		{"access entry of people", all("eks:*"), "eks:CreateAccessEntry", &eks.CreateAccessEntryInput{ClusterName: new("c"), PrincipalArn: new(roleARN + "node")}, ""},
		{"add-on, role of its pods", all("eks:*"), "eks:CreateAddon", &eks.CreateAddonInput{ClusterName: new("c"), AddonName: new("a"),
			PodIdentityAssociations: []eks.AddonPodIdentityAssociations{{RoleArn: new(roleARN + "node")}}}, "iam:PassRole on resource: " + roleARN + "node"},
		{"add-on, role of its pods, passed", append(all("eks:*"), "Allow iam:PassRole * "+is("iam:PassedToService", "pods.eks.amazonaws.com")), "eks:UpdateAddon",
			&eks.UpdateAddonInput{ClusterName: new("c"), AddonName: new("a"), PodIdentityAssociations: []eks.AddonPodIdentityAssociations{{RoleArn: new(roleARN + "node")}}}, ""},
		{"run instances", all("ec2:*", "iam:PassRole"), "ec2:RunInstances", run, ""},
		{"run instances, profile of the template", all("ec2:*"), "ec2:RunInstances", run, "iam:PassRole on resource: " + roleARN + "node"},
		{"run instances, tags of the template", all("ec2:RunInstances", "iam:PassRole"), "ec2:RunInstances", run, "ec2:CreateTags on resource: " + ec2ARN + "instance/*"},
		{"run instances, tags on create only", append(all("ec2:RunInstances", "iam:PassRole"), "Allow ec2:CreateTags * "+is("ec2:CreateAction", "RunInstances")), "ec2:RunInstances", run, ""},
		{"run instances, another type", append(all("iam:PassRole", "ec2:CreateTags"), "Allow ec2:RunInstances * "+is("ec2:InstanceType", "t3.micro")), "ec2:RunInstances", run,
			"ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"run instances, a subnet", append(all("iam:PassRole", "ec2:*"), "Deny ec2:RunInstances "+ec2ARN+"subnet/subnet-1"), "ec2:RunInstances", run,
			"ec2:RunInstances on resource: " + ec2ARN + "subnet/subnet-1"},
		{"run instances, requested tag", append(all("iam:PassRole", "ec2:CreateTags", "ec2:RunInstances"), "Deny ec2:RunInstances "+ec2ARN+"instance/* "+is("aws:RequestTag/team", "a")),
			"ec2:RunInstances", run, "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"fleet", all("ec2:*", "iam:PassRole"), "ec2:CreateFleet", fleet, ""},
		{"fleet, profile of the template", all("ec2:*"), "ec2:CreateFleet", fleet, "iam:PassRole on resource: " + roleARN + "node"},
		{"fleet, its launches", all("ec2:CreateFleet", "iam:PassRole"), "ec2:CreateFleet", fleet, "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"fleet, the type of an override", append(all("ec2:CreateFleet", "ec2:CreateTags", "iam:PassRole"), "Allow ec2:RunInstances arn:aws:ec2:*:*:instance/* "+is("ec2:InstanceType", "c5.large"),
			"Allow ec2:RunInstances arn:aws:ec2:*:*:*e*/*"), "ec2:CreateFleet", fleet, ""},
		{"fleet, the subnet of an override", append(all("ec2:*", "iam:PassRole"), "Deny ec2:CreateFleet "+ec2ARN+"subnet/subnet-1"), "ec2:CreateFleet", fleet,
			"ec2:CreateFleet on resource: " + ec2ARN + "subnet/subnet-1"},
		{"group", all("autoscaling:*", "ec2:*", "iam:*"), "autoscaling:CreateAutoScalingGroup", group, ""},
		{"group, no RunInstances", all("autoscaling:*", "iam:*"), "autoscaling:CreateAutoScalingGroup", group, "ec2:RunInstances on resource: " + ec2ARN + "instance/*"},
		{"group, no PassRole", all("autoscaling:*", "ec2:*", "iam:CreateServiceLinkedRole"), "autoscaling:CreateAutoScalingGroup", group, "iam:PassRole on resource: " + roleARN + "node"},
		{"profile, no PassRole", all("iam:AddRoleToInstanceProfile"), "iam:AddRoleToInstanceProfile", profile, "iam:PassRole on resource: " + roleARN + "node"},
		{"profile", append(all("iam:AddRoleToInstanceProfile"), "Allow iam:PassRole * "+is("iam:PassedToService", "ec2.amazonaws.com")), "iam:AddRoleToInstanceProfile", profile, ""},
		{"role without tags", all("iam:CreateRole"), "iam:CreateRole", &iam.CreateRoleInput{RoleName: new("x")}, ""},
		{"role, tags", all("iam:CreateRole"), "iam:CreateRole", &iam.CreateRoleInput{RoleName: new("x"), Tags: iamTags}, "iam:TagRole on resource: " + roleARN + "x"},
		{"role, tags allowed", append(all("iam:CreateRole"), "Allow iam:TagRole "+roleARN+"* "+is("aws:RequestTag/team", "a")), "iam:CreateRole", &iam.CreateRoleInput{RoleName: new("x"), Tags: iamTags}, ""},
		{"user, tags", all("iam:CreateUser"), "iam:CreateUser", &iam.CreateUserInput{UserName: new("x"), Tags: iamTags}, "iam:TagUser on resource: arn:aws:iam::000000000000:user/x"},
		{"policy, tags", all("iam:CreatePolicy"), "iam:CreatePolicy", &iam.CreatePolicyInput{PolicyName: new("x"), Tags: iamTags}, "iam:TagPolicy on resource: arn:aws:iam::000000000000:policy/x"},
		{"profile, tags", all("iam:CreateInstanceProfile"), "iam:CreateInstanceProfile", &iam.CreateInstanceProfileInput{InstanceProfileName: new("x"), Tags: iamTags},
			"iam:TagInstanceProfile on resource: arn:aws:iam::000000000000:instance-profile/x"},
		{"provider, tags", all("iam:CreateOpenIDConnectProvider"), "iam:CreateOpenIDConnectProvider", &iam.CreateOpenIDConnectProviderInput{Url: new("https://idp/a"), Tags: iamTags},
			"iam:TagOpenIDConnectProvider on resource: arn:aws:iam::000000000000:oidc-provider/idp/a"},
		{"interface, tags", all("ec2:CreateNetworkInterface"), "ec2:CreateNetworkInterface", eni, "ec2:CreateTags on resource: " + ec2ARN + "network-interface/*"},
		{"interface, tags on interfaces only", append(all("ec2:CreateNetworkInterface"), "Allow ec2:CreateTags arn:aws:ec2:*:*:network-interface/*"), "ec2:CreateNetworkInterface", eni, ""},
		{"interface by its tag", []string{"Allow ec2:DeleteNetworkInterface * " + is("ec2:ResourceTag/eks:eni:owner", "amazon-vpc-cni")}, "ec2:DeleteNetworkInterface",
			&ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: new("eni-1")}, ""},
		{"interface without the tag", []string{"Allow ec2:DeleteNetworkInterface * " + is("ec2:ResourceTag/eks:eni:owner", "amazon-vpc-cni")}, "ec2:DeleteNetworkInterface",
			&ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: new("eni-2")}, "ec2:DeleteNetworkInterface on resource: " + ec2ARN + "network-interface/eni-2"},
		{"interface in another VPC", []string{"Allow ec2:DeleteNetworkInterface * " + is("ec2:Vpc", ec2ARN+"vpc/vpc-1")}, "ec2:DeleteNetworkInterface",
			&ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: new("eni-2")}, "ec2:DeleteNetworkInterface on resource: " + ec2ARN + "network-interface/eni-2"},
		{"cluster by its tag", []string{"Allow eks:* * " + is("aws:ResourceTag/owner", "s")}, "eks:DeleteCluster", &eks.DeleteClusterInput{Name: new("mine")}, ""},
		{"cluster by another's tag", []string{"Allow eks:* * " + is("aws:ResourceTag/owner", "x")}, "eks:DeleteCluster", &eks.DeleteClusterInput{Name: new("mine")},
			"eks:DeleteCluster on resource: arn:aws:eks:us-west-2:000000000000:cluster/mine"},
		{"one of two instances", []string{"Allow ec2:TerminateInstances * " + is("aws:ResourceTag/eks:eks-cluster-name", "mine")}, "ec2:TerminateInstances",
			&ec2.TerminateInstancesInput{InstanceIds: []string{"i-1", "i-2"}}, "ec2:TerminateInstances on resource: " + ec2ARN + "instance/i-2"},
		{"prefix list by its tag", owned("GetManagedPrefixListEntries"), "ec2:GetManagedPrefixListEntries", &ec2.GetManagedPrefixListEntriesInput{PrefixListId: new("pl-1")}, ""},
		{"egress-only gateway by its tag", owned("DeleteEgressOnlyInternetGateway"), "ec2:DeleteEgressOnlyInternetGateway", &ec2.DeleteEgressOnlyInternetGatewayInput{EgressOnlyInternetGatewayId: new("eigw-1")}, ""},
		{"fleets by their tags", owned("DeleteFleets"), "ec2:DeleteFleets", &ec2.DeleteFleetsInput{FleetIds: []string{"fleet-1", "fleet-2"}}, "ec2:DeleteFleets on resource: " + ec2ARN + "fleet/fleet-2"},
		{"spot request by its tag", owned("CancelSpotInstanceRequests"), "ec2:CancelSpotInstanceRequests", &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{"sir-1"}}, ""},
		{"placement group by its tag", owned("DeletePlacementGroup"), "ec2:DeletePlacementGroup", &ec2.DeletePlacementGroupInput{GroupName: new("pg")}, ""},
		{"placement group that is not there", owned("DeletePlacementGroup"), "ec2:DeletePlacementGroup", &ec2.DeletePlacementGroupInput{GroupName: new("x")}, "ec2:DeletePlacementGroup on resource: " + ec2ARN + "placement-group/x"},
		{"tag keys", []string{`Allow ec2:CreateTags * {"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}`}, "ec2:CreateTags",
			&ec2.CreateTagsInput{Resources: []string{"i-1"}, Tags: []ec2.Tag{{Key: new("b"), Value: new("1")}}}, "ec2:CreateTags on resource: " + ec2ARN + "instance/i-1"},
		{"public endpoint", append(all("iam:*", "eks:TagResource", "eks:CreateAccessEntry", "eks:CreateCluster"), "Deny eks:CreateCluster * "+is("eks:endpointPublicAccess", "true")), "eks:CreateCluster",
			&eks.CreateClusterInput{Name: new("c"), ResourcesVpcConfig: &eks.VpcConfigRequest{EndpointPublicAccess: new(true)}}, "eks:CreateCluster on resource: arn:aws:eks:us-west-2:000000000000:cluster/c"},
		{"admin policy for an entry", []string{"Allow eks:AssociateAccessPolicy * " + is("eks:policyArn", "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy")}, "eks:AssociateAccessPolicy",
			&eks.AssociateAccessPolicyInput{ClusterName: new("mine"), PrincipalArn: new("p"), PolicyArn: new("arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy")},
			"eks:AssociateAccessPolicy on resource: arn:aws:eks:us-west-2:000000000000:access-entry/mine/*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.authorize(policyOf(c.policy...), c.operation, c.in)
			switch {
			case c.denied == "" && err != nil:
				t.Error(err)
			case c.denied != "" && err == nil:
				t.Error("it is allowed")
			case c.denied != "" && !strings.Contains(err.Error(), "is not authorized to perform: "+c.denied+" ") && !strings.HasSuffix(err.Error(), c.denied):
				t.Errorf("got %v\nwant a denial of %s", err, c.denied)
			}
		})
	}
}

// Once a service's role is there nobody needs iam:CreateServiceLinkedRole any more.
func TestLinkedRoleThatExists(t *testing.T) {
	w := newDependents(t)
	in := &eks.CreateNodegroupInput{ClusterName: new("c"), NodegroupName: new("n"), NodeRole: new(roleARN + "node")}
	policy := policyOf("Allow eks:* *", "Allow iam:PassRole *")
	if err := w.authorize(policy, "eks:CreateNodegroup", in); err == nil {
		t.Fatal("it is allowed to make the role")
	}
	w.update(func(tx *store.Tx) {
		arn := roleARN + "aws-service-role/eks-nodegroup.amazonaws.com/AWSServiceRoleForAmazonEKSNodegroup"
		tx.Roles.Put(arn, resource.Role{Account: account, ARN: arn})
	})
	if err := w.authorize(policy, "eks:CreateNodegroup", in); err != nil {
		t.Error(err)
	}
}

// What EC2 has encoded in a denial opens for its account only.
func TestEncodedFailure(t *testing.T) {
	d := open(t)
	call := as(d, t, "", "ec2", "TerminateInstances")
	err := d.Authorizer.Authorize(t.Context(), call, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}})
	_, encoded, ok := strings.Cut(err.Error(), "Encoded authorization failure message: ")
	if !ok {
		t.Fatal(err)
	}
	if _, err := identity.EnsureRoot(t.Context(), d.Store, "111111111111"); err != nil {
		t.Fatal(err)
	}
	err = d.Store.View(func(tx *store.Tx) error {
		if _, ok := identity.DecodeFailure(tx, "111111111111", encoded); ok {
			t.Error("another account decodes it")
		}
		if _, ok := identity.DecodeFailure(tx, account, encoded[1:]); ok {
			t.Error("it decodes although it is cut off")
		}
		text, ok := identity.DecodeFailure(tx, account, encoded)
		var got struct {
			Allowed bool
			Context struct {
				Principal        struct{ ARN string }
				Action, Resource string
			}
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || !ok {
			t.Fatal(text, err)
		}
		if got.Context.Action != "ec2:TerminateInstances" || got.Context.Resource != ec2ARN+"instance/i-1" || got.Context.Principal.ARN != call.Caller.ARN {
			t.Errorf("got %s", text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
