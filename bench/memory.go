package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is what a process takes, in MiB.
type memory struct{ pss, rss float64 }

// measureMemory adds up processes. Their proportional set size counts a page that several
// share once.
func measureMemory(pids ...int) (m memory, err error) {
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return m, err
		}
		for l := range bytes.Lines(raw) {
			f := strings.Fields(string(l))
			if len(f) < 2 || (f[0] != "Pss:" && f[0] != "Rss:") {
				continue
			}
			kib, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return m, fmt.Errorf("memory of process %d: %w", pid, err)
			}
			if f[0] == "Pss:" {
				m.pss += kib / 1024
			} else {
				m.rss += kib / 1024
			}
		}
	}
	return m, nil
}

// available is the host's MemAvailable in MiB.
func available() (float64, error) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for l := range bytes.Lines(raw) {
		if f := strings.Fields(string(l)); len(f) > 1 && f[0] == "MemAvailable:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
}

// cpuSeconds is the processor time that a process has used.
func cpuSeconds(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const utime, stime, hertz = 11, 12, 100 // fields 14 and 15; USER_HZ
	if len(f) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat is short", pid)
	}
	user, err := strconv.ParseFloat(f[utime], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(f[stime], 64)
	return (user + system) / hertz, err
}
