package identity_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/gen/autoscaling"
	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/gen/eks"
	"ekster.dev/ekster/gen/events"
	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/gen/sqs"
	"ekster.dev/ekster/gen/ssm"
	"ekster.dev/ekster/gen/sts"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/identity"
	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const account = identitytest.Account

func services() []*awsapi.Service {
	return []*awsapi.Service{
		eks.Service(eks.Unimplemented{}), ec2.Service(ec2.Unimplemented{}), iam.Service(iam.Unimplemented{}),
		sts.Service(sts.Unimplemented{}), autoscaling.Service(autoscaling.Unimplemented{}), ssm.Service(ssm.Unimplemented{}),
		sqs.Service(sqs.Unimplemented{}), events.Service(events.Unimplemented{}),
	}
}

func open(t testing.TB) *identitytest.Door {
	return identitytest.Open(t, func(*identitytest.Door) []*awsapi.Service { return services() })
}

// addRole makes a role with one inline policy and an instance profile around it.
func addRole(tx *store.Tx, name, policy string) resource.Role {
	r := resource.Role{Account: account, ARN: "arn:aws:iam::" + account + ":role/" + name, Name: name, Path: "/", ID: "AROA" + name, MaxSession: 3600,
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}
	if policy != "" {
		r.Inline = map[string]string{"p": policy}
	}
	tx.Roles.Put(r.ARN, r)
	p := resource.InstanceProfile{Account: account, ARN: "arn:aws:iam::" + account + ":instance-profile/" + name, Name: name, Role: r.ARN}
	tx.InstanceProfiles.Put(p.ARN, p)
	return r
}

func TestEnsureRootOnce(t *testing.T) {
	d := open(t)
	again, err := identity.EnsureRoot(t.Context(), d.Store, account)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != d.Root.ID || again.Secret != d.Root.Secret {
		t.Errorf("another key: %s, %s", again.ID, d.Root.ID)
	}
	key, err := identity.NewKeys(d.Store, d.Policies).Lookup(t.Context(), d.Root.ID)
	if err != nil {
		t.Fatal(err)
	}
	if p := key.Principal; p.Type != awsapi.TypeRoot || p.ID != account || p.ARN != "arn:aws:iam::000000000000:root" || key.Secret != d.Root.Secret {
		t.Errorf("got %+v", key)
	}
}

