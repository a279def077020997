package clusterauth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	authentication "k8s.io/api/authentication/v1"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// Who gets in by what, in each mode.
func TestModes(t *testing.T) {
	w := newWorld(t)
	alice, aliceKey := w.user("alice")
	bob, bobKey := w.user("bob")
	_, carolKey := w.user("carol")
	w.entry(resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD", Username: "by-entry", Groups: []string{"entries"}})
	w.awsAuth = map[string]string{"mapUsers": `
- {userarn: ` + alice.ARN + `, username: by-configmap, groups: [configmaps]}
- {userarn: ` + bob.ARN + `, username: bob, groups: [configmaps]}
`}
	const nobody = "-"
	for _, c := range []struct {
		mode, alice, bob, root string
		creatorAdmin           bool
	}{
		{"API", "by-entry [entries]", nobody, "kubernetes-admin [system:masters]", true},
		{"API_AND_CONFIG_MAP", "by-entry [entries]", "bob [configmaps]", "kubernetes-admin [system:masters]", true},
		{"CONFIG_MAP", "by-configmap [configmaps]", "bob [configmaps]", "kubernetes-admin [system:masters]", true},
		{"API", "by-entry [entries]", nobody, nobody, false},
		{"CONFIG_MAP", "by-configmap [configmaps]", "bob [configmaps]", nobody, false},
	} {
		w.change(func(cl *resource.Cluster) {
			cl.Spec.AuthenticationMode, cl.Spec.CreatorAdmin = c.mode, c.creatorAdmin
		})
		for _, who := range []struct {
			name, want string
			creds      aws.Credentials
		}{{"alice", c.alice, aliceKey}, {"bob", c.bob, bobKey}, {"carol", nobody, carolKey}, {"root", c.root, w.root}} {
			got := nobody
			if s := w.as(who.creds); s.Authenticated {
				got = fmt.Sprint(s.User.Username, " ", s.User.Groups)
			}
			if got != who.want {
				t.Errorf("mode %s, creator admin %v: %s is %s, want %s", c.mode, c.creatorAdmin, who.name, got, who.want)
			}
		}
	}
	if !strings.Contains(w.log.String(), errNotMapped.Error()) {
		t.Errorf("the log does not tell why carol is refused:\n%s", w.log)
	}
}

// The creator is master wherever no access entry says so, and nobody else.
func TestImplicitMaster(t *testing.T) {
	w := newWorld(t)
	manager, other := w.role("/team/", "EKS-Manager"), w.role("/", "PowerUser")
	creds := w.assume(manager, "somebody@example.com")
	master := func(creds aws.Credentials) bool {
		return slices.Contains(w.as(creds).User.Groups, "system:masters")
	}
	w.change(func(c *resource.Cluster) { c.Creator, c.Spec.AuthenticationMode = manager.ARN, "CONFIG_MAP" })
	if !master(creds) {
		t.Errorf("the creator is no master in mode CONFIG_MAP: %s", w.log)
	}
	if master(w.root) || master(w.assume(other, "x")) {
		t.Error("somebody else is master")
	}
	w.awsAuth = map[string]string{"mapRoles": "[[[ broken", "mapUsers": "- [", "mapAccounts": "{"}
	if !master(creds) {
		t.Error("a broken aws-auth locks the creator out")
	}
	// In the other modes its access entry does it, which can be deleted.
	w.change(func(c *resource.Cluster) { c.Spec.AuthenticationMode = "API_AND_CONFIG_MAP" })
	if w.as(creds).Authenticated {
		t.Error("the creator, a role, gets in without an access entry")
	}
}

// An access entry is for one principal, not for whoever has its name later.
func TestEntryOfFormerPrincipal(t *testing.T) {
	w := newWorld(t)
	r := w.role("/a/b/", "dev")
	w.entry(resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "STANDARD"})
	if !w.as(w.assume(r, "s")).Authenticated {
		t.Fatalf("a role with a path does not get in: %s", w.log)
	}
	r.ID = "AROAlater"
	w.update(func(tx *store.Tx) { tx.Roles.Put(r.ARN, r) })
	if w.as(w.assume(r, "s")).Authenticated {
		t.Error("a role made anew gets in by the entry of the former one")
	}
}

