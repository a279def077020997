package main

import (
	"strings"
	"testing"
)

// Order is kept, since members are fields, and unknown keys are added.
func TestMergePatch(t *testing.T) {
	got, err := mergePatch([]byte(`{"b":1,"a":{"z":1,"y":{"k":2}},"gone":0}`), []byte(`{"a":{"y":{"k":3},"new":[1]},"gone":null,"c":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"b":1,"a":{"z":1,"y":{"k":3},"new":[1]},"c":"x"}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if _, err := mergePatch([]byte(`{"a":`), []byte(`{}`)); err == nil {
		t.Error("half a document was patched")
	}
}

func TestEnumName(t *testing.T) {
	for value, want := range map[string]string{
		"CREATE_FAILED": "CreateFailed", "t3.medium": "T3Medium", "AL2023_x86_64_STANDARD": "Al2023X8664Standard", "VersionUpdate": "VersionUpdate", "opt-in-not-required": "OptInNotRequired",
	} {
		if got := enumName(value); got != want {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
	}
}

// A trait that is not understood must stop the generator.
func TestUnknownTrait(t *testing.T) {
	_, err := parseModel([]byte(`{"shapes":{"A":{"type":"structure","members":{"b":{"shape":"B","streaming":true}}}}}`))
	if err == nil || !strings.Contains(err.Error(), "streaming") {
		t.Errorf("%v", err)
	}
}
