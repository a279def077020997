package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"ekster.dev/ekster/internal/identity/identitytest"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	clusterRole = "arn:aws:iam::" + identitytest.Account + ":role/cluster"
	nodeRole    = "arn:aws:iam::" + identitytest.Account + ":role/node"
	peopleRole  = "arn:aws:iam::" + identitytest.Account + ":role/people"

	// within bounds everything that is waited for, on a busy machine.
	within = 60 * time.Second
)

var home = resource.Home{Account: identitytest.Account, Region: identitytest.Region}

// A life is one sequence of operations, and what is known of the world while it lasts.
type life struct {
	t        *testing.T
	rnd      *rand.Rand
	dir      string
	host     *host
	daemon   *daemon
	calm     bool          // nothing goes wrong on the host
	patience time.Duration // of the controllers, before they give up
	delay    time.Duration // that a call of the host takes at most
	subnets  []string
	records  map[string]int // by table, before anything is made
	facts    map[string]*facts
	script   []string

	mu      sync.Mutex
	views   []view   // since the last call began; the last one is now
	wrong   []string // what must not be
	commits int
	killAt  int // the commit at which the daemon dies; 0: none
	changed chan struct{}
}

// live lives one life from its seed to its end.
func live(t *testing.T, seed uint64) {
	l := &life{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), host: newHost(), facts: map[string]*facts{},
		views: []view{{}}, changed: make(chan struct{}, 1),
	}
	l.calm = l.rnd.IntN(3) == 0
	l.patience, l.delay = within, pick(l, []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond})
	if !l.calm {
		l.patience = 400 * time.Millisecond
	}
	if seed%10 == 0 {
		l.killAt = 1 + l.rnd.IntN(250)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.tell(seed)
		}
		if err := l.daemon.stop(); err != nil && !l.daemon.dead.Load() {
			t.Error(err)
		}
	})
	l.start()
	for range 10 + l.rnd.IntN(25) {
		l.act()
		l.check()
	}
	l.resume()
	l.rest()
	l.compare()
	l.clean()
	l.check()
}

// tell says what the life has been, for who has to find out what went wrong.
func (l *life) tell(seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("again: go test ./internal/lifecycle -run TestLives -seed %d -lives 1 (calm: %v, %d commits)\n%s", seed, l.calm, l.commits, strings.Join(l.script, "\n"))
	if e := l.daemon.errors(); len(e) > 0 {
		l.t.Logf("controllers: %s", strings.Join(e, "\n"))
	}
	if err := l.daemon.store.View(func(tx *store.Tx) error {
		for _, records := range []iter.Seq2[string, any]{
			records(tx.Nodegroups), records(tx.AutoScalingGroups), records(tx.GroupInstances), records(tx.Instances), records(tx.SpotRequests), records(tx.CapacityFaults),
		} {
			for key, r := range records {
				text, err := json.Marshal(r)
				if err != nil {
					return err
				}
				l.t.Logf("%s: %s", key, text)
			}
		}
		return nil
	}); err != nil {
		l.t.Log(err)
	}
}

// records are those of a table, of whatever type.
func records[V any](t *store.Table[V]) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for k, v := range t.All() {
			if !yield(k, v) {
				return
			}
		}
	}
}

func (l *life) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.script = append(l.script, fmt.Sprintf("%5d "+format, append([]any{l.commits}, args...)...))
}

func (l *life) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// check ends the life if something has been seen that must not be.
func (l *life) check() {
	l.t.Helper()
	l.mu.Lock()
	wrong := l.wrong
	l.mu.Unlock()
	if len(wrong) > 0 {
		l.t.Fatal(strings.Join(wrong, "\n"))
	}
}

// begin prepares what a daemon finds, and has every commit looked at.
func (l *life) begin(d *daemon) {
	l.t.Helper()
	if l.records == nil {
		if err := d.store.Update(context.Background(), l.landscape); err != nil {
			l.t.Fatal(err)
		}
		l.records = l.count()
	}
	observe := func(tx *store.Tx) error { l.observe(look(tx)); return nil }
	_ = d.store.View(observe) // the function returns no error
	d.store.Subscribe(func(changes []store.Change) {
		if d.dead.Load() {
			return
		}
		_ = d.store.View(observe) // the function returns no error
		l.mu.Lock()
		l.commits++
		kill := l.commits == l.killAt
		if kill {
			l.script = append(l.script, fmt.Sprintf("%5d the daemon dies, having written %v", l.commits, changes))
		}
		l.mu.Unlock()
		if kill {
			d.die()
		}
	})
}

