package nodeconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCloudConfig(t *testing.T) {
	const first = `#cloud-config
bootcmd:
- echo boot
runcmd:
- echo one
- [sh, -c, "echo two"]
-
ssh_authorized_keys: [ssh-ed25519 AAAA k]
write_files:
- path: /etc/a
  content: |
    text
- path: /run/b
  content: aGVsbG8=
  encoding: b64
  owner: ec2-user:ec2-user
  permissions: '0600'
- path: /c
  append: true
  defer: true
  permissions: 0755
  encoding: gz+b64
  content: H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==
`
	want := CloudConfig{
		BootCommands: []Command{{Line: "echo boot"}},
		Commands:     []Command{{Line: "echo one"}, {Args: []string{"sh", "-c", "echo two"}}},
		Keys:         []string{"ssh-ed25519 AAAA k"},
		Files: []File{
			{Path: "/etc/a", Content: []byte("text\n"), Mode: 0o644},
			{Path: "/run/b", Content: []byte("hello"), Mode: 0o600, Owner: "ec2-user:ec2-user"},
			{Path: "/c", Content: []byte("hello"), Mode: 0o755, Append: true, Defer: true},
		},
	}
	got, err := Parse([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Cloud); d != "" {
		t.Error(d)
	}
	for how, want := range map[string][]Command{
		"":                                       {{Line: "three"}},
		"merge_how: list(append)+dict()+str()\n": {{Line: "echo one"}, {Args: []string{"sh", "-c", "echo two"}}, {Line: "three"}},
		"merge_how: [{name: list, settings: [append]}]\n": {{Line: "echo one"}, {Args: []string{"sh", "-c", "echo two"}}, {Line: "three"}},
	} {
		got, err := parseCloudConfig([][]byte{[]byte(first), []byte(how + "runcmd: [three]\n")})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.Commands); d != "" {
			t.Errorf("%q: %s", how, d)
		}
	}
}

func TestCloudConfigRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"runcmd: true":                              "runcmd is no list",
		"runcmd: [{a: b}]":                          "item 1 of runcmd is neither a string nor a list",
		"write_files: [{content: a}]":               "item 1 of write_files has no path",
		"write_files: [{path: a, permissions: rw}]": "permissions of a",
		"write_files: [{path: a, encoding: rot13}]": `the encoding "rot13" is not known`,
		"a: b: c": "reading a cloud-config",
	} {
		_, err := Parse([]byte("#cloud-config\n" + in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}
