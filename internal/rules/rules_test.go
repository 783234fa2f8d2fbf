// Package rules holds the rules of this project alone: `make lint` runs them.
package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rules are calls that only some files may have, besides tests. A general
// linter can forbid a name, but cannot keep a list of its owners with the
// reason.
var rules = []struct {
	calls  []string
	except []string // files and directories, relative to the module, with a slash at the end
	in     bool     // the calls are forbidden in except, and allowed elsewhere
	why    string
}{
	{
		calls: []string{
			"os.Exit", "syscall.Exit", "golang.org/x/sys/unix.Exit", "log.Fatal", "log.Fatalf",
		},
		except: []string{
			"bench/main.go", "cmd/usher/main.go", "cmd/usher-check/main.go", "examples/demo/main.go",
			"examples/plan/main.go",
			"dockerfiles/scratch/app/", "cmd/usher/testdata/", "signals/testmain/",
		},
		why: "only main ends the process: PID 1's end is the container's, " +
			"so nothing else may end it once the app is started",
	},
	{
		calls: []string{"golang.org/x/sys/unix.Wait4", "golang.org/x/sys/unix.Waitid", "syscall.Wait4"},
		except: []string{
			"supervisor/process/reap.go", // for the life of the app
			"supervisor/spawn/once.go",   // before it
			"supervisor/spawn/spawn.go",  // after a start that failed
			"bench/", "cmd/usher/testdata/", "signals/testmain/",
		},
		why: "one owner reaps: a second one takes statuses away that the first one waits for",
	},
	{
		calls: []string{
			"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer",
			"time.NewTicker", "time.Tick", "time.Sleep",
		},
		in:     true,
		except: []string{"supervisor/lifecycle/"},
		why: "a stop is decided from the state, an event and a given time, " +
			"so that tests can try all orders of events",
	},
}

// source is a file of the module.
type source struct {
	path  string // relative to the module
	set   *token.FileSet
	tree  *ast.File
	calls map[string]token.Position // uses of names of other packages, such as os.Exit
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			_, moduleErr := os.Stat(filepath.Join(name, "go.mod"))
			// examples/kubernetes is a module of its own.
			if name != "../.." && (moduleErr == nil || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		tree, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel("../..", name)
		all = append(all, source{relative, set, tree, qualified(set, tree)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

// qualified returns all uses of the exported names of other packages.
func qualified(set *token.FileSet, tree *ast.File) map[string]token.Position {
	imports := map[string]string{}
	for _, spec := range tree.Imports {
		from, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(from)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = from
	}
	used := map[string]token.Position{}
	ast.Inspect(tree, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && imports[x.Name] != "" {
				used[imports[x.Name]+"."+selector.Sel.Name] = set.Position(selector.Pos())
			}
		}
		return true
	})
	return used
}

func TestRules(t *testing.T) {
	matched := map[string]bool{}
	for _, file := range sources(t) {
		if strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		for _, rule := range rules {
			if listed(file.path, rule.except, matched) != rule.in {
				continue
			}
			for _, call := range rule.calls {
				if at, ok := file.calls[call]; ok {
					t.Errorf("%s: %s is not for this file: %s", at, call, rule.why)
				}
			}
		}
	}
	for _, rule := range rules {
		for _, name := range rule.except {
			if !matched[name] {
				t.Errorf("%q, an exception for %s, is not there", name, rule.calls[0])
			}
		}
	}
}

// listed reports whether a file is among names, and notes in matched which of
// them it is. A name with a slash at its end is a directory.
func listed(file string, names []string, matched map[string]bool) (found bool) {
	for _, name := range names {
		if file == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file, name) {
			matched[name], found = true, true
		}
	}
	return found
}

// A package whose tests start processes has a TestMain that calls testmain.Main,
// so that the tests do not depend on the caller's state, and leave no process.
func TestProcessesHaveAKeeper(t *testing.T) {
	starts, kept := map[string]token.Position{}, map[string]bool{}
	for _, file := range sources(t) {
		dir := path.Dir(file.path)
		for _, call := range []string{"os/exec.Command", "os/exec.CommandContext", "os.StartProcess", "syscall.ForkExec"} {
			if at, ok := file.calls[call]; ok && strings.HasSuffix(file.path, "_test.go") {
				starts[dir] = at
			}
		}
		if _, ok := file.calls["usher/signals/testmain.Main"]; ok {
			kept[dir] = true
		}
	}
	if len(starts) < 8 {
		t.Errorf("only %d packages start processes?", len(starts))
	}
	for dir, at := range starts {
		if !kept[dir] && dir != "signals/testmain" {
			t.Errorf("%s: a process is started, but the package's TestMain does not call testmain.Main", at)
		}
	}
}
