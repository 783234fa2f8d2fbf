package main_test

import "embed"

//go:embed testdata/*.sh testdata/*.pl
var scripts embed.FS

// script is the text of a script in testdata. Shorter ones stand beside their test.
func script(name string) string {
	b, err := scripts.ReadFile("testdata/" + name)
	if err != nil {
		panic(err)
	}
	return string(b)
}
