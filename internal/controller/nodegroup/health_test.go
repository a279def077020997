package nodegroup

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// codes are those of the group's health issues.
func (w *world) codes() string {
	ng, _ := w.group()
	var out []string
	for _, i := range ng.Status.Issues {
		out = append(out, i.Code)
	}
	return strings.Join(out, " ")
}

func (w *world) untilState(state, codes string) {
	w.t.Helper()
	w.until(state+" with "+codes, func() bool {
		ng, _ := w.group()
		return ng.Current() == state && w.codes() == codes
	})
}

// TestIssuesComeAndGo takes away what a group needs, one by one, and gives it back.
func TestIssuesComeAndGo(t *testing.T) {
	w := newWorld(t, func(ng *resource.Nodegroup) { ng.Spec.SSHKey = "k" })
	w.untilActive()
	edit := func(f func(g *resource.AutoScalingGroup)) func(*store.Tx) func(*store.Tx) {
		return func(tx *store.Tx) func(*store.Tx) {
			was, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
			g, _ := tx.AutoScalingGroups.Get(was.ARN)
			f(&g)
			tx.AutoScalingGroups.Put(g.ARN, g)
			return func(tx *store.Tx) { tx.AutoScalingGroups.Put(was.ARN, was) }
		}
	}
	for _, c := range []struct {
		code string
		take func(*store.Tx) (giveBack func(*store.Tx))
	}{
		{"Ec2LaunchTemplateNotFound", func(tx *store.Tx) func(*store.Tx) {
			ng, _ := w.group()
			lt, _ := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
			tx.LaunchTemplates.Delete(lt.ID)
			return func(tx *store.Tx) { tx.LaunchTemplates.Put(lt.ID, lt) }
		}},
		{"IamInstanceProfileNotFound", func(tx *store.Tx) func(*store.Tx) {
			ng, _ := w.group()
			p, _ := tx.InstanceProfiles.Get(profileARN(ng))
			tx.InstanceProfiles.Delete(p.ARN)
			return func(tx *store.Tx) { tx.InstanceProfiles.Put(p.ARN, p) }
		}},
		{"IamNodeRoleNotFound", func(tx *store.Tx) func(*store.Tx) {
			r, _ := tx.Roles.Get(nodeRole)
			tx.Roles.Delete(nodeRole)
			return func(tx *store.Tx) { tx.Roles.Put(nodeRole, r) }
		}},
		{"Ec2SecurityGroupNotFound", func(tx *store.Tx) func(*store.Tx) {
			ng, _ := w.group()
			g, _ := tx.SecurityGroups.Get(ng.Status.RemoteAccess)
			tx.SecurityGroups.Delete(g.ID)
			return func(tx *store.Tx) { tx.SecurityGroups.Put(g.ID, g) }
		}},
		{"Ec2SubnetNotFound", func(tx *store.Tx) func(*store.Tx) {
			ng, _ := w.group()
			sn, _ := tx.Subnets.Get(ng.Spec.Subnets[0])
			tx.Subnets.Delete(sn.ID)
			return func(tx *store.Tx) { tx.Subnets.Put(sn.ID, sn) }
		}},
		{"AccessDenied", func(tx *store.Tx) func(*store.Tx) {
			cl, _ := tx.Clusters.Get(clusterARN)
			cl.Spec.AuthenticationMode = "API" // and nobody has made an entry
			tx.Clusters.Put(cl.ARN, cl)
			return func(tx *store.Tx) {
				ng, _ := tx.Nodegroups.Get(groupName1)
				letIn(tx, ng, cl, w.clock)
			}
		}},
		{"AutoScalingGroupInvalidConfiguration", edit(func(g *resource.AutoScalingGroup) { g.Spec.Subnets = g.Spec.Subnets[:1] })},
		{"AutoScalingGroupInvalidConfiguration", edit(func(g *resource.AutoScalingGroup) {
			g.Spec.SuspendedProcesses = []resource.SuspendedProcess{{Name: "Terminate"}}
		})},
		{"AutoScalingGroupInstanceRefreshActive", func(tx *store.Tx) func(*store.Tx) {
			// Baking, it does nothing.
			tx.InstanceRefreshes.Put("r", resource.InstanceRefresh{Home: home, ID: "r", Group: w.state().group.ARN, State: resource.RefreshBaking, Baking: w.clock(), Preferences: resource.RefreshPreferences{BakeTime: 3600}})
			return func(tx *store.Tx) { tx.InstanceRefreshes.Delete("r") }
		}},
		{"Ec2LaunchTemplateVersionMismatch", edit(func(g *resource.AutoScalingGroup) { g.Spec.LaunchTemplateVersion = "7" })},
	} {
		var giveBack func(*store.Tx)
		w.update(func(tx *store.Tx) error { giveBack = c.take(tx); return nil })
		w.untilState(resource.NodegroupDegraded, c.code)
		w.update(func(tx *store.Tx) error { giveBack(tx); return nil })
		w.untilState(resource.NodegroupActive, "")
	}
}

