package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md")

const (
	metricsPage = "../../docs/reference/metrics.md"
	monitoring  = "../../examples/monitoring/"
)

// family is a metric as the code has it.
type family struct{ name, kind, help string }

// families are all metrics that usher can show, in their order: what Family and
// Only are called with.
func families(t *testing.T) (all []family) {
	t.Helper()
	files, err := filepath.Glob("../../supervisor/health/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || selector.Sel.Name != "Family" && selector.Sel.Name != "Only" || len(call.Args) < 3 {
				return true
			}
			var text [3]string
			for i := range text {
				if literal, ok := call.Args[i].(*ast.BasicLit); ok {
					text[i], _ = strconv.Unquote(literal.Value)
				}
			}
			if !strings.HasPrefix(text[0], "usher_") || text[1] == "" || text[2] == "" {
				t.Errorf("%s: a metric whose name, type and help are no literals: %q", path, text)
			}
			if text[1] == "counter" {
				text[0] += "_total"
			}
			all = append(all, family{text[0], text[1], text[2]})
			return true
		})
	}
	return all
}

// scrapeAll has one usher show all of them: its app has been started again, got
// a signal, and is being stopped.
func scrapeAll(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	health, once := freePort(t), filepath.Join(t.TempDir(), "once")
	u := start(t, &made, fast("--health-addr", health, "--restart", "on-failure", "--term-delay", "1h",
		"--ready-check", "file:"+once, "--", "bash", "-c",
		`[ -e "$0" ] || { : >"$0"; exit 1; }; `+deaf, once)...)
	u.printed("ready\n")
	u.signal(unix.SIGUSR1)
	u.printed("got USR1\n")
	var all map[string]*dto.MetricFamily
	scrape := func() error {
		res, err := http.Get("http://" + health + "/metrics")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		parser := expfmt.NewTextParser(model.LegacyValidation)
		all, err = parser.TextToMetricFamilies(res.Body)
		return err
	}
	for _, awaited := range []string{"usher_app_time_to_ready_seconds", "usher_hold_seconds"} {
		eventually(t, func() error {
			if err := scrape(); err != nil {
				return err
			}
			if all[awaited] == nil {
				return fmt.Errorf("there is no %s", awaited)
			}
			return nil
		})
		if awaited != "usher_hold_seconds" {
			u.signal(unix.SIGTERM)
		}
	}
	return all
}

