package identity_test

import (
	"testing"
	"time"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// What a session comes from is there for policies to ask, and is not there of other sessions.
func TestSessionKeys(t *testing.T) {
	d := open(t)
	const provider = "arn:aws:iam::" + account + ":oidc-provider/idp"
	i := resource.Instance{Home: resource.Home{Account: account, Region: "us-west-2"}, ID: "i-1", Spec: resource.InstanceSpec{
		InstanceProfileARN: "arn:aws:iam::" + account + ":instance-profile/r", VPC: "vpc-1", PrivateIP: "10.0.0.5"}}
	grants := map[string]identity.Grant{
		"plain":     {Name: "s", Lifetime: time.Hour},
		"federated": {Name: "s", Lifetime: time.Hour, Provider: provider, SourceID: "ann"},
	}
	sessions := map[string]resource.Session{}
	var role resource.Role
	d.Update(t, func(tx *store.Tx) {
		role = addRole(tx, "r", "")
		tx.Instances.Put(i.ID, i)
		for name, g := range grants {
			sessions[name] = identity.NewSession(tx, role, g, time.Now())
		}
	})
	instances := identity.Instances{Store: d.Store, Policies: d.Policies}
	for _, version := range []string{"1.0", "2.0"} {
		s, ok, err := instances.Credentials(t.Context(), i, version, time.Now())
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		sessions["IMDS "+version] = s
	}
	if sessions["IMDS 1.0"].AccessKeyID == sessions["IMDS 2.0"].AccessKeyID {
		t.Error("both versions give the same credentials")
	}
	for _, c := range []struct {
		session, condition string
		allowed            bool
	}{
		{"plain", `"Bool":{"aws:ViaAWSService":"false","aws:PrincipalIsAWSService":"false"}`, true},
		{"plain", `"Null":{"aws:SourceIdentity":"true","aws:FederatedProvider":"true","ec2:RoleDelivery":"true","ec2:SourceInstanceARN":"true"}`, true},
		{"federated", `"StringEquals":{"aws:SourceIdentity":"ann","aws:FederatedProvider":"` + provider + `"}`, true},
		{"federated", `"StringEquals":{"aws:SourceIdentity":"bob"}`, false},
		{"IMDS 2.0", `"NumericLessThan":{"ec2:RoleDelivery":"2.0"}`, false},
		{"IMDS 2.0", `"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:us-west-2:` + account + `:instance/i-1"}`, true},
		{"IMDS 2.0", `"StringEquals":{"aws:Ec2InstanceSourceVpc":"vpc-1","aws:Ec2InstanceSourcePrivateIPv4":"10.0.0.5"}`, true},
		{"IMDS 1.0", `"NumericLessThan":{"ec2:RoleDelivery":"2.0"}`, true},
	} {
		d.Update(t, func(tx *store.Tx) {
			role.Inline = map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*","Condition":{` + c.condition + `}}]}`}
			tx.Roles.Put(role.ARN, role)
		})
		key, err := identity.NewKeys(d.Store, d.Policies).Lookup(t.Context(), sessions[c.session].AccessKeyID)
		if err != nil {
			t.Fatal(err)
		}
		call := awsapi.Call{Service: "iam", Operation: "ListUsers", Account: account, Region: "us-west-2", Time: time.Now(), Caller: key.Principal}
		if err := d.Authorizer.Authorize(t.Context(), call, &iam.ListUsersInput{}); (err == nil) != c.allowed {
			t.Errorf("%s, %s: %v", c.session, c.condition, err)
		}
	}
}
