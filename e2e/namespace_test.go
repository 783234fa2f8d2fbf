package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// limit is how long a test waits for what a cluster does in seconds.
const limit = 3 * time.Minute

// namespace is a test's own. It remembers the last that the cluster has said of
// each pod, since that vanishes with the pod.
type namespace struct {
	t      *testing.T
	name   string
	client kubernetes.Interface
	*record
}

// record is what has been seen of a namespace's pods.
type record struct {
	mu      sync.Mutex
	pods    map[string]*seenPod
	events  map[string]*corev1.Event
	changed chan struct{} // closed, and replaced, at each change
}

// seenPod is a pod as the cluster has shown it last. Times are this machine's.
type seenPod struct {
	*corev1.Pod
	deleting time.Time // when its deletion was seen
	gone     time.Time // when it was no longer there
}

func newNamespace(t *testing.T, labels map[string]string) *namespace {
	t.Helper()
	seen := &record{pods: map[string]*seenPod{}, events: map[string]*corev1.Event{}, changed: make(chan struct{})}
	n := &namespace{t: t, client: cluster.client, record: seen}
	made, err := n.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "usher-e2e-", Labels: labels}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.name = made.Name
	t.Cleanup(n.remove)
	n.follow("pods", &corev1.Pod{}, func(o any, gone bool) { n.sawPod(o.(*corev1.Pod), gone) })
	n.follow("events", &corev1.Event{}, func(o any, _ bool) { n.sawEvent(o.(*corev1.Event)) })
	// A pod can't be created before its account is there.
	isThere := func(*corev1.ServiceAccount) (bool, error) { return true, nil }
	await(n, "serviceaccounts", "default", "there", limit, isThere)
	return n
}

// follow watches all objects of a kind, as long as the test runs.
func (n *namespace) follow(resource string, kind runtime.Object, saw func(o any, gone bool)) {
	lw := cache.NewListWatchFromClient(n.client.CoreV1().RESTClient(), resource, n.name, fields.Everything())
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{ListerWatcher: lw, ObjectType: kind,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { saw(o, false) },
			UpdateFunc: func(_, o any) { saw(o, false) },
			DeleteFunc: func(o any) {
				if missed, is := o.(cache.DeletedFinalStateUnknown); is {
					o = missed.Obj
				}
				saw(o, true)
			},
		}})
	go informer.RunWithContext(n.t.Context())
}

func (r *record) sawEvent(e *corev1.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events[e.Name] = e
	r.hasChanged()
}

// hasChanged wakes up those who wait. The caller has the lock.
func (r *record) hasChanged() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *record) sawPod(p *corev1.Pod, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.pods[p.Name]
	if s == nil {
		s = &seenPod{}
		r.pods[p.Name] = s
	}
	s.Pod = p
	if p.DeletionTimestamp != nil && s.deleting.IsZero() {
		s.deleting = time.Now()
	}
	if gone {
		s.gone = time.Now()
	}
	r.hasChanged()
}

// eventsOf are a pod's events, in order.
func (r *record) eventsOf(pod string) []*corev1.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var of []*corev1.Event
	for _, e := range r.events {
		if e.InvolvedObject.Name == pod {
			of = append(of, e)
		}
	}
	slices.SortFunc(of, func(a, b *corev1.Event) int {
		return cmp.Or(a.FirstTimestamp.Compare(b.FirstTimestamp.Time), cmp.Compare(a.Reason, b.Reason))
	})
	return of
}

// all is a copy of what is known of the pods.
func (r *record) all() map[string]seenPod {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]seenPod{}
	for name, s := range r.pods {
		all[name] = *s
	}
	return all
}

// until waits until done, which is asked at each change of a pod.
func (n *namespace) until(what string, within time.Duration, done func(map[string]seenPod) bool) map[string]seenPod {
	n.t.Helper()
	deadline := time.After(within)
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		all := n.all()
		if done(all) {
			return all
		}
		select {
		case <-changed:
		case <-deadline:
			n.t.Fatalf("not %s within %v", what, within)
		}
	}
}

// untilPod waits until done with one pod.
func (n *namespace) untilPod(name, what string, within time.Duration, done func(seenPod) bool) seenPod {
	n.t.Helper()
	return n.until(name+" "+what, within, func(all map[string]seenPod) bool {
		return all[name].Pod != nil && done(all[name])
	})[name]
}

func (n *namespace) untilReady(name string) seenPod {
	n.t.Helper()
	return n.untilPod(name, "ready", limit, func(p seenPod) bool { return isReady(p.Pod) })
}

// await watches one object until done with it.
func await[T runtime.Object](n *namespace, resource, name, what string, within time.Duration,
	done func(T) (bool, error)) T {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), within)
	defer cancel()
	var last, zero T
	one := fields.OneTermEqualSelector("metadata.name", name)
	lw := cache.NewListWatchFromClient(restClient(n.client, resource), resource, n.name, one)
	_, err := watchtools.UntilWithSync(ctx, lw, newObject(zero), nil, func(e watch.Event) (bool, error) {
		o, is := e.Object.(T)
		if !is {
			return false, fmt.Errorf("%s %s: got %T", resource, name, e.Object)
		}
		if e.Type == watch.Deleted {
			return false, nil
		}
		last = o
		return done(o)
	})
	if err != nil {
		n.t.Fatalf("%s %s: not %s: %v", resource, name, what, err)
	}
	return last
}

// remove deletes the namespace; what failed is shown before.
func (n *namespace) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if n.t.Failed() {
		n.dump(ctx)
	}
	// Pods that do not end on SIGTERM are not waited for.
	second := int64(1)
	at := metav1.DeleteOptions{GracePeriodSeconds: &second}
	n.client.CoreV1().Pods(n.name).DeleteCollection(ctx, at, metav1.ListOptions{})
	if err := n.client.CoreV1().Namespaces().Delete(ctx, n.name, metav1.DeleteOptions{}); err != nil {
		n.t.Error(err)
	}
}

func (n *namespace) dump(ctx context.Context) {
	all := n.all()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := all[name]
		n.t.Logf("pod %s: %s %s %s, deleting %v, gone %v", name, p.Status.Phase, p.Status.Reason, p.Status.Message,
			p.deleting, p.gone)
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			n.t.Logf("  %s: ready %v, restarts %d, %+v, last %+v", s.Name, s.Ready, s.RestartCount, s.State,
				s.LastTerminationState)
			lines := int64(20)
			of := &corev1.PodLogOptions{Container: s.Name, TailLines: &lines}
			out, err := n.client.CoreV1().Pods(n.name).GetLogs(name, of).DoRaw(ctx)
			if err == nil {
				n.t.Logf("  %s", strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n  "))
			}
		}
	}
	for _, e := range n.events {
		of := e.InvolvedObject
		n.t.Logf("event %s %s/%s: %s %s", e.LastTimestamp.Format(time.TimeOnly), of.Kind, of.Name, e.Reason, e.Message)
	}
}

// within is the namespace for a subtest, whose failures are then its own.
func (n *namespace) within(t *testing.T) *namespace {
	return &namespace{t: t, name: n.name, client: n.client, record: n.record}
}
