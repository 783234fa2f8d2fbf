package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// scrape gets /metrics as Prometheus does, reads it with Prometheus' own parser, and returns each sample by its name and labels.
func scrape(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	res, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" || res.StatusCode != 200 {
		t.Errorf("%d %q", res.StatusCode, got)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for name, f := range families {
		if f.GetHelp() == "" || !strings.HasPrefix(name, "usher_") {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
		if counter := f.GetType() == dto.MetricType_COUNTER; counter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := name
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				samples[key] = m.Counter.GetValue()
			case dto.MetricType_GAUGE:
				samples[key] = m.Gauge.GetValue()
			case dto.MetricType_SUMMARY:
				samples[key+"_sum"], samples[key+"_count"] = m.Summary.GetSampleSum(), float64(m.Summary.GetSampleCount())
			default:
				t.Errorf("%s is a %v", name, f.GetType())
			}
		}
	}
	return samples
}

func TestMetrics(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		ready, health := filepath.Join(t.TempDir(), "ready"), freePort(t)
		touch(t, ready)
		u := start(t, b, fast("--health-addr", health, "--ready-check", "file:"+ready, "--live-check", "file:/no/such/file", "--live-failure-threshold", "1", "--rewrite", "HUP:USR1",
			"--term-delay", "1h", "--", "sh", "-c", "(sleep 0.3 & exec true); "+app, "0")...)
		u.printed("ready\n")
		wantBody(t, "http://"+health+"/readyz", 200)
		wantBody(t, "http://"+health+"/livez", 503)
		u.signal(unix.SIGHUP)
		u.printed("got USR1\n")
		m := scrape(t, health)
		for name, want := range map[string]float64{
			"usher_app_up": 1, "usher_app_ready": 1, "usher_app_live": 0, "usher_app_starts_total": 1, "usher_app_restarts_total": 0,
			"usher_phase{phase=running}": 1, "usher_phase{phase=holding}": 0,
			"usher_signals_forwarded_total{signal=SIGUSR1}": 1, "usher_check_ok{check=ready-1}": 1, "usher_check_ok{check=live-1}": 0,
			"usher_check_results_total{check=live-1,result=success}": 0, "usher_check_results_total{check=ready-1,result=failure}": 0,
		} {
			if got, ok := m[name]; !ok || got != want {
				t.Errorf("%s is %v, %v; want %v", name, got, ok, want)
			}
		}
		for _, name := range []string{"usher_app_uptime_seconds", "usher_check_results_total{check=ready-1,result=success}",
			"usher_check_results_total{check=live-1,result=failure}", "usher_check_duration_seconds{check=ready-1}_count", "usher_check_duration_seconds{check=ready-1}_sum"} {
			if m[name] <= 0 || m[name] > 1000 {
				t.Errorf("%s is %v", name, m[name])
			}
		}
		if _, ok := m["usher_app_exit_code"]; ok {
			t.Error("there is an exit code before the app's end")
		}
		eventually(t, func() error {
			if m = scrape(t, health); m["usher_zombies_reaped_total"] != 1 {
				return io.ErrNoProgress
			}
			return nil
		})
		u.signal(unix.SIGTERM)
		u.want(42)
	})
}

