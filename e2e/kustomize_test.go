package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// The Kustomize component's Deployment runs, and usher has the last word. The
// node sends what the image's STOPSIGNAL says, QUIT.
func TestExampleKustomize(t *testing.T) {
	needCluster(t, false)
	t.Parallel()
	build := []string{"kustomize", "build"}
	if _, err := exec.LookPath("kustomize"); err != nil {
		build = []string{"kubectl", "kustomize"}
	}
	if _, err := exec.LookPath(build[0]); err != nil {
		t.Skip("neither kustomize nor kubectl is in PATH")
	}
	out, err := exec.Command(build[0], build[1], examples+"/kustomize").Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(build, " "), err)
	}
	n := newNamespace(t, nil)
	n.apply(withImages(t, string(out)))
	n.rolledOut("web")
	name := n.podsOf("web")[0]
	n.deletePod(name)
	p := n.untilPod(name, "ended", limit, func(p seenPod) bool { return terminated(p.Pod, "web") != nil })
	expect(t, terminated(p.Pod, "web"), "Completed", 0, "Completed: exit code 0",
		"SIGQUIT from outside the container", "of at most 15s (quiet for 5s)")
}
