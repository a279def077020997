package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// lookAgain is how often a log that is followed is looked at.
const lookAgain = 200 * time.Millisecond

// show prints the lines of a log that are meant. To follow it is to go on after its end, and
// from the start again when it has been begun anew: cut to nothing, or replaced by another
// file of its name.
func (a *app) show(ctx context.Context, path string, keep func(string) bool, follow bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no log %s", errNotFound, path)
	}
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	var rest string
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		rest += string(buf[:n])
		for {
			line, after, whole := strings.Cut(rest, "\n")
			if !whole {
				break
			}
			if rest = after; keep(line) {
				fmt.Fprintln(a.out, line)
			}
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n > 0:
			continue
		case !follow:
			if rest != "" && keep(rest) {
				fmt.Fprintln(a.out, rest)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		next, err := begunAnew(f, path)
		if err != nil {
			return err
		}
		if next != nil {
			f.Close()
			f, rest = next, ""
		}
	}
}

// begunAnew opens the log again if what is there now is not what f has read to its end.
func begunAnew(f *os.File, path string) (*os.File, error) {
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) { // between two files of that name
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	was, err := f.Stat()
	if err != nil {
		return nil, err
	}
	read, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if os.SameFile(now, was) && now.Size() >= read {
		return nil, nil
	}
	return os.Open(path)
}
