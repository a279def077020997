package controlplane

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

func TestReadApplied(t *testing.T) {
	const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for metrics, want := range map[string]bool{
		"other 1\n": false,
		"# HELP " + appliedMetric + " x\n" + appliedMetric + `{apiserver_id_hash="` + abc + `",hash="sha256:00"} 1` + "\n": false,
		"other 1\n" + appliedMetric + `{apiserver_id_hash="sha256:00",hash="` + abc + `"} 1` + "\nother 1\n":               true,
	} {
		if got, err := readApplied(strings.NewReader(metrics), []byte("abc")); err != nil || got != want {
			t.Errorf("%s: %v, %v", metrics, got, err)
		}
	}
	if _, err := readApplied(strings.NewReader(strings.Repeat("x", 2<<20)), nil); !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("a line that is too long: %v", err)
	}
}
