package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// The layout is valid, has an image for each architecture, and in it are the
// very binaries and, but for the base, nothing else.
func TestLayout(t *testing.T) {
	b := made(t)
	index, err := layout.ImageIndexFromPath(filepath.Join(b.dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	all, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Manifests) != len(kinds) {
		t.Fatalf("%d images in the layout", len(all.Manifests))
	}
	for i, k := range kinds {
		if tag := all.Manifests[i].Annotations["org.opencontainers.image.ref.name"]; tag != number+k.suffix {
			t.Errorf("image %d is %q", i, tag)
		}
		platforms, err := index.ImageIndex(all.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := platforms.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if manifest.Annotations["org.opencontainers.image.source"] != url {
			t.Errorf("annotations: %v", manifest.Annotations)
		}
		for j, target := range chosen(t) {
			descriptor := manifest.Manifests[j]
			if !descriptor.Platform.Equals(target.platform) {
				t.Errorf("image %d is for %v, want %v", j, descriptor.Platform, target.platform)
			}
			image, err := platforms.Image(descriptor.Digest)
			if err != nil {
				t.Fatal(err)
			}
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"version": number, "licenses": licenseID, "source": url, "title": "usher", "created": "2023-11-14T22:13:20Z"} {
				if got := config.Config.Labels["org.opencontainers.image."+name]; got != want {
					t.Errorf("label %s is %q, want %q", name, got, want)
				}
			}
			if config.Architecture != target.goarch || !strings.HasSuffix(target.goarm, strings.TrimPrefix(config.Variant, "v")) {
				t.Errorf("%s %s", config.Architecture, config.Variant)
			}
			layers, err := image.Layers()
			if err != nil || len(layers) != 1 {
				t.Fatalf("%d layers, %v", len(layers), err)
			}
			r, err := layers[0].Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for files := tar.NewReader(r); ; {
				header, err := files.Next()
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				names = append(names, header.Name)
				if slices.Contains(programs, header.Name) {
					content, err := io.ReadAll(files)
					binary, readErr := os.ReadFile(filepath.Join(b.dist, target.binary(header.Name)))
					if err := errors.Join(err, readErr); err != nil || string(content) != string(binary) || header.Mode != 0o755 {
						t.Errorf("another %s is in the image, or it is not executable: %v", header.Name, err)
					}
				}
			}
			r.Close()
			if want := []string{"usher"}; k.suffix == "" && !slices.Equal(names, want) {
				t.Errorf("in the image are %q", names)
			}
			if want := []string{"usher", "usher-check", "etc/passwd", "tmp/"}; k.suffix != "" && slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(names, name) }) {
				t.Errorf("in the base are %q", names)
			}
		}
	}
}

// engine skips tests without a Docker engine, or fails them where CI has one.
func engine(t *testing.T) {
	t.Helper()
	if out, err := output(exec.Command("docker", "version")); err != nil {
		if os.Getenv("USHER_DOCKER") == "required" {
			t.Fatal(out, err)
		}
		t.Skip("no Docker engine answers")
	}
}

