// Skipped fails if a test was skipped that is not on the list. A skipped test
// proves nothing, and in CI nobody would notice.
//
//	go run .ci/skipped.go .ci/skips test.json
//
// test.json is the output of `go test -json`. A line of the list has a test, a
// part of the skip's message, and the reason why CI may skip the test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// entry is a line of the list.
type entry struct {
	test *regexp.Regexp // matches the package and the test
	says string
	used bool
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "skipped:", err)
		os.Exit(1)
	}
}

func run(listPath, eventsPath string) error {
	list, err := read(listPath)
	if err != nil {
		return err
	}
	events, err := os.Open(eventsPath)
	if err != nil {
		return err
	}
	defer events.Close()
	output := map[string]string{} // by test
	var unlisted []string
	tests := 0
	for decoder := json.NewDecoder(events); decoder.More(); {
		var event struct{ Action, Package, Test, Output string }
		if err := decoder.Decode(&event); err != nil {
			return fmt.Errorf("%s: %w", eventsPath, err)
		}
		name := event.Package + " " + event.Test
		switch {
		case event.Test == "":
		case event.Action == "output":
			output[name] += event.Output
		case event.Action == "pass" || event.Action == "fail":
			tests++
			delete(output, name)
		case event.Action == "skip":
			if !listed(list, name, output[name]) {
				unlisted = append(unlisted, strings.TrimSpace(name+"\n"+output[name]))
			}
		}
	}
	if tests == 0 {
		return fmt.Errorf("%s has no tests", eventsPath)
	}
	for _, e := range list {
		if !e.used {
			fmt.Printf("not skipped this time: %s\n", e.test)
		}
	}
	if len(unlisted) > 0 {
		return fmt.Errorf("%d tests were skipped and are not in %s. Install what they need (.ci/packages), "+
			"or add them with the reason:\n\n%s", len(unlisted), listPath,
			strings.Join(unlisted, "\n\n"))
	}
	return nil
}

func read(path string) (list []*entry, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, " | ")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: want TEST | WHAT IT SAYS | REASON", path, n)
		}
		test, err := regexp.Compile("^(?:" + strings.TrimSpace(fields[0]) + ")(?:/.*)?$")
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		list = append(list, &entry{test: test, says: strings.TrimSpace(fields[1])})
	}
	return list, lines.Err()
}

func listed(list []*entry, name, output string) bool {
	for _, e := range list {
		if e.test.MatchString(name) && strings.Contains(output, e.says) {
			e.used = true
			return true
		}
	}
	return false
}