func TestEntryUsers(t *testing.T) {
	w := newWorld(t)
	alice, aliceKey := w.user("alice")
	r := w.role("/a/", "dev")
	session := w.assume(r, "jane@example.com")
	nodes := w.assume(r, "i-0123456789abcdef0")
	w.instance("i-0123456789abcdef0", r, func(*resource.Instance) {})
	for _, c := range []struct {
		creds            aws.Credentials
		entry            resource.AccessEntry
		username, groups string
	}{
		{aliceKey, resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD"}, alice.ARN, "[]"},
		{aliceKey, resource.AccessEntry{Principal: alice.ARN, PrincipalID: alice.ID, Type: "STANDARD", Username: "{{AccountID}}:{{AccessKeyID}}"},
			account + ":AKIAalice", "[]"},
		{session, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "STANDARD", Groups: []string{"devs", "more"}},
			"arn:aws:sts::" + account + ":assumed-role/dev/jane-example.com", "[devs more]"},
		{session, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "STANDARD", Username: "x:{{SessionName}}:{{SessionNameRaw}}"},
			"x:jane-example.com:jane@example.com", "[]"},
		{nodes, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "EC2_LINUX"},
			"system:node:ip-10-0-1-2.us-west-2.compute.internal", "[system:bootstrappers system:nodes]"},
		{nodes, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "EC2_LINUX", Username: "system:node:{{EC2PrivateDNSName}}", Groups: []string{"system:nodes"}},
			"system:node:ip-10-0-1-2.us-west-2.compute.internal", "[system:bootstrappers system:nodes]"},
		{nodes, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "EC2_WINDOWS"},
			"system:node:ip-10-0-1-2.us-west-2.compute.internal", "[system:bootstrappers system:nodes eks:kube-proxy-windows]"},
		{session, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "FARGATE_LINUX"},
			"system:node:jane-example.com", "[system:bootstrappers system:nodes system:node-proxier]"},
		{session, resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "EC2_LINUX"}, "", "[]"}, // no instance
	} {
		w.entry(c.entry)
		u := w.as(c.creds).User
		if groups := fmt.Sprint(u.Groups); u.Username != c.username || groups != c.groups {
			t.Errorf("%s entry with username %q: %q %s, want %q %s", c.entry.Type, c.entry.Username, u.Username, groups, c.username, c.groups)
		}
	}
}

// instance makes a running instance with the role, and lets change alter it.
func (w *world) instance(id string, r resource.Role, change func(*resource.Instance)) {
	w.t.Helper()
	profile := "arn:aws:iam::" + account + ":instance-profile/" + r.Name
	i := resource.Instance{Home: home, ID: id, Spec: resource.InstanceSpec{
		VPC: "vpc-1", Zone: "us-west-2a", PrivateIP: "10.0.1.2", PrivateDNS: "ip-10-0-1-2.us-west-2.compute.internal", InstanceProfileARN: profile,
	}, Status: resource.InstanceStatus{State: resource.InstanceRunning}}
	change(&i)
	w.update(func(tx *store.Tx) {
		tx.InstanceProfiles.Put(profile, resource.InstanceProfile{Account: account, ARN: profile, Role: r.ARN})
		tx.Instances.Put(id, i)
	})
}

// Only an instance that has the role is the node that its session's name says.
func TestNodesAreTheirInstances(t *testing.T) {
	w := newWorld(t)
	r, other := w.role("/", "nodes"), w.role("/", "other")
	w.entry(resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "EC2_LINUX"})
	const id = "i-0123456789abcdef0"
	as := func() bool { return w.as(w.assume(r, id)).Authenticated }
	same := func(*resource.Instance) {}
	if as() {
		t.Error("an instance that does not exist gets in")
	}
	for name, c := range map[string]struct {
		role   resource.Role
		change func(*resource.Instance)
		want   bool
	}{
		"running":        {r, same, true},
		"pending":        {r, func(i *resource.Instance) { i.Status.State = resource.InstancePending }, true},
		"stopped":        {r, func(i *resource.Instance) { i.Status.State = resource.InstanceStopped }, false},
		"shutting down":  {r, func(i *resource.Instance) { i.Terminating = true }, false},
		"terminated":     {r, func(i *resource.Instance) { i.Status.State = resource.InstanceTerminated }, false},
		"another region": {r, func(i *resource.Instance) { i.Region = "us-east-1" }, false},
		"no name":        {r, func(i *resource.Instance) { i.Spec.PrivateDNS = "" }, false},
		"another role":   {other, same, false},
	} {
		w.instance(id, c.role, c.change)
		if got := as(); got != c.want {
			t.Errorf("%s: gets in: %v, want %v; %s", name, got, c.want, w.log)
		}
	}
	if w.as(w.assume(r, "somebody")).Authenticated {
		t.Error("a session that is no instance's gets in as a node")
	}
}

