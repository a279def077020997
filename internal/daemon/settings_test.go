package daemon

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func alone(Settings) (bool, error) { return false, nil }

func TestSettingsOfALaterStart(t *testing.T) {
	d := Dir(t.TempDir())
	first, err := d.settingsFor(4600, "111122223333", alone)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.check(); err != nil {
		t.Errorf("what is made is refused: %v", err)
	}
	if _, err := os.Stat(d.join(settingsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("kept already: %v", err)
	}
	if err := d.keep(first); err != nil {
		t.Fatal(err)
	}
	for port, want := range map[int]int{0: 4600, 4700: 4700} {
		if s, err := d.settingsFor(port, "", alone); err != nil || s.Port != want || s.Prefix != first.Prefix {
			t.Errorf("port %d: %+v, %v", port, s, err)
		}
	}
	if s, err := d.Settings(); err != nil || s != first {
		t.Errorf("a start that has not come to its end has changed them: %+v, %v", s, err)
	}
	if _, err := d.settingsFor(0, "444455556666", alone); err == nil || !strings.Contains(err.Error(), "belongs to account 111122223333") {
		t.Error(err)
	}
}

// A port that cannot be listened on is no port of a later start.
func TestAPortThatIsTakenIsNotKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := Dir(t.TempDir())
	err = Run(t.Context(), Config{Dir: d, Port: l.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatal(err)
	}
	if s, err := d.Settings(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("kept: %+v, %v", s, err)
	}
}

// Two daemons whose paths have the same hash do not get into each other's way.
func TestNamesThatAreTakenAreNotGiven(t *testing.T) {
	d := Dir(t.TempDir())
	var seen []Settings
	got, err := d.settingsFor(0, "", func(s Settings) (bool, error) {
		seen = append(seen, s)
		return len(seen) < 3, nil
	})
	if err != nil || len(seen) != 3 || got != seen[2] {
		t.Fatalf("%+v of %+v, %v", got, seen, err)
	}
	if seen[0].Prefix == seen[1].Prefix || seen[0].Loopback == seen[1].Loopback && seen[1].Loopback == seen[2].Loopback {
		t.Errorf("the same names again: %+v", seen)
	}
	for _, s := range seen {
		if err := s.check(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if s, err := d.settingsFor(0, "", func(Settings) (bool, error) { return true, nil }); err == nil {
		t.Errorf("with every name taken: %+v", s)
	}
}

func TestAnyWithin(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:11D6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100507F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
`
	for network, want := range map[string]bool{"127.80.0.0/16": true, "127.81.0.0/16": false, "127.0.0.0/16": true, "127.1.0.0/16": false} {
		if got, err := anyWithin(netip.MustParsePrefix(network), table); err != nil || got != want {
			t.Errorf("%s: %v, %v", network, got, err)
		}
	}
	if _, err := anyWithin(netip.MustParsePrefix("127.80.0.0/16"), "   0: mist 0\n"); err == nil {
		t.Error("what is no address is none of anybody's")
	}
}
