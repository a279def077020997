package test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"ekster.dev/ekster/test/lab"
)

// A caller calls again and again, and counts.
type caller struct {
	calls, failed, twice int // twice: the call and its one retry
	longest              time.Duration
	first                error // of those that failed twice
	stop                 context.CancelFunc
	done                 sync.WaitGroup
}

func startCaller(t *testing.T, every time.Duration, call func(context.Context) error) *caller {
	ctx, cancel := context.WithCancel(t.Context())
	c := &caller{stop: cancel}
	c.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			began := time.Now()
			err := call(ctx)
			c.calls++
			if err != nil && ctx.Err() == nil {
				c.failed++
				if err = call(ctx); err != nil && ctx.Err() == nil {
					c.twice++
					if c.first == nil {
						c.first = err
					}
				}
			}
			c.longest = max(c.longest, time.Since(began))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return c
}

func (c *caller) end() string {
	c.stop()
	c.done.Wait()
	return fmt.Sprintf("%d calls, %d failed, %d of them also when repeated once, the longest took %s", c.calls, c.failed, c.twice, c.longest.Round(time.Millisecond))
}

// A watcher watches the ConfigMaps of the namespace default as controllers do: when its
// watch breaks it goes on where it was, or lists anew.
type watcher struct {
	mu     sync.Mutex
	added  map[string]int // how often each was announced as new
	gone   int
	breaks int // watches and lists that failed
}

func startWatcher(t *testing.T, k *lab.Kube) *watcher {
	w := &watcher{added: map[string]int{}}
	informer := informers.NewSharedInformerFactoryWithOptions(k, 0, informers.WithNamespace("default")).Core().V1().ConfigMaps().Informer()
	count := func(f func(name string)) func(any) {
		return func(o any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			name := ""
			if m, ok := o.(*corev1.ConfigMap); ok {
				name = m.Name
			}
			f(name)
		}
	}
	no(t, informer.SetWatchErrorHandler(func(*cache.Reflector, error) { count(func(string) { w.breaks++ })(nil) }))
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    count(func(name string) { w.added[name]++ }),
		DeleteFunc: count(func(string) { w.gone++ }),
	})
	no(t, err)
	stop := make(chan struct{})
	done := make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() { defer close(done); informer.Run(stop) }()
	if !cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced) {
		t.Fatal("the watcher has not listed anything")
	}
	return w
}

// saw waits until the watcher was told of all of them, and asserts that it was once.
func (w *watcher) saw(t *testing.T, names []string) {
	t.Helper()
	began := time.Now()
	no(t, lab.Until(t.Context(), 30*time.Second, "the watcher to see what was written", func(context.Context) (bool, string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		missing := 0
		for _, name := range names {
			if w.added[name] == 0 {
				missing++
			}
		}
		return missing == 0, fmt.Sprintf("%d of %d are missing", missing, len(names)), nil
	}))
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("a watcher had seen all %d after %s more; its watch broke %d times", len(names), time.Since(began).Round(time.Millisecond), w.breaks)
	for _, name := range names {
		if w.added[name] != 1 {
			t.Errorf("%s was announced as new %d times", name, w.added[name])
		}
	}
	if w.gone != 0 {
		t.Errorf("%d were announced as gone", w.gone)
	}
}

// answers are what the pod asker was told so far, a line a request.
func answers(t *testing.T, k *lab.Kube) []string {
	t.Helper()
	log, err := k.Log(t.Context(), "default", "asker")
	no(t, err)
	return strings.Split(strings.TrimSpace(log), "\n")
}

// refused are the answers that are none.
func refused(answers []string) (out []string) {
	for _, a := range answers {
		if a != "ok" {
			out = append(out, a)
		}
	}
	return out
}

// ended waits for an update's end.
func ended(t *testing.T, cloud *lab.Cloud, in *eks.DescribeUpdateInput, within time.Duration) (u *types.Update) {
	t.Helper()
	in.Name = new(clusterName)
	no(t, lab.Until(t.Context(), within, "update "+*in.UpdateId, func(ctx context.Context) (bool, string, error) {
		out, err := cloud.EKS.DescribeUpdate(ctx, in)
		if err != nil {
			return false, "", err
		}
		u = out.Update
		return u.Status != types.UpdateStatusInProgress, string(u.Status), nil
	}))
	return u
}

// succeeded waits for an update's good end.
func succeeded(t *testing.T, cloud *lab.Cloud, in *eks.DescribeUpdateInput, within time.Duration) {
	t.Helper()
	if u := ended(t, cloud, in, within); u.Status != types.UpdateStatusSuccessful {
		t.Fatalf("update %s has ended as %s: %s", *u.Id, u.Status, errorsOf(u))
	}
}

func errorsOf(u *types.Update) (out string) {
	for _, e := range u.Errors {
		out += fmt.Sprintf("%s: %s %s; ", e.ErrorCode, *e.ErrorMessage, e.ResourceIds)
	}
	return out
}
