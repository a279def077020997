package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ekster.dev/ekster/internal/nodeconfig"
)

// What is done at the first boot, and at the second, in cloud-init's order.
func TestCloudInit(t *testing.T) {
	var u nodeconfig.UserData
	u, err := nodeconfig.Parse([]byte(`MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: text/x-shellscript

#!/bin/sh
user
--//
Content-Type: text/cloud-config

bootcmd: [boot]
runcmd: [one, [two, "it's"]]
write_files:
- {path: /etc/early, content: first, permissions: "0600"}
- {path: /etc/late, content: second, defer: true}
--//
Content-Type: text/x-shellscript-per-boot

#!/bin/sh
each
--//
Content-Type: text/cloud-boothook

#!/bin/sh
hook
--//--
`))
	if err != nil {
		t.Fatal(err)
	}
	var ran []string
	c := &cloudInit{dir: t.TempDir(), root: t.TempDir(), id: "i-1", user: u}
	exists := func(path string) bool { _, err := os.Stat(filepath.Join(c.root, path)); return err == nil }
	c.run = func(s service) string {
		close(s.console)
		raw, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(string(raw)), "#!/bin/sh\n"), "\n", "; ")
		if exists("/etc/early") {
			line += " early"
		}
		if exists("/etc/late") {
			line += " late"
		}
		ran = append(ran, line)
		return "exit status 0"
	}
	c.early()
	c.final()
	want := []string{"hook", "boot", "each early late", "user early late", `one; 'two' 'it'\''s' early late`}
	if strings.Join(ran, "\n") != strings.Join(want, "\n") {
		t.Errorf("the first boot ran\n%s\nwant\n%s", strings.Join(ran, "\n"), strings.Join(want, "\n"))
	}
	if fi, err := os.Stat(filepath.Join(c.root, "/etc/early")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	ran = nil
	if err := os.WriteFile(filepath.Join(c.root, "/etc/early"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.early()
	c.final()
	if got := strings.Join(ran, "\n"); got != "hook early late\nboot early late\neach early late" {
		t.Errorf("the second boot ran\n%s", got)
	}
	if raw, _ := os.ReadFile(filepath.Join(c.root, "/etc/early")); string(raw) != "mine" {
		t.Errorf("the second boot wrote %q", raw)
	}
}
