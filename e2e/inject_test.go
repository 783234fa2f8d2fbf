package e2e

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// injected is a namespace with the policies in force, and a pod security standard, which the pods pass that change has changed.
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

// What the API server makes of pods, without running them. Each is asked for twice, the second time as the first has come out, since that has
// to change nothing any more.
func TestInjectPods(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n, try := injected(t, "", unchanged)
	serves := func(port int) string { return fmt.Sprintf("/livez:%d /readyz:%d", port, port) }
	for _, c := range []struct {
		what        string
		annotations map[string]string
		change      func(*corev1.Pod)
		want        []string // of each container: where usher is, its variables, its probes
		init        string   // the init containers
		warns       string
	}{
		{what: "as it is", change: func(*corev1.Pod) {},
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086", serves(8086)}},
		{what: "without the label", change: func(p *corev1.Pod) { delete(p.Labels, "usher/mode") },
			want: []string{"alone", "", ""}},
		{what: "checked only", change: func(p *corev1.Pod) { p.Labels["usher/mode"] = "check" },
			want: []string{"alone", "", ""}},
		{what: "annotations", annotations: map[string]string{"usher/term-delay": "3s", "usher/ready-check": "tcp://localhost:80\nfile:/app",
			"usher/health-port": "9000", "other/term-delay": "1h"}, change: func(*corev1.Pod) {},
			want: []string{"wrapped", "READY_CHECK=tcp://localhost:80\nfile:/app TERM_DELAY=3s GRACE_PERIOD=30s QUIET_PERIOD=0s HEALTH_ADDR=:9000", serves(9000)}},
		{what: "what the container says itself", annotations: map[string]string{"usher/ready-period": "2s"}, change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "USHER_TERM_DELAY", Value: "2s"}, {Name: "USHER_READY_PERIOD", Value: "1s"}}
			p.Spec.Containers[0].LivenessProbe = httpGet("/live", 80)
		}, want: []string{"wrapped", "TERM_DELAY=2s READY_PERIOD=1s GRACE_PERIOD=30s HEALTH_ADDR=:8086", "/live:80 /readyz:8086"}},
		{what: "a health address of its own", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "USHER_HEALTH_ADDR", Value: "127.0.0.1:7000"}}
		}, want: []string{"wrapped", "HEALTH_ADDR=127.0.0.1:7000 GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s", ""}},
		{what: "a short grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 5 },
			want: []string{"wrapped", "GRACE_PERIOD=5s TERM_DELAY=2s QUIET_PERIOD=0s HEALTH_ADDR=:8086", serves(8086)}},
		{what: "a long grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 3600 },
			want: []string{"wrapped", "GRACE_PERIOD=3600s TERM_DELAY=60s QUIET_PERIOD=5s HEALTH_ADDR=:8086", serves(8086)}},
		{what: "no grace period", change: func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = 0 },
			want: []string{"wrapped", "GRACE_PERIOD=0s TERM_DELAY=0s QUIET_PERIOD=0s HEALTH_ADDR=:8086", serves(8086)}},
		{what: "a preStop sleep", change: func(p *corev1.Pod) {
			p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 10}}}
		}, want: []string{"wrapped", "GRACE_PERIOD=20s TERM_DELAY=10s QUIET_PERIOD=5s HEALTH_ADDR=:8086", serves(8086)}, warns: "container app has a preStop hook"},
		{what: "what runs to its end", change: func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever },
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=0s QUIET_PERIOD=0s HEALTH_ADDR=:8086", ""}},
		{what: "no command", change: func(p *corev1.Pod) { p.Spec.Containers[0].Command = nil },
			want: []string{"alone", "", ""}, warns: "usher is not in front of container app, which has no command: write as its command what `docker inspect"},
		{what: "several containers", change: func(p *corev1.Pod) {
			bare, second := plain("bare"), plain("second")
			bare.Command = nil
			p.Spec.Containers = []corev1.Container{bare, p.Spec.Containers[0], second}
		}, want: []string{"alone", "", "",
			"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8087", serves(8087),
			"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8088", serves(8088)}, warns: "container bare,"},
		{what: "copied", annotations: map[string]string{"usher/source": "copy"}, change: func(*corev1.Pod) {}, init: "usher",
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086", serves(8086)}},
		{what: "copied, beside an init container", annotations: map[string]string{"usher/source": "copy"}, change: func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{plain("before")}
		}, init: "usher before",
			want: []string{"wrapped", "GRACE_PERIOD=30s TERM_DELAY=15s QUIET_PERIOD=5s HEALTH_ADDR=:8086", serves(8086)}},
	} {
		asked := labelled("pod", c.annotations, c.change)
		got, warnings, err := try.of(asked)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if c.warns == "" && len(warnings) > 0 || c.warns != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], c.warns)) {
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

	// The same policies a second time, under another name: every pod gets what it got.
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
				list[i].VolumeMounts = slices.DeleteFunc(list[i].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name != "usher" })
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

