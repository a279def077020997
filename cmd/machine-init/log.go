package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
)

// maxLog bounds a daemon's log; as much again is kept of what came before.
const maxLog = 32 << 20

func logFile(service string) string { return "/var/log/" + service + ".log" }

// rotate moves the content of a log that is too long to <log>.1. The file
// itself stays: its writer has it open, for appending.
func rotate(file string, limit int64) error {
	log, err := os.OpenFile(file, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	st, err := log.Stat()
	if err != nil || st.Size() <= limit {
		return err
	}
	old, err := os.OpenFile(file+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(old, log)
	if err := errors.Join(err, old.Close()); err != nil {
		return err
	}
	// A line written since the copy ended is lost; its writer cannot be stopped for it.
	return log.Truncate(0)
}

// maxTeed bounds what one program may add to the console, which nobody rotates.
const maxTeed = 256 << 10

// teed returns the end of a pipe: what is written to it goes to log, which is closed at the
// pipe's end, and line by line to the console; then end is closed. A program that stays in the
// background keeps the pipe open, and its lines come when it writes them.
func teed(log *os.File, end chan struct{}) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(end)
		defer r.Close()
		defer log.Close()
		left := maxTeed
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadBytes('\n')
			if _, err := log.Write(line); err != nil {
				console("cloud-init: %v", err)
			}
			if len(line) > 0 && left > 0 {
				console("cloud-init: %s", bytes.TrimRight(line, "\r\n"))
				if left -= len(line); left <= 0 {
					console("cloud-init: the rest is in %s", log.Name())
				}
			}
			if err != nil {
				return // io.EOF: nobody writes any more
			}
		}
	}()
	return w, nil
}