func TestAWSAuth(t *testing.T) {
	w := newWorld(t)
	dev, nodes := w.role("/path/", "Dev"), w.role("/", "nodes")
	alice, aliceKey := w.user("alice")
	_, bobKey := w.user("bob")
	w.instance("i-0123456789abcdef0", nodes, func(*resource.Instance) {})
	w.awsAuth = map[string]string{
		"mapRoles": `
# ARNs have no path here, and their case does not matter
- rolearn: arn:aws:iam::000000000000:role/dev
  username: dev:{{SessionName}}
  groups:
  - devs:{{AccountID}}
- rolearn: arn:aws:iam::000000000000:role/nodes
  username: system:node:{{EC2PrivateDNSName}}
  groups: [system:bootstrappers, system:nodes]
`,
		"mapUsers":    "- {userarn: " + alice.ARN + ", username: alice, groups: ['a']}",
		"mapAccounts": "- 000000000000\n",
	}
	devKey, nodeKey := w.assume(dev, "j@x"), w.assume(nodes, "i-0123456789abcdef0")
	check := func(what string, want map[string]string) {
		t.Helper()
		for name, creds := range map[string]aws.Credentials{"dev": devKey, "node": nodeKey, "alice": aliceKey, "bob": bobKey} {
			got := ""
			if s := w.as(creds); s.Authenticated {
				got = fmt.Sprint(s.User.Username, " ", s.User.Groups)
			}
			if got != want[name] {
				t.Errorf("%s: %s is %q, want %q", what, name, got, want[name])
			}
		}
	}
	all := map[string]string{
		"dev":   "dev:j-x [devs:000000000000]",
		"node":  "system:node:ip-10-0-1-2.us-west-2.compute.internal [system:bootstrappers system:nodes]",
		"alice": "alice [a]",
		"bob":   "arn:aws:iam::000000000000:user/bob []",
	}
	check("all", all)

	good := w.awsAuth
	w.awsAuth = map[string]string{"mapRoles": good["mapRoles"] + "\n  - broken: [", "mapUsers": good["mapUsers"]}
	check("mapRoles broken", map[string]string{"alice": all["alice"]})
	w.awsAuth = map[string]string{"mapRoles": good["mapRoles"] + "- username: has no ARN\n- {rolearn: x, groups: no-list}\n"}
	check("one entry broken", map[string]string{"dev": all["dev"], "node": all["node"]})
	w.awsAuth = map[string]string{"mapRoles": good["mapRoles"], "mapAccounts": "- \"111111111111\""}
	check("another account", map[string]string{"dev": all["dev"], "node": all["node"]})
	w.awsAuth = map[string]string{}
	check("empty", nil)
	w.awsAuth = nil
	check("absent", nil)
}

// What the API server, and so `kubectl auth whoami`, learns of a user.
func TestUIDAndExtra(t *testing.T) {
	w := newWorld(t)
	r := w.role("/a/", "dev")
	w.entry(resource.AccessEntry{Principal: r.ARN, PrincipalID: r.ID, Type: "STANDARD", Username: "u"})
	creds := w.assume(r, "s@x")
	u := w.as(creds).User
	if want := "aws-iam-authenticator:000000000000:AROAdev"; u.UID != want {
		t.Errorf("uid %s, want %s", u.UID, want)
	}
	for key, want := range map[string]string{
		"arn":          "arn:aws:sts::000000000000:assumed-role/dev/s@x",
		"canonicalArn": "arn:aws:iam::000000000000:role/dev",
		"sessionName":  "s@x",
		"accessKeyId":  creds.AccessKeyID,
		"principalId":  "AROAdev",
		"sigs.k8s.io/aws-iam-authenticator/principalId": "AROAdev",
	} {
		if got := u.Extra[key]; !slices.Equal(got, authentication.ExtraValue{want}) {
			t.Errorf("extra %s is %v, want %s", key, got, want)
		}
	}
	if len(u.Extra) != 6 {
		t.Errorf("extra has more than that: %v", u.Extra)
	}
}
