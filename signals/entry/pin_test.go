package entry_test

import (
	"fmt"
	"go/build"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// `make build` leaves out, for whatever Go release, the layers that do not
// compile with it, and no other.
func TestPins(t *testing.T) {
	layers := []string{"usher_entry", "usher_threads", "usher_early"}
	pinned := func(minor int, tags ...string) (pins []string) {
		ctx := build.Default
		ctx.GOARCH, ctx.BuildTags, ctx.ReleaseTags = "amd64", tags, nil
		for n := range minor {
			ctx.ReleaseTags = append(ctx.ReleaseTags, fmt.Sprintf("go1.%d", n+1))
		}
		p, err := ctx.ImportDir(".", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range p.GoFiles {
			if layer, ok := strings.CutPrefix(name, "pin_"); ok {
				pins = append(pins, "usher_"+strings.TrimSuffix(layer, ".go"))
			}
		}
		return pins
	}
	verified := 0
	for minor := 24; minor < 32; minor++ {
		made, err := exec.Command("make", "-s", "-n", "-C", "../..", "build", "GOARCH=amd64", "CHECK=", fmt.Sprintf("GO_HERE=go1.%d.1", minor)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, made)
		}
		tags := strings.Fields(string(regexp.MustCompile(`-tags '(.*?)'`).FindSubmatch(made)[1]))
		pins := pinned(minor, layers...)
		for _, layer := range layers {
			builds, compiles := slices.Contains(tags, layer), !slices.Contains(pins, layer)
			warned := regexp.MustCompile("is built without .*" + layer + `\b.*, not verified`).Match(made)
			if builds != compiles || warned == builds {
				t.Errorf("Go 1.%d: make builds %s: %v; it compiles: %v; there is a warning: %v\n%s", minor, layer, builds, compiles, warned, made)
			}
			if compiles {
				verified++
			}
		}
	}
	if verified == 0 {
		t.Error("no layer is verified for any release")
	}
	// A layer takes those below it.
	for _, tags := range [][]string{{"usher_threads"}, {"usher_early"}, {"usher_entry", "usher_early"}, {"usher_threads", "usher_early"}} {
		if len(pinned(26, tags...)) == 0 {
			t.Errorf("%v compiles", tags)
		}
	}
}
