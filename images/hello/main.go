// Command hello is the image that people try a cluster with.
//
//	hello                      serve on :8080 who answers: pod, node, zone
//	hello get URL              print the body; exit 1 unless the status is 2xx
//	hello load [-c N] [-d T] URL   ask over and over, print a summary; exit 1 if any request failed
//	hello ask [-i T] URL       ask now and then for ever, print "ok" or what went wrong
//	hello sleep [T]            wait, for ever unless told
//
// The pod's name, node and zone come from POD_NAME, NODE_NAME and ZONE, else
// from the host name and the instance metadata, as far as they can be reached.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	args := os.Args[1:]
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	if err := run(ctx, command, args); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, args []string) error {
	switch command {
	case "serve":
		return serve(ctx, ":8080")
	case "get":
		if len(args) != 1 {
			return errors.New("usage: hello get URL")
		}
		return get(ctx, args[0], os.Stdout)
	case "load":
		return load(ctx, args, os.Stdout)
	case "ask":
		return ask(ctx, args, os.Stdout)
	case "sleep":
		return sleep(ctx, args)
	}
	return fmt.Errorf("unknown command %q: want serve, get, load, ask or sleep", command)
}

// identity is what a visitor is told.
type identity struct{ pod, node, zone string }

func whoami(ctx context.Context) identity {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id := identity{pod: env("POD_NAME", host), node: os.Getenv("NODE_NAME"), zone: os.Getenv("ZONE")}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if id.node == "" {
		id.node = metadata(ctx, "local-hostname")
	}
	if id.zone == "" {
		id.zone = metadata(ctx, "placement/availability-zone")
	}
	return id
}

func env(name, without string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return without
}

// metadata asks IMDSv2. Where pods may not reach it (hop limit 1, or no
// instance at all) the answer is "unknown".
func metadata(ctx context.Context, path string) string {
	const base = "http://169.254.169.254/latest/"
	ask := func(method, path, header, value string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
		if err != nil {
			return "", err
		}
		req.Header.Set(header, value)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return string(b), err
	}
	token, err := ask(http.MethodPut, "api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return "unknown"
	}
	v, err := ask(http.MethodGet, "meta-data/"+path, "X-aws-ec2-metadata-token", token)
	if err != nil {
		return "unknown"
	}
	return v
}

// serve listens at once and learns who it is meanwhile, so that a pod without
// instance metadata is not late.
func serve(ctx context.Context, addr string) error {
	id := sync.OnceValue(func() identity { return whoami(context.WithoutCancel(ctx)) })
	go id()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		me := id()
		from, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			from = r.RemoteAddr
		}
		fmt.Fprintf(w, "Hello from Ekster!\npod:    %s\nnode:   %s\nzone:   %s\nclient: %s\n", me.pod, me.node, me.zone, from)
	})
	s := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(end) // what is still open after that ends with the process
	})
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", addr, err)
	}
	return nil
}

func get(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("reading %s: %w", url, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func load(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	workers := flags.Int("c", 4, "requests at a time")
	length := flags.Duration("d", 10*time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *workers < 1 {
		return errors.New("usage: hello load [-c N] [-d T] URL")
	}
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	var (
		mu     sync.Mutex
		took   []time.Duration
		failed int
		last   error
		wg     sync.WaitGroup
	)
	for range *workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := get(ctx, flags.Arg(0), io.Discard)
				if ctx.Err() != nil {
					return // cut off by the end, not by the server
				}
				mu.Lock()
				took = append(took, time.Since(began))
				if err != nil {
					failed, last = failed+1, err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(took) == 0 {
		return errors.New("no request ended in time")
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))].Round(10 * time.Microsecond) }
	fmt.Fprintf(out, "requests %d, failed %d, %.0f/s, p50 %s, p99 %s, max %s\n",
		len(took), failed, float64(len(took))/length.Seconds(), at(0.5), at(0.99), at(1))
	if failed > 0 {
		return fmt.Errorf("%d requests failed, the last one: %w", failed, last)
	}
	return nil
}

// ask asks over connections of their own, so that each goes where a new client's would.
func ask(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	every := flags.Duration("i", time.Second, "from one request to the next")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *every <= 0 {
		return errors.New("usage: hello ask [-i T] URL")
	}
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for {
		err := get(ctx, flags.Arg(0), io.Discard)
		http.DefaultClient.CloseIdleConnections()
		if ctx.Err() != nil {
			return nil
		}
		said := "ok"
		if err != nil {
			said = err.Error()
		}
		fmt.Fprintln(out, said)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func sleep(ctx context.Context, args []string) error {
	if len(args) == 0 {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		if d, err = time.ParseDuration(args[0] + "s"); err != nil { // as sleep(1) takes it
			return fmt.Errorf("sleep %q: want a number of seconds or a duration", args[0])
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return nil
}
