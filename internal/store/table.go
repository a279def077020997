package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
)

// A Table is one kind of record as a transaction sees it.
type Table[T any] struct {
	base  *table[T]
	write bool
	over  map[string]*T // written in this transaction; nil: deleted
}

// Get returns the record at key, and whether there is one.
func (t *Table[T]) Get(key string) (T, bool) {
	if p, ok := t.over[key]; ok {
		if p == nil {
			var none T
			return none, false
		}
		return clone(*p), true
	}
	v, ok := t.base.rows[key]
	if ok && t.write {
		return clone(v), true
	}
	return v, ok
}

// Has says whether there is a record at key.
func (t *Table[T]) Has(key string) bool {
	if p, ok := t.over[key]; ok {
		return p != nil
	}
	_, ok := t.base.rows[key]
	return ok
}

// Put writes the record at key. It panics in a View, where nothing would keep it.
func (t *Table[T]) Put(key string, v T) {
	if !t.write {
		panic("store: Put in a View")
	}
	t.over[key] = &v
}

// Delete removes the record at key, if there is one. It panics in a View.
func (t *Table[T]) Delete(key string) {
	if !t.write {
		panic("store: Delete in a View")
	}
	t.over[key] = nil
}

// Edit writes the record at key as f leaves it, if there is one and f changes it: a write
// that changes nothing would wake whoever watches for nothing.
func (t *Table[T]) Edit(key string, f func(*T) error) error {
	v, ok := t.Get(key)
	if !ok {
		return nil
	}
	before := clone(v) // f may write to what v points to
	if err := f(&v); err != nil {
		return err
	}
	if !reflect.DeepEqual(before, v) {
		t.Put(key, v)
	}
	return nil
}

// Written yields what the transaction has written so far, in the order of keys: the records
// as they were before it and as they are now, nil where there is none. They are shared: see the
// package comment.
func (t *Table[T]) Written() iter.Seq2[*T, *T] {
	return func(yield func(before, after *T) bool) {
		for _, k := range slices.Sorted(maps.Keys(t.over)) {
			var before *T
			if v, ok := t.base.rows[k]; ok {
				before = &v
			}
			if !yield(before, t.over[k]) {
				return
			}
		}
	}
}

// Name is the table's, as a Change has it.
func (t *Table[T]) Name() string { return t.base.name }

// All yields the records in the order of their keys. They are shared: see the
// package comment. The table may be written to during the iteration, which does
// not see that.
func (t *Table[T]) All() iter.Seq2[string, T] { return t.Prefixed("") }

// Prefixed is All for the records whose keys begin with prefix; the others cost nothing.
func (t *Table[T]) Prefixed(prefix string) iter.Seq2[string, T] {
	keys := t.base.keys()
	if prefix != "" {
		keys = keys[sort.SearchStrings(keys, prefix):]
		keys = keys[:sort.Search(len(keys), func(i int) bool { return !strings.HasPrefix(keys[i], prefix) })]
	}
	if len(t.over) == 0 {
		return func(yield func(string, T) bool) {
			for _, k := range keys {
				if v, ok := t.base.rows[k]; ok && !yield(k, v) {
					return
				}
			}
		}
	}
	over := maps.Clone(t.over)
	had := len(keys)
	for k, p := range over {
		if _, there := t.base.rows[k]; p != nil && !there && strings.HasPrefix(k, prefix) {
			keys = append(keys[:len(keys):len(keys)], k)
		}
	}
	if len(keys) > had {
		slices.Sort(keys)
	}
	return func(yield func(string, T) bool) {
		for _, k := range keys {
			v, ok := t.base.rows[k]
			if p, written := over[k]; written {
				if ok = p != nil; ok {
					v = *p
				}
			}
			if ok && !yield(k, v) {
				return
			}
		}
	}
}

// Values yields the records that keep allows, in the order of their keys.
func (t *Table[T]) Values(keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, v := range t.All() {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
}

// clone copies a record with all that it points to. Records are plain data, made to
// be JSON; one that is not is a mistake of ours, found by the first test that stores it.
func clone[T any](v T) T {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T is no plain data: %v", v, err))
	}
	var out T
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(fmt.Sprintf("store: %T does not come back from JSON: %v", v, err))
	}
	return out
}

// table is one kind of record in memory.
type table[T any] struct {
	name string
	rows map[string]T
	revs map[string]int64 // etcd's ModRevision, to notice a foreign writer

	sorted atomic.Pointer[[]string] // the keys of rows in order; nil: to be made again
}

// keys are the keys of rows in order. The slice is shared.
func (t *table[T]) keys() []string {
	if p := t.sorted.Load(); p != nil {
		return *p
	}
	keys := slices.Sorted(maps.Keys(t.rows))
	t.sorted.Store(&keys)
	return keys
}

func newTable[T any](name string) *table[T] {
	return &table[T]{name: name, rows: map[string]T{}, revs: map[string]int64{}}
}

// anyTable is what the store needs of a table whatever it holds.
type anyTable interface {
	title() string
	load(key string, raw []byte, rev int64) error
	rev(key string) int64
}

func (t *table[T]) title() string        { return t.name }
func (t *table[T]) rev(key string) int64 { return t.revs[key] }

func (t *table[T]) load(key string, raw []byte, rev int64) error {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("reading record %s/%s: %w", t.name, key, err)
	}
	t.rows[key], t.revs[key] = v, rev
	t.sorted.Store(nil)
	return nil
}

// An op is one write of a transaction: to etcd as put or delete, and to memory.
type op struct {
	change Change
	value  []byte
	rev    int64 // expected ModRevision
	apply  func(rev int64)
}

func (t *Table[T]) ops() ([]op, error) {
	var out []op
	for _, key := range slices.Sorted(maps.Keys(t.over)) {
		p := t.over[key]
		_, had := t.base.rows[key]
		o := op{change: Change{Table: t.base.name, Key: key, Deleted: p == nil}, rev: t.base.revs[key]}
		if p == nil {
			if !had {
				continue
			}
			o.apply = func(int64) {
				delete(t.base.rows, key)
				delete(t.base.revs, key)
				t.base.sorted.Store(nil)
			}
			out = append(out, o)
			continue
		}
		raw, err := json.Marshal(*p)
		if err != nil {
			return nil, fmt.Errorf("writing record %s/%s: %w", t.base.name, key, err)
		}
		o.value = raw
		v := clone(*p) // the caller may go on with what it put
		o.apply = func(rev int64) {
			t.base.rows[key], t.base.revs[key] = v, rev
			if !had {
				t.base.sorted.Store(nil)
			}
		}
		out = append(out, o)
	}
	return out, nil
}