// In the mode without access entries it is aws-auth that lets nodes in.
func TestTakenOutOfAWSAuth(t *testing.T) {
	w := newWorld(t, nil)
	w.untilActive()
	let := func(in bool) {
		w.nodes.mu.Lock()
		defer w.nodes.mu.Unlock()
		w.nodes.roles[nodeRole] = in
	}
	let(false)
	w.untilState(resource.NodegroupDegraded, "AccessDenied")
	if again, err := w.c.Reconcile(t.Context(), groupName1); err != nil || again > awsAuthEvery {
		t.Errorf("looked at again in %s, %v", again, err)
	}
	let(true)
	w.untilState(resource.NodegroupActive, "")
}

func TestLaunchFailures(t *testing.T) {
	w := newWorld(t, func(ng *resource.Nodegroup) { ng.Spec.Desired = 1 })
	w.untilActive()
	// The template's image is no more, and then it is again.
	change := func(image string, desired int32) {
		w.update(func(tx *store.Tx) error {
			ng, _ := tx.Nodegroups.Get(groupName1)
			lt, _ := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
			d, err := provision.TemplateData(lt.Versions[0])
			if err != nil {
				return err
			}
			if image == "" {
				image = *d.ImageId
			}
			d.ImageId = &image
			if lt.Versions[0].Data, err = json.Marshal(d); err != nil {
				return err
			}
			tx.LaunchTemplates.Put(lt.ID, lt)
			g, _ := tx.AutoScalingGroups.Get(groupARN(ng))
			g.Spec.Desired = desired
			tx.AutoScalingGroups.Put(g.ARN, g)
			return nil
		})
	}
	image := func() string {
		out := ""
		_ = w.store.View(func(tx *store.Tx) error {
			ng, _ := tx.Nodegroups.Get(groupName1)
			lt, _ := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
			d, err := provision.TemplateData(lt.Versions[0])
			out = *d.ImageId
			return err
		})
		return out
	}
	good := image()
	change("ami-00000000000000000", 2)
	w.untilState(resource.NodegroupDegraded, "AmiIdNotFound")
	ng, _ := w.group()
	if m := ng.Status.Issues[0].Message; !strings.HasSuffix(m, "The image id '[ami-00000000000000000]' does not exist") {
		t.Errorf("the issue says %q", m)
	}
	change(good, 2)
	w.untilState(resource.NodegroupActive, "")

	// A group that never gets its nodes is given up after EKS's time.
	w.absent = func(resource.Instance) bool { return true }
	w.update(func(tx *store.Tx) error {
		g, _ := tx.AutoScalingGroups.Get(w.state().group.ARN)
		g.Spec.Desired = 3
		tx.AutoScalingGroups.Put(g.ARN, g)
		return nil
	})
	w.untilState(resource.NodegroupDegraded, "NodeCreationFailure")
}

func TestGroupTakenAway(t *testing.T) {
	w := newWorld(t, nil)
	w.untilActive()
	w.update(func(tx *store.Tx) error {
		for id := range tx.GroupInstances.All() {
			tx.GroupInstances.Delete(id)
		}
		tx.AutoScalingGroups.Delete(w.state().group.ARN)
		return nil
	})
	w.untilState(resource.NodegroupDegraded, "AutoScalingGroupNotFound")
	w.ask("1.35", false)
	w.until("given up", func() bool { return w.updated("u1").State == resource.UpdateFailed })
	w.untilState(resource.NodegroupDegraded, "AutoScalingGroupNotFound")
	w.delete()
	w.until("gone", func() bool { _, ok := w.group(); return !ok })
}

