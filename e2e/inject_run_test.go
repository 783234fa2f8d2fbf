package e2e

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// An injected server passes the test of TestNoRequestFails: nothing fails while
// its pods are replaced. It drops everything on SIGTERM. Its image has QUIT as
// its STOPSIGNAL, which an annotation has to name: TestControl shows what
// becomes of the requests where no hold begins.
func TestInjectNoRequestFails(t *testing.T) {
	needCluster(t, true)
	for _, source := range []string{"image", "copy"} {
		t.Run(source, func(t *testing.T) {
			if testing.Short() && source == "copy" {
				t.Skip("not in the short round")
			}
			if testing.Short() {
				t.Parallel()
			}
			n, _ := injected(t, "", unchanged)
			p := labelled("web", map[string]string{"usher/source": source,
				"usher/ready-check":  "http://localhost:80/",
				"usher/ready-period": "1s", "usher/stop-signals": "TERM,QUIT", "usher/rewrite": "QUIT:TERM"})
			three := int32(3)
			_, err := n.client.AppsV1().Deployments(n.name).Create(t.Context(),
				&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"},
					Spec: appsv1.DeploymentSpec{Replicas: &three,
						Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
						Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels,
							Annotations: p.Annotations}, Spec: p.Spec}}},
				metav1.CreateOptions{FieldValidation: "Strict"})
			if err != nil {
				t.Fatal(err)
			}
			_, err = n.client.CoreV1().Services(n.name).Create(t.Context(),
				&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
					Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
						Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}}},
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
					t.Errorf("%s: %d of %d requests failed: %v\n%q", what, got.Failed, got.OK+got.Failed, got.Kinds,
						got.Last)
				}
			}
			// On a cluster that is slow to route, some may take the most they can.
			stopped, byQuiet := 0, 0
			for name, p := range n.all() {
				if p.Labels["app"] != "web" || p.deleting.IsZero() {
					continue
				}
				stopped++
				end := terminated(p.Pod, "app")
				if end == nil {
					t.Errorf("%s: nothing of its end was seen", name)
					continue
				}
				expect(t, end, "Error", 143, "Signaled: killed by SIGTERM",
					"SIGQUIT from outside the container, held back for ")
				if strings.Contains(end.Message, " of at most 15s (quiet for 5s), ") {
					byQuiet++
				}
			}
			if byQuiet == 0 {
				t.Errorf("of %d pods that stopped, none was gone when its traffic was", stopped)
			}
			if all := load.settled(); all.Failed > 0 {
				t.Errorf("%d of %d requests failed: %v\n%q", all.Failed, all.OK+all.Failed, all.Kinds, all.Last)
			}
			if stopped != 3*restarts {
				t.Errorf("%d pods have stopped, want %d", stopped, 3*restarts)
			}
		})
	}
}

// Every kind of workload, under the strictest security standard: usher runs in
// front of its pods, and has the last word.
func TestInjectWorkloads(t *testing.T) {
	needCluster(t, false)
	t.Parallel()
	restricted := func(p *corev1.Pod) {
		yes, no, user := true, false, int64(1234)
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: &yes,
			AllowPrivilegeEscalation: &no,
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
		p.Spec.Containers[0].Command = []string{"/app", "serve", "-addr", ":8080"}
	}
	n, _ := injected(t, "restricted", restricted)
	ends := func(p *corev1.Pod) {
		restricted(p)
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Containers[0].Command = []string{"/app", "exit", "3"}
	}
	template := func(p *corev1.Pod) corev1.PodTemplateSpec {
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels, Annotations: p.Annotations},
			Spec: p.Spec}
	}
	never := int32(0)
	for _, source := range []string{"image", "copy"} {
		annotations := map[string]string{"usher/source": source, "usher/ready-check": "http://localhost:8080/",
			"usher/ready-period": "1s",
			"usher/quiet-period": "1s", "usher/stop-signals": "TERM,QUIT", "usher/rewrite": "QUIT:TERM"}
		strict := metav1.CreateOptions{FieldValidation: "Strict"}
		t.Run("StatefulSet, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "set-" + source
			_, err := n.client.AppsV1().StatefulSets(n.name).Create(t.Context(),
				&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec: appsv1.StatefulSetSpec{
						Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
						Template: template(labelled(name, annotations, restricted))}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			n.untilReady(name + "-0")
			n.deletePod(name + "-0")
			p := n.untilPod(name+"-0", "ended", limit, func(p seenPod) bool {
				return terminated(p.Pod,
					"app") != nil
			})
			expect(t, terminated(p.Pod, "app"), "Error", 143, "Signaled: killed by SIGTERM",
				"SIGQUIT from outside the container, held back for ", "of at most 15s (quiet for 1s)")
		})
		t.Run("Job, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "job-" + source
			_, err := n.client.BatchV1().Jobs(n.name).Create(t.Context(),
				&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec: batchv1.JobSpec{BackoffLimit: &never, Template: template(labelled(name,
						map[string]string{"usher/source": source}, ends))}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, n.endedOf(name), "Error", 3, "Error: exit code 3")
		})
		t.Run("CronJob, "+source, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			name := "cron-" + source
			_, err := n.client.BatchV1().CronJobs(n.name).Create(t.Context(),
				&batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec: batchv1.CronJobSpec{Schedule: "* * * * *", ConcurrencyPolicy: batchv1.ForbidConcurrent,
						JobTemplate: batchv1.JobTemplateSpec{
							Spec: batchv1.JobSpec{BackoffLimit: &never, Template: template(labelled(name,
								map[string]string{"usher/source": source}, ends))}}}}, strict)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, n.endedOf(name), "Error", 3, "Error: exit code 3")
		})
	}
}

// endedOf waits for the end of the container "app" in any pod of a workload
// whose pods' names begin with its name.
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
