// Package kubernetes holds the manifests against Kubernetes' own types, and against usher.
package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode reads a manifest as the apiserver does with fieldValidation=Strict, and with the same decoder: no unknown and no doubled field, the
// case of every letter right, every value of its type.
func decode(data []byte) (any, error) {
	var of metav1.TypeMeta
	if err := yaml.Unmarshal(data, &of); err != nil {
		return nil, err
	}
	var into any
	switch of.APIVersion + " " + of.Kind {
	case "apps/v1 Deployment":
		into = &appsv1.Deployment{}
	case "v1 Service":
		into = &corev1.Service{}
	case "policy/v1 PodDisruptionBudget":
		into = &policyv1.PodDisruptionBudget{}
	case "batch/v1 Job":
		into = &batchv1.Job{}
	case "admissionregistration.k8s.io/v1 MutatingAdmissionPolicy":
		into = &admissionv1.MutatingAdmissionPolicy{}
	case "admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding":
		into = &admissionv1.MutatingAdmissionPolicyBinding{}
	case "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy":
		into = &admissionv1.ValidatingAdmissionPolicy{}
	case "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding":
		into = &admissionv1.ValidatingAdmissionPolicyBinding{}
	default:
		return nil, fmt.Errorf("unknown kind %q", of)
	}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, err
	}
	strict, err := json.UnmarshalStrict(text, into)
	return into, errors.Join(append(strict, err)...)
}

// The decoder has to be as strict as it says.
func TestStrict(t *testing.T) {
	good, err := os.ReadFile("service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string]string{
		"an unknown field":   string(good) + "  sessionAfinity: None\n",
		"a wrong case":       strings.Replace(string(good), "targetPort", "targetport", 1),
		"a doubled field":    string(good) + "kind: Service\n",
		"a wrong type":       strings.Replace(string(good), "port: 80,", "port: eighty,", 1),
		"an unknown kind":    strings.Replace(string(good), "kind: Service", "kind: Servise", 1),
		"an unknown version": strings.Replace(string(good), "apiVersion: v1", "apiVersion: v2", 1),
	} {
		if bad == string(good) {
			t.Fatalf("%s: not changed", what)
		}
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestManifests(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) != 6 {
		t.Fatalf("%v, %v", files, err)
	}
	usher, help := binary(t), help(t)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			object, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			switch o := object.(type) {
			case *appsv1.Deployment:
				selects(t, o.Spec.Selector, o.Spec.Template.Labels)
				checkPod(t, usher, help, &o.Spec.Template.Spec)
			case *batchv1.Job:
				checkPod(t, usher, help, &o.Spec.Template.Spec)
			case *policyv1.PodDisruptionBudget:
				selects(t, o.Spec.Selector, map[string]string{"app": "web"})
			case *corev1.Service:
				selects(t, &metav1.LabelSelector{MatchLabels: o.Spec.Selector}, map[string]string{"app": "web"})
			}
		})
	}
}

// binary is usher, built once.
func binary(t *testing.T) string {
	t.Helper()
	usher, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return usher
}

// help is what usher --help prints.
func help(t *testing.T) string {
	t.Helper()
	text, err := exec.Command(binary(t), "--help", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var built = sync.OnceValues(func() (string, error) {
	usher := filepath.Join(work, "usher")
	if out, err := exec.Command("make", "-s", "-C", "../..", "build", "OUT="+usher).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return usher, nil
})

var work string

func TestMain(m *testing.M) {
	var err error
	if work, err = os.MkdirTemp("", "usher-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(work)
	os.Exit(code)
}

func selects(t *testing.T, s *metav1.LabelSelector, labels map[string]string) {
	t.Helper()
	if len(s.MatchLabels) == 0 {
		t.Error("selects nothing by label")
	}
	for k, v := range s.MatchLabels {
		if labels[k] != v {
			t.Errorf("selects %s=%s, there is %v", k, v, labels)
		}
	}
}

// checkPod compares the numbers of each container's usher with those they have to agree with, and has usher itself judge its settings.
func checkPod(t *testing.T, usher, help string, pod *corev1.PodSpec) {
	t.Helper()
	var total time.Duration
	var taken []string
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		if slices.Contains(c.Command, "--install") {
			continue
		}
		set := map[string]string{}
		cmd := exec.Command(usher, "--", "true")
		cmd.Env = []string{"USHER_TERMINATION_LOG="}
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				e.Value = "192.0.2.1" // the only kinds there are: status.hostIP and status.podIP
			}
			set[e.Name] = e.Value
			if e.Name == "USHER_HEALTH_ADDR" {
				e.Value = "127.0.0.1:0" // this machine's port may be taken
			}
			cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
			flag := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(e.Name, "USHER_"), "_", "-")) + " "
			if !strings.HasPrefix(e.Name, "USHER_") || !strings.Contains(help, flag) {
				t.Errorf("%s: %s: no flag %q", c.Name, e.Name, flag)
			}
		}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: usher says %v: %s", c.Name, err, bytes.TrimSpace(out))
		}
		if strings.HasPrefix(c.Image, "nginx:") && !strings.Contains(set["USHER_STOP_SIGNALS"], "QUIT") {
			t.Errorf("%s: the STOPSIGNAL of %s is QUIT", c.Name, c.Image)
		}
		grace, err := time.ParseDuration(set["USHER_GRACE_PERIOD"])
		if err != nil {
			t.Errorf("%s: no grace period: %v", c.Name, err)
		}
		total += grace
		_, port, _ := strings.Cut(set["USHER_HEALTH_ADDR"], ":")
		for _, p := range c.Ports {
			number := fmt.Sprint(p.ContainerPort)
			if slices.Contains(taken, number) {
				t.Errorf("%s: port %s is another container's", c.Name, number)
			}
			taken = append(taken, number)
		}
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			if probe == nil {
				continue
			}
			at := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal })
			if at < 0 || fmt.Sprint(c.Ports[at].ContainerPort) != port {
				t.Errorf("%s: a probe asks port %q, usher serves at %q", c.Name, probe.HTTPGet.Port.StrVal, port)
			}
		}
	}
	if want := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; total != want {
		t.Errorf("terminationGracePeriodSeconds %v, the containers' ushers have %v", want, total)
	}
}
