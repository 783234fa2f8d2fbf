package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

var update = flag.Bool("update", false, "write what the run has shown into docs/explanation/pod-ends.md")

// cluster is what the tests run on: nil without KUBECONFIG.
var cluster *clusterUnderTest

type clusterUnderTest struct {
	client kubernetes.Interface
	// images maps the images' short names to those that pods use.
	images map[string]string
}

func TestMain(m *testing.M) {
	flag.Parse()
	if file := os.Getenv("KUBECONFIG"); file != "" {
		var err error
		if cluster, err = prepare(file); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// prepare builds the images for the cluster's architecture and brings them to
// its nodes.
func prepare(kubeconfig string) (*clusterUnderTest, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	nodes, err := client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("the cluster does not answer: %w", err)
	}
	if len(nodes.Items) == 0 {
		return nil, fmt.Errorf("the cluster has no node")
	}
	load, registry := os.Getenv("USHER_E2E_LOAD"), os.Getenv("USHER_E2E_REGISTRY")
	if (load == "") == (registry == "") {
		return nil, fmt.Errorf("give one of USHER_E2E_LOAD and USHER_E2E_REGISTRY, " +
			"the way for images to get to the nodes: e2e/README.md")
	}
	work, err := os.MkdirTemp("", "usher-e2e-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	arch := nodes.Items[0].Status.NodeInfo.Architecture
	images, err := programs(work, arch)
	if err != nil {
		return nil, err
	}
	repository := "docker.io/usher-e2e"
	if registry != "" {
		repository = registry
	}
	built, names, err := tagged(images, repository, arch)
	if err != nil {
		return nil, err
	}
	if registry != "" {
		return &clusterUnderTest{client, names}, push(built)
	}
	file := filepath.Join(work, "images.tar")
	if err := archive(file, built); err != nil {
		return nil, err
	}
	if !strings.Contains(load, "{}") {
		return nil, fmt.Errorf("USHER_E2E_LOAD=%q has no {} for the archive's path", load)
	}
	command := exec.Command("sh", "-c", strings.ReplaceAll(load, "{}", file))
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("USHER_E2E_LOAD: %s: %w\n%s", command.Args[2], err, out)
	}
	return &clusterUnderTest{client, names}, nil
}

// programs builds usher, usher-check and app, and returns the images that are
// made of them.
func programs(work, arch string) ([]image, error) {
	usher, check, app := filepath.Join(work, "usher"), filepath.Join(work, "usher-check"), filepath.Join(work, "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", app, "./app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	for _, c := range []*exec.Cmd{
		build,
		exec.Command("make", "-s", "-C", "..", "build", "GOARCH="+arch, "OUT="+usher, "CHECK="+check),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, out)
		}
	}
	links := map[string]string{"/usr/sbin/nginx": "/app", "/docker-entrypoint.sh": "/app"}
	both := map[string]string{"/usher": usher, "/usher-check": check, "/app": app}
	behind := []string{"/usher", "--"}
	return []image{
		{name: "usher", files: map[string]string{"/usher": usher, "/usher-check": check}, entrypoint: []string{"/usher"}},
		{name: "web", files: both, links: links, entrypoint: behind},
		{name: "app", files: both, entrypoint: behind, cmd: []string{"/app", "serve", "-addr", ":3000"}},
		{name: "proxy", files: both, entrypoint: behind, cmd: []string{"/app", "proxy", ":8080", "localhost:3000"}},
		// As the official nginx: without usher, and with a stop signal of its own.
		{name: "plain", files: map[string]string{"/app": app}, links: links, stopSignal: "SIGQUIT"},
	}, nil
}

// needCluster skips a test where there is no cluster, and one that the short
// round leaves out.
func needCluster(t *testing.T, short bool) {
	t.Helper()
	if cluster == nil {
		t.Skip("KUBECONFIG is not set")
	}
	if testing.Short() && !short {
		t.Skip("not in the short round")
	}
}