// description is where usher is in a container, its variables, and its probes.
func description(asked, got *corev1.Container) []string {
	where := "changed: " + strings.Join(got.Command, " ")
	mounted := slices.ContainsFunc(got.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "usher" && m.MountPath == "/.usher" && m.ReadOnly })
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
	return []string{where, environment(got), strings.Join(probes, " ")}
}

// What can't work is refused where its author sees it: in the workload that is applied.
func TestInjectRefuses(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	_, try := injected(t, "", unchanged)
	set := func(name, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
		}
	}
	check := func(p *corev1.Pod) { p.Labels["usher/mode"] = "check" }
	for _, c := range []struct {
		what             string
		annotations      map[string]string
		changes          []func(*corev1.Pod)
		refusal, warning string
	}{
		{what: "nothing is wrong"},
		{what: "no label", changes: []func(*corev1.Pod){set("USHER_GRACE_PERIOD", "1h"), func(p *corev1.Pod) { delete(p.Labels, "usher/mode") }}},
		{what: "grace periods agree", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "0.5m"), set("USHER_TERM_DELAY", "29s")}},
		{what: "more than is granted", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "31s")},
			refusal: "USHER_GRACE_PERIOD is longer than the 30s that kubelet grants"},
		{what: "more than is granted, by annotation", annotations: map[string]string{"usher/grace-period": "1m"},
			refusal: "USHER_GRACE_PERIOD is longer than the 30s that kubelet grants"},
		{what: "less than is granted", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "20s")},
			warning: "USHER_GRACE_PERIOD of container app is shorter than terminationGracePeriodSeconds (30)"},
		{what: "a hold that does not fit", annotations: map[string]string{"usher/term-delay": "30s"},
			refusal: "the hold and the drain of usher do not fit into the grace period of 30s"},
		{what: "hold and drain that do not fit", changes: []func(*corev1.Pod){check, set("USHER_TERM_DELAY", "20s"), set("USHER_DRAIN_TIMEOUT", "10s")},
			refusal: "the hold and the drain of usher do not fit into the grace period of 30s"},
		{what: "a hold, and kubelet's SIGKILL unannounced", changes: []func(*corev1.Pod){check, set("USHER_TERM_DELAY", "10s")},
			warning: "container app has USHER_TERM_DELAY and no USHER_GRACE_PERIOD: set it to 30s"},
		{what: "quiet for longer than held", annotations: map[string]string{"usher/term-delay": "3s", "usher/quiet-period": "4s"},
			refusal: "the quiet period is longer than the hold"},
		{what: "no durations", annotations: map[string]string{"usher/term-delay": "10 sec", "usher/quiet-period": "5"},
			refusal: "usher takes durations such as 10s or 1m30s, and not quiet-period 5, term-delay 10 sec"},
		{what: "no port", annotations: map[string]string{"usher/health-port": "http"}, refusal: "usher/health-port has to be a number, and is http"},
		{what: "no source", annotations: map[string]string{"usher/source": "sidecar"}, refusal: "usher/source has to be image or copy, and is sidecar"},
		{what: "no command", changes: []func(*corev1.Pod){func(p *corev1.Pod) { p.Spec.Containers[0].Command = nil }},
			warning: "usher is not in front of container app"},
	} {
		p := labelled("pod", c.annotations, c.changes...)
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations}, Spec: p.Spec}
		ends := *template.DeepCopy()
		ends.Spec.RestartPolicy = corev1.RestartPolicyNever
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "pod"}}
		name := metav1.ObjectMeta{Name: "pod"}
		for _, object := range []any{p,
			&appsv1.Deployment{ObjectMeta: name, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
			&appsv1.StatefulSet{ObjectMeta: name, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
			&batchv1.Job{ObjectMeta: name, Spec: batchv1.JobSpec{Template: ends}},
			&batchv1.CronJob{ObjectMeta: name, Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *",
				JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: ends}}}},
		} {
			_, warnings, err := try.of(object)
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(), c.refusal)) {
				t.Errorf("%s: %T: refusal %v, want %q", c.what, object, err, c.refusal)
			}
			if c.refusal == "" && (c.warning == "" && len(warnings) > 0 || c.warning != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], c.warning))) {
				t.Errorf("%s: %T: warnings %q, want %q", c.what, object, warnings, c.warning)
			}
		}
	}
}

