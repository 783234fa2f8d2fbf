package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// The Deployment, Service and PodDisruptionBudget of the examples: no request
// fails while pods are replaced, taken away, or evicted from their node, and no
// pod holds for as long as it may, but until its traffic has let go.
func TestNoRequestFails(t *testing.T) {
	needCluster(t, true)
	if testing.Short() {
		t.Parallel() // else the seconds that are reported are those of a cluster that does nothing else
	}
	n := newNamespace(t, nil)
	for _, file := range []string{"deployment.yaml", "service.yaml", "poddisruptionbudget.yaml"} {
		n.apply(example(t, file))
	}
	n.rolledOut("web")
	load := n.startLoad(n.address("web"))

	requests, restarts := 9000, 3
	if testing.Short() {
		requests, restarts = 3000, 1
	}
	none := func(what string, do func()) {
		t.Helper()
		began := time.Now()
		if got := load.during(t, what, requests, do); got.Failed > 0 {
			t.Errorf("%s: %d of %d requests failed: %v\n%q", what, got.Failed, got.OK+got.Failed, got.Kinds, got.Last)
		}
		// On a cluster that is slow to route, some may take the most they can.
		stopped, byQuiet := 0, 0
		for _, p := range n.all() {
			if !p.deleting.After(began) {
				continue
			}
			stopped++
			if end := terminated(p.Pod, "web"); end != nil && strings.Contains(end.Message, " of at most 30s (quiet for 5s), ") {
				byQuiet++
			}
		}
		if byQuiet == 0 {
			t.Errorf("%s: of %d pods that stopped, none was gone when its traffic was", what, stopped)
		}
	}
	for i := range restarts {
		none(fmt.Sprintf("rolling restart %d", i+1), func() { n.restart("web") })
	}
	if !testing.Short() {
		n.scaleDownAndDrain(none)
	}
	if all := load.settled(); all.Failed > 0 {
		t.Errorf("%d of %d requests failed: %v\n%q", all.Failed, all.OK+all.Failed, all.Kinds, all.Last)
	} else {
		t.Logf("in all: %d requests, none failed", all.OK)
	}
}

func (n *namespace) scaleDownAndDrain(none func(what string, do func())) {
	n.t.Helper()
	none("scale-down from 3 to 1", func() {
		n.patch("web", `{"spec": {"replicas": 1}}`)
		n.rolledOut("web")
	})
	n.patch("web", `{"spec": {"replicas": 3}}`)
	n.rolledOut("web")
	none("drain", func() {
		node, evicted, refusals := n.drain("web", "web")
		n.t.Logf("drain of %s: %d pods evicted, %d refusals of the PodDisruptionBudget", node, len(evicted), refusals)
		if len(evicted) > 1 && refusals == 0 {
			n.t.Error("the PodDisruptionBudget has refused nothing")
		}
		n.rolledOut("web")
	})
}

// The same without usher has to lose requests: else the test above would prove
// nothing.
func TestControl(t *testing.T) {
	needCluster(t, true)
	if testing.Short() {
		t.Parallel() // else the seconds that are reported are those of a cluster that does nothing else
	}
	n := newNamespace(t, nil)
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(example(t, "deployment.yaml")), &d); err != nil {
		t.Fatal(err)
	}
	c := &d.Spec.Template.Spec.Containers[0]
	c.Command, c.Args, c.Env = append([]string{}, c.Args...), nil, nil // instead of the image's ENTRYPOINT, which is usher
	c.Ports = c.Ports[:1]
	c.LivenessProbe, c.ReadinessProbe = httpGet("/", 80), httpGet("/", 80)
	if _, err := n.client.AppsV1().Deployments(n.name).Create(t.Context(), &d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.apply(example(t, "service.yaml"))
	n.rolledOut("web")
	load := n.startLoad(n.address("web"))
	got := load.during(t, "control, a rolling restart without usher", 3000, func() { n.restart("web") })
	if got.Failed == 0 {
		t.Errorf("none of %d requests failed", got.OK)
	}
}

// restart is kubectl rollout restart, and waits until the old pods are gone.
func (n *namespace) restart(name string) {
	n.t.Helper()
	n.patch(name, fmt.Sprintf(`{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": %q}}}}}`,
		time.Now().Format(time.RFC3339Nano)))
	n.rolledOut(name)
}

// address is a service's, as its clients in the cluster use it. It does not
// need the cluster's DNS.
func (n *namespace) address(service string) string {
	n.t.Helper()
	s, err := n.client.CoreV1().Services(n.name).Get(n.t.Context(), service, metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		n.t.Fatalf("service %s has no address", service)
	}
	port := intstr.FromInt32(s.Spec.Ports[0].Port)
	return fmt.Sprintf("%s:%s", s.Spec.ClusterIP, port.String())
}
