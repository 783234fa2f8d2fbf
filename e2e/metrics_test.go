package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What metrics show before and after an end: usher's own, as long as it is
// there, and kubelet's.
func TestMetrics(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	var rows []string
	own := func(pod, what string, wanted ...string) {
		n.scraped("/api/v1/namespaces/"+n.name+"/pods/"+pod+":8086/proxy/metrics", wanted)
		rows = append(rows, fmt.Sprintf("| %s | usher | `%s` |", what, strings.Join(wanted, "`, `")))
	}
	p := pod("restarts", settings{"USHER_HEALTH_ADDR": ":8086", "USHER_RESTART": "always",
		"USHER_LIVE_CHECK": "http://localhost:8080/live", "USHER_LIVE_PERIOD": "1s", "USHER_LIVE_TIMEOUT": "5s"}, "/app", "serve")
	p.Spec.Containers[0].ReadinessProbe = httpGet("/ready", 8080)
	n.create(p)
	n.untilReady("restarts")
	unhealthy(n, "restarts")
	own("restarts", "a live check fails", "usher_app_live 0")
	// The answer to what ends the app is cut.
	n.client.CoreV1().Pods(n.name).ProxyGet("http", "restarts", "8080", "/crash", nil).DoRaw(t.Context())
	own("restarts", "the app has ended, and `USHER_RESTART` has started it again",
		"usher_app_restarts_total 1", "usher_app_starts_total 2")

	p = pod("holds", settings{"USHER_HEALTH_ADDR": ":8086", "USHER_TERM_DELAY": "60s", "USHER_GRACE_PERIOD": "90s"},
		"/app", "serve")
	p.Spec.Containers[0].ReadinessProbe = httpGet("/ready", 8080)
	grace(90)(p)
	n.create(p)
	n.untilReady("holds")
	n.deletePod("holds")
	own("holds", "SIGTERM has come, and is held back", `usher_phase{phase="holding"} 1`, "usher_app_ready 0", "usher_app_live 1")

	p = pod("liveness", settings{"USHER_HEALTH_ADDR": ":8086", "USHER_LIVE_CHECK": "http://localhost:8080/live", "USHER_LIVE_PERIOD": "1s",
		"USHER_LIVE_TIMEOUT": "5s"}, "/app", "serve")
	p.Spec.RestartPolicy = "Always"
	p.Spec.Containers[0].ReadinessProbe, p.Spec.Containers[0].LivenessProbe = httpGet("/ready", 8080), httpGet("/livez", 8086)
	p.Spec.Containers[0].LivenessProbe.FailureThreshold = 3
	n.create(p)
	node := n.untilReady("liveness").Spec.NodeName
	unhealthy(n, "liveness")
	n.untilPod("liveness", "restarted", limit, func(p seenPod) bool { return status(p.Pod, "app").RestartCount == 1 })
	n.scraped("/api/v1/nodes/"+node+"/proxy/metrics/probes", []string{
		"prober_probe_total", n.name, `pod="liveness"`, `probe_type="Liveness"`, `result="failed"`})
	rows = append(rows, "| kubelet's liveness probe has failed | kubelet, `/metrics/probes` | "+
		"`prober_probe_total{…, probe_type=\"Liveness\", result=\"failed\"}` |")
	if !t.Failed() {
		compareDocument(t, "metrics", rows)
	}
}

// scraped asks for metrics until all that is wanted is in them. Nothing says
// when metrics change: this has to ask again.
func (n *namespace) scraped(path string, wanted []string) {
	n.t.Helper()
	var last string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		out, err := n.client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(n.t.Context())
		last = fmt.Sprintf("%s%v", out, err)
		missing := false
		for _, w := range wanted {
			missing = missing || !strings.Contains(string(out), w)
		}
		if err == nil && !missing {
			return
		}
	}
	n.t.Fatalf("%s: not %q within %v:\n%s", path, wanted, limit, last)
}
