package e2e

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func testImages(t *testing.T, content string) []image {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return []image{{name: "one", files: map[string]string{"/bin/app": file}, links: map[string]string{"/usr/sbin/nginx": "/bin/app"},
		entrypoint: []string{"/bin/app"}, stopSignal: "SIGQUIT"}}
}

// The images are whole, have the same name for the same content, and another
// one for another.
func TestImages(t *testing.T) {
	built, names, err := tagged(testImages(t, "a"), "docker.io/usher-e2e", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	_, again, _ := tagged(testImages(t, "a"), "docker.io/usher-e2e", "arm64")
	_, other, _ := tagged(testImages(t, "b"), "docker.io/usher-e2e", "arm64")
	if names["one"] != again["one"] || names["one"] == other["one"] || !strings.HasPrefix(names["one"], "docker.io/usher-e2e/one:") {
		t.Errorf("%v, %v, %v", names, again, other)
	}
	file := filepath.Join(t.TempDir(), "images.tar")
	if err := archive(file, built); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(names["one"])
	if err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(read); err != nil {
		t.Error(err)
	}
	config, err := read.ConfigFile()
	if err != nil || config.Architecture != "arm64" || config.Config.StopSignal != "SIGQUIT" || config.Config.Entrypoint[0] != "/bin/app" {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestImageOfNothing(t *testing.T) {
	images := []image{{name: "one", files: map[string]string{"/app": filepath.Join(t.TempDir(), "none")}}}
	if _, _, err := tagged(images, "docker.io/usher-e2e", "amd64"); err == nil || !strings.HasPrefix(err.Error(), "image one: ") {
		t.Errorf("%v", err)
	}
	if _, _, err := tagged(testImages(t, "a"), "docker.io/Usher", "amd64"); err == nil {
		t.Error("a name that is none is taken")
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	at := strings.TrimPrefix(server.URL, "http://") + "/usher"
	built, names, err := tagged(testImages(t, "a"), at, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := push(built); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(names["one"])
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := push(built); err == nil || !strings.Contains(err.Error(), names["one"]) {
		t.Errorf("a registry that is gone: %v", err)
	}
}
