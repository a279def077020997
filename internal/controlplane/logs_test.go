package controlplane

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A log's writer has it open, and goes on in the new one.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	path := LogFile(dir, "api")
	w, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	read := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, c := range []struct{ write, now, before string }{
		{"0123456789", "", "0123456789"},
		{"abc", "abc", "0123456789"},
		{"defghij", "", "abcdefghij"},
	} {
		if _, err := w.WriteString(c.write); err != nil {
			t.Fatal(err)
		}
		if err := rotate(dir, 10); err != nil {
			t.Fatal(err)
		}
		if now, before := read(path), read(path+".1"); now != c.now || before != c.before {
			t.Errorf("after %q: %q and %q, want %q and %q", c.write, now, before, c.now, c.before)
		}
	}
}

// The audit log is another process's: the API server reads its policy once.
func TestAuditIsWrittenWhenAsked(t *testing.T) {
	off, on := golden(), golden()
	on.Audit = true
	f := filesFor(on, nil)
	if filesFor(off, nil).digest() == f.digest() {
		t.Error("the process stays as it was")
	}
	flags := apiServerFlags(on)
	if !slices.Contains(flags, "--audit-log-path="+on.Dir+"/audit.log") || !strings.Contains(string(f[auditPolicyFile]), "aws-auth") {
		t.Errorf("flags %v, policy %s", flags, f[auditPolicyFile])
	}
	if _, ok := filesFor(off, nil)[auditPolicyFile]; ok || strings.Contains(strings.Join(apiServerFlags(off), " "), "audit") {
		t.Error("it is written unasked")
	}
}
