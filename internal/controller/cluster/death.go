package cluster

import "time"

// Pauses after a control plane that could not be ensured: doubled from first to last. The
// queue's own back-off does not do, since each start that is followed by an end is a success
// first, and the end of a process wakes the key.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 15 * time.Second
)

// A death is how often in a row a control plane could not be ensured, and when it may be
// tried again.
type death struct {
	count int
	until time.Time
}

func (c *Controller) mourn(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.deaths[arn]
	d.until = c.cfg.Now().Add(min(firstPause<<min(d.count, 10), lastPause))
	d.count++
	c.deaths[arn] = d
}

// mourning is how long not to try yet.
func (c *Controller) mourning(arn string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deaths[arn].until.Sub(c.cfg.Now())
}

func (c *Controller) forget(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.deaths, arn)
}
