package lifecycle

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals"
)

// Every kind of event is answered or ignored in every phase, and not both.
func TestTableIsComplete(t *testing.T) {
	for p := range Phases {
		for k := range kinds {
			if answered, ignored := table[p][k] != nil, slices.Contains(ignored[p], k); answered == ignored {
				t.Errorf("%v, %v: answered is %v, and so is ignored", p, k, answered)
			}
		}
	}
	for k := range kinds {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	for v := range verbs {
		if v.String() == "" {
			t.Errorf("verb %d has no name", v)
		}
	}
	for p := range Phases {
		if p.String() == "" {
			t.Errorf("phase %d has no name", p)
		}
	}
}

var update = flag.Bool("update", false, "write docs/lifecycle.md")

const page = "../../docs/lifecycle.md"

// docs/lifecycle.md is made from the table and the comments here: go test
// ./supervisor/lifecycle -update
func TestPage(t *testing.T) {
	want := lifecyclePage(t)
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || string(got) != want {
		t.Errorf("docs/lifecycle.md is not what the table says (%v): go test ./supervisor/lifecycle -update", err)
	}
}

func lifecyclePage(t *testing.T) string {
	docs, constants := comments(t)
	var b strings.Builder
	b.WriteString("<!-- Made from the code: go test ./supervisor/lifecycle -update -->\n\n# The life of an app\n\n" +
		"What usher does about each event depends on the phase it is in. The whole of it is one table, `supervisor/lifecycle/table.go`,\n" +
		"and this page is made from it.\n\n![Which of usher's flags act in which phase of a container's life](pictures/lifecycle.svg)\n\n## Phases\n\n| phase | |\n|---|---|\n")
	for p := range Phases {
		fmt.Fprintf(&b, "| %v | %s |\n", p, constants[identifier(p.String())])
	}
	b.WriteString("\n## Events\n\n| event | |\n|---|---|\n")
	names := []string{"StopRequested", "Signalled", "TimeUp", "HookEnded", "AppStarted", "AppEnded", "NobodyLeft", "TrafficQuiet", "TrafficDrained"}
	for k := range kinds {
		fmt.Fprintf(&b, "| %v | %s |\n", k, constants[names[k]])
	}
	b.WriteString("\n## What follows\n\nAn event that is not listed in a phase changes nothing there.\n\n| phase | event | the machine's answer |\n|---|---|---|\n")
	used := map[string]bool{}
	for p := range Phases {
		for k := range kinds {
			if table[p][k] != nil {
				name := method(table[p][k])
				used[name] = true
				fmt.Fprintf(&b, "| %v | %v | `%s` |\n", p, k, name)
			}
		}
	}
	b.WriteString("\n## Answers\n\n")
	var list []string
	for name := range used {
		list = append(list, name)
	}
	slices.Sort(list)
	for _, name := range list {
		if docs[name] != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", name, strings.TrimPrefix(docs[name], name+" "))
		}
	}
	b.WriteString("\n## A stop on the time line\n\nWith a hold of 10s, a drain of 5s, a pre-stop hook of 3s and a grace period of 30s, if each takes as long as it may:\n\n" +
		"| after the request | phase | for at most |\n|---|---|---|\n")
	for _, step := range longestStop() {
		fmt.Fprintf(&b, "| %v | %v | %s |\n", step.at, step.phase, step.limit)
	}
	return b.String()
}

// identifier is the constant of a phase's name.
func identifier(name string) string {
	var id string
	for word := range strings.FieldsSeq(name) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func method(f func(*Machine, *Event)) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndexByte(name, '.')+1:]
}

// comments are those of methods and constants of this package.
func comments(t *testing.T) (methods, constants map[string]string) {
	methods, constants = map[string]string{}, map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				methods[decl.Name.Name] = strings.Join(strings.Fields(decl.Doc.Text()), " ")
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if value, ok := spec.(*ast.ValueSpec); ok && value.Comment != nil {
						constants[value.Names[0].Name] = strings.TrimSpace(value.Comment.Text())
					}
				}
			}
		}
	}
	return methods, constants
}

type line struct {
	at    time.Duration
	phase Phase
	limit string
}

// longestStop plays a stop in which each part takes as long as it may.
func longestStop() (lines []line) {
	o := Options{StopSignals: []signals.Signal{unix.SIGTERM}, Hold: 10 * time.Second, Drain: 5 * time.Second, HookTimeout: 3 * time.Second, PreStop: "hook",
		Grace: 30 * time.Second, Stragglers: 2 * time.Second}
	m := New(o.Timing())
	t0 := time.Unix(0, 0)
	m.Begin(t0)
	e := &Event{Kind: StopRequested, At: t0, Signal: term}
	for m.Phase() != Ended {
		m.Step(e)
		now := e.At
		next := Event{Kind: TimeUp, At: m.Deadline()}
		limit := "the end"
		if m.Phase() == Killing {
			next = Event{Kind: AppEnded, At: now.Add(10 * time.Millisecond), Failed: true, Last: true}
			limit = "a moment"
		} else if m.Phase() != Ended {
			limit = m.Deadline().Sub(now).String()
		}
		lines = append(lines, line{now.Sub(t0), m.Phase(), limit})
		e = &next
	}
	return lines
}
