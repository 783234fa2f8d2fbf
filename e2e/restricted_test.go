package e2e

import (
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Under the strictest pod security standard, and beyond it: another user,
// nothing to write to, no capability, kubelet's system call filter. The probes
// work, and so do the hold and the last word.
func TestRestricted(t *testing.T) {
	needCluster(t, true)
	t.Parallel()
	n := newNamespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	yes, no := true, false
	for _, c := range []struct {
		name   string
		change func(*corev1.PodSpec)
	}{
		{"plain", func(*corev1.PodSpec) {}},
		// usher is not PID 1 there: the pod's pause is.
		{"share-process-namespace", func(p *corev1.PodSpec) { p.ShareProcessNamespace = &yes }},
		{"host-users-false", func(p *corev1.PodSpec) { p.HostUsers = &no }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := n.within(t)
			p := pod(c.name, settings{"USHER_HEALTH_ADDR": ":8086", "USHER_READY_CHECK": "http://localhost:8080/ready",
				"USHER_READY_PERIOD": "1s", "USHER_READY_TIMEOUT": "5s", "USHER_TERM_DELAY": "20s",
				"USHER_QUIET_PERIOD": "2s", "USHER_GRACE_PERIOD": "30s",
				"USHER_EXIT_CODE": "143=0"}, "/app", "serve")
			user := int64(65534)
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
			app := &p.Spec.Containers[0]
			app.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
			app.ReadinessProbe, app.LivenessProbe = httpGet("/readyz", 8086), execProbe("/usher", "--probe", "livez")
			c.change(&p.Spec)
			n.create(p)
			refusal := ""
			n.untilPod(c.name, "ready", limit, func(p seenPod) bool {
				refusal = n.noUserNamespaces(c.name)
				return isReady(p.Pod) || refusal != ""
			})
			if refusal != "" {
				t.Skipf("the node has no user namespaces for pods: %s", refusal)
			}
			n.deletePod(c.name)
			expect(t, n.ended(c.name), "Completed", 0, "Completed: ",
				"SIGTERM from outside the container, held back for ", "of at most 20s (quiet for 2s)")
		})
	}
}

// noUserNamespaces is what the node says where it has none.
func (n *namespace) noUserNamespaces(pod string) string {
	about := regexp.MustCompile(`(?i)user ?ns|user namespace|idmap|id-mapped|mappings`)
	for _, e := range n.eventsOf(pod) {
		if strings.HasPrefix(e.Reason, "Failed") && about.MatchString(e.Message) {
			return e.Message
		}
	}
	return ""
}
