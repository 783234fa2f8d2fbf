package e2e

import (
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Every manifest of the examples is applied by a test, as it is.
func TestEveryExample(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	applied := sets.New("deployment.yaml", "service.yaml", "poddisruptionbudget.yaml", // TestNoRequestFails
		"job.yaml", "sidecar.yaml", "unmodified.yaml") // here
	for _, file := range files {
		if !applied.Has(filepath.Base(file)) {
			t.Errorf("no test applies %s", file)
		}
	}
}

func TestExampleJob(t *testing.T) {
	needCluster(t, false)
	t.Parallel()
	n := newNamespace(t, nil)
	n.apply(example(t, "job.yaml"))
	var end string
	n.until("done: the job", limit, func(all map[string]seenPod) bool {
		for _, p := range all {
			if state := terminated(p.Pod, "migrate"); state != nil {
				expect(t, state, "Completed", 0, "Completed: exit code 0")
				end = p.Name
			}
		}
		return end != ""
	})
}

// The image that knows nothing of usher gets it from the init container. The
// node sends what the image's STOPSIGNAL says, QUIT.
func TestExampleUnmodified(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	n.apply(example(t, "unmodified.yaml"))
	n.rolledOut("unmodified")
	name := n.podsOf("unmodified")[0]
	if got := n.ask(name, "80", "/", nil); got != "hello\n" {
		t.Errorf("%q", got)
	}
	n.deletePod(name)
	p := n.untilPod(name, "ended", limit, func(p seenPod) bool { return terminated(p.Pod, "web") != nil })
	expect(t, terminated(p.Pod, "web"), "Completed", 0, "Completed: exit code 0",
		"SIGQUIT from outside the container", "of at most 30s (quiet for 5s)")
	expect(t, terminated(p.Pod, "usher"), "Completed", 0)
}

// A native sidecar is there before the app, and gets its SIGTERM when the app
// has ended.
func TestExampleSidecar(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	n.apply(example(t, "sidecar.yaml"))
	n.rolledOut("proxied")
	name := n.podsOf("proxied")[0]
	running := n.all()[name]
	proxy, app := status(running.Pod, "proxy"), status(running.Pod, "app")
	if proxy.State.Running.StartedAt.After(app.State.Running.StartedAt.Time) {
		t.Errorf("the proxy has started at %v, the app at %v", proxy.State.Running.StartedAt, app.State.Running.StartedAt)
	}
	if got := n.ask(name, "8080", "/", nil); got != "hello\n" {
		t.Errorf("%q", got)
	}
	n.deletePod(name)
	p := n.untilPod(name, "stopping", limit, func(p seenPod) bool { return !p.deleting.IsZero() })
	// The app holds its stop back, for at least 5 seconds: what comes through the
	// proxy is answered.
	if got := n.ask(name, "8080", "/", nil); got != "hello\n" {
		t.Errorf("during the hold: %q", got)
	}
	p = n.untilPod(name, "ended", limit, func(p seenPod) bool {
		return terminated(p.Pod, "app") != nil && terminated(p.Pod, "proxy") != nil
	})
	expect(t, terminated(p.Pod, "app"), "Error", 143, "Signaled: killed by SIGTERM",
		"held back for ", "of at most 30s (quiet for 5s)")
	expect(t, terminated(p.Pod, "proxy"), "Error", 143, "SIGTERM from outside the container, app gone ")
	// Times have whole seconds. Had both been told at once, the proxy would have
	// ended 5 seconds before the app.
	if first, second := terminated(p.Pod, "app").FinishedAt, terminated(p.Pod, "proxy").FinishedAt; second.Before(&first) {
		t.Errorf("the app ended at %v, the proxy at %v", first, second)
	}
}
