package podidentity

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// Each file of testdata is a case: the identity, the pod, and the patch that is made of it,
// with a line of dashes between.
const separator = "----------\n"

func TestMutateGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.SplitN(string(raw), separator, 3)
			if len(parts) < 2 {
				t.Fatal("no identity and pod")
			}
			var id identity
			var pod core.Pod
			if err := yaml.UnmarshalStrict([]byte(parts[0]), &id); err != nil {
				t.Fatal(err)
			}
			if err := yaml.UnmarshalStrict([]byte(parts[1]), &pod); err != nil {
				t.Fatal(err)
			}
			patch := mutate(pod, id)
			asJSON, err := json.Marshal(patch) // the patch's own names of fields
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.JSONToYAML(asJSON)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(parts[0]+separator+parts[1]+separator+string(got)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(parts) < 3 || parts[2] != string(got) {
				t.Errorf("%s (go test -update writes it): got\n%s", file, got)
			}
		})
	}
}
