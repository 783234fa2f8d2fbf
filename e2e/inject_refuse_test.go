package e2e

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What can't work is refused where its author sees it: in the workload that is
// applied.
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
		{what: "no label", changes: []func(*corev1.Pod){set("USHER_GRACE_PERIOD", "1h"),
			func(p *corev1.Pod) { delete(p.Labels, "usher/mode") }}},
		{what: "grace periods agree", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "0.5m"),
			set("USHER_TERM_DELAY", "29s")}},
		{what: "more than is granted", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "31s")},
			refusal: "USHER_GRACE_PERIOD is longer than the 30s that kubelet grants"},
		{what: "more than is granted, by annotation", annotations: map[string]string{"usher/grace-period": "1m"},
			refusal: "USHER_GRACE_PERIOD is longer than the 30s that kubelet grants"},
		{what: "less than is granted", changes: []func(*corev1.Pod){check, set("USHER_GRACE_PERIOD", "20s")},
			warning: "USHER_GRACE_PERIOD of container app is shorter than terminationGracePeriodSeconds (30)"},
		{what: "a hold that does not fit", annotations: map[string]string{"usher/term-delay": "30s"},
			refusal: "the hold and the drain of usher do not fit into the grace period of 30s"},
		{what: "hold and drain that do not fit", changes: []func(*corev1.Pod){check, set("USHER_TERM_DELAY", "20s"),
			set("USHER_DRAIN_TIMEOUT", "10s")},
			refusal: "the hold and the drain of usher do not fit into the grace period of 30s"},
		{what: "a hold, and kubelet's SIGKILL unannounced", changes: []func(*corev1.Pod){check,
			set("USHER_TERM_DELAY", "10s")},
			warning: "container app has USHER_TERM_DELAY and no USHER_GRACE_PERIOD: set it to 30s"},
		{what: "quiet for longer than held", annotations: map[string]string{"usher/term-delay": "3s",
			"usher/quiet-period": "4s"},
			refusal: "the quiet period is longer than the hold"},
		{what: "no durations", annotations: map[string]string{"usher/term-delay": "10 sec",
			"usher/quiet-period": "5"},
			refusal: "usher takes durations such as 10s or 1m30s, and not quiet-period 5, term-delay 10 sec"},
		{what: "no port", annotations: map[string]string{"usher/health-port": "http"},
			refusal: "usher/health-port has to be a number, and is http"},
		{what: "no source", annotations: map[string]string{"usher/source": "sidecar"},
			refusal: "usher/source has to be image or copy, and is sidecar"},
		{what: "no command", changes: []func(*corev1.Pod){func(p *corev1.Pod) { p.Spec.Containers[0].Command = nil }},
			warning: "usher is not in front of container app"},
	} {
		p := labelled("pod", c.annotations, c.changes...)
		template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels,
			Annotations: p.Annotations}, Spec: p.Spec}
		ends := *template.DeepCopy()
		ends.Spec.RestartPolicy = corev1.RestartPolicyNever
		selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "pod"}}
		name := metav1.ObjectMeta{Name: "pod"}
		for _, object := range []any{p,
			&appsv1.Deployment{ObjectMeta: name, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
			&appsv1.StatefulSet{ObjectMeta: name, Spec: appsv1.StatefulSetSpec{Selector: selector,
				Template: template}},
			&batchv1.Job{ObjectMeta: name, Spec: batchv1.JobSpec{Template: ends}},
			&batchv1.CronJob{ObjectMeta: name, Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *",
				JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: ends}}}},
		} {
			_, warnings, err := try.of(object)
			if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(err.Error(),
				c.refusal)) {
				t.Errorf("%s: %T: refusal %v, want %q", c.what, object, err, c.refusal)
			}
			if c.refusal == "" && (c.warning == "" && len(warnings) > 0 || c.warning != "" && (len(warnings) != 1 ||
				!strings.Contains(warnings[0], c.warning))) {
				t.Errorf("%s: %T: warnings %q, want %q", c.what, object, warnings, c.warning)
			}
		}
	}
}
