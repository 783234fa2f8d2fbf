package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tryEvict asks for a pod's eviction, as kubectl drain does; refused is a
// PodDisruptionBudget's answer.
func (n *namespace) tryEvict(name string) (refused bool) {
	n.t.Helper()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: n.name}}
	err := n.client.CoreV1().Pods(n.name).EvictV1(n.t.Context(), eviction)
	switch {
	case apierrors.IsTooManyRequests(err):
		return true
	case err != nil:
		n.t.Fatalf("eviction of %s: %v", name, err)
	}
	return false
}

func (n *namespace) evict(name string) {
	n.t.Helper()
	if n.tryEvict(name) {
		n.t.Fatalf("the eviction of %s is refused", name)
	}
}

// cordon keeps pods from a node, or no longer.
func (n *namespace) cordon(ctx context.Context, node string, is bool) {
	n.t.Helper()
	patch := fmt.Appendf(nil, `{"spec": {"unschedulable": %v}}`, is)
	_, err := n.client.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		n.t.Error(err)
	}
}

// drain evicts all pods of a Deployment that are on one node, as kubectl drain
// does: the node takes no new ones meanwhile, and what a PodDisruptionBudget
// refuses is asked for again. Where there is no other node for new pods, the
// node takes them after the first refusal.
func (n *namespace) drain(budget, app string) (node string, evicted []string, refusals int) {
	n.t.Helper()
	nodes, err := n.client.CoreV1().Nodes().List(n.t.Context(), metav1.ListOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	open := 0
	for _, o := range nodes.Items {
		taken := func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
		if !o.Spec.Unschedulable && !slices.ContainsFunc(o.Spec.Taints, taken) {
			open++
		}
	}
	for name, p := range n.all() {
		if p.Labels["app"] != app || !p.deleting.IsZero() {
			continue
		}
		if node == "" {
			node = p.Spec.NodeName
		}
		if p.Spec.NodeName == node {
			evicted = append(evicted, name)
		}
	}
	n.cordon(n.t.Context(), node, true)
	cordoned := true
	uncordon := func() {
		if cordoned {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			n.cordon(ctx, node, false)
			cordoned = false
		}
	}
	defer uncordon()
	for _, name := range evicted {
		for n.tryEvict(name) {
			refusals++
			if open == 1 {
				uncordon()
			}
			allows := func(b *policyv1.PodDisruptionBudget) (bool, error) {
				return b.Status.DisruptionsAllowed > 0 && b.Status.ObservedGeneration == b.Generation, nil
			}
			await(n, "poddisruptionbudgets", budget, "allowing a disruption", limit, allows)
		}
	}
	uncordon()
	n.until("gone: all that were evicted", limit, func(all map[string]seenPod) bool {
		return !slices.ContainsFunc(evicted, func(name string) bool { return all[name].gone.IsZero() })
	})
	return node, evicted, refusals
}
