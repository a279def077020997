package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"ekster.dev/ekster/internal/resource"
)

var errNoAnswer = errors.New("request timed out")

// A faulty kv loses transactions or their answers.
type faulty struct {
	clientv3.KV
	mu    sync.Mutex
	fault []string // of the transactions to come: "lost", "unanswered", "late", "", in this order
	late  func()   // carries out the transaction that was late
	sent  int
}

func (f *faulty) Txn(ctx context.Context) clientv3.Txn {
	return &faultyTxn{f: f, ctx: ctx}
}

type faultyTxn struct {
	f                 *faulty
	ctx               context.Context
	cmps              []clientv3.Cmp
	thens, otherwises []clientv3.Op
}

func (t *faultyTxn) If(cs ...clientv3.Cmp) clientv3.Txn { t.cmps = cs; return t }
func (t *faultyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.thens = o; return t }
func (t *faultyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.otherwises = o; return t }
func (t *faultyTxn) real(c context.Context) clientv3.Txn {
	return t.f.KV.Txn(c).If(t.cmps...).Then(t.thens...).Else(t.otherwises...)
}

func (t *faultyTxn) Commit() (*clientv3.TxnResponse, error) {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	t.f.sent++
	fault := ""
	if len(t.f.fault) > 0 {
		fault, t.f.fault = t.f.fault[0], t.f.fault[1:]
	}
	switch fault {
	case "lost":
		return nil, errNoAnswer
	case "late":
		t.f.late = func() { _, _ = t.real(context.Background()).Commit() }
		return nil, errNoAnswer
	case "unanswered":
		if _, err := t.real(t.ctx).Commit(); err != nil {
			return nil, err
		}
		return nil, errNoAnswer
	}
	return t.real(t.ctx).Commit()
}

// withFaults is a store whose transactions meet these faults, after one vpc-1 and one vpc-2.
func withFaults(t *testing.T, whole time.Duration) (*Store, *faulty) {
	t.Helper()
	s := open(t, t.TempDir())
	t.Cleanup(func() { s.Close() })
	put(t, s, "vpc-1", resource.Tags{"n": "0"})
	put(t, s, "vpc-2", nil)
	f := &faulty{KV: s.kv}
	s.kv, s.patience = f, patience{attempt: time.Minute, pause: time.Millisecond, whole: whole}
	return s, f
}

// change writes, makes and deletes a record.
func change(s *Store, n string) error {
	return s.Update(context.Background(), func(tx *Tx) error {
		tx.VPCs.Put("vpc-1", resource.VPC{ID: "vpc-1", Tags: resource.Tags{"n": n}})
		tx.VPCs.Put("vpc-new-"+n, resource.VPC{ID: "vpc-new-" + n})
		tx.VPCs.Delete("vpc-2")
		return nil
	})
}

// agrees says how memory differs from etcd.
func agrees(s *Store) error {
	fresh := &Store{rows: newTables(), kv: s.kv}
	if err := fresh.load(context.Background()); err != nil {
		return err
	}
	fresh.read = fresh.rows.begin(false)
	list := func(s *Store) (out string) {
		for id, v := range s.read.VPCs.All() {
			out += fmt.Sprint(id, v.Tags, s.rows.vpcs.rev(id), " ")
		}
		return out
	}
	if have, want := list(s), list(fresh); have != want {
		return fmt.Errorf("memory has %s, etcd %s", have, want)
	}
	return nil
}

func TestACommitWithoutAnAnswerIsFollowedUp(t *testing.T) {
	for _, faults := range [][]string{{"lost"}, {"unanswered"}, {"late"}, {"lost", "unanswered", "lost", "lost"}, {"late", "unanswered"}} {
		t.Run(strings.Join(faults, " "), func(t *testing.T) {
			s, f := withFaults(t, time.Minute)
			var told []Change
			s.Subscribe(func(c []Change) { told = append(told, c...) })
			f.fault = faults
			if err := change(s, "1"); err != nil {
				t.Fatal(err)
			}
			if f.sent != len(faults)+1 || len(told) != 3 {
				t.Errorf("sent %d times, %d changes told: %v", f.sent, len(told), told)
			}
			if f.late != nil {
				f.late() // and changes nothing
			}
			if err := agrees(s); err != nil {
				t.Error(err)
			}
			if err := change(s, "2"); err != nil {
				t.Errorf("the next: %v", err)
			}
		})
	}
}

// Until it is known what has become of a commit, nobody writes; then everybody does again.
func TestACommitThatStaysUnknownIsSettledByTheNext(t *testing.T) {
	for _, last := range []string{"lost", "unanswered"} {
		t.Run(last, func(t *testing.T) {
			s, f := withFaults(t, time.Nanosecond)
			s.patience.pause = time.Hour
			f.fault = []string{last}
			if err := change(s, "1"); !errors.Is(err, errNoAnswer) || !strings.Contains(err.Error(), "not known whether it has happened") {
				t.Fatal(err)
			}
			if v, _ := get(t, s, "vpc-1"); v.Tags["n"] != "0" {
				t.Errorf("readers see %v", v.Tags)
			}
			f.fault = []string{"lost"}
			s.patience.whole = time.Minute
			if err := change(s, "2"); !errors.Is(err, errNoAnswer) {
				t.Errorf("before it is settled: %v", err)
			}
			if err := change(s, "3"); err != nil {
				t.Errorf("after it is settled: %v", err)
			}
			if _, ok := get(t, s, "vpc-new-1"); !ok {
				t.Error("the commit that was unknown has not become known")
			}
			if err := agrees(s); err != nil {
				t.Error(err)
			}
		})
	}
}

// What somebody else has written meanwhile is not taken for ours.
func TestAForeignWriterIsKnownAfterAFaultToo(t *testing.T) {
	s, f := withFaults(t, time.Minute)
	if _, err := f.KV.Put(t.Context(), prefix+"vpcs/vpc-1", `{"ID":"vpc-1"}`); err != nil {
		t.Fatal(err)
	}
	f.fault = []string{"lost"}
	if err := change(s, "1"); !errors.Is(err, ErrForeignWriter) {
		t.Error(err)
	}
}

// Ten messages of a queue are longer than what etcd takes by itself.
func TestALargeCommit(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range 10 {
			tx.Messages.Put(fmt.Sprint("q|", i), resource.Message{Queue: "q", Body: strings.Repeat("x", 1<<20)})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What etcd refuses is not asked for again.
func TestARefusedCommitIsNotRepeated(t *testing.T) {
	s, f := withFaults(t, time.Minute)
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put("vpc-1", resource.VPC{ID: "vpc-1", Tags: resource.Tags{"n": strings.Repeat("x", maxRequest)}})
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "request is too large") || f.sent != 1 {
		t.Errorf("sent %d times: %v", f.sent, err)
	}
	if err := change(s, "1"); err != nil {
		t.Error(err)
	}
}

// TestCommitEndsWithTheStore has an etcd that is gone for good: a daemon that ends does not wait
// for it.
func TestCommitEndsWithTheStore(t *testing.T) {
	s, f := withFaults(t, time.Hour)
	f.fault = slices.Repeat([]string{"lost"}, 1<<16)
	ended := make(chan error)
	go func() { ended <- change(s, "1") }()
	for sent := 0; sent < 3; {
		f.mu.Lock()
		sent = f.sent
		f.mu.Unlock()
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, errNoAnswer) {
		t.Errorf("the commit ends with %v", err)
	}
}