// landscape is what clusters need of an account.
func (l *life) landscape(tx *store.Tx) error {
	if _, err := provision.EnsureRegion(tx, home, clock()); err != nil {
		return err
	}
	for _, r := range []struct{ arn, service, policy string }{
		{clusterRole, "eks", "AmazonEKSClusterPolicy"}, {nodeRole, "ec2", "AmazonEKSWorkerNodePolicy"}, {peopleRole, "ec2", "ReadOnlyAccess"},
	} {
		name := r.arn[strings.LastIndexByte(r.arn, '/')+1:]
		tx.Roles.Put(r.arn, resource.Role{
			Account: home.Account, ARN: r.arn, Name: name, ID: "AROA" + strings.ToUpper(name), Attached: []string{"arn:aws:iam::aws:policy/" + r.policy},
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + r.service + `.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		})
	}
	for id, s := range tx.Subnets.All() {
		if s.Zone == "us-west-2a" || s.Zone == "us-west-2b" {
			l.subnets = append(l.subnets, id)
		}
	}
	return nil
}

// observe takes in what a commit has left.
func (l *life) observe(now view) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.views[len(l.views)-1]
	for _, w := range step(last, now) {
		l.wrong = append(l.wrong, fmt.Sprintf("after %d commits: %s", l.commits, w))
	}
	for key, t := range now {
		if was := last[key].status; was != t.status {
			tally.add(fmt.Sprintf("%s: %s -> %s", strings.TrimSpace(t.kind+" "+t.what), was, t.status))
		}
	}
	for key, c := range now {
		if c.kind != "cluster" {
			continue
		}
		c.before = last[key].before
		switch {
		case ended(last, now, key, "VersionUpdate"):
			c.before = last[key].version
		case ended(last, now, key, "VersionRollback"):
			c.before = ""
		}
		now[key] = c
	}
	l.views = append(l.views, now)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *life) now() view {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.views[len(l.views)-1]
}

// revive starts another daemon if this one is dead, and says whether it was.
func (l *life) revive() bool {
	l.t.Helper()
	if !l.daemon.dead.Load() {
		return false
	}
	<-l.daemon.gone
	l.daemon.bury()
	l.mu.Lock()
	if l.rnd.IntN(3) == 0 {
		l.killAt = l.commits + 1 + l.rnd.IntN(100)
	}
	l.mu.Unlock()
	l.start()
	l.note("another daemon begins")
	l.recall()
	return true
}

// await waits until cond holds, reviving the daemon meanwhile.
func (l *life) await(what string, cond func() bool) {
	l.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-l.changed:
		case <-tick.C:
		case <-l.daemon.gone:
			l.revive()
		case <-deadline:
			l.t.Fatalf("never %s: %s", what, strings.Join(slices.Concat(l.now().restless(), l.left(), l.daemon.errors()), "; "))
		}
		l.check()
	}
}

// rest waits until nothing goes on.
func (l *life) rest() {
	l.t.Helper()
	l.note("rest")
	l.await("at rest", func() bool { return len(l.now().restless()) == 0 })
}

// accepted is the outcome of a call without an error; others are codes.
const accepted = "accepted"

// call sends one request and checks its outcome: in one of the views that there were
// meanwhile, EKS answers so. It says whether the request was accepted; of one during which
// the daemon died that is not known.
func (l *life) call(what string, send func(context.Context) error, answers func(view) []string) bool {
	l.t.Helper()
	l.revive()
	l.mu.Lock()
	l.views = l.views[len(l.views)-1:]
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := send(ctx)
	if l.revive() {
		l.note("%s: %v, as the daemon died", what, err)
		return false
	}
	outcome := accepted
	if err != nil {
		var e smithy.APIError
		if !errors.As(err, &e) {
			if l.revive() {
				return false
			}
			l.t.Fatalf("%s: %v", what, err)
		}
		outcome = e.ErrorCode()
		what += ": " + e.ErrorMessage()
	}
	l.note("%s: %s", what, outcome)
	tally.add(strings.Fields(what)[0] + " " + outcome)
	l.mu.Lock()
	views := slices.Clone(l.views)
	l.mu.Unlock()
	var expected []string
	for _, v := range views {
		expected = append(expected, answers(v)...)
	}
	if !slices.Contains(expected, outcome) {
		l.t.Fatalf("%s: %s, where EKS answers %s", what, outcome, strings.Join(expected, ", "))
	}
	return outcome == accepted
}

// count counts records, by table.
func (l *life) count() map[string]int {
	l.t.Helper()
	out := map[string]int{}
	err := l.daemon.store.Update(context.Background(), func(tx *store.Tx) error {
		tx.DeleteWhere(1, func(table, _ string, record any) bool {
			switch r := record.(type) {
			case resource.Instance:
				if r.Status.State == resource.InstanceTerminated {
					return false // EC2 shows it for an hour
				}
			case resource.SpotRequest:
				if r.State != resource.SpotActive && r.State != resource.SpotOpen {
					return false // EC2 shows it for a while
				}
			case resource.ScalingActivity:
				if !r.Ended.IsZero() && !tx.AutoScalingGroups.Has(r.Group) {
					return false // Auto Scaling tells of groups that are gone for six weeks
				}
			case resource.Role:
				if strings.HasPrefix(r.Path, "/aws-service-role/") {
					return false // EKS leaves its roles, too
				}
			}
			out[table]++
			return false
		})
		return nil
	})
	if err != nil && !l.daemon.dead.Load() {
		l.t.Fatal(err)
	}
	return out
}

// left are the tables with other numbers of records than before the life, and what is on
// the host.
func (l *life) left() []string {
	out := l.host.left()
	now := l.count()
	for table := range now {
		if now[table] != l.records[table] {
			out = append(out, fmt.Sprintf("%d records of %s instead of %d", now[table], table, l.records[table]))
		}
	}
	if files, err := os.ReadDir(filepath.Join(l.dir, "clusters")); err == nil && len(files) > 0 {
		out = append(out, "files of control plane "+files[0].Name())
	}
	return out
}
