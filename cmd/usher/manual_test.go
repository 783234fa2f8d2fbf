package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"usher/internal/manual"
)

// The manual pages say what the code does: each of these tests fails where the
// code has something that no page has, and the other way round.

const manuals = "../../docs/man/"

func readManual(t *testing.T, name string) manual.Page {
	t.Helper()
	page, err := manual.Read(manuals + name)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// A flag is what the code has of one.
type flag struct {
	short        string
	takesValue   bool
	defaultValue any // time.Duration, int or string; nil where the value is of another kind
	asks         bool
}

// registeredFlags are those of usher itself.
func registeredFlags(t *testing.T) map[string]flag {
	t.Helper()
	flags := map[string]flag{}
	// parse keeps its flags to itself, but for another init's words.
	spy := &personality{begin: func(m *mimicry) {
		for _, s := range m.o.settings {
			f := flag{asks: s.asks, takesValue: true}
			if s.short != 0 {
				f.short = string(s.short)
			}
			switch value := s.value.(type) {
			case *bool:
				f.takesValue = false
			case *time.Duration:
				f.defaultValue = *value
			case *int:
				f.defaultValue = *value
			case *string:
				f.defaultValue = *value
			}
			flags[s.name] = f
		}
	}}
	if _, err := parse(spy, []string{"true"}, nil); err != nil {
		t.Fatal(err)
	}
	return flags
}

// noDefault are flags with a value that do nothing unless they are given.
var noDefault = []string{"user", "parent-death-signal", "post-start", "pre-stop", "post-stop", "probe", "install"}

func TestManualHasEveryFlag(t *testing.T) {
	flags := registeredFlags(t)
	seen := map[string]bool{}
	for _, item := range readManual(t, "usher.1").Items {
		if len(item.Args["Fl"]) == 0 {
			continue
		}
		words := item.Args["Fl"]
		name := strings.TrimPrefix(words[len(words)-1], "-")
		f, ok := flags[name]
		if !ok || seen[name] {
			t.Errorf("usher(1) has --%s, which is no flag or is there twice", name)
			continue
		}
		seen[name] = true
		if short := strings.Join(words[:len(words)-1], " "); short != f.short {
			t.Errorf("usher(1) has %q as the short name of --%s, which is %q", short, name, f.short)
		}
		if f.takesValue != (len(item.Args["Ar"]) > 0) {
			t.Errorf("usher(1): does --%s take a value? %v", name, f.takesValue)
			continue
		} else if !f.takesValue {
			continue
		}
		says, ok := item.Default()
		switch {
		case slices.Contains(noDefault, name) || strings.Contains(item.Text, "Repeatable") || strings.Contains(item.Text, "By default,"):
		case !ok:
			t.Errorf("usher(1) does not say what the default of --%s is: The default is .Li %v", name, f.defaultValue)
		case f.defaultValue == nil:
			without, _ := parse(nil, []string{"true"}, nil)
			with, err := parse(nil, []string{"--" + name, says, "true"}, nil)
			without.settings, with.settings = nil, nil
			if err != nil || !reflect.DeepEqual(with, without) {
				t.Errorf("usher(1) has %q as the default of --%s: %v", says, name, err)
			}
		default:
			if d, err := time.ParseDuration(says); err == nil && says != "0" {
				says = d.String()
			}
			if want := fmt.Sprint(f.defaultValue); says != want {
				t.Errorf("usher(1) has %q as the default of --%s, which is %q", says, name, want)
			}
		}
	}
	for name, f := range flags {
		if !seen[name] {
			t.Errorf("docs/man/usher.1 does not have --%s: write .It Fl -%s, what it does, and its default (%v)", name, name, f.defaultValue)
		}
	}
}

func TestManualHasEveryVariable(t *testing.T) {
	says := readManual(t, "usher.1").Sections["ENVIRONMENT"]
	rule, list, _ := strings.Cut(says, ".Bl")
	for name, f := range registeredFlags(t) {
		if named := strings.Contains(rule, ".Fl -"+name+"\n") || strings.Contains(rule, ".Fl -"+name+" ,\n"); named != f.asks && name != "term-delay" {
			t.Errorf("usher(1), ENVIRONMENT: does --%s have no variable? It says %v", name, named)
		}
	}
	meansSomethingElse := []string{"EXTEND_TIMEOUT_USEC", "TIME_WAIT"} // a word of sd_notify, a socket's state
	variables := regexp.MustCompile(`^(?:PATH|HOME|[A-Z]+_[A-Z_]*)=?$`)
	found := 0
	for literal, at := range literals(t) {
		name := strings.TrimSuffix(literal, "=")
		switch {
		case !variables.MatchString(literal) || strings.HasPrefix(name, envPrefix) || slices.Contains(meansSomethingElse, name):
		case regexp.MustCompile(`^(TINI|DUMB_INIT|CATATONIT)_`).MatchString(name): // TestManualHasOtherInits
		case !regexp.MustCompile(`\b` + name).MatchString(list):
			t.Errorf("usher(1), ENVIRONMENT, does not have %s: %s", name, at)
		default:
			found++
		}
	}
	if found < 5 {
		t.Errorf("only %d variables were found in the code", found)
	}
}

func TestManualHasOtherInits(t *testing.T) {
	_, says, _ := strings.Cut(readManual(t, "usher.1").Sections["DESCRIPTION"], ".Ss By another name")
	items := map[string]manual.Item{}
	for _, item := range readManual(t, "usher.1").Items {
		if strings.HasSuffix(item.Section, "/By another name") {
			items[item.Word] = item
		}
	}
	for _, p := range []*personality{&tini, &dumbInit, &catatonit} {
		for _, name := range p.names {
			if !strings.Contains(says, ".Nm "+name+"\n") && !strings.Contains(says, ".Nm "+name+" ,\n") {
				t.Errorf("usher(1) does not say what it does as %s", name)
			}
		}
		text := items[p.names[0]].Text
		for _, f := range p.flags {
			if f.short != 0 && !regexp.MustCompile(`[ ]`+string(f.short)+` [,;]`).MatchString(text) || f.name != "" && !strings.Contains(text, " -"+f.name+" ") {
				t.Errorf("usher(1) does not have -%c, --%s of %s", f.short, f.name, p.names[0])
			}
		}
		for _, v := range p.variables {
			if !regexp.MustCompile(`\b` + v.name + `\b`).MatchString(text) {
				t.Errorf("usher(1) does not have %s of %s", v.name, p.names[0])
			}
		}
	}
}

func TestManualHasEveryFile(t *testing.T) {
	var named []string
	for _, item := range readManual(t, "usher.1").Items {
		if item.Section == "FILES" {
			named = append(named, item.Args["Pa"]...)
		}
	}
	absolute := regexp.MustCompile(`^/(?:dev|etc|proc|sys|run|tmp|bin|var)\b[a-z/_.-]*$`)
	used := map[string]bool{"usher-check": true}
	for literal, at := range literals(t) {
		literal = strings.TrimSuffix(literal, "\x00")
		if !absolute.MatchString(literal) {
			continue
		}
		i := slices.IndexFunc(named, func(name string) bool { return literal == name || strings.HasPrefix(literal, name+"/") })
		if i < 0 {
			t.Errorf("usher(1), FILES, does not have %s: %s", literal, at)
			continue
		}
		used[named[i]] = true
	}
	for _, name := range named {
		if !used[name] {
			t.Errorf("usher(1), FILES, has %s, which the code does not use", name)
		}
	}
}

func TestManualHasEveryExitCode(t *testing.T) {
	inPage := map[string]bool{}
	for _, item := range readManual(t, "usher.1").Items {
		if item.Section == "EXIT STATUS" {
			inPage[item.Word] = true
		}
	}
	codes := constants(t, "../../supervisor/exitcode", "")
	if len(codes) < 5 {
		t.Errorf("only %d exit codes in the code", len(codes))
	}
	for name, code := range codes {
		if !inPage[code] {
			t.Errorf("usher(1), EXIT STATUS, does not have %s, exitcode.%s", code, name)
		}
		delete(inPage, code)
	}
	delete(inPage, "128+n")
	for code := range inPage {
		t.Errorf("usher(1), EXIT STATUS, has %s, which is in no constant", code)
	}
}

// The members of the JSON object are what lastword/json.go calls its methods
// with.
func TestManualHasEveryReasonAndMember(t *testing.T) {
	page := readManual(t, "usher-termination.5")
	inPage := map[string]bool{}
	for _, item := range page.Items {
		if strings.HasSuffix(item.Section, "/Reasons") {
			inPage[item.Word] = true
		}
		for _, word := range item.Args["Sy"] {
			inPage[word] = true
		}
		for _, m := range regexp.MustCompile(`(?m)^\.Sy (.*)$`).FindAllStringSubmatch(item.Text, -1) { // of a process in a list
			for _, word := range strings.Fields(m[1]) {
				inPage[word] = true
			}
		}
	}
	delete(inPage, ",")
	delete(inPage, ".")
	want := map[string]bool{}
	for _, reason := range constants(t, "../../supervisor/lastword", "Reason") {
		text, _ := strconv.Unquote(reason)
		want[text] = true
	}
	reasons := len(want)
	tree, err := parser.ParseFile(token.NewFileSet(), "../../supervisor/lastword/json.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		args := call.Args
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr: // o.String("hint", …)
			if x, ok := f.X.(*ast.Ident); !ok || x.Name != "o" {
				return true
			}
		case *ast.Ident: // addProcesses(&o, "killed", …)
			if !strings.HasPrefix(f.Name, "add") {
				return true
			}
			args = args[1:]
		}
		if len(args) > 0 {
			if literal, ok := args[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				name, _ := strconv.Unquote(literal.Value)
				want[name] = name != ""
			}
		}
		return true
	})
	if reasons < 9 || len(want) < reasons+30 {
		t.Errorf("only %d reasons and %d members in the code", reasons, len(want)-reasons)
	}
	for name, is := range want {
		if is && !inPage[name] {
			t.Errorf("usher-termination(5) does not have %s", name)
		}
		delete(inPage, name)
	}
	for name := range inPage {
		t.Errorf("usher-termination(5) has %s, which the code has not", name)
	}
}

