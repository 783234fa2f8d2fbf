package e2e

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// injected is a namespace with the policies in force, and a pod security
// standard, which the pods pass that change has changed.
func injected(t *testing.T, security string, change func(*corev1.Pod)) (*namespace, *trial) {
	t.Helper()
	label := labelOf(t)
	labels := map[string]string{policed: label}
	if security != "" {
		labels["pod-security.kubernetes.io/enforce"] = security
	}
	n := newNamespace(t, labels)
	install(t, "-"+n.name, label)
	try := newTrial(t, n)
	try.untilInForce(1, change)
	return n, try
}

func unchanged(*corev1.Pod) {}

// labelOf is the test's name as the value of a label.
func labelOf(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", "-") }

// What the API server makes of pods, without running them. Each is asked for
// twice, the second time as the first has come out, since that has to change
// nothing any more.
func TestInjectPods(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n, try := injected(t, "", unchanged)
	serves := func(port int, name ...string) string {
		return fmt.Sprintf("/livez:%d /readyz:%d %s:%d", port, port, cmp.Or(strings.Join(name, ""), "health"), port)
	}
	for _, c := range []struct {
		what        string
		annotations map[string]string
		change      func(*corev1.Pod)
		want        []string // of each container: where usher is, its variables, its probes and ports
		init        string   // the init containers
		warns       string
	}{
		{what: "as it is", change: func(*corev1.Pod) {},
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
				serves(8086)}},
		{what: "without the label", change: func(p *corev1.Pod) { delete(p.Labels, "usher/mode") },
			want: []string{"alone", "", ""}},
		{what: "checked only", change: func(p *corev1.Pod) { p.Labels["usher/mode"] = "check" },
			want: []string{"alone", "", ""}},
		{what: "annotations", annotations: map[string]string{"usher/term-delay": "3s",
			"usher/ready-check": "tcp://localhost:80\nfile:/app",
			"usher/health-port": "9000", "other/term-delay": "1h"}, change: func(*corev1.Pod) {},
			want: []string{"wrapped",
				"READY_CHECK=tcp://localhost:80\nfile:/app TERM_DELAY=3s GRACE_PERIOD=30s QUIET_PERIOD=0s HEALTH_ADDR=:9000",
				serves(9000)}},
		{what: "what the container says itself", annotations: map[string]string{"usher/ready-period": "2s"},
			change: func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "USHER_TERM_DELAY", Value: "2s"},
					{Name: "USHER_READY_PERIOD", Value: "1s"}}
				p.Spec.Containers[0].LivenessProbe = httpGet("/live", 80)
			}, want: []string{"wrapped", "TERM_DELAY=2s READY_PERIOD=1s GRACE_PERIOD=30s HEALTH_ADDR=:8086",
				"/live:80 /readyz:8086 health:8086"}},
		{what: "a health address of its own", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "USHER_HEALTH_ADDR", Value: "127.0.0.1:7000"}}
		}, want: []string{"wrapped", "HEALTH_ADDR=127.0.0.1:7000 GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s",
			""}},
		{what: "a port of that number", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "usher", ContainerPort: 8086}}
		}, want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
			"/livez:8086 /readyz:8086 usher:8086"}},
		{what: "ports of its own", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}
		}, want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
			"/livez:8086 /readyz:8086 http:80 health:8086"}},
		{what: "a short grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 5 },
			want: []string{"wrapped", "GRACE_PERIOD=5s TERM_DELAY=2s QUIET_PERIOD=0s HEALTH_ADDR=:8086",
				serves(8086)}},
		{what: "a long grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 3600 },
			want: []string{"wrapped", "GRACE_PERIOD=3600s TERM_DELAY=60s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
				serves(8086)}},
		{what: "no grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 0 },
			want: []string{"wrapped", "GRACE_PERIOD=0s TERM_DELAY=0s QUIET_PERIOD=0s HEALTH_ADDR=:8086",
				serves(8086)}},
		{what: "a preStop sleep", change: func(p *corev1.Pod) {
			sleep := &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 10}}
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: sleep}
		}, want: []string{"wrapped", "GRACE_PERIOD=20s TERM_DELAY=10s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
			serves(8086)}, warns: "container app has a preStop hook"},
		{what: "what runs to its end",
			change: func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever },
			want:   []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=0s QUIET_PERIOD=0s HEALTH_ADDR=:8086", ""}},
		{what: "no command", change: func(p *corev1.Pod) { p.Spec.Containers[0].Command = nil },
			want:  []string{"alone", "", ""},
			warns: "usher is not in front of container app, which has no command: write as its command"},
		{what: "several containers", change: func(p *corev1.Pod) {
			bare, second := plain("bare"), plain("second")
			bare.Command = nil
			p.Spec.Containers = []corev1.Container{bare, p.Spec.Containers[0], second}
		}, want: []string{"alone", "", "",
			"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8087", serves(8087),
			"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8088", serves(8088, "health-2")},
			warns: "container bare,"},
		{what: "copied", annotations: map[string]string{"usher/source": "copy"}, change: func(*corev1.Pod) {},
			init: "usher",
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
				serves(8086)}},
		{what: "copied, beside an init container", annotations: map[string]string{"usher/source": "copy"},
			change: func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{plain("before")}
			}, init: "usher before",
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086",
				serves(8086)}},
	} {
		asked := labelled("pod", c.annotations, c.change)
		got, warnings, err := try.of(asked)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if c.warns == "" && len(warnings) > 0 || c.warns != "" && (len(warnings) != 1 ||
			!strings.Contains(warnings[0], c.warns)) {
			t.Errorf("%s: warnings %q, want %q", c.what, warnings, c.warns)
		}
		var is []string
		for i := range got.Spec.Containers {
			is = append(is, description(&asked.Spec.Containers[i], &got.Spec.Containers[i])...)
		}
		if !slices.Equal(is, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.what, is, c.want)
		}
		var init []string
		for _, i := range got.Spec.InitContainers {
			init = append(init, i.Name)
		}
		if strings.Join(init, " ") != c.init {
			t.Errorf("%s: init containers %q, want %q", c.what, init, c.init)
		}
		volume := slices.IndexFunc(got.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "usher" })
		if wrapped := slices.Contains(c.want, "wrapped"); wrapped != (volume >= 0) {
			t.Errorf("%s: volumes %v", c.what, got.Spec.Volumes)
		} else if wrapped && (got.Spec.Volumes[volume].Image != nil) != (c.init == "") {
			t.Errorf("%s: volume %v", c.what, got.Spec.Volumes[volume])
		}

		again := got.DeepCopy()
		again.ObjectMeta = metav1.ObjectMeta{Name: got.Name, Labels: got.Labels, Annotations: got.Annotations}
		if twice, _, err := try.of(again); err != nil || !reflect.DeepEqual(twice.Spec, got.Spec) {
			t.Errorf("%s: asked for again: %v\n got %+v\nwant %+v", c.what, err, twice.Spec, got.Spec)
		}
	}

	// The same policies a second time, under another name: every pod gets what it
	// got.
	once, _, err := try.of(labelled("twice", map[string]string{"usher/source": "copy"}))
	if err != nil {
		t.Fatal(err)
	}
	install(t, "-again-"+n.name, labelOf(t))
	try.untilInForce(2, unchanged)
	twice, _, err := try.of(labelled("twice", map[string]string{"usher/source": "copy"}))
	if err != nil {
		t.Fatal(err)
	}
	account := func(p *corev1.Pod) { // the name of its volume is new each time
		for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for i := range list {
				list[i].VolumeMounts = slices.DeleteFunc(list[i].VolumeMounts,
					func(m corev1.VolumeMount) bool { return m.Name != "usher" })
			}
		}
		p.Spec.Volumes = slices.DeleteFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name != "usher" })
	}
	account(once)
	account(twice)
	if !reflect.DeepEqual(once.Spec, twice.Spec) {
		t.Errorf("applied twice:\n got %+v\nwant %+v", twice.Spec, once.Spec)
	}
}

// description is where usher is in a container, its variables, its probes, and
// its ports.
func description(asked, got *corev1.Container) []string {
	where := "changed: " + strings.Join(got.Command, " ")
	mounted := slices.ContainsFunc(got.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == "usher" &&
			m.MountPath == "/.usher" && m.ReadOnly
	})
	switch {
	case slices.Equal(got.Command, asked.Command) && !mounted:
		where = "alone"
	case slices.Equal(got.Command, append([]string{"/.usher/usher", "--"}, asked.Command...)) && mounted:
		where = "wrapped"
	}
	var probes []string
	for _, p := range []*corev1.Probe{got.LivenessProbe, got.ReadinessProbe} {
		if p != nil {
			probes = append(probes, p.HTTPGet.Path+":"+p.HTTPGet.Port.String())
		}
	}
	for _, p := range got.Ports {
		probes = append(probes, fmt.Sprintf("%s:%d", p.Name, p.ContainerPort))
	}
	return []string{where, environment(got), strings.Join(probes, " ")}
}
