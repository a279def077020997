package controlplane

import (
	"strings"
	"testing"
	"time"
)

func TestReadReload(t *testing.T) {
	for metrics, want := range map[string]time.Time{
		"other 1\n": {},
		"# HELP " + reloadMetric + " x\n" + reloadMetric + `{apiserver_id_hash="sha256:a",status="failure"} 1.8e+09` + "\n": {},
		reloadMetric + `{apiserver_id_hash="sha256:a",status="success"} 1.7636220771234567e+09` + "\nother 1\n":             time.UnixMicro(1763622077123456),
	} {
		got, err := readReload(strings.NewReader(metrics))
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", metrics, got, err)
		}
	}
	if _, err := readReload(strings.NewReader(reloadMetric + `{status="success"} x`)); err == nil {
		t.Error("x is a number")
	}
}
