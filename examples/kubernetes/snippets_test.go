package kubernetes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// snippets returns the YAML blocks of the README and the how-to pages that begin
// with the line first, by their pages.
func snippets(t *testing.T, first string) map[string]string {
	t.Helper()
	found := map[string]string{}
	pages, err := filepath.Glob("../../docs/how-to/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md", "../../docs/tutorial.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			if block, _, _ = strings.Cut(block, "```"); strings.HasPrefix(block, first+"\n") {
				found[strings.TrimPrefix(page, "../../")] += block
			}
		}
	}
	return found
}

// TestPodSnippets: what the documentation shows of a pod is what Kubernetes
// takes, and its numbers are those that usher takes.
func TestPodSnippets(t *testing.T) {
	found := snippets(t, "spec:")
	if len(found) != 2 {
		t.Errorf("%d pages", len(found))
	}
	usher, help := binary(t), help(t)
	for page, block := range found {
		t.Run(page, func(t *testing.T) {
			var pod struct {
				Spec corev1.PodSpec `json:"spec"`
			}
			text, err := yaml.YAMLToJSONStrict([]byte(block))
			if err != nil {
				t.Fatal(err)
			}
			strict, err := json.UnmarshalStrict(text, &pod)
			if err := errors.Join(append(strict, err)...); err != nil {
				t.Fatal(err)
			}
			checkPod(t, usher, help, &pod.Spec)
		})
	}
}
