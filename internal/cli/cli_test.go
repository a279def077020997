package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func run(t *testing.T, argv ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), argv, &o, &e)
	return code, o.String(), e.String()
}

// state makes a state directory as a first start leaves it.
func state(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, v := range map[string]any{
		"config.json":           map[string]any{"prefix": "ek0e57", "account": "000000000000", "port": 4600, "loopback": "127.80.0.0/16"},
		"root-credentials.json": map[string]any{"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "secret", "account": "000000000000"},
	} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExitCodes(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		argv []string
		code int
		says string
	}{
		{[]string{"frobnicate"}, exitUsage, `unknown command "frobnicate"`},
		{[]string{"up", "--prot", "1"}, exitUsage, "unknown flag: --prot"},
		{[]string{"up", "--max-session", "9s"}, exitUsage, "--max-session is at least 10s, not 9s"},
		{[]string{"up", "--allow-issuer", "https://issuer.example"}, exitUsage, `"https://issuer.example" is no host`},
		{[]string{"up", "--port", "0"}, exitUsage, "--port is 1 to 65535, not 0"},
		{[]string{"up", "--port", "99999"}, exitUsage, "--port is 1 to 65535, not 99999"},
		{[]string{"quickstart", "--port", "-1"}, exitUsage, "--port is 1 to 65535, not -1"},
		{[]string{"up", "--account", "abc"}, exitUsage, `an account id has 12 digits, not "abc"`},
		{[]string{"up", "--account", ""}, exitUsage, "an account id has 12 digits"},
		{[]string{"up", "--vcpu-limit", "reserved=1"}, exitUsage, "--vcpu-limit reserved=1"},
		{[]string{"account", "bogus"}, exitUsage, `unknown command "bogus" for "ekster account"`},
		{[]string{"fault", "bogus"}, exitUsage, `unknown command "bogus" for "ekster fault"`},
		{[]string{"image", "bogus"}, exitUsage, `unknown command "bogus" for "ekster image"`},
		{[]string{"status", "-o", "yaml"}, exitUsage, "-o takes table or json"},
		{[]string{"status", "extra"}, exitUsage, "extra"},
		{[]string{"logs"}, exitUsage, "logs --help"},
		{[]string{"logs", "nobody"}, exitUsage, "daemon, cluster NAME or instance ID"},
		{[]string{"logs", "cluster", "c", "etcd"}, exitNotFound, "no daemon answers"},
		{[]string{"logs", "instance", "i-0123456789abcdef0"}, exitNotFound, "i-0123456789abcdef0"},
		{[]string{"status"}, exitNotFound, "no daemon answers"},
		{[]string{"env"}, exitNotFound, "no daemon has been started"},
		{[]string{"kubectl", "get", "nodes"}, exitNotFound, "no daemon answers"},
		{[]string{"kubectl", "--cluster"}, exitUsage, "--cluster needs a value"},
		{[]string{"image", "load"}, exitUsage, "image load --help"},
	} {
		argv := append([]string{c.argv[0], "--state-dir", empty}, c.argv[1:]...)
		code, _, errOut := run(t, argv...)
		if code != c.code || !strings.Contains(errOut, c.says) {
			t.Errorf("%v: code %d, %q; want %d, %q", c.argv, code, errOut, c.code, c.says)
		}
	}
}

func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	root := (&app{}).root()
	all := root.Commands()
	for _, c := range root.Commands() {
		all = append(all, c.Commands()...)
	}
	for _, c := range all {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a description or an example", c.CommandPath())
		}
		code, out, _ := run(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != 0 || !strings.Contains(out, "Usage:") || !strings.Contains(out, "Examples:") {
			t.Errorf("%s --help: code %d\n%s", c.CommandPath(), code, out)
		}
	}
}

func TestEnv(t *testing.T) {
	code, out, _ := run(t, "env", "--state-dir", state(t))
	want := `export AWS_ENDPOINT_URL=http://127.0.0.1:4600
export AWS_ACCESS_KEY_ID=AKIAEXAMPLE
export AWS_SECRET_ACCESS_KEY=secret
export AWS_DEFAULT_REGION=us-west-2
export AWS_REGION=us-west-2
unset AWS_SESSION_TOKEN AWS_PROFILE
`
	if code != 0 || out != want {
		t.Fatalf("code %d:\n%s", code, out)
	}
}

