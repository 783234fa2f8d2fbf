package e2e

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The Job of the examples: it completes; a command that is not there fails it
// at once, by its podFailurePolicy; what fails by itself is tried again.
func TestJob(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, nil)
	for _, c := range []struct {
		name   string
		args   []string
		reason string
		pods   int
		code   int32
	}{
		{name: "complete", args: []string{"/app", "migrate"}, pods: 1},
		{name: "not-there", args: []string{"/ap", "migrate"}, reason: batchv1.JobReasonPodFailurePolicy, pods: 1, code: 127},
		{name: "fails", args: []string{"/app", "exit", "3"}, reason: batchv1.JobReasonBackoffLimitExceeded, pods: 2, code: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			var job batchv1.Job
			if err := yaml.UnmarshalStrict([]byte(example(t, "job.yaml")), &job); err != nil {
				t.Fatal(err)
			}
			once := int32(1)
			job.Name, job.Spec.BackoffLimit = c.name, &once
			job.Spec.Template.Spec.Containers[0].Args = c.args
			strictly := metav1.CreateOptions{FieldValidation: "Strict"}
			if _, err := n.client.BatchV1().Jobs(n.name).Create(t.Context(), &job, strictly); err != nil {
				t.Fatal(err)
			}
			var end batchv1.JobCondition
			await(n, "jobs", c.name, "ended", limit, func(j *batchv1.Job) (bool, error) {
				for _, is := range j.Status.Conditions {
					if (is.Type == batchv1.JobComplete || is.Type == batchv1.JobFailed) && is.Status == corev1.ConditionTrue {
						end = is
						return true, nil
					}
				}
				return false, nil
			})
			if failed := end.Type == batchv1.JobFailed; failed != (c.reason != "") || failed && end.Reason != c.reason {
				t.Errorf("%s, %s: %s", end.Type, end.Reason, end.Message)
			}
			pods := 0
			for name, p := range n.all() {
				if p.Labels[batchv1.JobNameLabel] != c.name {
					continue
				}
				pods++
				if state := terminated(p.Pod, "migrate"); state == nil || state.ExitCode != c.code || state.Message == "" {
					t.Errorf("%s: %s", name, fmt.Sprint(state))
				}
			}
			if pods != c.pods {
				t.Errorf("%d pods, want %d", pods, c.pods)
			}
		})
	}
}
