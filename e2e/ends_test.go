package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ending is a kind of end, and what the cluster shows of it.
type ending struct {
	what string
	set  settings
	args []string
	// change makes the pod another one; then is what happens to it once it runs.
	change func(*corev1.Pod)
	then   func(*namespace, string)
	// reason and code are kubelet's, message is a part of usher's.
	reason  string
	code    int32
	message string
	// events are those that have to come: a part of each.
	events []string
	// restarted: the end is that of the run before.
	restarted bool
	full      bool // not in the short round
}

func deleted(n *namespace, name string) { n.deletePod(name) }
func unhealthy(n *namespace, name string) {
	n.ask(name, "8080", "/set", map[string]string{"live": "false"})
}

func grace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

var endings = []ending{
	{what: "The app is done", args: []string{"/app", "exit", "0"},
		reason: "Completed", message: "Completed: exit code 0"},
	{what: "The app fails", args: []string{"/app", "exit", "3"},
		reason: "Error", code: 3, message: "Error: exit code 3"},
	{what: "The app fails, `USHER_TERMINATION_TAIL=1`",
		args: []string{"/app", "exit", "3"}, set: settings{"USHER_TERMINATION_TAIL": "1"},
		reason: "Error", code: 3, message: "exit code 3"},
	{what: "The app crashes (SIGSEGV)", args: []string{"/app", "signal", "11"},
		reason: "Error", code: 139, message: "Signaled: killed by SIGSEGV"},
	{what: "The app reaches its memory limit",
		args: []string{"/app", "eat"},
		change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("48Mi")}
		},
		reason: "OOMKilled", code: 137, message: "memory limit 48Mi"},
	{what: "The command is not there", args: []string{"/ap", "serve"},
		reason: "Error", code: 127, message: `StartError: cannot start "/ap": no such file`},
	{what: "The command can't be run", args: []string{"/tmp"},
		reason: "Error", code: 126, message: `StartError: cannot start "/tmp": it is a directory`},
	{what: "usher is called wrongly", args: []string{"/app", "serve"}, set: settings{"USHER_TERM_DELAY": "10", "USHER_REWRITE": "TERM:NO"},
		reason: "Error", code: 125, message: "StartError: USHER_REWRITE: "},
	{what: "What it waits for does not come",
		args:   []string{"/app", "serve"},
		set:    settings{"USHER_WAIT_FOR": "tcp://localhost:5432", "USHER_WAIT_TIMEOUT": "2s"},
		reason: "Error", code: 124, message: "WaitTimeout: wait-for failed"},
	{what: "A `--pre-start` hook fails", args: []string{"/app", "serve"}, set: settings{"USHER_PRE_START": "/app exit 4"},
		reason: "Error", code: 4, message: "HookFailed: pre-start-1 failed: exit code 4"},
	{what: "Its live check fails, `USHER_ON_UNHEALTHY=stop`",
		args: []string{"/app", "serve"},
		set: settings{"USHER_LIVE_CHECK": "http://localhost:8080/live", "USHER_LIVE_PERIOD": "1s", "USHER_LIVE_FAILURE_THRESHOLD": "2",
			"USHER_LIVE_TIMEOUT": "5s", "USHER_ON_UNHEALTHY": "stop"},
		then: unhealthy, reason: "Error", code: 143, message: "Unhealthy: "},
	{what: "kubelet's liveness probe fails",
		args: []string{"/app", "serve"},
		set: settings{"USHER_LIVE_CHECK": "http://localhost:8080/live", "USHER_LIVE_PERIOD": "1s", "USHER_LIVE_TIMEOUT": "5s",
			"USHER_HEALTH_ADDR": ":8086", "USHER_TERM_DELAY": "20s", "USHER_GRACE_PERIOD": "30s"},
		change: func(p *corev1.Pod) {
			p.Spec.RestartPolicy = corev1.RestartPolicyAlways
			p.Spec.Containers[0].LivenessProbe = httpGet("/livez", 8086)
			p.Spec.Containers[0].LivenessProbe.FailureThreshold = 3
		},
		then: unhealthy, reason: "Error", code: 143, message: "SIGTERM from outside", restarted: true,
		events: []string{"Unhealthy: Liveness probe failed", "Killing: Container app failed liveness probe"}},
	{what: "The pod is deleted; the app ends on SIGTERM",
		args: []string{"/app", "serve"}, set: settings{"USHER_GRACE_PERIOD": "30s"},
		then: deleted, reason: "Error", code: 143, message: "Signaled: killed by SIGTERM",
		events: []string{"Killing: Stopping container app"}},
	{what: "The same, `USHER_EXIT_CODE=143=0`, and held back for 3s",
		args: []string{"/app", "serve"},
		set:  settings{"USHER_GRACE_PERIOD": "30s", "USHER_EXIT_CODE": "143=0", "USHER_TERM_DELAY": "3s"},
		then: deleted, reason: "Completed", message: "Completed: ",
		events: []string{"Killing: Stopping container app"}},
	{what: "The pod is deleted; the app ignores SIGTERM: usher's SIGKILL",
		args: []string{"/app", "serve", "-ignore"},
		set:  settings{"USHER_GRACE_PERIOD": "5s"}, change: grace(15),
		then: deleted, reason: "Error", code: 137, message: "StopTimeout: killed by SIGKILL",
		events: []string{"Killing: Stopping container app"}},
	{what: "The same without `USHER_GRACE_PERIOD`: kubelet's SIGKILL in the middle of the hold",
		args: []string{"/app", "serve", "-ignore"},
		set:  settings{"USHER_TERM_DELAY": "20s"}, change: grace(3),
		then: deleted, reason: "Error", code: 137, message: "StopTimeout: ended from outside",
		events: []string{"Killing: Stopping container app"}},
	{what: "The pod is evicted (a node is drained)",
		args: []string{"/app", "serve"}, set: settings{"USHER_GRACE_PERIOD": "30s"},
		then: func(n *namespace, name string) { n.evict(name) }, reason: "Error", code: 143, message: "SIGTERM from outside",
		events: []string{"Killing: Stopping container app"}},
	{what: "The pod is evicted by kubelet, for what it has on a volume",
		args: []string{"/app", "fill", "8"},
		set:  settings{"USHER_GRACE_PERIOD": "30s"},
		change: func(p *corev1.Pod) {
			size := resource.MustParse("1Mi")
			p.Spec.Volumes = []corev1.Volume{{Name: "volume", VolumeSource: corev1.VolumeSource{
				EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size}}}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "volume", MountPath: "/volume"}}
		},
		reason: "Error", code: 143, message: "SIGTERM from outside", events: []string{"Evicted: Usage of EmptyDir volume"}, full: true},
	{what: "`activeDeadlineSeconds` are over",
		args: []string{"/app", "serve"}, set: settings{"USHER_GRACE_PERIOD": "30s"},
		change: func(p *corev1.Pod) {
			deadline := int64(15)
			p.Spec.ActiveDeadlineSeconds = &deadline
		},
		reason: "Error", code: 143, message: "SIGTERM from outside", events: []string{"DeadlineExceeded"}, full: true},
}

