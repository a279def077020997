package ami

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"ekster.dev/ekster/internal/region"
)

func TestImages(t *testing.T) {
	form := regexp.MustCompile(`^ami-0[0-9a-f]{16}$`)
	seen := map[string]string{}
	for _, r := range region.All() {
		for _, i := range All(r.Name) {
			if other, ok := seen[i.ID]; ok || !form.MatchString(i.ID) {
				t.Errorf("%s of %s in %s; also %s", i.ID, i.Name, r.Name, other)
			}
			seen[i.ID] = i.Name
			if got, ok := ByID(r.Name, i.ID); !ok || got != i {
				t.Errorf("%s: got %+v, %v", i.ID, got, ok)
			}
			if i.Created.IsZero() || !strings.HasPrefix(i.Release, i.Minor+".") && i.Variant != Bottlerocket {
				t.Errorf("odd image %+v", i)
			}
		}
	}
	if _, ok := ByID("us-east-1", All("us-west-2")[0].ID); ok {
		t.Error("an image of another region is found")
	}
}

// Ids must never change: launch templates and node groups keep them.
func TestIDsAreStable(t *testing.T) {
	i, ok := Recommended("us-west-2", "1.35", X8664, Standard)
	if !ok || i.ID != "ami-002d49e91d9213f78" {
		t.Fatalf("got %+v, %v", i, ok)
	}
}

func TestParameters(t *testing.T) {
	i, _ := Recommended("us-west-2", "1.36", ARM64, Standard)
	base := "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/arm64/standard/"
	for name, want := range map[string]string{
		"recommended/image_id":        i.ID,
		"recommended/image_name":      i.Name,
		"recommended/release_version": i.Release,
		i.Name + "/image_id":          i.ID,
	} {
		if got, ok := Parameter("us-west-2", base+name); !ok || got != want {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
	raw, ok := Parameter("us-west-2", base+"recommended")
	var all map[string]string
	if err := json.Unmarshal([]byte(raw), &all); !ok || err != nil || all["image_id"] != i.ID {
		t.Errorf("got %s, %v, %v", raw, ok, err)
	}
	for _, no := range []string{
		base + "recommended/image", base, base + "recommended/image_id/x", strings.Replace(base, "1.36", "1.99", 1) + "recommended/image_id",
		strings.Replace(base, "standard", "nvidia", 1) + "recommended/image_id", "/aws/service/x", "",
	} {
		if got, ok := Parameter("us-west-2", no); ok {
			t.Errorf("%s: got %q", no, got)
		}
	}
}

func TestBottlerocketParameters(t *testing.T) {
	i, ok := Recommended("us-west-2", "1.36", ARM64, Bottlerocket)
	if !ok || i.Name != "bottlerocket-aws-k8s-1.36-arm64-v1.60.0-5d1e8c2a" {
		t.Fatalf("got %+v, %v", i, ok)
	}
	for name, want := range map[string]string{
		"latest/image_id": i.ID, "1.60.0/image_id": i.ID, "1.60.0-5d1e8c2a/image_id": i.ID, "latest/image_version": i.Release,
		"latest": "", "latest/image_name": "", "1.59.0/image_id": "", "latest/image_id/x": "",
	} {
		if got, ok := Parameter("us-west-2", "/aws/service/bottlerocket/aws-k8s-1.36/arm64/"+name); ok != (want != "") || got != want {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
}
