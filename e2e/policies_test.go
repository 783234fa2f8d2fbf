package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// policed is the label of the namespaces that a test's policies are bound to;
// its value is the test's own.
const policed = "usher-e2e/policies"

// install brings the policies of examples/kubernetes/inject to the cluster, with
// a name of their own and bound to the test's namespaces, and takes them away
// when the test ends.
func install(t *testing.T, suffix, label string) {
	t.Helper()
	served, err := cluster.client.Discovery().ServerResourcesForGroupVersion("admissionregistration.k8s.io/v1")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(served.APIResources,
		func(r metav1.APIResource) bool { return r.Kind == "MutatingAdmissionPolicy" }) {
		t.Skip("the cluster has no MutatingAdmissionPolicy in v1: it comes with Kubernetes 1.36")
	}
	policies := cluster.client.AdmissionregistrationV1()
	here := &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{policed: label}}}
	strict := metav1.CreateOptions{FieldValidation: "Strict"}
	for _, file := range []string{"mutate.yaml", "refuse.yaml", "warn.yaml"} {
		text, err := os.ReadFile(filepath.Join(examples, "inject", file))
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte("registry.example/usher:1"), []byte(cluster.images["usher"]))
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal(document, &kind); err != nil {
				t.Fatal(err)
			}
			var remove func(context.Context, string, metav1.DeleteOptions) error
			var name string
			switch kind.Kind {
			case "MutatingAdmissionPolicy":
				var p admissionv1.MutatingAdmissionPolicy
				err = yaml.UnmarshalStrict(document, &p)
				p.Name += suffix
				if err == nil {
					_, err = policies.MutatingAdmissionPolicies().Create(t.Context(), &p, strict)
				}
				name, remove = p.Name, policies.MutatingAdmissionPolicies().Delete
			case "MutatingAdmissionPolicyBinding":
				var b admissionv1.MutatingAdmissionPolicyBinding
				err = yaml.UnmarshalStrict(document, &b)
				b.Name, b.Spec.PolicyName, b.Spec.MatchResources = b.Name+suffix, b.Spec.PolicyName+suffix, here
				if err == nil {
					_, err = policies.MutatingAdmissionPolicyBindings().Create(t.Context(), &b, strict)
				}
				name, remove = b.Name, policies.MutatingAdmissionPolicyBindings().Delete
			case "ValidatingAdmissionPolicy":
				var p admissionv1.ValidatingAdmissionPolicy
				err = yaml.UnmarshalStrict(document, &p)
				p.Name += suffix
				if err == nil {
					_, err = policies.ValidatingAdmissionPolicies().Create(t.Context(), &p, strict)
				}
				name, remove = p.Name, policies.ValidatingAdmissionPolicies().Delete
			case "ValidatingAdmissionPolicyBinding":
				var b admissionv1.ValidatingAdmissionPolicyBinding
				err = yaml.UnmarshalStrict(document, &b)
				b.Name, b.Spec.PolicyName, b.Spec.MatchResources = b.Name+suffix, b.Spec.PolicyName+suffix, here
				if err == nil {
					_, err = policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), &b, strict)
				}
				name, remove = b.Name, policies.ValidatingAdmissionPolicyBindings().Delete
			}
			if err != nil || remove == nil {
				t.Fatalf("%s: %s: %v", file, kind.Kind, err)
			}
			t.Cleanup(func() {
				if err := remove(context.Background(), name, metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A trial asks the API server what it would make of objects, and creates none.
type trial struct {
	t      *testing.T
	n      *namespace
	client kubernetes.Interface

	mu       sync.Mutex
	warnings []string
}

func newTrial(t *testing.T, n *namespace) *trial {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	try := &trial{t: t, n: n}
	config.WarningHandler = try
	if try.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return try
}

// HandleWarningHeader keeps what the API server warns of.
func (try *trial) HandleWarningHeader(code int, _, text string) {
	if code != 299 {
		return
	}
	try.mu.Lock()
	defer try.mu.Unlock()
	try.warnings = append(try.warnings, text)
}

var _ rest.WarningHandler = (*trial)(nil)

// of is what the API server makes of an object, what it warns of, and its
// refusal.
func (try *trial) of(object any) (pod *corev1.Pod, warnings []string, err error) {
	try.t.Helper()
	try.mu.Lock()
	try.warnings = nil
	try.mu.Unlock()
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: "Strict"}
	switch o := object.(type) {
	case *corev1.Pod:
		pod, err = try.client.CoreV1().Pods(try.n.name).Create(try.t.Context(), o, dry)
	case *appsv1.Deployment:
		_, err = try.client.AppsV1().Deployments(try.n.name).Create(try.t.Context(), o, dry)
	case *appsv1.StatefulSet:
		_, err = try.client.AppsV1().StatefulSets(try.n.name).Create(try.t.Context(), o, dry)
	case *batchv1.Job:
		_, err = try.client.BatchV1().Jobs(try.n.name).Create(try.t.Context(), o, dry)
	case *batchv1.CronJob:
		_, err = try.client.BatchV1().CronJobs(try.n.name).Create(try.t.Context(), o, dry)
	default:
		try.t.Fatalf("%T", object)
	}
	try.mu.Lock()
	defer try.mu.Unlock()
	return pod, slices.Clone(try.warnings), err
}

// untilInForce waits until the API server obeys each of the three policies, and
// so many that warn: it learns of them in its own time, and no watch says when.
func (try *trial) untilInForce(times int, change func(*corev1.Pod)) {
	try.t.Helper()
	deadline := time.Now().Add(limit)
	for ; ; time.Sleep(100 * time.Millisecond) {
		p, _, err := try.of(labelled("in-force", nil, change))
		_, warnings, _ := try.of(labelled("in-force", nil, change,
			func(p *corev1.Pod) { p.Spec.Containers[0].Command = nil }))
		_, _, refused := try.of(labelled("in-force", map[string]string{"usher/term-delay": "soon"}, change))
		if err == nil && p.Spec.Containers[0].Command[0] == "/.usher/usher" && len(warnings) == times &&
			refused != nil && strings.Contains(refused.Error(), "usher takes durations") {
			return
		}
		if time.Now().After(deadline) {
			try.t.Fatalf("the policies are not in force after %v: %v, %q, %v", limit, err, warnings, refused)
		}
	}
}

// labelled is a pod that asks for usher: a server of an image that knows nothing
// of it.
func labelled(name string, annotations map[string]string, changes ...func(*corev1.Pod)) *corev1.Pod {
	p := pod(name, nil)
	p.Labels["usher/mode"], p.Annotations = "inject", annotations
	p.Spec.RestartPolicy = corev1.RestartPolicyAlways
	p.Spec.Containers = []corev1.Container{plain("app")}
	for _, change := range changes {
		change(p)
	}
	return p
}

// plain is a server without usher. It ends at once on SIGTERM.
func plain(name string) corev1.Container {
	c := container(name, "plain", nil)
	c.Command = []string{"/app", "serve", "-addr", ":80"}
	return c
}

// environment is what a container's env says of usher.
func environment(c *corev1.Container) string {
	var all []string
	for _, e := range c.Env {
		all = append(all, strings.TrimPrefix(e.Name, "USHER_")+"="+e.Value)
	}
	return strings.Join(all, " ")
}
