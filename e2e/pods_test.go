package e2e

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// restClient is the client of the group that a resource is in.
func restClient(c kubernetes.Interface, resource string) rest.Interface {
	switch resource {
	case "deployments":
		return c.AppsV1().RESTClient()
	case "jobs":
		return c.BatchV1().RESTClient()
	case "poddisruptionbudgets":
		return c.PolicyV1().RESTClient()
	}
	return c.CoreV1().RESTClient()
}

func newObject(of runtime.Object) runtime.Object {
	switch of.(type) {
	case *appsv1.Deployment:
		return &appsv1.Deployment{}
	case *batchv1.Job:
		return &batchv1.Job{}
	case *policyv1.PodDisruptionBudget:
		return &policyv1.PodDisruptionBudget{}
	case *corev1.ServiceAccount:
		return &corev1.ServiceAccount{}
	case *corev1.Node:
		return &corev1.Node{}
	}
	return nil
}

// settings are usher's variables.
type settings = map[string]string

// pod is one with a container "app" of the image web: usher, and app with the
// given arguments behind it. Set are usher's variables.
func pod(name string, set settings, args ...string) *corev1.Pod {
	grace := int64(30)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{container("app", "web", set, args...)},
		},
	}
	return p
}

func container(name, image string, set settings, args ...string) corev1.Container {
	c := corev1.Container{Name: name, Image: cluster.images[image], ImagePullPolicy: corev1.PullIfNotPresent, Args: args}
	for k, v := range set {
		c.Env = append(c.Env, corev1.EnvVar{Name: k, Value: v})
	}
	return c
}

func httpGet(path string, port int) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(port)}}}
}

func execProbe(command ...string) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5,
		ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: command}}}
}

func (n *namespace) create(p *corev1.Pod) *corev1.Pod {
	n.t.Helper()
	made, err := n.client.CoreV1().Pods(n.name).Create(n.t.Context(), p, metav1.CreateOptions{FieldValidation: "Strict"})
	if err != nil {
		n.t.Fatal(err)
	}
	return made
}

func (n *namespace) deletePod(name string) {
	n.t.Helper()
	if err := n.client.CoreV1().Pods(n.name).Delete(n.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

// ask sends a request to a pod's port, by way of the API server.
func (n *namespace) ask(pod, port, path string, query map[string]string) string {
	n.t.Helper()
	out, err := n.client.CoreV1().Pods(n.name).ProxyGet("http", pod, port, path, query).DoRaw(n.t.Context())
	if err != nil {
		n.t.Fatalf("%s:%s%s: %v", pod, port, path, err)
	}
	return string(out)
}

// ended waits for the end of the container "app".
func (n *namespace) ended(name string) *corev1.ContainerStateTerminated {
	n.t.Helper()
	p := n.untilPod(name, "ended", limit, func(p seenPod) bool { return terminated(p.Pod, "app") != nil })
	return terminated(p.Pod, "app")
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// status is that of a container, init or not.
func status(p *corev1.Pod, container string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return &list[i]
			}
		}
	}
	return nil
}

// terminated is how a container has ended, nil while it has not.
func terminated(p *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	if s := status(p, container); s != nil {
		return s.State.Terminated
	}
	return nil
}

// expect compares an end with what it has to be.
func expect(t *testing.T, end *corev1.ContainerStateTerminated, reason string, code int32, parts ...string) {
	t.Helper()
	if end.Reason != reason || end.ExitCode != code {
		t.Errorf("reason %s, exit code %d, want %s, %d", end.Reason, end.ExitCode, reason, code)
	}
	for _, part := range parts {
		if !strings.Contains(end.Message, part) {
			t.Errorf("message %q, want %q in it", end.Message, part)
		}
	}
}

// seconds is a time as it is reported.
func seconds(d time.Duration) float64 {
	return float64(d.Round(100*time.Millisecond)) / float64(time.Second)
}