// A roll that loses EKS's own launch template takes back what it has done.
func TestTemplateTakenAwayWhileRolling(t *testing.T) {
	w := newWorld(t, nil)
	w.untilActive()
	w.ask("1.35", false)
	w.until("cordoned", func() bool { ng, _ := w.group(); return ng.Status.Roll.Cordoned })
	w.update(func(tx *store.Tx) error {
		ng, _ := tx.Nodegroups.Get(groupName1)
		tx.LaunchTemplates.Delete(ng.Status.LaunchTemplate)
		return nil
	})
	w.untilState(resource.NodegroupDegraded, "Ec2LaunchTemplateNotFound")
	u := w.updated("u1")
	if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "Unknown" || !strings.Contains(u.Errors[0].Message, "launch template") {
		t.Errorf("%+v", u)
	}
	w.until("at its size of before", func() bool { return len(w.state().members) == 3 })
	if ng, _ := w.group(); ng.Rolled().Version != "1.34" || w.left() != "" {
		t.Errorf("version %s, left: %s", ng.Rolled().Version, w.left())
	}
}

func TestRemoteAccess(t *testing.T) {
	source := ""
	for _, sources := range []bool{false, true} {
		t.Run(fmt.Sprint("sources ", sources), func(t *testing.T) {
			w := newWorld(t, func(ng *resource.Nodegroup) { ng.Spec.SSHKey = "k" })
			if sources {
				w.update(func(tx *store.Tx) error {
					vpc, _ := provision.DefaultVPC(tx, home)
					g, err := provision.SecurityGroup(tx, provision.SecurityGroupRequest{Home: home, VPC: vpc.ID, Name: "bastion", Description: "b"})
					source = g.ID
					ng, _ := tx.Nodegroups.Get(groupName1)
					ng.Spec.SSHSourceSecurityGroups = []string{source}
					tx.Nodegroups.Put(ng.ARN, ng)
					return err
				})
			}
			w.untilActive()
			ng, _ := w.group()
			_ = w.store.View(func(tx *store.Tx) error {
				g, ok := tx.SecurityGroups.Get(ng.Status.RemoteAccess)
				if !ok || g.Name != "eks-remoteAccess-u-1" || len(g.Rules) != 2 {
					t.Fatalf("%v %+v", ok, g)
				}
				r := g.Rules[1]
				if r.Egress || r.Protocol != "tcp" || r.FromPort != 22 || r.ToPort != 22 || sources != (r.Group == source && source != "") || sources == r.CIDR.IsValid() {
					t.Errorf("%+v", r)
				}
				lt, _ := tx.LaunchTemplates.Get(ng.Status.LaunchTemplate)
				var d ec2.RequestLaunchTemplateData
				if err := json.Unmarshal(lt.Versions[0].Data, &d); err != nil {
					t.Fatal(err)
				}
				cl, _ := tx.Clusters.Get(clusterARN)
				if fmt.Sprint(d.SecurityGroupIds) != fmt.Sprint([]string{cl.Spec.ClusterSecurityGroup, g.ID}) || *d.KeyName != "k" {
					t.Errorf("the template has %v, key %s", d.SecurityGroupIds, *d.KeyName)
				}
				return nil
			})
			// As long as somebody else's rule names the group it stays, and the deletion fails.
			var rules []resource.SecurityGroupRule
			w.update(func(tx *store.Tx) (err error) {
				cl, _ := tx.Clusters.Get(clusterARN)
				tx.Updates.Put("open", resource.Update{ID: "open", Nodegroup: groupName1, State: resource.UpdateInProgress})
				rules, err = provision.AuthorizeRules(tx, home, cl.Spec.ClusterSecurityGroup, []resource.SecurityGroupRule{{Protocol: "tcp", FromPort: 1, ToPort: 1, Group: ng.Status.RemoteAccess}})
				return err
			})
			w.delete()
			w.untilState(resource.NodegroupDeleteFailed, "Ec2SecurityGroupDeletionFailure")
			if u := w.updated("open"); u.State != resource.UpdateFailed || len(u.Errors) != 1 {
				t.Errorf("an update that was under way: %+v", u)
			}
			w.update(func(tx *store.Tx) error {
				cl, _ := tx.Clusters.Get(clusterARN)
				_, _, err := provision.RevokeRules(tx, home, cl.Spec.ClusterSecurityGroup, false, []string{rules[0].ID}, nil)
				ng, _ := tx.Nodegroups.Get(groupName1)
				ng.Status.State = resource.NodegroupDeleting // as DeleteNodegroup does
				tx.Nodegroups.Put(ng.ARN, ng)
				return err
			})
			w.until("gone", func() bool { _, ok := w.group(); return !ok })
			_ = w.store.View(func(tx *store.Tx) error {
				if tx.SecurityGroups.Has(ng.Status.RemoteAccess) {
					t.Error("the group's security group is left")
				}
				return nil
			})
		})
	}
}

