package store

import "reflect"

// DeleteWhere deletes up to limit records that doomed is true for, of every table but those
// that are left out, and returns how many. It is for what is about all kinds of records
// whatever they are: a kind that is added later is not forgotten.
func (tx *Tx) DeleteWhere(limit int, doomed func(table, key string, record any) bool, leaveOut ...string) int {
	n := 0
	v := reflect.ValueOf(tx).Elem()
	for i := range v.NumField() {
		if t, ok := v.Field(i).Interface().(interface {
			deleteWhere(limit int, leaveOut []string, doomed func(table, key string, record any) bool) int
		}); ok {
			n += t.deleteWhere(limit-n, leaveOut, doomed)
		}
	}
	return n
}

func (t *Table[T]) deleteWhere(limit int, leaveOut []string, doomed func(table, key string, record any) bool) (n int) {
	for _, name := range leaveOut {
		if name == t.base.name {
			return 0
		}
	}
	for key, record := range t.All() {
		if n >= limit {
			break
		}
		if doomed(t.base.name, key, record) {
			t.Delete(key)
			n++
		}
	}
	return n
}