func TestLookup(t *testing.T) {
	d := open(t)
	const user = "arn:aws:iam::000000000000:user/u"
	d.Update(t, func(tx *store.Tx) {
		tx.Users.Put(user, resource.User{Account: account, ARN: user, Name: "u", ID: "AIDAU"})
		tx.AccessKeys.Put("AKIAON", resource.AccessKey{Account: account, ID: "AKIAON", Principal: user, Active: true})
		tx.AccessKeys.Put("AKIAOFF", resource.AccessKey{Account: account, ID: "AKIAOFF", Principal: user})
		tx.AccessKeys.Put("AKIAGONE", resource.AccessKey{Account: account, ID: "AKIAGONE", Principal: user + "2", Active: true})
		r := addRole(tx, "r", "")
		other := addRole(tx, "other", "")
		s := identity.NewSession(tx, r, identity.Grant{Name: "s", Lifetime: time.Hour, PolicyARNs: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::000000000000:policy/gone"}}, time.Now())
		tx.Sessions.Delete(s.AccessKeyID)
		s.AccessKeyID = "ASIA"
		tx.Sessions.Put("ASIA", s)
		s = identity.NewSession(tx, other, identity.Grant{Name: "s", Lifetime: time.Hour}, time.Now())
		tx.Sessions.Delete(s.AccessKeyID)
		s.AccessKeyID, s.RoleID = "ASIAOLD", "AROAbefore"
		tx.Sessions.Put("ASIAOLD", s)
	})
	keys := identity.NewKeys(d.Store, d.Policies)
	for _, c := range []struct {
		id, kind string
		inactive bool
	}{
		{id: "AKIAON", kind: awsapi.TypeUser},
		{id: "AKIAOFF", kind: awsapi.TypeUser, inactive: true},
		{id: "AKIAGONE"},
		{id: "AKIANONE"},
		{id: "ASIA", kind: awsapi.TypeAssumedRole},
		{id: "ASIAOLD"}, // its role has been made anew
	} {
		key, err := keys.Lookup(t.Context(), c.id)
		if c.kind == "" {
			if !errors.Is(err, awsapi.ErrNoKey) {
				t.Errorf("%s: %v", c.id, err)
			}
			continue
		}
		if err != nil || key.Principal.Type != c.kind || key.Inactive != c.inactive {
			t.Errorf("%s: %+v, %v", c.id, key, err)
		}
		if c.id == "ASIA" && len(key.Principal.SessionPolicies) != 2 {
			t.Errorf("%d session policies", len(key.Principal.SessionPolicies))
		}
	}
}

func TestInstanceCredentials(t *testing.T) {
	d := open(t)
	now := time.Now()
	i := resource.Instance{ID: "i-1", Spec: resource.InstanceSpec{InstanceProfileARN: "arn:aws:iam::000000000000:instance-profile/node"}}
	get := func(now time.Time) (resource.Session, bool) {
		t.Helper()
		s, ok, err := identity.Instances{Store: d.Store, Policies: d.Policies}.Credentials(t.Context(), i, "2.0", now)
		if err != nil {
			t.Fatal(err)
		}
		return s, ok
	}
	if _, ok := get(now); ok {
		t.Fatal("credentials without a profile")
	}
	d.Update(t, func(tx *store.Tx) { addRole(tx, "node", ""); tx.Instances.Put(i.ID, i) })
	first, ok := get(now)
	if !ok || first.Principal != "arn:aws:sts::000000000000:assumed-role/node/i-1" || first.Expires.Sub(first.Issued) != 6*time.Hour || len(first.Token) < 100 {
		t.Fatalf("got %+v", first)
	}
	if s, _ := get(now.Add(4 * time.Hour)); s.AccessKeyID != first.AccessKeyID {
		t.Error("new credentials after four hours")
	}
	second, _ := get(now.Add(5*time.Hour + time.Minute))
	if second.AccessKeyID == first.AccessKeyID {
		t.Error("old credentials within an hour of their end")
	}
	count := func() (n int) {
		_ = d.Store.View(func(tx *store.Tx) error {
			for range tx.Sessions.All() {
				n++
			}
			return nil
		})
		return n
	}
	for _, step := range []struct {
		at   time.Duration
		gone int
	}{{25 * time.Hour, 0}, {31 * time.Hour, 1}} {
		n, err := identity.PurgeSessions(t.Context(), d.Store, now.Add(step.at))
		if err != nil || n != step.gone {
			t.Errorf("after %s %d sessions are purged, %v", step.at, n, err)
		}
	}
	d.Update(t, func(tx *store.Tx) { tx.Instances.Delete(i.ID) })
	if n, err := identity.PurgeSessions(t.Context(), d.Store, now); err != nil || n != 1 || count() != 0 {
		t.Errorf("of a terminated instance %d are purged, %d left, %v", n, count(), err)
	}
}

// Sessions may be made shorter than AWS makes them, and a role has to trust EC2.
func TestShortInstanceCredentials(t *testing.T) {
	d := open(t)
	now := time.Now()
	i := resource.Instance{ID: "i-1", Spec: resource.InstanceSpec{InstanceProfileARN: "arn:aws:iam::000000000000:instance-profile/node"}}
	var role resource.Role
	d.Update(t, func(tx *store.Tx) { role = addRole(tx, "node", ""); tx.Instances.Put(i.ID, i) })
	g := identity.Instances{Store: d.Store, Policies: d.Policies, Lifetime: identity.Lifetime(time.Minute)}
	get := func(after time.Duration) (resource.Session, error) {
		s, _, err := g.Credentials(t.Context(), i, "2.0", now.Add(after))
		return s, err
	}
	first, err := get(0)
	if err != nil || first.Expires.Sub(first.Issued) != time.Minute {
		t.Fatalf("got %+v, %v", first, err)
	}
	if s, err := get(48 * time.Second); err != nil || s.AccessKeyID != first.AccessKeyID {
		t.Errorf("other credentials after four fifths of their time, %v", err)
	}
	d.Update(t, func(tx *store.Tx) {
		role.Trust = strings.Replace(role.Trust, "ec2.", "eks.", 1)
		tx.Roles.Put(role.ARN, role)
	})
	if s, err := get(48 * time.Second); err != nil || s.AccessKeyID != first.AccessKeyID {
		t.Errorf("what is handed out ends with the trust, %v", err)
	}
	if s, err := get(51 * time.Second); !errors.Is(err, identity.ErrNotTrusted) {
		t.Errorf("a role that does not trust EC2: %+v, %v", s, err)
	}
}

func TestLifetime(t *testing.T) {
	for _, c := range [][3]time.Duration{{0, time.Hour, time.Hour}, {time.Minute, time.Hour, time.Minute}, {2 * time.Hour, time.Hour, time.Hour}} {
		if got := identity.Lifetime(c[0]).Of(c[1]); got != c[2] {
			t.Errorf("with at most %s, %s are %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// as is a call by a session of a role that has the one policy.
func as(d *identitytest.Door, t testing.TB, policy, service, operation string) awsapi.Call {
	t.Helper()
	d.Update(t, func(tx *store.Tx) { addRole(tx, "caller", policy) })
	return awsapi.Call{
		Service: service, Operation: operation, Region: "us-west-2", Account: account, Time: time.Now(), SourceIP: netip.MustParseAddr("127.0.0.1"),
		Caller: awsapi.Principal{ARN: "arn:aws:sts::000000000000:assumed-role/caller/s", Account: account, ID: "AROAcaller:s", Type: awsapi.TypeAssumedRole,
			RoleARN: "arn:aws:iam::000000000000:role/caller", SessionName: "s", AccessKeyID: "ASIAX"},
	}
}

func TestAuthorize(t *testing.T) {
	d := open(t)
	d.Update(t, func(tx *store.Tx) {
		tx.Nodegroups.Put("arn:aws:eks:us-west-2:000000000000:nodegroup/c/n/uuid", resource.Nodegroup{
			Home: resource.Home{Account: account, Region: "us-west-2"}, Name: "n", Cluster: "arn:aws:eks:us-west-2:000000000000:cluster/c"})
	})
	const who = "User: arn:aws:sts::000000000000:assumed-role/caller/s is not authorized to perform: "
	because := func(action string) string {
		return " because no identity-based policy allows the " + action + " action"
	}
	allow := func(action, res string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"` + res + `"}]}`
	}
	describe := &eks.DescribeNodegroupInput{ClusterName: new("c"), NodegroupName: new("n")}
	for _, c := range []struct {
		name, service, operation, policy string
		in                               any
		code, error                      string
		status                           int
	}{
		{name: "allowed", service: "eks", operation: "DescribeNodegroup", in: describe, policy: allow("eks:Describe*", "arn:aws:eks:*:*:nodegroup/c/n/*")},
		{name: "rest-json", service: "eks", operation: "DescribeNodegroup", in: describe, policy: allow("eks:*", "arn:aws:eks:*:*:cluster/c"), code: "AccessDeniedException", status: 403,
			error: who + "eks:DescribeNodegroup on resource: arn:aws:eks:us-west-2:000000000000:nodegroup/c/n/uuid" + because("eks:DescribeNodegroup")},
		{name: "no input", service: "eks", operation: "CreateCluster", in: &eks.CreateClusterInput{}, code: "AccessDeniedException", status: 403,
			error: who + "eks:CreateCluster on resource: arn:aws:eks:us-west-2:000000000000:cluster/" + because("eks:CreateCluster")},
		{name: "ec2", service: "ec2", operation: "TerminateInstances", in: &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}}, code: "UnauthorizedOperation", status: 403,
			error: "You are not authorized to perform this operation. " + who + "ec2:TerminateInstances on resource: arn:aws:ec2:us-west-2:000000000000:instance/i-1" + because("ec2:TerminateInstances")},
		{name: "ec2 without resources", service: "ec2", operation: "DescribeVpcs", in: &ec2.DescribeVpcsInput{}, code: "UnauthorizedOperation", status: 403,
			error: "You are not authorized to perform this operation. " + who + "ec2:DescribeVpcs" + because("ec2:DescribeVpcs")},
		{name: "json", service: "ssm", operation: "GetParameter", in: &ssm.GetParameterInput{Name: new("/aws/service/x")}, code: "AccessDeniedException", status: 400,
			error: who + "ssm:GetParameter on resource: arn:aws:ssm:us-west-2::parameter/aws/service/x" + because("ssm:GetParameter")},
		{name: "query", service: "iam", operation: "GetRole", in: &iam.GetRoleInput{RoleName: new("caller")}, code: "AccessDenied", status: 403,
			error: who + "iam:GetRole on resource: arn:aws:iam::000000000000:role/caller" + because("iam:GetRole")},
		{name: "query without resources", service: "iam", operation: "ListAccountAliases", in: &iam.ListAccountAliasesInput{}, code: "AccessDenied", status: 403,
			error: who + "iam:ListAccountAliases on resource: *" + because("iam:ListAccountAliases")},
		{name: "policies", service: "iam", operation: "ListPolicies", in: &iam.ListPoliciesInput{}, code: "AccessDenied", status: 403,
			error: who + "iam:ListPolicies on resource: policy path /" + because("iam:ListPolicies")},
		{name: "condition on a tag", service: "eks", operation: "CreateCluster", in: &eks.CreateClusterInput{Name: new("c"), Tags: map[string]string{"team": "a"}},
			policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"a"}}},{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*"}]}`},
		{name: "who am I", service: "sts", operation: "GetCallerIdentity", in: &sts.GetCallerIdentityInput{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			call := as(d, t, c.policy, c.service, c.operation)
			err := d.Authorizer.Authorize(t.Context(), call, c.in)
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *awsapi.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			message, encoded, _ := strings.Cut(e.Message, ". Encoded authorization failure message: ")
			if (encoded != "") != (c.name == "ec2") { // EC2 tells more to those who may decode it, but of what only describes
				t.Errorf("encoded: %q", encoded)
			}
			if e.Code != c.code || e.Status != c.status || message != c.error {
				t.Errorf("got  %s %d %s\nwant %s %d %s", e.Code, e.Status, e.Message, c.code, c.status, c.error)
			}
		})
	}
}

// Every served operation has a row, and denies a caller without permissions, whatever is
// missing from its input.
func TestEveryOperationIsDecided(t *testing.T) {
	d := open(t)
	everybody := map[string]bool{"sts:GetCallerIdentity": true, "sts:AssumeRole": true, "sts:AssumeRoleWithWebIdentity": true, "sts:GetSessionToken": true}
	for _, s := range services() {
		for _, op := range s.Operations {
			if op.Handle.New == nil {
				continue
			}
			name := s.SigningName + ":" + op.Name
			if !identity.HasRule(s.SigningName, op.Name) {
				t.Errorf("%s has no row", name)
			}
			err := d.Authorizer.Authorize(t.Context(), as(d, t, "", s.SigningName, op.Name), op.Handle.New())
			if (err == nil) != everybody[name] {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestLastUsed(t *testing.T) {
	d := open(t)
	at := time.Now()
	call := awsapi.Call{Service: "eks", Operation: "ListClusters", Region: "us-west-2", Account: account, Time: at,
		Caller: awsapi.Principal{Type: awsapi.TypeRoot, Account: account, AccessKeyID: d.Root.ID}}
	if err := d.Authorizer.Authorize(t.Context(), call, &eks.ListClustersInput{}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to write
		if err := d.Authorizer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_ = d.Store.View(func(tx *store.Tx) error {
		k, _ := tx.AccessKeys.Get(d.Root.ID)
		if !k.LastUsed.Equal(at.UTC().Truncate(time.Second)) || k.LastAt != "eks" || k.LastIn != "us-west-2" {
			t.Errorf("got %+v", k)
		}
		return nil
	})
}

func TestRoleQuestions(t *testing.T) {
	d := open(t)
	d.Update(t, func(tx *store.Tx) {
		r := addRole(tx, "r", "")
		r.Attached = []string{"arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
		tx.Roles.Put(r.ARN, r)
		for service, want := range map[string]bool{"ec2.amazonaws.com": true, "eks.amazonaws.com": false} {
			if got, err := d.Policies.ServiceMayAssume(tx, r, service, "arn:aws:ec2:us-west-2:"+account+":instance/i-1"); got != want || err != nil {
				t.Errorf("%s may: %v, %v", service, got, err)
			}
		}
		const source = "arn:aws:eks:us-west-2:" + account + ":cluster/"
		r.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"eks.amazonaws.com"},"Action":"sts:AssumeRole",` +
			`"Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"},"ArnLike":{"aws:SourceArn":"` + source + `prod-*"}}}]}`
		for cluster, want := range map[string]bool{"prod-1": true, "dev": false} {
			if got, err := d.Policies.ServiceMayAssume(tx, r, "eks.amazonaws.com", source+cluster); got != want || err != nil {
				t.Errorf("EKS may for %s: %v, %v", cluster, got, err)
			}
		}
		for action, want := range map[string]bool{"ec2:DescribeSubnets": true, "iam:CreateUser": false} {
			if got, err := d.Policies.RoleAllows(tx, r, action, "*"); got != want || err != nil {
				t.Errorf("%s is allowed: %v, %v", action, got, err)
			}
		}
	})
}

func BenchmarkLookupAndAuthorize(b *testing.B) {
	d := open(b)
	call := as(d, b, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"eks:*","Resource":"*"}]}`, "eks", "DescribeCluster")
	keys := identity.NewKeys(d.Store, d.Policies)
	in := &eks.DescribeClusterInput{Name: new("c")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Lookup(context.Background(), d.Root.ID); err != nil {
			b.Fatal(err)
		}
		if err := d.Authorizer.Authorize(context.Background(), call, in); err != nil {
			b.Fatal(err)
		}
	}
}
