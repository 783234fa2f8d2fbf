package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

const examples = "../examples/kubernetes"

// replaced are the examples' images, and those that the tests run instead.
var replaced = map[string]string{
	"registry.example/web:1":   "web",
	"registry.example/app:1":   "app",
	"registry.example/proxy:1": "proxy",
	"registry.example/usher:1": "usher",
	"nginx:1.29-alpine":        "plain",
}

// example is a manifest of the examples, with its images replaced and nothing
// else.
func example(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, file))
	if err != nil {
		t.Fatal(err)
	}
	return withImages(t, string(text))
}

// withImages replaces the images of a manifest, those of containers and of volumes.
func withImages(t *testing.T, text string) string {
	t.Helper()
	return regexp.MustCompile(`(?m)\b(image|reference): *([^ ,{}\n]+)`).ReplaceAllStringFunc(text, func(line string) string {
		field, name, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if replaced[name] == "" {
			t.Errorf("there is no image for %s", name)
		}
		return field + ": " + cluster.images[replaced[name]]
	})
}

// apply has the API server apply a manifest of one object, as kubectl apply
// --server-side does, and refuse unknown fields.
func (n *namespace) apply(manifest string) {
	n.t.Helper()
	var object struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		n.t.Fatal(err)
	}
	resources := map[string]string{
		"v1 Service":                    "/api/v1/%s/services/",
		"apps/v1 Deployment":            "/apis/apps/v1/%s/deployments/",
		"batch/v1 Job":                  "/apis/batch/v1/%s/jobs/",
		"policy/v1 PodDisruptionBudget": "/apis/policy/v1/%s/poddisruptionbudgets/",
	}
	path := resources[object.APIVersion+" "+object.Kind]
	if path == "" {
		n.t.Fatalf("unknown kind %s %s", object.APIVersion, object.Kind)
	}
	err := n.client.CoreV1().RESTClient().Patch(types.ApplyPatchType).
		AbsPath(fmt.Sprintf(path, "namespaces/"+n.name)+object.Name).
		Param("fieldManager", "e2e").Param("fieldValidation", "Strict").Body([]byte(manifest)).Do(n.t.Context()).Error()
	if err != nil {
		n.t.Fatalf("%s %s: %v", object.Kind, object.Name, err)
	}
}

// rolledOut waits until all of a Deployment is of its newest kind and
// available, and nothing older is left.
func (n *namespace) rolledOut(name string) {
	n.t.Helper()
	var replicas int
	await(n, "deployments", name, "rolled out", limit, func(d *appsv1.Deployment) (bool, error) {
		s := d.Status
		replicas = int(*d.Spec.Replicas)
		return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == *d.Spec.Replicas &&
			s.Replicas == s.UpdatedReplicas && s.AvailableReplicas == s.UpdatedReplicas, nil
	})
	n.until(name+" alone", limit, func(all map[string]seenPod) bool {
		there, ready := 0, 0
		for _, p := range all {
			if p.Labels["app"] == name && p.gone.IsZero() {
				there++
				if isReady(p.Pod) && p.deleting.IsZero() {
					ready++
				}
			}
		}
		return there == replicas && ready == replicas
	})
}

// patch changes a Deployment.
func (n *namespace) patch(name, patch string) {
	n.t.Helper()
	_, err := n.client.AppsV1().Deployments(n.name).Patch(n.t.Context(), name, types.StrategicMergePatchType,
		[]byte(patch), metav1.PatchOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
}

// podsOf are those of a Deployment that are not being deleted.
func (n *namespace) podsOf(app string) []string {
	var names []string
	for name, p := range n.all() {
		if p.Labels["app"] == app && p.deleting.IsZero() && p.gone.IsZero() {
			names = append(names, name)
		}
	}
	return names
}