// The archives are loaded by Docker, each platform under its name; usher runs
// from them, this machine's and by qemu another's; an app's image copies usher
// from one, and is built upon the other.
func TestDocker(t *testing.T) {
	b := made(t)
	engine(t)
	var tags []string
	for _, k := range kinds {
		for _, name := range architectures() {
			tags = append(tags, "usher:"+number+k.suffix+"-"+name)
		}
	}
	built := []string{"usher-release-test:copied", "usher-release-test:based"}
	t.Cleanup(func() {
		if out, err := output(exec.Command("docker", append([]string{"image", "rm", "-f"}, append(slices.Clone(tags), built...)...)...)); err != nil {
			t.Errorf("%s %v", out, err)
		}
	})
	for _, k := range kinds {
		out := command(t, "docker", "load", "-i", filepath.Join(b.dist, "usher_"+number+"_image"+k.suffix+".tar"))
		for _, name := range architectures() {
			if !strings.Contains(out, "usher:"+number+k.suffix+"-"+name) && !strings.Contains(out, "usher:"+number+k.suffix+"\n") {
				t.Errorf("docker load does not have %s: %s", name, out)
			}
		}
	}
	for _, name := range []string{"amd64", "arm64"} {
		args := []string{"run", "--rm", "--network", "none"}
		image := "usher:" + number + "-" + name
		if emulator := emulator(t, name); emulator == nil {
			args = append(args, image)
		} else { // as it would be run by binfmt_misc
			args = append(args, "--platform", "linux/"+name, "-v", emulator[0]+":/qemu:ro", "--entrypoint", "/qemu", image, "/usher", "--version")
		}
		if out := command(t, "docker", args...); !strings.Contains(out, "usher "+version+" (") {
			t.Errorf("%s: %q", name, out)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.go"), []byte("package main\n\nimport \"os\"\n\nfunc main() {\n\tprintln(os.Getpid(), os.Getppid())\n\tos.Exit(7)\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", "app", "app.go")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+runtime.GOARCH, "GOFLAGS=")
	if _, err := output(build); err != nil {
		t.Fatal(err)
	}
	for i, dockerfile := range []string{
		"FROM scratch\nCOPY --from=usher:" + number + "-" + runtime.GOARCH + " /usher /usher\nCOPY app /app\nENTRYPOINT [\"/usher\", \"--\"]\nCMD [\"/app\"]\n",
		"FROM usher:" + number + "-base-" + runtime.GOARCH + "\nCOPY app /app\nUSER nonroot\nCMD [\"/app\"]\n",
	} {
		build := exec.Command("docker", "build", "-q", "-t", built[i], "-f", "-", dir)
		build.Stdin = strings.NewReader(dockerfile)
		build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
		if _, err := output(build); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("docker", "run", "--rm", "--network", "none", built[i])
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 7 || !strings.HasSuffix(strings.TrimSpace(string(out)), " 1") {
			t.Errorf("%s: %q, %v", dockerfile, out, err)
		}
	}
}

// The archives are imported by containerd as one image for all platforms, and
// usher runs from it.
func TestContainerd(t *testing.T) {
	b := made(t)
	needs(t, "ctr")
	engine(t) // which brings a containerd along
	sockets := []string{"/run/docker/containerd/containerd.sock", "/run/containerd/containerd.sock"}
	i := slices.IndexFunc(sockets, func(path string) bool { _, err := os.Stat(path); return err == nil })
	if i < 0 {
		t.Skipf("no containerd at %q", sockets)
	}
	const namespace = "usher-release-test"
	ctr := func(args ...string) string {
		t.Helper()
		return command(t, "ctr", append([]string{"--address", sockets[i], "--namespace", namespace}, args...)...)
	}
	images := []string{"docker.io/library/usher:" + number, "docker.io/library/usher:" + number + "-base"}
	t.Cleanup(func() {
		ctr(append([]string{"images", "rm", "--sync"}, images...)...)
		if out, err := output(exec.Command("ctr", "--address", sockets[i], "namespaces", "rm", namespace)); err != nil {
			t.Log(out, err) // its snapshots may still be on their way out
		}
	})
	for _, k := range kinds {
		ctr("images", "import", "--all-platforms", filepath.Join(b.dist, "usher_"+number+"_image"+k.suffix+".tar"))
	}
	listed := ctr("images", "ls")
	for _, image := range images {
		line := ""
		for l := range strings.Lines(listed) {
			if strings.HasPrefix(l, image+" ") {
				line = l
			}
		}
		for _, target := range chosen(t) {
			if !strings.Contains(line, target.platform.String()) {
				t.Errorf("%s is not for %s: %q", image, target.platform, line)
			}
		}
	}
	if out := ctr("run", "--rm", images[0], "usher-release-test", "/usher", "--version"); !strings.Contains(out, "usher "+version+" (") {
		t.Errorf("%q", out)
	}
}
