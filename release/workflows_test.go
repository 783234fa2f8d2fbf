package main

import (
	"os"
	"regexp"
	"testing"
)

// CI, releases and whoever builds one again have the same Go: what go.mod pins
// is in the release tool's go.mod and in the workflows.
func TestPinnedGo(t *testing.T) {
	want := pinned(t)
	for path, pattern := range map[string]string{
		"go.mod":                           `(?m)^toolchain (\S+)$`,
		"../.github/workflows/ci.yml":      `golang:([0-9]\S+)-bookworm`,
		"../.github/workflows/release.yml": `golang:([0-9]\S+)-bookworm`,
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s names no Go release", path)
		}
		for _, m := range found {
			if string(m[1]) != want && "go"+string(m[1]) != want {
				t.Errorf("%s has Go %s, go.mod has %s", path, m[1], want)
			}
		}
	}
}
