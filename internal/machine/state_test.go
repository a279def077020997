package machine

import (
	"os"
	"path/filepath"
	"testing"

	"ekster.dev/ekster/internal/machine/spec"
)

// What a power loss has torn is in nobody's way: the instance is as if it had never been
// started, and can be removed.
func TestTornFilesCountAsNone(t *testing.T) {
	for _, content := range []string{"", "{\"generation\": 1", "\x00\x00\x00\x00"} {
		dir := filepath.Join(t.TempDir(), "i-0123456789abcdef0")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{stateFile(dir), specFile(dir), filepath.Join(dir, initName+".json")} {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if st, ok, err := Find(dir); err != nil || ok {
			t.Errorf("%q: Find says %+v, %v, %v", content, st, ok, err)
		}
		if err := WaitExit(t.Context(), dir); err != nil {
			t.Errorf("%q: WaitExit: %v", content, err)
		}
		if err := Stop(t.Context(), dir); err != nil {
			t.Errorf("%q: Stop: %v", content, err)
		}
		if err := Remove(t.Context(), dir); err != nil {
			t.Errorf("%q: Remove: %v", content, err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%q: %s is still there: %v", content, dir, err)
		}
	}
}

func TestStateIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	want := state{Generation: 3, Starts: 2, PID: 7}
	if err := saveState(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := loadState(dir); err != nil || !ok || got != want {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	if err := spec.Write(specFile(dir), spec.Instance{ID: "i-1", Cgroup: "/c"}); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := readSpec(dir); err != nil || !ok || got.Cgroup != "/c" {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}

func TestLackControllers(t *testing.T) {
	const v1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t1\t4\t1\ncpu\t2\t4\t1\nmemory\t3\t4\t0\npids\t0\t1\t1\n"
	for _, c := range []struct{ v1, v2, lacks string }{
		{v1, "", "no controller memory, pids"},
		{v1, "memory pids\n", ""},
		{"", "cpuset cpu io memory hugetlb pids rdma\n", ""},
		{"", "cpu\n", "no controller cpuset, memory, pids"},
	} {
		said := ""
		if err := lackControllers(c.v1, c.v2); err != nil {
			said = err.Error()
		}
		if said != c.lacks {
			t.Errorf("%q and %q: %q, want %q", c.v1, c.v2, said, c.lacks)
		}
	}
}