func TestWriteProfileKeepsTheRest(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SUDO_UID", "")
	dir := filepath.Join(home, ".aws")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := "[default]\nregion = eu-west-1\n\n[profile ekster]\nendpoint_url = http://127.0.0.1:1\n\n[profile work]\nregion = us-east-1\n"
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	s := state(t)
	for range 2 { // a second time changes nothing
		if code, _, errOut := run(t, "env", "--state-dir", s, "--write-profile"); code != 0 {
			t.Fatal(errOut)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "config"))
	if err != nil {
		t.Fatal(err)
	}
	want := "[default]\nregion = eu-west-1\n\n[profile work]\nregion = us-east-1\n\n[profile ekster]\nregion = us-west-2\nendpoint_url = http://127.0.0.1:4600\n"
	if string(got) != want {
		t.Errorf("config:\n%s", got)
	}
	fi, err := os.Stat(filepath.Join(dir, "credentials"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("credentials: %v, %v", fi, err)
	}
}

func TestKubectlArgs(t *testing.T) {
	for _, c := range []struct {
		in      []string
		cluster string
		rest    []string
		help    bool
	}{
		{[]string{"get", "nodes"}, "", []string{"get", "nodes"}, false},
		{[]string{"--cluster", "c", "get", "--cluster", "theirs"}, "c", []string{"get", "--cluster", "theirs"}, false},
		{[]string{"--cluster=c", "--", "--help"}, "c", []string{"--help"}, false},
		{[]string{"--help"}, "", nil, true},
		{[]string{"get", "--help"}, "", []string{"get", "--help"}, false},
		{nil, "", nil, false},
	} {
		cluster, rest, help, err := (&app{}).kubectlArgs(c.in)
		if err != nil || cluster != c.cluster || !slices.Equal(rest, c.rest) || help != c.help {
			t.Errorf("%v: %q %v %v %v", c.in, cluster, rest, help, err)
		}
	}
}

// A directory that is not ours is not deleted, whatever the flag says, nor written to.
func TestPurgeDeletesNothingForeign(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: down refuses everybody else")
	}
	for name, files := range map[string]map[string]string{
		"something":               {"precious": ""},
		"an etcd":                 {"etcd/member": "", "dpkg/status": ""},
		"what docker keeps":       {"config.json": `{"auths":{"registry":{"auth":"c2VjcmV0"}}}`, "contexts/meta": ""},
		"clusters and instances":  {"config.json": `{"port":80}`, "instances/i-1/disk": "", "clusters/c/data": ""},
		"no JSON":                 {"config.json": "# mine\n"},
		"a prefix of others":      {"config.json": `{"prefix":"eth0","account":"000000000000","loopback":"127.80.0.0/16"}`},
		"addresses of others":     {"config.json": `{"prefix":"ek0e57","account":"000000000000","loopback":"10.0.0.0/16"}`},
		"names that we use, too":  {"run/lock/other": "", "log/syslog": ""},
		"a log of the same name":  {"log/daemon.log": "", "log/daemon.log.gz": ""},
		"a directory called lock": {"run/lock/": ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file+"x")), 0o700); err != nil {
					t.Fatal(err)
				}
				if strings.HasSuffix(file, "/") {
					continue
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			for _, argv := range [][]string{{"down", "--purge"}, {"down"}} {
				code, _, errOut := run(t, append(argv, "--state-dir", dir)...)
				if code == 0 || len(argv) == 2 && code != exitFailed {
					t.Errorf("%v: code %d, %s", argv, code, errOut)
				}
			}
			if after := tree(t, dir); !maps.Equal(before, after) {
				t.Errorf("%v has become %v", before, after)
			}
		})
	}
}

// tree is what is in a directory: paths and what their files hold.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			raw, readErr := os.ReadFile(path)
			all[path], err = string(raw), readErr
		} else {
			all[path] = "a directory"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
