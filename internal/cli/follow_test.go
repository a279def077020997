package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is followed goes on after its log was cut, or replaced by another.
func TestFollowingALogThatIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("a long first line\nno\nand one that does not end")
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- (&app{out: out}).show(ctx, path, func(line string) bool { return line != "no" }, true)
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	wants := func(line string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != line {
			t.Errorf("%q, want %q", lines.Text(), line)
		}
	}
	wants("a long first line")
	write(" yet\n")
	wants("and one that does not end yet")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write("cut\n")
	wants("cut")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("another file, and longer than the one before\n")
	wants("another file, and longer than the one before")
	stop()
	go func() { _, _ = io.Copy(io.Discard, in) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestALogToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\ntwo\nthree"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := (&app{out: &out}).show(t.Context(), path, func(line string) bool { return line != "two" }, false); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), fmt.Sprintln("one")+fmt.Sprintln("three"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
