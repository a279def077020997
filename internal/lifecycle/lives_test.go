package lifecycle

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

var (
	lives = flag.Int("lives", 1000, "how many lives TestLives lives")
	first = flag.Uint64("seed", 1, "the seed of the first one; each has the next")
)

// together is how many lives are lived at a time: each waits most of its time, and its etcd
// takes some eighty megabytes.
const together = 24

// A counts is how often what has happened.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

// tally is of all lives: what never happens is not tested.
var tally = counts{of: map[string]int{}}

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[what]++
}

// TestLives lives random lives. What one does is decided by its seed, when it does it also
// by the machine.
func TestLives(t *testing.T) {
	n := *lives
	if testing.Short() {
		n = min(n, 40)
	}
	t.Logf("seeds %d to %d", *first, *first+uint64(n)-1)
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range min(together, n) {
		wg.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { live(t, seed) })
			}
		})
	}
	for i := range uint64(n) {
		if t.Failed() {
			break // the first ones say enough
		}
		seeds <- *first + i
	}
	close(seeds)
	wg.Wait()
	for _, what := range slices.Sorted(maps.Keys(tally.of)) {
		t.Logf("%7d %s", tally.of[what], what)
	}
}
