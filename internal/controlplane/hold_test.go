package controlplane

import (
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"ekster.dev/ekster/internal/process"
)

// Whoever repeats a failed request once does not notice that the process has been replaced, or has died.
func TestOneRetryOutlivesTheProcess(t *testing.T) {
	cfg, planes := testConfig(t)
	first := boot(t, planes, cfg)
	api := admin(t, cfg)

	for _, c := range []struct {
		name string
		end  func()
	}{
		{"replaced", func() { cfg.IssuerURL += "D" }},
		{"killed", func() {
			if err := syscall.Kill(planePID(t, cfg), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := planePID(t, cfg)
			stop, done := make(chan struct{}), make(chan struct{})
			var calls, failed int
			var twice []error
			go func() {
				defer close(done)
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for {
					calls++
					if err := api.ping(); err != nil {
						failed++
						if err := api.ping(); err != nil {
							twice = append(twice, err)
						}
					}
					select {
					case <-stop:
						return
					case <-tick.C:
					}
				}
			}()
			c.end()
			began := time.Now()
			if !eventually(time.Minute, func() bool { return boot(t, planes, cfg).PID != before }) {
				t.Error("the process is the same")
			}
			took := time.Since(began)
			close(stop)
			<-done
			t.Logf("%s within %s: %d requests, %d failed, %d of them twice", c.name, took.Round(time.Millisecond), calls, failed, len(twice))
			if len(twice) > 0 {
				t.Errorf("failed twice: %v", twice[0])
			}
		})
	}
	if planePID(t, cfg) == first.PID {
		t.Error("nothing has happened")
	}
}

// ping asks for something that needs the API server and etcd.
func (c client) ping() error {
	res, err := c.http.Get(c.base + "/api/v1/namespaces/default")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

func planePID(t *testing.T, cfg Config) int {
	t.Helper()
	p, alive, err := process.Find(processDir(cfg.Dir), processName)
	if err != nil || !alive {
		t.Fatalf("alive %v, %v", alive, err)
	}
	return p.PID
}