// An injected server passes the test of TestNoRequestFails: nothing fails while its pods are replaced. It drops everything on SIGTERM. Its image has
// QUIT as its STOPSIGNAL, which an annotation has to name: TestControl shows what becomes of the requests where no hold begins.
func TestInjectNoRequestFails(t *testing.T) {
	needCluster(t, true)
	for _, source := range []string{"image", "copy"} {
		t.Run(source, func(t *testing.T) {
			if testing.Short() && source == "copy" {
				t.Skip("not in the short round")
			}
			n, _ := injected(t, "", unchanged)
			p := labelled("web", map[string]string{"usher/source": source, "usher/ready-check": "http://localhost:80/",
				"usher/ready-period": "1s", "usher/stop-signals": "TERM,QUIT", "usher/rewrite": "QUIT:TERM"})
			three := int32(3)
			_, err := n.client.AppsV1().Deployments(n.name).Create(t.Context(), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec: appsv1.DeploymentSpec{Replicas: &three, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
					Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations}, Spec: p.Spec}}},
				metav1.CreateOptions{FieldValidation: "Strict"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = n.client.CoreV1().Services(n.name).Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}}},
				metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n.rolledOut("web")
			load := n.startLoad(n.address("web"))
			requests, restarts := 9000, 3
			if testing.Short() {
				requests, restarts = 3000, 1
			}
			for i := range restarts {
				what := fmt.Sprintf("source %s, rolling restart %d", source, i+1)
				if got := load.during(t, what, requests, func() { n.restart("web") }); got.Failed > 0 {
					t.Errorf("%s: %d of %d requests failed: %v\n%q", what, got.Failed, got.OK+got.Failed, got.Kinds, got.Last)
				}
			}
			stopped := 0
			for name, p := range n.all() {
				if p.Labels["app"] != "web" || p.gone.IsZero() {
					continue
				}
				stopped++
				if p.gone.Sub(p.deleting) > goneWithin {
					t.Errorf("%s was gone after %v", name, p.gone.Sub(p.deleting))
				}
				if state := terminated(p.Pod, "app"); state != nil {
					expect(t, state, "Error", 143, "Signaled: killed by SIGTERM", "SIGQUIT from outside the container, held back for ", "of at most 15s (quiet for 5s)")
				} else {
					t.Errorf("%s: nothing of its end was seen", name)
				}
			}
			if stopped != 3*restarts {
				t.Errorf("%d pods have stopped, want %d", stopped, 3*restarts)
			}
		})
	}
}

// Every kind of workload, under the strictest security standard: usher runs in front of its pods, and has the last word.
func TestInjectWorkloads(t *testing.T) {
	needCluster(t, false)
	t.Parallel()
	restricted := func(p *corev1.Pod) {
		yes, no, user := true, false, int64(1234)
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		p.Spec.Containers[0].Command = []string{"/app", "serve", "-addr", ":8080"}
	}
	n, _ := injected(t, "restricted", restricted)
	ends := func(p *corev1.Pod) {
		restricted(p)
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"/app", "exit", "3"}
	}
	template := func(p *corev1.Pod) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations}, Spec: p.Spec}
	}
	never := int32(0)
	for _, source := range []string{"image", "copy"} {
		annotations := map[string]string{"usher/source": source, "usher/ready-check": "http://localhost:8080/", "usher/ready-period": "1s",
			"usher/quiet-period": "1s", "usher/stop-signals": "TERM,QUIT", "usher/rewrite": "QUIT:TERM"}
		strict := metav1.CreateOptions{FieldValidation: "Strict"}
		t.Run("StatefulSet, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "set-" + source
			_, err := n.client.AppsV1().StatefulSets(n.name).Create(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
					Template: template(labelled(name, annotations, restricted))}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			n.untilReady(name + "-0")
			n.deletePod(name + "-0")
			p := n.untilPod(name+"-0", "ended", limit, func(p seenPod) bool { return terminated(p.Pod, "app") != nil })
			expect(t, terminated(p.Pod, "app"), "Error", 143, "Signaled: killed by SIGTERM", "SIGQUIT from outside the container, held back for ", "of at most 15s (quiet for 1s)")
		})
		t.Run("Job, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "job-" + source
			_, err := n.client.BatchV1().Jobs(n.name).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: batchv1.JobSpec{BackoffLimit: &never, Template: template(labelled(name, map[string]string{"usher/source": source}, ends))}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, n.endedOf(name), "Error", 3, "Error: exit code 3")
		})
		t.Run("CronJob, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "cron-" + source
			_, err := n.client.BatchV1().CronJobs(n.name).Create(t.Context(), &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: batchv1.CronJobSpec{Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent, JobTemplate: batchv1.JobTemplateSpec{
					Spec: batchv1.JobSpec{BackoffLimit: &never, Template: template(labelled(name, map[string]string{"usher/source": source}, ends))}}}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, n.endedOf(name), "Error", 3, "Error: exit code 3")
		})
	}
}

// endedOf waits for the end of the container "app" in any pod of a workload whose pods' names begin with its name.
func (n *namespace) endedOf(workload string) *corev1.ContainerStateTerminated {
	n.t.Helper()
	var end *corev1.ContainerStateTerminated
	n.until(workload+" ended", limit, func(all map[string]seenPod) bool {
		for _, p := range all {
			if p.Labels["app"] == workload && terminated(p.Pod, "app") != nil {
				end = terminated(p.Pod, "app")
			}
		}
		return end != nil
	})
	return end
}
