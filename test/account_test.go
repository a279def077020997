package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"ekster.dev/ekster/test/lab"
)

// accountLimit is how long `ekster account create` may take beyond the start of its program. The
// machine may be busy with something else once, but not each time.
const accountLimit = 50 * time.Millisecond

// TestAccounts makes accounts, fills one, and deletes it with everything in it.
func TestAccounts(t *testing.T) {
	ctx := t.Context()
	watch := newStopwatch(t)
	d, own := newDaemon(t)
	_, err := own.IAM.CreateUser(ctx, &iam.CreateUserInput{UserName: new("stays")})
	no(t, err)
	watch.done("up")

	// In turns with what the program takes to start and to do nothing, since that drifts with the machine.
	var took, started []time.Duration
	for i := range 20 {
		began := time.Now()
		_, err := d.Run(ctx, "account", "create", "--help")
		started = append(started, time.Since(began))
		no(t, err)
		began = time.Now()
		_, err = d.Run(ctx, "account", "create", "--id", fmt.Sprintf("2000000000%02d", i))
		took = append(took, time.Since(began))
		no(t, err)
	}
	slices.Sort(took)
	slices.Sort(started)
	t.Logf("ekster account create: from %s, half within %s, up to %s; of it the program's start: from %s, half within %s", took[0], took[10], took[19], started[0], started[10])
	if made := took[0] - started[0]; made > accountLimit {
		t.Errorf("an account takes %s, more than %s", made, accountLimit)
	}
	if _, err := d.Run(ctx, "account", "create", "--id", "200000000000"); err == nil || !strings.Contains(err.Error(), "the account exists: 200000000000") {
		t.Errorf("an account that exists: %v", err)
	}
	watch.done("accounts")

	before := things(t, d)
	c, err := d.NewAccount(ctx)
	no(t, err)
	id, err := c.Account(ctx)
	no(t, err)
	vpcs, err := c.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	no(t, err)
	if len(vpcs.Vpcs) != 1 || !*vpcs.Vpcs[0].IsDefault {
		t.Errorf("a new account has VPCs %+v", vpcs.Vpcs)
	}
	_, kube, err := populate(ctx, c)
	no(t, err)
	list := accounts(t, d)
	if a := list[id]; len(list) != 22 || a.Clusters != 1 || a.Machines != 1 || a.Deleting || !list["000000000000"].Default {
		t.Errorf("the list has %d accounts, with %+v", len(list), a)
	}
	if _, err := own.Cluster(ctx, clusterName); lab.Code(err) != "ResourceNotFoundException" {
		t.Errorf("another account finds the cluster: %v", err)
	}
	watch.done("a cluster with a node and a workload")

	_, err = d.Run(ctx, "account", "delete", id)
	no(t, err)
	watch.done("deletion")
	if _, there := accounts(t, d)[id]; there {
		t.Error("it is deleted and in the list")
	}
	if _, err := c.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); lab.Code(err) != "InvalidClientTokenId" {
		t.Errorf("its root is somebody yet: %v", err)
	}
	if _, err := kube.Discovery().ServerVersion(); err == nil {
		t.Error("its cluster answers yet")
	}
	for _, left := range things(t, d) {
		if !slices.Contains(before, left) {
			t.Errorf("left on the machine: %s", left)
		}
	}
	if _, err := d.Run(ctx, "account", "delete", id); err == nil || !strings.Contains(err.Error(), "no such account: "+id) {
		t.Errorf("a second deletion: %v", err)
	}
	if _, err := d.Run(ctx, "account", "delete", "000000000000"); err == nil || !strings.Contains(err.Error(), "stays as long as the daemon") {
		t.Errorf("deleting the daemon's own account: %v", err)
	}
	if _, err := own.IAM.GetUser(ctx, &iam.GetUserInput{UserName: new("stays")}); err != nil {
		t.Errorf("another account has lost its user: %v", err)
	}
}

// things is what the daemon has on the machine.
func things(t *testing.T, d *lab.Daemon) []string {
	t.Helper()
	prefix, err := d.Prefix()
	no(t, err)
	all, err := d.Leftovers(prefix)
	no(t, err)
	return all
}

// An accountLine is one of `ekster account list -o json`.
type accountLine struct {
	ID                 string
	Default, Deleting  bool
	Clusters, Machines int
}

func accounts(t *testing.T, d *lab.Daemon) map[string]accountLine {
	t.Helper()
	out, err := d.Run(t.Context(), "account", "list", "-o", "json")
	no(t, err)
	var list []accountLine
	no(t, json.Unmarshal([]byte(out), &list))
	by := map[string]accountLine{}
	for _, a := range list {
		by[a.ID] = a
	}
	return by
}
