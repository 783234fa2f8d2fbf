package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"usher/examples/figures"
)

const pictures = "../../docs/pictures/"

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What is committed is what the program makes from the committed numbers.
func TestCommitted(t *testing.T) {
	pictured := regexp.MustCompile(`(?m)^PICTURED = (.+)$`).FindSubmatch(read(t, "../../Makefile"))
	if pictured == nil {
		t.Fatal("the Makefile has no PICTURED")
	}
	for name, args := range map[string][]string{
		"stop.svg":      {"-stop", pictures + "stop.json"},
		"plan.svg":      {"-command", string(pictured[1])},
		"lifecycle.svg": {"-lifecycle"},
	} {
		var got bytes.Buffer
		if err := run(args, bytes.NewReader(read(t, pictures+"plan.json")), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(got.Bytes(), read(t, pictures+name)) {
			t.Errorf("docs/pictures/%s is not what `plan %s` makes: make pictures", name, strings.Join(args, " "))
		}
		checkPicture(t, name, got.String())
	}
}

// The committed run shows what it is there for.
func TestCommittedRun(t *testing.T) {
	runs, err := figures.Read(bytes.NewReader(read(t, pictures+"stop.json")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		served, failed := r.After()
		if held := r.Hold > 0; held && (failed > 0 || served == 0) || !held && failed == 0 {
			t.Errorf("%s: %d served, %d failed", r.StartedAs, served, failed)
		}
	}
}

// checkPicture: the picture is XML, and has nothing outside its card.
func checkPicture(t *testing.T, name, text string) {
	t.Helper()
	box := regexp.MustCompile(`^<svg [^>]*viewBox="0 0 (\d+) ([\d.]+)"`).FindStringSubmatch(text)
	if box == nil {
		t.Fatalf("%s: no view box: %.100s", name, text)
	}
	height, _ := strconv.ParseFloat(box[2], 64)
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "rect" && element.Name.Local != "text" {
			continue
		}
		at := map[string]float64{}
		for _, a := range element.Attr {
			at[a.Name.Local], _ = strconv.ParseFloat(a.Value, 64)
		}
		if at["x"] < 0 || at["y"] < 0 || at["width"] < 0 || at["height"] < 0 || at["x"]+at["width"] > width || at["y"]+at["height"] > height {
			t.Errorf("%s: %v is outside", name, element)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		plan        string
		want, never []string
	}{
		{`{"at":0,"for":0,"what":"stop signal: SIGTERM; /readyz fails","flag":"--stop-signals"}
{"at":0,"for":5,"what":"hold: the app keeps serving","flag":"--term-delay"}
{"at":5,"for":24.5,"what":"the app gets the stop signal"}
{"at":29.5,"for":0.5,"what":"the reason is written"}`,
			[]string{">5 s<", ">24.5 s<", ">0.5 s<", ">--term-delay<", "the latest there can be", `bar amber amber-edge`}, []string{">then<", "no limit"}},
		{`{"at":5,"what":"the app gets the stop signal"}
{"at":5,"for":2,"what":"what the app leaves behind gets SIGTERM, then SIGKILL"}`,
			[]string{">no limit<", ">then<", "as long as it needs"}, []string{"the latest there can be", ">6 s<", ">7 s<"}},
		{`{"at":0,"for":1,"what":"pre-stop: <&\"\u0007 ` + strings.Repeat("long", 40) + ` ` + strings.Repeat("many words ", 40) + `"}`, []string{"&lt;&amp;", "…"}, []string{"\a"}},
		{`{"at":0,"what":"x"}`, []string{">no limit<"}, nil},
	} {
		var out strings.Builder
		if err := run([]string{"-command", "--a & b"}, strings.NewReader(c.plan), &out); err != nil {
			t.Errorf("%s: %v", c.plan, err)
			continue
		}
		checkPicture(t, c.plan, out.String())
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.plan, want, &out)
			}
		}
		for _, never := range c.never {
			if strings.Contains(out.String(), never) {
				t.Errorf("%s: %q in\n%s", c.plan, never, &out)
			}
		}
	}
}

func TestStopNeedsBoth(t *testing.T) {
	held := figures.Run{StartedAs: "usher", Hold: 1}
	if _, err := drawStop([]figures.Run{held, held}); err == nil || !strings.Contains(err.Error(), "one without") {
		t.Errorf("%v", err)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	wrong := dir + "/wrong.json"
	for _, c := range []struct {
		args       []string
		in, figure string
		says       []string
	}{
		{nil, "", "", []string{"no plan", "usher --plan --log-format json"}},
		{nil, "at for\n", "", []string{"stage 1: invalid character"}},
		{nil, `{"at":0,"what":"x"}{"at":-1,"what":"x"}`, "", []string{"stage 2: not a plan of usher's"}},
		{nil, `{"at":1e300,"what":"x"}`, "", []string{"stage 1: not a plan"}},
		{[]string{"plan.json"}, "", "", []string{"read from stdin"}},
		{[]string{"-stop", "a", "-lifecycle"}, "", "", []string{"two pictures"}},
		{[]string{"-stop", dir + "/none"}, "", "", []string{"no such file"}},
		{[]string{"-stop", wrong}, "", "", []string{"wrong.json", "no runs", "examples/demo"}},
		{[]string{"-stop", wrong}, "", `{"startedas":"x","extra":1}`, []string{`run 1: json: unknown field "extra"`}},
		{[]string{"-stop", wrong}, "", `{"holdSeconds":-1,"servedByTenths":[1,-1],"failedByTenths":[]}`,
			[]string{"startedAs is missing", "-1 seconds", "do not go together", "a number of requests"}},
	} {
		if err := os.WriteFile(wrong, []byte(c.figure), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := run(c.args, strings.NewReader(c.in), &out)
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q, %q: %v, want %q", c.args, c.in+c.figure, err, says)
			}
		}
		if out.Len() > 0 {
			t.Errorf("%q: there is a picture all the same", c.args)
		}
	}
}

// Whatever is read, there is an error or a whole picture.
func FuzzPicture(f *testing.F) {
	for _, name := range []string{"stop.json", "plan.json"} {
		text, err := os.ReadFile(pictures + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"at":0.001,"what":"\uffff\u0000"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if plan, err := readPlan(bytes.NewReader(text)); err == nil {
			checkPicture(t, "plan", drawPlan(plan, string(text)))
		}
		if runs, err := figures.Read(bytes.NewReader(text)); err == nil {
			if picture, err := drawStop(runs); err == nil {
				checkPicture(t, "stop", picture)
			}
		}
	})
}
