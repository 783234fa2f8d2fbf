package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExamplesReadme: what the README of the examples links to and names in its
// commands is there.
func TestExamplesReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	there := func(what, path string) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	links := regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(text), -1)
	for _, link := range links {
		there("link", filepath.Join("..", link[1]))
	}
	commands := regexp.MustCompile("`([^`]+ [^`]+)`").FindAllStringSubmatch(string(text), -1)
	if len(links) < 6 || len(commands) < 6 {
		t.Errorf("%d links, %d commands", len(links), len(commands))
	}
	for _, command := range commands {
		words := strings.Fields(command[1])
		for i, word := range words {
			switch {
			case word == "make" && !strings.Contains(string(makefile), "\n"+words[i+1]+":"):
				t.Errorf("%s: no such target", command[1])
			case strings.Contains(word, "/"):
				there(command[1], filepath.Join("../..", word))
			}
		}
	}
}
