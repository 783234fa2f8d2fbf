package event

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	ushers "usher/internal/json"
)

var update = flag.Bool("update", false, "write docs/reference")

// whole is an event with something in every field.
func whole(k Kind) *Event {
	return &Event{Kind: k, At: time.Unix(1, 0), Phase: "holding", Signal: "SIGTERM", Sender: "sh (pid 7)", SentAs: "SIGQUIT", Check: "ready-1",
		Hook: "pre-stop", Command: "nginx", Processes: "nginx (pid 8)", Reason: "connection refused", Message: "words", Took: 1234 * time.Millisecond,
		Limit: 90 * time.Second, Quiet: 5 * time.Second, PID: 8, ExitCode: 3, Count: 4}
}

// Every event has a name, and a text that names only fields there are; events
// of one name have one level for each text.
func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for k := range Kinds {
		d := &table[k]
		if !name.MatchString(d.name) || d.text == "" || d.level > Silent {
			t.Errorf("kind %d: %+v", k, *d)
			continue
		}
		text, short := whole(k).Text(), whole(k).Short(time.Second)
		if strings.ContainsAny(text+short, "{}[]") || (short == "") == whole(k).InTimeline() {
			t.Errorf("%s: %q, %q", d.name, text, short)
		}
		if d.level == Silent && d.short == "" {
			t.Errorf("%s is shown nowhere", d.name)
		}
		for _, f := range regexp.MustCompile(`\{[^}]*\}`).FindAllString(d.text+d.also+strings.ReplaceAll(d.short, "{at}", ""), -1) {
			parseField(strings.Trim(f, "{}")) // panics
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		event Event
		want  string
	}{
		{Event{Kind: Held, Signal: "SIGTERM", Sender: "outside the container", Limit: 90 * time.Second}, "SIGTERM from outside the container, held back for 1m30s"},
		{Event{Kind: Ready, Took: 1234567 * time.Microsecond}, "ready after 1.2s"},
		{Event{Kind: Ready, Took: 1234567 * time.Microsecond, Count: 3}, "ready after 1.2s (3 changes)"},
		{Event{Kind: AppEnded}, "the app ended with exit code 0"},
		{Event{Kind: Problem, Message: "open [x]: {at} {nothing}"}, "open [x]: {at} {nothing}"},
	} {
		if got := c.event.Text(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		event Event
		want  string
	}{
		{*whole(Held), `{"event":"held","signal":"SIGTERM","sender":"sh (pid 7)","limitSeconds":90}`},
		{*whole(NotReady), `{"event":"not-ready","check":"ready-1","reason":"connection refused","count":4}`},
		{Event{Kind: Ended, Reason: "Completed", Message: "Completed: exit code 0"}, `{"event":"ended","reason":"Completed","exitCode":0}`},
		{Event{Kind: Ready, Took: 1234567 * time.Microsecond}, `{"event":"ready","seconds":1.235}`},
		{Event{Kind: StopRequested}, `{"event":"stop-requested"}`},
	} {
		var o ushers.Object
		o.Begin("", '{')
		c.event.AppendFields(&o)
		o.End('}')
		if string(o) != c.want {
			t.Errorf("got %s, want %s", o, c.want)
		}
	}
}

// The reference has every event, with what its comment in the source says.
func TestReference(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "table.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var when []string
	ast.Inspect(file, func(n ast.Node) bool {
		if d, ok := n.(*ast.GenDecl); ok && d.Tok == token.CONST {
			for _, s := range d.Specs {
				when = append(when, strings.TrimSpace(strings.ReplaceAll(s.(*ast.ValueSpec).Doc.Text(), "\n", " ")))
			}
		}
		return true
	})
	if len(when) != int(Kinds)+1 {
		t.Fatalf("%d comments for %d events", len(when), Kinds)
	}
	var b strings.Builder
	b.WriteString("# Events\n\n<!-- Made by `go test ./supervisor/event -update` from supervisor/event/table.go. -->\n\n" + intro)
	b.WriteString("\n| event | level | when | text | other fields |\n|---|---|---|---|---|\n")
	for k := range Kinds {
		d := &table[k]
		if when[k] == "" {
			t.Errorf("%s has no comment", d.name)
		}
		also := strings.ReplaceAll(strings.Trim(d.also, "{}"), "}{", "`, `")
		if also != "" {
			also = "`" + also + "`"
		}
		if d.level == Silent {
			d.text = "– (" + d.text + ")"
		}
		line := ""
		if d.short != "" {
			line = "; timeline"
		}
		fmt.Fprintf(&b, "| `%s` | %s%s | %s | %s | %s |\n", d.name, strings.Replace(d.level.String(), "silent", "–", 1), line, when[k], "`"+d.text+"`", also)
	}
	golden(t, "../../docs/reference/events.md", b.String())
}

const intro = "With `--log-format json` each line that usher writes to stderr is one object: `time` (RFC 3339, UTC, milliseconds), `level`, `event`,\n" +
	"the event's fields, and `msg`, the text that the plain log has. A field that is zero is left out, except `exitCode`. Times end in\n" +
	"`Seconds`, or are `seconds`: how long something took. Names of events and fields are stable; texts are not.\n\n" +
	"`-q` shows errors only, `-v` shows debug events too. What is marked *timeline* is kept for `/timeline`, for the last word, and for the\n" +
	"line `timeline` at the end with `-v`. A line that a hook has written has `hook` and `msg`, and no `event`.\n" +
	"The JSON Schema is [log.schema.json](log.schema.json).\n"

// The schema names each event, and the fields that it may have.
func TestSchema(t *testing.T) {
	type object = map[string]any
	properties := object{
		"time":  object{"type": "string", "pattern": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`},
		"level": object{"enum": []string{"error", "info", "debug"}},
		"msg":   object{"type": "string"},
	}
	list, seen := []string{}, map[string]bool{}
	var rules []object
	for f := range fields {
		kind := "string"
		switch {
		case f >= pid:
			kind = "integer"
		case f >= seconds:
			kind = "number"
		case f == message:
			continue
		}
		properties[names[f]] = object{"type": kind}
	}
	for k := range Kinds {
		if seen[table[k].name] {
			continue
		}
		seen[table[k].name] = true
		list = append(list, table[k].name)
		without := object{}
		for f := range fields {
			used := false
			for other := range Kinds {
				used = used || table[other].name == table[k].name && uses(other, f)
			}
			if !used && f != message {
				without[names[f]] = false
			}
		}
		rules = append(rules, object{"if": object{"properties": object{"event": object{"const": table[k].name}}, "required": []string{"event"}}, "then": object{"properties": without}})
	}
	properties["event"] = object{"enum": list}
	schema := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A line of usher's log with --log-format json",
		"type": "object", "properties": properties, "required": []string{"time", "level", "msg"}, "additionalProperties": false,
		"anyOf": []object{{"required": []string{"event"}}, {"required": []string{"hook"}}}, "allOf": rules,
	}
	b, err := json.MarshalIndent(schema, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/reference/log.schema.json", string(b)+"\n")
}

// golden compares with a file of the docs, or writes it.
func golden(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is out of date (%v): go test ./supervisor/event -update", path, err)
	}
}
