// Package reconciletest tries what every reconciler must stand: that each call of its host
// fails once, and that everything runs twice. However it comes about, the end is the same.
//
// It knows no controller: the worlds that it works on are in the controllers' own tests.
package reconciletest

import (
	"errors"
	"testing"
)

// ErrInjected is the error of the call that is made to fail.
var ErrInjected = errors.New("injected")

// Calls are those that a reconciler has made of its host so far. The zero value fails none.
type Calls struct {
	Log    []string
	FailAt int // the call with this number fails, once; 0: none
}

// Call counts a call, and fails it if it is its turn.
func (c *Calls) Call(what string) error {
	c.Log = append(c.Log, what)
	if len(c.Log) == c.FailAt {
		return ErrInjected
	}
	return nil
}

// A World is a reconciler over a fake host.
type World interface {
	// Host are the calls of the host.
	Host() *Calls
	// End is the state, without what differs from run to run.
	End() string
	// Again forgets all but the records, as a daemon that starts again, and runs everything.
	Again()
}

// EachCallFailsOnce lives every life once for each call of the host that it makes, which then
// fails.
func EachCallFailsOnce[W World](t *testing.T, lives map[string]func(W), newWorld func(*testing.T) W) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			well := newWorld(t)
			live(well)
			want := well.End()
			if len(well.Host().Log) == 0 {
				t.Fatal("no call was made: nothing has been tried")
			}
			for i, call := range well.Host().Log {
				w := newWorld(t)
				w.Host().FailAt = i + 1
				live(w)
				if got := w.End(); got != want {
					t.Errorf("call %d, %q, failed once: got\n%s\nwant\n%s", i+1, call, got, want)
				}
			}
		})
	}
}

// RunTwice has all run again after the end of every life: nothing may change, and nothing may
// be asked of the host.
func RunTwice[W World](t *testing.T, lives map[string]func(W), newWorld func(*testing.T) W) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			live(w)
			want, calls := w.End(), len(w.Host().Log)
			w.Again()
			if got := w.End(); got != want {
				t.Errorf("run twice: got\n%s\nwant\n%s", got, want)
			}
			if more := w.Host().Log[calls:]; len(more) > 0 {
				t.Errorf("run twice, it asked for %q", more)
			}
		})
	}
}
