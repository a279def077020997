package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"ekster.dev/ekster/internal/resource"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, id string, tags resource.Tags) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put(id, resource.VPC{ID: id, Tags: tags})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *Store, id string) (v resource.VPC, ok bool) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		v, ok = tx.VPCs.Get(id)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, ok
}

func TestRecordsSurvive(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "vpc-1", resource.Tags{"a": "b"})
	put(t, s, "vpc-2", nil)
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Delete("vpc-2")
		tx.Clusters.Put("arn:aws:eks:r:1:cluster/c", resource.Cluster{Name: "c"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if v, ok := get(t, s, "vpc-1"); !ok || v.Tags["a"] != "b" {
		t.Fatalf("got %+v, %v", v, ok)
	}
	if _, ok := get(t, s, "vpc-2"); ok {
		t.Fatal("a deleted record came back")
	}
	// A record read from etcd is written again without a conflict.
	put(t, s, "vpc-1", resource.Tags{"a": "c"})
	err = s.View(func(tx *Tx) error {
		if c, ok := tx.Clusters.Get("arn:aws:eks:r:1:cluster/c"); !ok || c.Name != "c" {
			return fmt.Errorf("got %+v, %v", c, ok)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedUpdateWritesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	told := 0
	s.Subscribe(func([]Change) { told++ })
	no := errors.New("no")
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put("vpc-1", resource.VPC{ID: "vpc-1"})
		return no
	})
	if !errors.Is(err, no) {
		t.Fatalf("got %v", err)
	}
	if _, ok := get(t, s, "vpc-1"); ok || told != 0 {
		t.Fatalf("written %v, told %d times", ok, told)
	}
}

func TestTransactionReadsItsWrites(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	put(t, s, "vpc-1", nil)
	put(t, s, "vpc-3", nil)
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put("vpc-2", resource.VPC{ID: "vpc-2"})
		tx.VPCs.Delete("vpc-3")
		if tx.VPCs.Has("vpc-3") || !tx.VPCs.Has("vpc-2") {
			return errors.New("own writes are not seen")
		}
		var keys []string
		for k := range tx.VPCs.All() {
			keys = append(keys, k)
		}
		if !slices.Equal(keys, []string{"vpc-1", "vpc-2"}) {
			return fmt.Errorf("got %v", keys)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What an Update's Get returns may be changed without touching what others read.
func TestGetInUpdateIsACopy(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	put(t, s, "vpc-1", resource.Tags{"a": "b"})
	err := s.Update(t.Context(), func(tx *Tx) error {
		v, _ := tx.VPCs.Get("vpc-1")
		v.Tags["a"] = "changed"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := get(t, s, "vpc-1"); v.Tags["a"] != "b" {
		t.Fatalf("got %v", v.Tags)
	}
}

func TestSubscribersHearInOrder(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	var got []Change
	s.Subscribe(func(c []Change) { got = append(got, c...) })
	put(t, s, "vpc-1", nil)
	err := s.Update(t.Context(), func(tx *Tx) error { tx.VPCs.Delete("vpc-1"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{{Table: VPCs, Key: "vpc-1"}, {Table: VPCs, Key: "vpc-1", Deleted: true}}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v", got)
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	put(t, s, "vpc-1", nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx *Tx) error {
				v, _ := tx.VPCs.Get("vpc-1")
				v.Tags = v.Tags.With(map[string]string{fmt.Sprint(len(v.Tags)): ""})
				tx.VPCs.Put("vpc-1", v)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			_ = s.View(func(tx *Tx) error { _, _ = tx.VPCs.Get("vpc-1"); return nil })
		})
	}
	wg.Wait()
	if v, _ := get(t, s, "vpc-1"); len(v.Tags) != 20 {
		t.Fatalf("%d of 20 writes are there", len(v.Tags))
	}
}

func TestForeignWriterIsNoticed(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	put(t, s, "vpc-1", nil)
	if _, err := s.kv.Put(t.Context(), prefix+"vpcs/vpc-1", "{}"); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put("vpc-1", resource.VPC{ID: "mine"})
		return nil
	})
	if !errors.Is(err, ErrForeignWriter) {
		t.Fatalf("got %v", err)
	}
}

func TestEditWritesWhatChanges(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	put(t, s, "vpc-1", resource.Tags{"a": "1"})
	told := 0
	s.Subscribe(func([]Change) { told++ })
	edit := func(id string, f func(*resource.VPC) error) error {
		return s.Update(t.Context(), func(tx *Tx) error { return tx.VPCs.Edit(id, f) })
	}
	if err := edit("vpc-1", func(v *resource.VPC) error { v.Tags["a"] = "1"; return nil }); err != nil || told != 0 {
		t.Fatalf("an edit that changes nothing: %v, told %d times", err, told)
	}
	if err := edit("vpc-2", func(*resource.VPC) error { return errors.New("called without a record") }); err != nil || told != 0 {
		t.Fatalf("an edit of nothing: %v, told %d times", err, told)
	}
	// In place, in what the record points to: the commonest way to change a map.
	if err := edit("vpc-1", func(v *resource.VPC) error { v.Tags["a"] = "2"; return nil }); err != nil || told != 1 {
		t.Fatalf("an edit of a map: %v, told %d times", err, told)
	}
	if v, _ := get(t, s, "vpc-1"); v.Tags["a"] != "2" {
		t.Fatalf("got %v", v.Tags)
	}
	no := errors.New("no")
	if err := edit("vpc-1", func(v *resource.VPC) error { v.Tags["a"] = "3"; return no }); !errors.Is(err, no) || told != 1 {
		t.Fatalf("an edit that fails: %v, told %d times", err, told)
	}
}

func TestDeriveWritesInTheSameTransaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "vpc-1", nil)
	var refuse error
	s.Derive(func(tx *Tx) error {
		for before, after := range tx.VPCs.Written() {
			switch {
			case before == nil:
				tx.Queues.Put(after.ID, resource.Queue{Name: "made"})
			case after == nil:
				tx.Queues.Put(before.ID, resource.Queue{Name: "deleted"})
			default:
				tx.Queues.Put(after.ID, resource.Queue{Name: before.Tags["k"] + "→" + after.Tags["k"]})
			}
		}
		return refuse
	})
	put(t, s, "vpc-2", resource.Tags{"k": "1"})
	put(t, s, "vpc-2", resource.Tags{"k": "2"})
	if err := s.Update(t.Context(), func(tx *Tx) error { tx.VPCs.Delete("vpc-1"); return nil }); err != nil {
		t.Fatal(err)
	}
	refuse = errors.New("no")
	if err := s.Update(t.Context(), func(tx *Tx) error { tx.VPCs.Delete("vpc-2"); return nil }); !errors.Is(err, refuse) {
		t.Fatalf("an update whose consequences fail: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	t.Cleanup(func() { s.Close() })
	if _, ok := get(t, s, "vpc-2"); !ok {
		t.Error("it was written all the same")
	}
	if err := s.View(func(tx *Tx) error {
		for id, want := range map[string]string{"vpc-1": "deleted", "vpc-2": "1→2"} {
			if q, _ := tx.Queues.Get(id); q.Name != want {
				t.Errorf("of %s: %q, want %q", id, q.Name, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestPrefixed(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	for _, k := range []string{"a", "b|1", "b|2", "b|4", "c"} {
		put(t, s, k, nil)
	}
	ordered := func(tx *Tx, prefix string) (keys []string) {
		for k := range tx.VPCs.Prefixed(prefix) {
			keys = append(keys, k)
		}
		return keys
	}
	if err := s.View(func(tx *Tx) error {
		for prefix, want := range map[string][]string{"b|": {"b|1", "b|2", "b|4"}, "": {"a", "b|1", "b|2", "b|4", "c"}, "bb": nil, "d": nil} {
			if got := ordered(tx, prefix); !slices.Equal(got, want) {
				t.Errorf("%q: %q, want %q", prefix, got, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx *Tx) error {
		tx.VPCs.Put("b|3", resource.VPC{})
		tx.VPCs.Put("bb", resource.VPC{})
		tx.VPCs.Delete("b|1")
		if got, want := ordered(tx, "b|"), []string{"b|2", "b|3", "b|4"}; !slices.Equal(got, want) {
			t.Errorf("with writes of its own: %q, want %q", got, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
