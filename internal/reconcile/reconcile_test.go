package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

func run(t *testing.T, workers int, f Func) *Queue {
	t.Helper()
	q := New("test", f, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, workers) }()
	t.Cleanup(func() { cancel(); <-done })
	return q
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

func TestWokenWhileRunningRunsOnceMore(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	q := run(t, 4, func(context.Context, string) (time.Duration, error) {
		started <- struct{}{}
		<-release
		return Never, nil
	})
	q.Wake("k")
	receive(t, started)
	q.Wake("k")
	q.Wake("k")
	select {
	case <-started:
		t.Fatal("one key is worked on twice at once")
	case <-time.After(20 * time.Millisecond):
	}
	release <- struct{}{}
	receive(t, started)
	release <- struct{}{}
	select {
	case <-started:
		t.Fatal("three wake-ups gave three runs")
	case <-time.After(20 * time.Millisecond):
	}
}

func TestErrorIsTriedAgain(t *testing.T) {
	calls := make(chan int, 10)
	var n atomic.Int32
	q := run(t, 1, func(context.Context, string) (time.Duration, error) {
		c := int(n.Add(1))
		calls <- c
		if c < 3 {
			return Never, errors.New("not yet")
		}
		return Never, nil
	})
	q.Wake("k")
	for want := 1; want <= 3; want++ {
		if got := receive(t, calls); got != want {
			t.Fatalf("call %d, want %d", got, want)
		}
	}
}

func TestAgain(t *testing.T) {
	calls := make(chan struct{}, 10)
	var n atomic.Int32
	q := run(t, 1, func(context.Context, string) (time.Duration, error) {
		calls <- struct{}{}
		if n.Add(1) == 1 {
			return time.Millisecond, nil
		}
		return Never, nil
	})
	q.Wake("k")
	receive(t, calls)
	receive(t, calls)
}

func TestKeysRunSideBySide(t *testing.T) {
	started, release := make(chan string), make(chan struct{})
	q := run(t, 2, func(_ context.Context, key string) (time.Duration, error) {
		started <- key
		<-release
		return Never, nil
	})
	q.Wake("a")
	q.Wake("b")
	if a, b := receive(t, started), receive(t, started); a == b {
		t.Fatalf("%s is worked on twice", a)
	}
	close(release)
}

func TestErrorsNamesFailingKeys(t *testing.T) {
	ran := make(chan struct{}, 1)
	bad := errors.New("bad")
	q := run(t, 1, func(_ context.Context, key string) (time.Duration, error) {
		select {
		case ran <- struct{}{}:
		default:
		}
		return Never, bad
	})
	q.Wake("k")
	receive(t, ran)
	deadline := time.After(10 * time.Second)
	for !errors.Is(q.Errors()["k"], bad) {
		select {
		case <-deadline:
			t.Fatalf("got %v", q.Errors())
		case <-time.After(time.Millisecond):
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	if backoff(1) != firstBackoff || backoff(2) != 2*firstBackoff || backoff(100) != lastBackoff {
		t.Fatal(backoff(1), backoff(2), backoff(100))
	}
}