// docs/reference/metrics.md is made from the code and a run of it:
// go test ./cmd/usher -run TestMetricsPage -update
func TestMetricsPage(t *testing.T) {
	scraped := scrapeAll(t)
	var b strings.Builder
	b.WriteString(`<!-- Made from the code: go test ./cmd/usher -run TestMetricsPage -update -->

# Metrics

` + "`--health-addr :8086` serves `/metrics`" + ` in the Prometheus text format, or as OpenMetrics for a scraper
that asks for it. A dashboard, alerts and a scrape configuration are in
[examples/monitoring](../../examples/monitoring).

A scrape sees only a process that lives. So the metrics of a stop are there from its beginning until
usher's end, and a scrape every 15 seconds misses most of it. How a stop ended, an OOM kill that
took usher along, and an app that failed at once are in the log and in the termination message.

| metric | type | labels | |
|---|---|---|---|
`)
	known := map[string]bool{}
	for _, f := range families(t) {
		known[f.name] = true
		labels := "–"
		switch seen := scraped[f.name]; {
		case seen == nil && !strings.HasPrefix(f.name, "usher_memory_"): // those need a cgroup, with a limit
			t.Errorf("%s was not scraped", f.name)
		case seen != nil:
			if seen.GetHelp() != f.help || strings.ToLower(seen.GetType().String()) != f.kind {
				t.Errorf("%+v was scraped as %v, %q", f, seen.GetType(), seen.GetHelp())
			}
			var names []string
			for _, l := range seen.Metric[0].Label {
				names = append(names, "`"+l.GetName()+"`")
			}
			if len(names) > 0 {
				labels = strings.Join(names, ", ")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, labels, f.help)
	}
	for name := range scraped {
		if !known[name] {
			t.Errorf("%s was scraped, and is not on the page", name)
		}
	}
	b.WriteString("\nPhases, the values of `phase`, are those of [the life of an app](../lifecycle.md). " +
		"A hold has `ended` by\n`quiet` traffic, its `time`, was `cut` by a second stop signal or a failing live check, " +
		"or has\n`not yet`. An app without startup and ready checks has no time to ready. `usher_memory_*` are there\n" +
		"where usher sees the container's cgroup, and the limit and the peak where there are such.\n")
	if *update && !t.Failed() {
		if err := os.WriteFile(metricsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := os.ReadFile(metricsPage); err != nil || string(page) != b.String() {
		t.Errorf("docs/reference/metrics.md is not what the code says (%v): "+
			"go test ./cmd/usher -run TestMetricsPage -update", err)
	}
}

var metricName = regexp.MustCompile(`\busher_[a-z_]+`)

// dashboard is what is looked at of Grafana's model.
type dashboard struct {
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct{ Expr, RefID string }
	}
	Templating struct{ List []struct{ Name string } }
}

// Every metric that the dashboard and the alerts name is one that usher has.
func TestMonitoringNames(t *testing.T) {
	samples := map[string]bool{}
	for _, f := range families(t) {
		samples[f.name] = f.kind != "summary"
		if f.kind == "summary" {
			samples[f.name+"_sum"], samples[f.name+"_count"] = true, true
		}
	}
	for name, least := range map[string]int{"dashboard.json": 10, "rules.yml": 5, "rules_test.yml": 5} {
		text, err := os.ReadFile(monitoring + name)
		if err != nil {
			t.Fatal(err)
		}
		named := metricName.FindAllString(string(text), -1)
		slices.Sort(named)
		named = slices.Compact(named)
		for _, metric := range named {
			if !samples[metric] {
				t.Errorf("%s: there is no %s", name, metric)
			}
		}
		if len(named) < least {
			t.Errorf("%s names only %q", name, named)
		}
	}
}

// The dashboard has six panels, each a question with an answer.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	if len(d.Panels) != 6 {
		t.Errorf("%d panels", len(d.Panels))
	}
	places := map[string]bool{}
	for i, p := range d.Panels {
		places[fmt.Sprint(p.GridPos)] = true
		if p.ID != i+1 || !strings.HasSuffix(p.Title, "?") || p.Description == "" || len(p.Targets) == 0 ||
			p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %+v", p)
		}
		for j, target := range p.Targets {
			if target.RefID != string(rune('A'+j)) || !strings.Contains(target.Expr, "$instance") ||
				!metricName.MatchString(target.Expr) {
				t.Errorf("panel %d, target %+v", p.ID, target)
			}
		}
	}
	if len(places) != len(d.Panels) {
		t.Error("a panel is below another")
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// What Prometheus itself says of the configuration, the rules and their tests,
// the dashboard's queries and usher's metrics.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool (Debian: prometheus)")
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config, err := os.ReadFile(monitoring + "prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(monitoring + "rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	// Debian's Prometheus is built without Kubernetes' service discovery.
	const discovery = "kubernetes_sd_configs: [{role: pod}]"
	if !strings.Contains(string(config), discovery) {
		t.Errorf("prometheus.yml does not have %s", discovery)
	}
	text := strings.NewReplacer(discovery, `file_sd_configs: [{files: ["*.json"]}]`, "rules.yml]", rules+"]").
		Replace(string(config))
	var queries strings.Builder
	queries.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			fmt.Fprintf(&queries, "  - {record: 'panel:%d%s', expr: '%s'}\n", p.ID, target.RefID, target.Expr)
		}
	}
	for _, args := range [][]string{
		{"check", "config", write("prometheus.yml", text)},
		{"check", "rules", monitoring + "rules.yml"},
		{"test", "rules", monitoring + "rules_test.yml"},
		{"check", "rules", write("dashboard.yml", queries.String())},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	health := freePort(t)
	u := start(t, &made, fast("--health-addr", health, "--ready-check", "file:/dev/null", "--", "sh", "-c", app, "0")...)
	u.printed("ready\n")
	res, err := http.Get("http://" + health + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lint := exec.Command(promtool, "check", "metrics")
	lint.Stdin = res.Body
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}
