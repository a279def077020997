package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, "body of "+r.URL.Path)
	}))
	defer s.Close()
	var out bytes.Buffer
	if err := get(t.Context(), s.URL+"/good", &out); err != nil || out.String() != "body of /good" {
		t.Errorf("get: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := get(t.Context(), s.URL+"/bad", &out); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("get of a 503: %v", err)
	}
	out.Reset()
	if err := load(t.Context(), []string{"-c", "2", "-d", "100ms", s.URL + "/good"}, &out); err != nil || !strings.Contains(out.String(), "failed 0") {
		t.Errorf("load: %q, %v", out.String(), err)
	}
	if err := load(t.Context(), []string{"-c", "1", "-d", "50ms", s.URL + "/bad"}, &out); err == nil {
		t.Error("load of a 503 succeeded")
	}
}

func TestAsk(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked++; asked {
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			stop()
		}
	}))
	defer s.Close()
	var out bytes.Buffer
	if err := ask(ctx, []string{"-i", "1ms", s.URL}, &out); err != nil {
		t.Error(err)
	}
	if want := "ok\n" + s.URL + ": 503 Service Unavailable\nok\n"; out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"fly"}, {"get"}, {"sleep", "long"}, {"load"}, {"ask"}, {"ask", "-i", "0s", "http://localhost"}} {
		if err := run(t.Context(), args[0], args[1:]); err == nil {
			t.Errorf("hello %v succeeded", args)
		}
	}
}
