package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ekster.dev/ekster/internal/daemon"
)

// parse is what a command line says of the daemon.
func parse(t *testing.T, line string) (f upFlags, names []string) {
	t.Helper()
	up, rest, err := (&app{}).rootWith(&f).Find(strings.Fields(line))
	if err == nil {
		err = up.ParseFlags(rest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f, given(up)
}

func TestFlagsAsACommandLine(t *testing.T) {
	const line = "up --port 4600 --account 111122223333 --verbose --pull-through=false --etcd http://a:1,http://b:1 --join-timeout 1m" +
		" --spot-notice 5s --vcpu-limit on-demand=32,spot=16 --node-repair-wait 1s --drain-timeout 2m --drained-pause 3s --allow-issuer a.example --allow-issuer b.example --max-session 1m"
	f, names := parse(t, line)
	again, _ := parse(t, "up "+strings.Join(f.argv(), " "))
	a, b := f.argv(), again.argv()
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Errorf("%v has become %v", a, b)
	}
	if len(names) != 13 {
		t.Errorf("given %v", names)
	}
}

// Who asks a daemon that runs for something that it does not do is told so.
func TestUnlike(t *testing.T) {
	st := daemon.Status{Endpoint: "http://127.0.0.1:4600", Account: "000000000000"}
	for _, c := range []struct{ runs, asks, unlike string }{
		{"up", "up --detach", ""},
		{"up", "up --detach --port 4600 --account 000000000000", ""},
		{"up", "up --port 4700", "port"},
		{"up --port 4600", "up --port 4566", "port"},
		{"up", "up --account 111122223333", "account"},
		{"up", "up --pull-through=true --join-timeout 25m", ""},
		{"up --join-timeout=1m", "up", ""},
		{"up --join-timeout=1m", "up --join-timeout 25m", "join-timeout"},
		{"--state-dir /x up --verbose --vcpu-limit=spot=1 --vcpu-limit=on-demand=2", "up --verbose --vcpu-limit on-demand=2,spot=1", ""},
		{"up --vcpu-limit=spot=1", "up --vcpu-limit spot=2 --verbose", "vcpu-limit verbose"},
		{"up --allow-issuer=a --allow-issuer=b", "up --allow-issuer b,a", ""},
		{"up --allow-issuer=a", "up --allow-issuer b", "allow-issuer"},
		{"up --max-session=1m", "up --max-session 60s", ""},
	} {
		f, names := parse(t, c.asks)
		got, err := f.unlikeLine(append([]string{"/bin/ekster"}, strings.Fields(c.runs)...), st, names)
		if err != nil || strings.Join(got, " ") != c.unlike {
			t.Errorf("%q of a daemon run as %q: %v, %v; want %q", c.asks, c.runs, got, err, c.unlike)
		}
	}
	if f, _ := parse(t, "up"); f.joinTimeout != 25*time.Minute {
		t.Errorf("defaults: %+v", f)
	}
}

func TestUnit(t *testing.T) {
	code, out, errOut := run(t, "up", "--print-unit", "--state-dir", "/srv/50% of $it", "--port", "4600")
	if code != 0 {
		t.Fatal(errOut)
	}
	for _, want := range []string{` up "--state-dir=/srv/50%% of $$it" --join-timeout=25m0s `, " --port=4600", "KillMode=process\n", "Restart=on-failure\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "print-unit") {
		t.Errorf("it prints itself:\n%s", out)
	}
}