// own gives the group a launch template of the caller's, with a version for each user data.
func (w *world) own(data ...string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		lt := resource.LaunchTemplate{Home: home, ID: "lt-own", Name: "own", Default: 1, Latest: int64(len(data))}
		for i, text := range data {
			raw, err := json.Marshal(ec2.RequestLaunchTemplateData{UserData: new(base64.StdEncoding.EncodeToString([]byte(text)))})
			if err != nil {
				return err
			}
			lt.Versions = append(lt.Versions, resource.LaunchTemplateVersion{Number: int64(i + 1), Data: raw})
		}
		tx.LaunchTemplates.Put(lt.ID, lt)
		ng, _ := tx.Nodegroups.Get(groupName1)
		ng.Spec.LaunchTemplateID, ng.Spec.LaunchTemplateVersion = lt.ID, "1"
		tx.Nodegroups.Put(ng.ARN, ng)
		return nil
	})
}

const (
	notMIME = "User data was not in the MIME multipart format."
	isMIME  = "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--b--\n"
)

func TestNotMIME(t *testing.T) {
	w := newWorld(t, nil)
	w.own("#!/bin/sh")
	w.untilState(resource.NodegroupCreateFailed, "Ec2LaunchTemplateInvalidConfiguration")
	ng, _ := w.group()
	if m := ng.Status.Issues[0].Message; m != notMIME {
		t.Errorf("it says %q", m)
	}
}

// An update for which no template can be made fails, and changes nothing.
func TestTemplateThatCannotBeMade(t *testing.T) {
	for _, c := range []struct {
		name, message string
		ask           func(*world)
	}{
		{"rolled to what is not MIME", notMIME, func(w *world) { w.ask("1.35", false); w.askFor("2") }},
		{"rolled to a version that has gone", "Could not find the specified version 3 for the launch template with ID lt-own.", func(w *world) { w.ask("1.35", false); w.askFor("3") }},
		{"labels, and the source has gone", "The specified launch template, with template ID lt-own, does not exist.", func(w *world) {
			w.update(func(tx *store.Tx) error { tx.LaunchTemplates.Delete("lt-own"); return nil })
			w.relabel()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.own(isMIME, "#!/bin/sh")
			w.untilActive()
			c.ask(w)
			w.until("given up", func() bool { return w.updated("u1").State != resource.UpdateInProgress })
			u := w.updated("u1")
			if u.State != resource.UpdateFailed || len(u.Errors) != 1 || u.Errors[0].Code != "Unknown" || u.Errors[0].Message != c.message {
				t.Errorf("%+v", u)
			}
			w.until("at rest", func() bool {
				ng, _ := w.group()
				return ng.Current() == resource.NodegroupActive || ng.Current() == resource.NodegroupDegraded
			})
			if len(w.nodes.labels) > 0 || w.templates() != "1 1 1" || w.left() != "" {
				t.Errorf("labels %v, templates %s, left: %s", w.nodes.labels, w.templates(), w.left())
			}
		})
	}
}

// askFor has the roll that is asked for be to another version of the caller's launch template.
func (w *world) askFor(version string) {
	w.update(func(tx *store.Tx) error {
		return tx.Nodegroups.Edit(groupName1, func(ng *resource.Nodegroup) error { ng.Spec.Roll.LaunchTemplateVersion = version; return nil })
	})
}
