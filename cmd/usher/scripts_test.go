package main_test

import (
	"embed"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/*.sh testdata/*.pl
var scripts embed.FS

// script returns the text of a script in testdata. Shorter scripts stand beside
// their test.
func script(name string) string {
	b, err := scripts.ReadFile("testdata/" + name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// A script that no test uses is dead.
func TestScriptsAreUsed(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests found: ", err)
	}
	var tests strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	entries, err := scripts.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.Contains(tests.String(), `script("`+entry.Name()+`")`) {
			t.Errorf("no test uses testdata/%s", entry.Name())
		}
	}
}
