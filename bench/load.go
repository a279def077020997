package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// distinct is how many requests are signed beforehand. They differ, and so do their
// signatures: a server that remembered those it has verified would gain nothing.
const distinct = 4096

// loadMain is the client of figure 5: load URL OPERATION DURATION. It has its requests
// signed and ready as bytes before it begins, and speaks HTTP itself, so that the one core
// it has is enough to keep the server's busy. It prints a loadResult.
func loadMain(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: bench load URL OPERATION DURATION")
	}
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	requests := make([][]byte, distinct)
	for i := range requests {
		if requests[i], err = signed(ctx, args[0], args[1], i); err != nil {
			return err
		}
	}
	began := time.Now()
	clients := make([]client, connections)
	var wg sync.WaitGroup
	for i := range clients {
		c := &clients[i]
		wg.Go(func() { c.err = c.work(target.Host, requests, i*len(requests)/connections, began.Add(d)) })
	}
	wg.Wait()
	var took []time.Duration
	var out loadResult
	for _, c := range clients {
		if c.err != nil {
			return c.err
		}
		took, out.Errors = append(took, c.took...), out.Errors+c.refused
	}
	slices.Sort(took)
	ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	out.Requests, out.Rate, out.P50, out.P99 = len(took), float64(len(took))/seconds(began), ms(0.5), ms(0.99)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// signed is a request as bytes.
func signed(ctx context.Context, endpoint, op string, n int) ([]byte, error) {
	method, path, service, body := http.MethodPost, "/", "sts", "Action=GetCallerIdentity&Version=2011-06-15"
	if op == "DescribeCluster" {
		method, path, service, body = http.MethodGet, "/clusters/bench", "eks", ""
	}
	req, err := http.NewRequestWithContext(ctx, method, endpoint+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	req.Header.Set("X-Amz-Bench", strconv.Itoa(n))
	sum := sha256.Sum256([]byte(body))
	creds := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), service, "us-west-2", time.Now()); err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	err = req.Write(&raw)
	return raw.Bytes(), err
}

// A client is one connection.
type client struct {
	took    []time.Duration
	refused int
	err     error
}

// work sends one request after the other, each when the one before is answered.
func (c *client) work(address string, requests [][]byte, from int, until time.Time) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 16<<10)
	c.took = make([]time.Duration, 0, 1<<16)
	last := time.Now()
	for i := from; last.Before(until); i++ {
		if _, err := conn.Write(requests[i%len(requests)]); err != nil {
			return err
		}
		ok, err := answer(r)
		if err != nil {
			return fmt.Errorf("reading an answer: %w", err)
		}
		if !ok {
			c.refused++
		}
		now := time.Now()
		c.took, last = append(c.took, now.Sub(last)), now
	}
	return nil
}

var contentLength = []byte("content-length:")

// answer reads a response and says whether its status is 200.
func answer(r *bufio.Reader) (ok bool, err error) {
	length, first := -1, true
	for {
		l, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		switch {
		case first:
			ok, first = len(l) > 12 && string(l[9:12]) == "200", false
		case len(l) > 15 && bytes.EqualFold(l[:15], contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(l[15:]))); err != nil {
				return false, err
			}
		case len(l) <= 2:
			if length < 0 {
				return false, errors.New("it has no Content-Length")
			}
			_, err := r.Discard(length)
			return ok, err
		}
	}
}

// peerMain serves the bytes of an answer: peer ADDRESS.
func peerMain(_ context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: bench peer ADDRESS")
	}
	body := []byte(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><UserId>000000000000</UserId>` +
		`<Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn></GetCallerIdentityResult>` +
		`<ResponseMetadata><RequestId>5ca9bd9d-2f4a-4b3a-a0ad-000000000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>`)
	s := &http.Server{Addr: args[0], ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write(body) // the client may have gone
	})}
	return s.ListenAndServe()
}