// After a restart there is an exit code, and the app counts as not up while it is waited for.
func TestMetricsOfRestarts(t *testing.T) {
	health := freePort(t)
	u := start(t, &made, "--health-addr", health, "--restart", "always", "--", "sh", "-c", "echo up; exit 7")
	eventuallyCount(t, u, "up", 2)
	eventually(t, func() error {
		if m := scrape(t, health); m["usher_app_up"] != 0 || m["usher_app_exit_code"] != 7 || m["usher_app_starts_total"] != 2 || m["usher_app_restarts_total"] != 1 ||
			m["usher_phase{phase=backing off}"] != 1 || m["usher_app_uptime_seconds"] != 0 {
			return io.ErrNoProgress
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.want(7)
}

// A hold says how long it took, and what ended it; a stop goes on for as long as the app does not heed it.
func TestMetricsOfAStop(t *testing.T) {
	if !ownNetwork(t) { // where nothing else is traffic
		return
	}
	for _, c := range []struct {
		ended string
		flags []string
		least float64
	}{
		{"time", []string{"--term-delay", "300ms"}, .3},
		{"quiet", []string{"--term-delay", "1h", "--quiet-period", "300ms"}, .3},
		{"cut", []string{"--term-delay", "1h"}, 0},
	} {
		health, ready := freePort(t), filepath.Join(t.TempDir(), "ready")
		flags := append(c.flags, "--health-addr", health, "--ready-check", "file:"+ready)
		u := start(t, &made, fast(append(flags, "--", "sh", "-c", deaf)...)...)
		u.printed("ready\n")
		wantBody(t, "http://"+health+"/readyz", 503)
		for name := range scrape(t, health) {
			if regexp.MustCompile("^usher_(app_time_to_ready|stop|hold)_").MatchString(name) {
				t.Errorf("%s: there is %s too early", c.ended, name)
			}
		}
		touch(t, ready)
		wantBody(t, "http://"+health+"/readyz", 200)
		var took float64
		eventually(t, func() error {
			if took = scrape(t, health)["usher_app_time_to_ready_seconds"]; took <= 0 || took > 1000 {
				return fmt.Errorf("%v seconds until the app was ready", took)
			}
			return nil
		})
		u.signal(unix.SIGTERM)
		eventually(t, func() error {
			if scrape(t, health)["usher_stop_seconds"] <= 0 {
				return io.ErrNoProgress
			}
			return nil
		})
		if c.ended == "cut" {
			if m := scrape(t, health); m["usher_hold_seconds{ended=not yet}"] <= 0 {
				t.Errorf("a hold is in progress: %v", m)
			}
			u.signal(unix.SIGTERM)
		}
		eventually(t, func() error {
			m := scrape(t, health)
			held, stop := m["usher_hold_seconds{ended="+c.ended+"}"], m["usher_stop_seconds"]
			if held <= c.least || held >= stop || m["usher_phase{phase=stopping}"] != 1 {
				return fmt.Errorf("%s: %v", c.ended, m)
			}
			return nil
		})
		if m := scrape(t, health); m["usher_app_time_to_ready_seconds"] != took {
			t.Errorf("it was ready after %vs, and again after %vs", took, m["usher_app_time_to_ready_seconds"])
		}
		u.signal(unix.SIGKILL)
		u.wait()
	}
}

// OpenMetrics for those who ask, read by the reference implementation's parser.
func TestOpenMetrics(t *testing.T) {
	python := "/usr/bin/python3" // which has Debian's packages
	if err := exec.Command(python, "-c", "import prometheus_client").Run(); err != nil {
		t.Skip("needs python3-prometheus-client")
	}
	health := freePort(t)
	u := start(t, &made, fast("--health-addr", health, "--ready-check", "file:/dev/null", "--", "sh", "-c", app, "0")...)
	u.printed("ready\n")
	u.signal(unix.SIGUSR1)
	wantBody(t, "http://"+health+"/readyz", 200)
	u.printed("got USR1\n")
	req, _ := http.NewRequest("GET", "http://"+health+"/metrics", nil)
	// Prometheus 3's.
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
		t.Errorf("%q", got)
	}
	cmd := exec.Command(python, "-c", `import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for f in text_string_to_metric_families(sys.stdin.read()):
    for s in f.samples:
        print(f.type, s.name, s.labels, s.value)`)
	cmd.Stdin = res.Body
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"gauge usher_app_up {} 1\n", "counter usher_signals_forwarded_total {'signal': 'SIGUSR1'} 1\n", "summary usher_check_duration_seconds_count {'check': 'ready-1'} "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}
