package dockerfiles

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The images, each built once, by the first test that needs it. They stay afterwards, and with them the layers that the
// next run need not make again.
var (
	usherImage = sync.OnceValues(func() (string, error) {
		// go test remembers a result until a file changes that it saw the test look at. make looks at them unseen, and
		// without this walk yesterday's usher would still pass.
		if err := filepath.WalkDir("..", func(string, fs.DirEntry, error) error { return nil }); err != nil {
			return "", err
		}
		return buildOf("usher", "Dockerfile", func(dir string) error {
			return command("make", "-C", "..", "build", "GOARCH=amd64", "OUT="+filepath.Join(dir, "usher"), "CHECK="+filepath.Join(dir, "usher-check"))
		})
	})
	scratchImage = sync.OnceValues(func() (string, error) {
		usher, err := usherImage()
		if err != nil {
			return "", err
		}
		return buildOf("scratch", "scratch/Dockerfile", func(dir string) error {
			return command("env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(dir, "app"), "./scratch/app")
		}, "--build-arg", "USHER="+usher)
	})
	nginxImage = sync.OnceValues(func() (string, error) { return debianImage("nginx") })
	redisImage = sync.OnceValues(func() (string, error) { return debianImage("redis") })
)

func debianImage(name string) (string, error) {
	if err := debianBase(); err != nil {
		return "", err
	}
	usher, err := usherImage()
	if err != nil {
		return "", err
	}
	return build(name, filepath.Join(name, "Dockerfile"), name, "--build-arg", "USHER="+usher)
}

// buildOf builds an image of what fill puts into its build context.
func buildOf(name, dockerfile string, fill func(dir string) error, flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "usher-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return "", err
	}
	return build(name, dockerfile, dir, flags...)
}

// build makes the image usher-test/NAME of a Dockerfile as it stands. USHER_DOCKER_BUILD_FLAGS is for machines where RUN
// needs help to reach the packages, such as `--network host`.
func build(name, dockerfile, context string, flags ...string) (string, error) {
	tag := "usher-test/" + name
	args := []string{"build", "-t", tag, "-f", dockerfile, "--label", label}
	args = append(args, strings.Fields(os.Getenv("USHER_DOCKER_BUILD_FLAGS"))...)
	args = append(args, flags...)
	_, err := docker(append(args, context)...)
	return tag, err
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %q: %w\n%s", name+" "+strings.Join(args, " "), err, out)
	}
	return nil
}

// image is the tag of an image that is there, or the end of the test.
func image(t *testing.T, made func() (string, error)) string {
	t.Helper()
	need(t, engine())
	tag, err := made()
	need(t, err)
	return tag
}

// TestUsherImage: the image that the others copy from is usher, usher-check and nothing else.
func TestUsherImage(t *testing.T) {
	t.Parallel()
	r := run(t, spec{image: usherImage})
	if r.code != 0 || !strings.HasPrefix(r.stdout, "usher ") {
		t.Errorf("it printed %q and ended with %d, want its version and 0", r.stdout, r.code)
	}
	layers, err := docker("image", "inspect", "--format", "{{len .RootFS.Layers}}", image(t, usherImage))
	need(t, err)
	if layers != "1" {
		t.Errorf("the image has %s layers, want one with nothing but usher", layers)
	}
}
