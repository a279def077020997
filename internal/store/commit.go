package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// A patience is how long a commit, of which etcd does not say what has become of it, is asked
// after: every attempt, the pause between two, and all of them before the caller is told.
type patience struct{ attempt, pause, whole time.Duration }

var usual = patience{attempt: 10 * time.Second, pause: 100 * time.Millisecond, whole: 30 * time.Second}

// commit writes ops as one etcd transaction and returns its revision.
//
// An error of etcd's need not mean that nothing was written: a proposal whose answer timed
// out may be carried out yet, and memory, which did not hear of it, would take every later
// write to these records for a foreign one. So the same transaction is sent until its
// outcome is known. It can be carried out once only, since its own writes make its
// conditions false. If even that takes too long the caller is told that it is unknown, and
// settle goes on before anybody else writes.
func (s *Store) commit(ctx context.Context, ops []op) (rev int64, err error) {
	// A commit is not given up half-way because the caller has hung up: whether it
	// has happened would be unknown, and memory would disagree with etcd.
	ctx = context.WithoutCancel(ctx)
	over := time.NewTimer(s.patience.whole)
	defer over.Stop()
	tick := time.NewTicker(s.patience.pause)
	defer tick.Stop()
	for again := false; ; again = true {
		rev, err := s.attempt(ctx, ops, again)
		if err == nil || errors.Is(err, ErrForeignWriter) {
			return rev, err
		}
		err = fmt.Errorf("committing %d records: %w", len(ops), err)
		if !again && refused(err) {
			return 0, err
		}
		select {
		case <-tick.C:
		case <-s.closed:
			return 0, fmt.Errorf("%w (the store has been closed: it is not known whether it has happened)", err)
		case <-over.C:
			s.unsettled = ops
			return 0, fmt.Errorf("%w (after %s it is not known whether it has happened)", err, s.patience.whole)
		}
	}
}

// settle finds out what has become of a commit that was left unknown, and shows it to
// readers if it has happened after all. Nobody writes before that.
func (s *Store) settle(ctx context.Context) error {
	if s.unsettled == nil {
		return nil
	}
	ops := s.unsettled
	rev, err := s.attempt(context.WithoutCancel(ctx), ops, true)
	if err != nil && !errors.Is(err, ErrForeignWriter) {
		return fmt.Errorf("asking what has become of an earlier commit: %w", err)
	}
	s.unsettled = nil
	if err == nil {
		s.show(ops, rev)
	}
	return nil
}

// attempt sends the transaction. Again says that it was sent before: if its conditions do
// not hold now it may be that one which has made them false.
func (s *Store) attempt(ctx context.Context, ops []op, again bool) (rev int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience.attempt)
	defer cancel()
	cmps := make([]clientv3.Cmp, 0, len(ops))
	puts := make([]clientv3.Op, 0, len(ops))
	var reads []clientv3.Op
	for _, o := range ops {
		key := prefix + o.change.Table + "/" + o.change.Key
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=", o.rev))
		if o.change.Deleted {
			puts = append(puts, clientv3.OpDelete(key))
		} else {
			puts = append(puts, clientv3.OpPut(key, string(o.value)))
		}
		if again {
			reads = append(reads, clientv3.OpGet(key))
		}
	}
	res, err := s.kv.Txn(ctx).If(cmps...).Then(puts...).Else(reads...).Commit()
	switch {
	case err != nil:
		return 0, err
	case res.Succeeded:
		return res.Header.Revision, nil
	case again:
		return written(ops, res)
	}
	return 0, ErrForeignWriter
}

// written is the revision by which ops were written, if the records are as they left them.
func written(ops []op, res *clientv3.TxnResponse) (rev int64, err error) {
	for i, o := range ops {
		kvs := res.Responses[i].GetResponseRange().GetKvs()
		switch {
		case o.change.Deleted && len(kvs) == 0:
		case o.change.Deleted || len(kvs) == 0 || string(kvs[0].Value) != string(o.value) || rev != 0 && kvs[0].ModRevision != rev:
			return 0, ErrForeignWriter
		default:
			rev = kvs[0].ModRevision
		}
	}
	return rev, nil
}

// refused says whether etcd's error means that the transaction was not carried out and will
// not be: all but those of a connection or a quorum that was lost meanwhile.
func refused(err error) bool {
	e, ok := errors.AsType[rpctypes.EtcdError](err)
	if !ok {
		return false
	}
	switch e.Code() {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.FailedPrecondition, codes.PermissionDenied, codes.Unauthenticated:
		return true
	}
	return false
}
