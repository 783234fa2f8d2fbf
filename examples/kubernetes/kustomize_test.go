package kubernetes

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// component builds kustomize/ with the text of one file changed: what kubectl
// kustomize prints.
func component(t *testing.T, file, old, new string) (*appsv1.Deployment, error) {
	t.Helper()
	disk, memory := filesys.MakeFsOnDisk(), filesys.MakeFsInMemory()
	for _, name := range []string{"kustomization.yaml", "deployment.yaml", "usher/kustomization.yaml",
		"usher/patch.yaml"} {
		text, err := disk.ReadFile("kustomize/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name == file {
			changed := strings.Replace(string(text), old, new, 1)
			if changed == string(text) {
				t.Fatalf("%s has no %q", file, old)
			}
			text = []byte(changed)
		}
		if err := memory.WriteFile("/"+name, text); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/")
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	object, err := decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return object.(*appsv1.Deployment), nil
}

// TestKustomize: usher is in front of the command, nothing of the Deployment is
// lost, and its grace period is usher's.
func TestKustomize(t *testing.T) {
	d, err := component(t, "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	pod := &d.Spec.Template.Spec
	if got := strings.Join(pod.Containers[0].Command,
		" "); got != "/.usher/usher -- /docker-entrypoint.sh nginx -g daemon off;" {
		t.Errorf("the command is %q", got)
	}
	if len(pod.Volumes) != 1 || pod.Volumes[0].Image == nil || len(pod.Containers[0].Ports) != 2 {
		t.Errorf("volumes %v, ports %v", pod.Volumes, pod.Containers[0].Ports)
	}
	usher := binary(t)
	checkPod(t, usher, help(t), pod)

	d, err = component(t, "deployment.yaml", "terminationGracePeriodSeconds: 75", "terminationGracePeriodSeconds: 90")
	if err != nil {
		t.Fatal(err)
	}
	checkPod(t, usher, help(t), &d.Spec.Template.Spec)
}

// What the component can't do is an error, and no Deployment that only looks
// right.
func TestKustomizeRefuses(t *testing.T) {
	for what, change := range map[string][3]string{
		"no command": {"deployment.yaml",
			`command: ["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"]`, "tty: false"},
		"no grace period":    {"deployment.yaml", "terminationGracePeriodSeconds: 75", "hostNetwork: false"},
		"another Deployment": {"deployment.yaml", "name: web\n  labels", "name: shop\n  labels"},
	} {
		if _, err := component(t, change[0], change[1], change[2]); err == nil {
			t.Errorf("%s: no error", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}
