package controlplane

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDataSize(t *testing.T) {
	dir := t.TempDir()
	planes := New(nil)
	if n, err := planes.DataSize(dir); n != 0 || err != nil {
		t.Errorf("a control plane without data: %d, %v", n, err)
	}
	file := filepath.Join(dir, "etcd", "member", "snap", "db")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := planes.DataSize(dir); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A running control plane becomes one of another tier with its data and the address that its clients know, and its
// API server has the seats.
func TestTier(t *testing.T) {
	cfg, planes := testConfig(t)
	boot(t, planes, cfg)
	api := admin(t, cfg)
	body := object{"metadata": object{"name": "kept"}}
	if code, got := api.do(http.MethodPost, "/api/v1/namespaces/default/configmaps", body); code != 201 {
		t.Fatalf("creating a ConfigMap answers %d %v", code, got["message"])
	}
	for _, tier := range []Tier{{}, {Seats: 1700, PodsPerSecond: 167, Database: 16 << 30}, {Seats: 13600, PodsPerSecond: 400, Database: 16 << 30}} {
		cfg.Tier = tier
		boot(t, planes, cfg)
		want := tier.Seats
		if want == 0 {
			want = 600
		}
		// Of each level's share a part of a seat is a whole one.
		if got := seats(t, api); got < want || got > want+20 {
			t.Errorf("%+v: %d seats", tier, got)
		}
		api.want("/api/v1/namespaces/default/configmaps/kept", 200, 10*time.Second)
	}
	size, err := planes.DataSize(cfg.Dir)
	if err != nil || size == 0 {
		t.Errorf("its database has %d bytes, %v", size, err)
	}
}

// seats are those of all priority levels.
func seats(t *testing.T, api client) (n int) {
	t.Helper()
	_, metrics := api.get("/metrics")
	text, _ := metrics["text"].(string)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "apiserver_flowcontrol_nominal_limit_seats{") {
			continue
		}
		value := strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:])
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		n += int(f)
	}
	return n
}
