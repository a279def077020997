package main

import (
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
