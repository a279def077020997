package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.log")
	if err := rotate(file, 5); err != nil {
		t.Errorf("no log: %v", err)
	}
	writer, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, c := range []struct{ write, now, before string }{
		{"12345", "12345", ""}, // not too long
		{"6", "", "123456"},
		{"abc", "abc", "123456"},
		{"defg", "", "abcdefg"},
	} {
		if _, err := writer.WriteString(c.write); err != nil {
			t.Fatal(err)
		}
		if err := rotate(file, 5); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(file)
		if err != nil || string(now) != c.now {
			t.Errorf("after %q: log %q, %v, want %q", c.write, now, err, c.now)
		}
		before, err := os.ReadFile(file + ".1")
		if string(before) != c.before || c.before != "" && err != nil {
			t.Errorf("after %q: old log %q, %v, want %q", c.write, before, err, c.before)
		}
	}
}