// The last word of every reason that a pod can have, as kubectl shows it, and
// the events beside it.
func TestEnds(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	rows := make([]string, len(endings))
	t.Run("all", func(t *testing.T) {
		for i, e := range endings {
			t.Run(e.what, func(t *testing.T) {
				needCluster(t, !e.full)
				t.Parallel()
				rows[i] = e.row(n.within(t), fmt.Sprintf("end-%d", i))
			})
		}
	})
	if !t.Failed() {
		compareDocument(t, "ends", rows)
	}
}

// row lets a pod end so, and returns the table's row.
func (e *ending) row(n *namespace, name string) string {
	p := pod(name, e.set, e.args...)
	if e.then != nil {
		p.Spec.Containers[0].ReadinessProbe = httpGet("/ready", 8080)
	}
	if e.change != nil {
		e.change(p)
	}
	n.create(p)
	if e.then != nil {
		n.untilReady(name)
		e.then(n, name)
	}
	seen := n.untilPod(name, "ended", limit, func(p seenPod) bool { return e.end(p.Pod) != nil })
	end := e.end(seen.Pod)
	if end.Reason == "ContainerStatusUnknown" && seen.Status.Reason == "Evicted" {
		// kubelet removes the containers of a pod that it evicts at once, sometimes
		// before it has seen how they ended.
		n.t.Logf("kubelet has lost the end: %s", end.Message)
		return ""
	}
	expect(n.t, end, e.reason, e.code, e.message)
	for _, s := range seen.Status.ContainerStatuses {
		if e.restarted && s.RestartCount != 1 {
			n.t.Errorf("%d restarts", s.RestartCount)
		}
	}
	what := e.what
	if e.reason == "OOMKilled" {
		// cgroup v1 kills one process; with v2, kubelet has the kernel kill all of the
		// container.
		what += map[bool]string{true: ": cgroup v1", false: ": cgroup v2"}[strings.HasPrefix(end.Message, "OOMKilled: ")]
	}
	state := "State"
	if e.restarted {
		state = "Last State"
	}
	status := "–"
	if seen.Status.Reason != "" {
		status = fmt.Sprintf("`%s`: %s", seen.Status.Reason, oneLine(seen.Status.Message))
	}
	return fmt.Sprintf("| %s | %s: `%s`, %d | %s | %s | %s |", what, state, end.Reason, end.ExitCode,
		cmp.Or(oneLine(end.Message), "–"), status, n.waitForEvents(name, e.events))
}

// end is the end that the row is about.
func (e *ending) end(p *corev1.Pod) *corev1.ContainerStateTerminated {
	s := status(p, "app")
	switch {
	case s == nil:
		return nil
	case e.restarted:
		return s.LastTerminationState.Terminated
	}
	return s.State.Terminated
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "&#124;")
}

// waitForEvents waits for those that have to come, and returns all of a pod
// that have to do with its end.
func (n *namespace) waitForEvents(pod string, wanted []string) string {
	n.t.Helper()
	ends := []string{"Killing: ", "Unhealthy: Liveness probe failed: HTTP", "Evicted: ", "DeadlineExceeded: "}
	var texts []string
	n.until(fmt.Sprintf("there: events %q of %s", wanted, pod), limit, func(map[string]seenPod) bool {
		texts = nil
		for _, e := range n.eventsOf(pod) {
			text := e.Reason + ": " + oneLine(e.Message)
			if slices.ContainsFunc(ends, func(p string) bool { return strings.HasPrefix(text, p) }) {
				texts = append(texts, text)
			}
		}
		return !slices.ContainsFunc(wanted, func(w string) bool {
			return !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, w) })
		})
	})
	slices.Sort(texts)
	return cmp.Or(strings.Join(texts, "<br>"), "–")
}