// Mandoc looks for the pages that others refer to where they are installed, so
// that is looked at here.
func TestManualIsClean(t *testing.T) {
	pages, err := filepath.Glob(manuals + "*.[15]")
	if err != nil || len(pages) < 3 {
		t.Fatalf("%q, %v", pages, err)
	}
	references := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\.Xr (\S+) (\d)`).FindAllStringSubmatch(string(text), -1) {
			references++
			if !slices.Contains(pages, manuals+m[1]+"."+m[2]) {
				t.Errorf("%s refers to %s(%s), which is not there", page, m[1], m[2])
			}
		}
	}
	if references < 4 {
		t.Errorf("only %d references were found", references)
	}
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed (apt-get install mandoc)")
	}
	out, err := exec.Command("mandoc", append([]string{"-Tlint", "-Wall"}, pages...)...).Output()
	if len(out) == 0 && err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "referenced manual not found: Xr usher") {
			t.Error(line)
		}
	}
}

// literals are the strings in usher's own code, and where one of them is.
func literals(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	set := token.NewFileSet()
	for _, dir := range []string{"../../cmd/usher", "../../supervisor", "../../healthz", "../../signals", "../../internal"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && slices.Contains([]string{"testdata", "testmain", "manual"}, d.Name()):
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			tree, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if s, err := strconv.Unquote(literal.Value); err == nil {
						found[s] = set.Position(literal.Pos()).String()
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 500 {
		t.Errorf("only %d strings were found", len(found))
	}
	return found
}

// constants are the exported constants of a package with a literal value, of a
// type if there is to be one, by name.
func constants(t *testing.T, dir, typeName string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				value := spec.(*ast.ValueSpec)
				of, _ := value.Type.(*ast.Ident)
				if (of == nil) != (typeName == "") || of != nil && of.Name != typeName || !value.Names[0].IsExported() || len(value.Values) == 0 {
					continue
				}
				if literal, ok := value.Values[0].(*ast.BasicLit); ok {
					found[value.Names[0].Name] = literal.Value
				}
			}
		}
	}
	return found
}
