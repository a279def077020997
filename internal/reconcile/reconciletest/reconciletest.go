// Package reconciletest tries what every reconciler must stand: that each call of its host
// fails once, and that everything runs twice. However it comes about, the end is the same.
//
// It knows no controller: the worlds that it works on are in the controllers' own tests.
package reconciletest

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// ErrInjected is the error of the call that is made to fail.
var ErrInjected = errors.New("injected")

// Calls are those that a reconciler has made of its host so far. The zero value fails none.
type Calls struct {
	Log    []string
	FailAt int // the call with this number fails, once; 0: none

	mu       sync.Mutex
	requests bool // they are requests, by Transport
	after    bool // a request fails after it has had its effect
}

// Call counts a call, and fails it if it is its turn.
func (c *Calls) Call(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Log = append(c.Log, what)
	if len(c.Log) == c.FailAt {
		return ErrInjected
	}
	return nil
}

// Transport sends requests by next; each is a call, which may fail before it has had its
// effect or after it. Watches are none: they end at any time anyhow.
func (c *Calls) Transport(next http.RoundTripper) http.RoundTripper {
	c.requests = true
	return roundTripper(func(q *http.Request) (*http.Response, error) {
		if q.URL.Query().Get("watch") != "" {
			return next.RoundTrip(q)
		}
		fails := c.Call(q.Method + " " + q.URL.Path)
		if fails != nil && !c.after {
			return nil, fails
		}
		res, err := next.RoundTrip(q)
		if fails != nil && err == nil {
			return nil, errors.Join(fails, res.Body.Close())
		}
		return res, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

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
// fails; a request does twice, before its effect and after it. With -short only some fail.
func EachCallFailsOnce[W World](t *testing.T, lives map[string]func(W), newWorld func(*testing.T) W) {
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			well := newWorld(t)
			live(well)
			want := well.End()
			if len(well.Host().Log) == 0 {
				t.Fatal("no call was made: nothing has been tried")
			}
			moments := []bool{false}
			if well.Host().requests {
				moments = append(moments, true)
			}
			for i, call := range well.Host().Log {
				if testing.Short() && i%4 != 0 {
					continue
				}
				for _, after := range moments {
					w := newWorld(t)
					w.Host().FailAt, w.Host().after = i+1, after
					live(w)
					if got := w.End(); got != want {
						t.Errorf("call %d, %q, failed once (after its effect: %v): got\n%s\nwant\n%s", i+1, call, after, got, want)
					}
				}
			}
		})
	}
}

// RunTwice has all run again after the end of every life: nothing may change, and nothing may
// be asked of the host but how it is.
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
			read := func(call string) bool { return w.Host().requests && strings.HasPrefix(call, http.MethodGet) }
			if more := slices.DeleteFunc(slices.Clone(w.Host().Log[calls:]), read); len(more) > 0 {
				t.Errorf("run twice, it asked for %q", more)
			}
		})
	}
}
