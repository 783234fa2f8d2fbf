package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rules are calls that only some files may have, beside tests. A general linter can forbid a name, but not keep an owner's list beside the reason.
var rules = []struct {
	calls  []string
	except []string // files and directories, relative to the module, with a slash at the end; or, with in, where it is forbidden alone
	in     bool
	why    string
}{
	{
		calls:  []string{"os.Exit", "syscall.Exit", "golang.org/x/sys/unix.Exit", "log.Fatal", "log.Fatalf"},
		except: []string{"bench/main.go", "cmd/usher/main.go", "cmd/usher-check/main.go", "examples/demo/main.go", "dockerfiles/scratch/app/", "cmd/usher/testdata/", "signals/testmain/"},
		why:    "only main ends the process: once the app is started, nothing else may be a reason to, since PID 1's end is the container's",
	},
	{
		calls: []string{"golang.org/x/sys/unix.Wait4", "golang.org/x/sys/unix.Waitid", "syscall.Wait4"},
		except: []string{"supervisor/process/reap.go", "supervisor/spawn/once.go", "supervisor/spawn/spawn.go", // one for the life of the app, one before it, one for a start that failed
			"bench/", "cmd/usher/testdata/", "signals/testmain/"},
		why: "one owner reaps: a second one takes statuses away that the first is waiting for",
	},
	{
		calls: []string{"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick", "time.Sleep"},
		in:    true,
		except: []string{"supervisor/lifecycle/", "supervisor/table.go", "supervisor/stop.go", "supervisor/plan.go", "supervisor/schedule.go", "supervisor/budget.go",
			"supervisor/restart.go"},
		why: "a stop is decided from the state, an event and a time that is given: so all orders of events can be tested",
	},
}

// source is a file of the module.
type source struct {
	path  string // relative to the module
	tree  *ast.File
	calls map[string]token.Position // qualified names that are used, "os.Exit"
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
			if name != "../.." && (moduleErr == nil || strings.HasPrefix(d.Name(), ".")) { // examples/kubernetes is a module of its own
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		tree, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel("../..", name)
		all = append(all, source{relative, tree, qualified(set, tree)})
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

// qualified finds all uses of what other packages export.
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
	matched := make([]int, len(rules))
	for _, file := range sources(t) {
		if strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		for i, rule := range rules {
			listed := slices.ContainsFunc(rule.except, func(name string) bool {
				return file.path == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file.path, name)
			})
			if listed {
				matched[i]++
			}
			if listed != rule.in {
				continue
			}
			for _, call := range rule.calls {
				if at, ok := file.calls[call]; ok {
					t.Errorf("%s: %s is not for this file: %s. If it has to be, add the file to the list in rules_test.go.", at, call, rule.why)
				}
			}
		}
	}
	for i, rule := range rules {
		if matched[i] == 0 {
			t.Errorf("no file is on the list of %s", rule.calls[0])
		}
	}
}

// Tests that start processes are in a package whose TestMain gives them a state that is not the caller's, and looks for what they leave behind.
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

// A script that no test uses is dead.
func TestScriptsAreUsed(t *testing.T) {
	used := map[string]bool{}
	for _, file := range sources(t) {
		ast.Inspect(file.tree, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && fmt.Sprint(call.Fun) == "script" && len(call.Args) == 1 {
				if literal, ok := call.Args[0].(*ast.BasicLit); ok {
					name, _ := strconv.Unquote(literal.Value)
					used[name] = true
				}
			}
			return true
		})
	}
	entries, err := scripts.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !used[entry.Name()] {
			t.Errorf("no test uses testdata/%s", entry.Name())
		}
	}
}
