package kubernetes

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// policies are the documents of inject/, each decoded strictly.
func policies(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob("inject/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	all := map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			object, err := decode(document)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch o := object.(type) {
			case *admissionv1.MutatingAdmissionPolicy:
				all["mutate "+o.Name] = o
			case *admissionv1.MutatingAdmissionPolicyBinding:
				all["bind mutate "+o.Spec.PolicyName] = o
			case *admissionv1.ValidatingAdmissionPolicy:
				all["validate "+o.Name] = o
			case *admissionv1.ValidatingAdmissionPolicyBinding:
				all["bind validate "+o.Spec.PolicyName] = o
			default:
				t.Errorf("%s: a %T", file, object)
			}
		}
	}
	return all
}

// TestPolicies holds the policies against Kubernetes' types and each other. What
// they do is for e2e: only an API server evaluates them.
func TestPolicies(t *testing.T) {
	all := policies(t)
	want := []string{"bind mutate usher", "bind validate usher-refuse", "bind validate usher-warn", "mutate usher",
		"validate usher-refuse", "validate usher-warn"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) {
		t.Fatalf("there are %q, want %q", got, want)
	}
	warn := all["bind validate usher-warn"].(*admissionv1.ValidatingAdmissionPolicyBinding)
	if slices.Contains(warn.Spec.ValidationActions, admissionv1.Deny) {
		t.Errorf("what only warns has %v", warn.Spec.ValidationActions)
	}
	mutate := all["mutate usher"].(*admissionv1.MutatingAdmissionPolicy)
	if labels := mutate.Spec.MatchConstraints.ObjectSelector.MatchLabels; labels["usher/mode"] != "inject" {
		t.Errorf("it changes pods with %v", labels)
	}
	for _, name := range []string{"refuse", "warn"} {
		v := all["validate usher-"+name].(*admissionv1.ValidatingAdmissionPolicy)
		if first := v.Spec.MatchConditions[0].Expression; !strings.Contains(first,
			`[?'usher/mode'].orValue('') in ['inject', 'check']`) {
			t.Errorf("%s looks at more than what has the label: %s", v.Name, first)
		}
	}
	// A variable can only name those before it.
	for name, variables := range map[string][]admissionv1.Variable{
		"mutate": func() (list []admissionv1.Variable) {
			for _, v := range mutate.Spec.Variables {
				list = append(list, admissionv1.Variable(v))
			}
			return list
		}(),
		"refuse": all["validate usher-refuse"].(*admissionv1.ValidatingAdmissionPolicy).Spec.Variables,
		"warn":   all["validate usher-warn"].(*admissionv1.ValidatingAdmissionPolicy).Spec.Variables,
	} {
		known := map[string]bool{}
		for _, v := range variables {
			for _, used := range regexp.MustCompile(`variables\.(\w+)`).FindAllStringSubmatch(v.Expression, -1) {
				if !known[used[1]] {
					t.Errorf("%s: %s uses %s, which comes later or never", name, v.Name, used[1])
				}
			}
			known[v.Name] = true
		}
	}
}

// TestInjectReadme: each annotation of the table is a flag of usher, or known to
// the policy; every message of the policies is explained by its own words.
func TestInjectReadme(t *testing.T) {
	readme, err := os.ReadFile("inject/README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := help(t)
	policy, err := os.ReadFile("inject/mutate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`usher/([a-z-]+)").FindAllSubmatch(readme, -1)
	if len(found) < 6 {
		t.Errorf("README names %d annotations", len(found))
	}
	for _, f := range found {
		name := string(f[1])
		if name != "mode" && !strings.Contains(help, "--"+name+" ") && !bytes.Contains(policy,
			[]byte("?'usher/"+name+"'")) {
			t.Errorf("README has usher/%s, which is neither a flag nor in the policy", name)
		}
	}
}
