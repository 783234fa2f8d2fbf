package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A pod is ready when its app is, no longer when the app is not, and again: by
// every kind of probe that kubelet has.
func TestProbes(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	readyz := settings{"USHER_HEALTH_ADDR": ":8086", "USHER_READY_PERIOD": "1s", "USHER_READY_TIMEOUT": "5s",
		"USHER_READY_FAILURE_THRESHOLD": "1"}
	with := func(check string) settings {
		set := settings{"USHER_READY_CHECK": check}
		for k, v := range readyz {
			set[k] = v
		}
		return set
	}
	service := "ready"
	for i, c := range []struct {
		what  string
		set   settings
		probe *corev1.Probe
	}{
		{"httpGet, an http check", with("http://localhost:8080/ready"), httpGet("/readyz", 8086)},
		{"httpGet, a grpc check", with("grpc://localhost:9000/ready"), httpGet("/readyz", 8086)},
		{"exec usher, of its own endpoint", with("http://localhost:8080/ready"), execProbe("/usher", "--probe", "readyz")},
		{"exec usher, of the app", nil, execProbe("/usher", "--probe", "http://localhost:8080/ready")},
		{"exec usher-check, http", nil, execProbe("/usher-check", "http://localhost:8080/ready")},
		{"exec usher-check, grpc", nil, execProbe("/usher-check", "grpc://localhost:9000/ready")},
		{"grpc", nil, &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5,
			ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9000, Service: &service}}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := fmt.Sprintf("probe-%d", i)
			p := pod(name, c.set, "/app", "serve", "-grpc", ":9000")
			p.Spec.Containers[0].ReadinessProbe = c.probe
			n.create(p)
			n.untilReady(name)
			n.ask(name, "8080", "/set", map[string]string{"ready": "false"})
			n.untilPod(name, "no longer ready", limit, func(p seenPod) bool { return !isReady(p.Pod) })
			n.ask(name, "8080", "/set", map[string]string{"ready": "true"})
			p = n.untilReady(name).Pod
			if s := status(p, "app"); s.RestartCount != 0 || s.State.Running == nil {
				t.Errorf("it has ended: %+v", s)
			}
		})
	}
}

// A startup probe gates the others: a slow start is no failure of the live
// check.
func TestStartupProbe(t *testing.T) {
	needCluster(t, false)
	t.Parallel()
	n := newNamespace(t, nil)
	p := pod("slow", settings{"USHER_HEALTH_ADDR": ":8086", "USHER_STARTUP_CHECK": "http://localhost:8080/ready",
		"USHER_STARTUP_PERIOD": "1s", "USHER_STARTUP_TIMEOUT": "5s", "USHER_STARTUP_FAILURE_THRESHOLD": "120",
		"USHER_LIVE_CHECK": "http://localhost:8080/live", "USHER_LIVE_PERIOD": "1s", "USHER_LIVE_FAILURE_THRESHOLD": "1"},
		"/app", "serve", "-start", "4s")
	c := &p.Spec.Containers[0]
	c.StartupProbe, c.LivenessProbe, c.ReadinessProbe = httpGet("/startupz", 8086), httpGet("/livez", 8086), httpGet("/readyz", 8086)
	c.StartupProbe.FailureThreshold = 120
	n.create(p)
	seen := n.untilReady("slow")
	if s := status(seen.Pod, "app"); s.RestartCount != 0 || s.Started == nil || !*s.Started {
		t.Errorf("%+v", s)
	}
	failed := false
	for _, e := range n.eventsOf("slow") {
		failed = failed || e.Reason == "Killing"
	}
	if failed {
		t.Error("kubelet has killed it")
	}
}
