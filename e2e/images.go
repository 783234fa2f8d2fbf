// Package e2e tests usher on a real Kubernetes cluster. README.md says how.
package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// image is one of the images that the tests run. It is made without a Docker
// engine.
type image struct {
	name string
	// files maps paths in the image to files of this machine; links maps symbolic
	// links to their targets.
	files, links    map[string]string
	entrypoint, cmd []string
	stopSignal      string
}

// build makes the image for an architecture in Go's words.
func (i image) build(arch string) (v1.Image, error) {
	content, err := i.layer()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.name, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, err
	}
	built, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{Entrypoint: i.entrypoint, Cmd: i.cmd, StopSignal: i.stopSignal,
		Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	return mutate.ConfigFile(built, config)
}

// layer is the image's only layer: the same bytes for the same files.
func (i image) layer() ([]byte, error) {
	entries := map[string]tar.Header{
		"etc/": {Typeflag: tar.TypeDir, Mode: 0o755}, "tmp/": {Typeflag: tar.TypeDir, Mode: 0o1777},
	}
	for to := range i.files {
		entries[strings.TrimPrefix(to, "/")] = tar.Header{Typeflag: tar.TypeReg, Mode: 0o755}
	}
	for to, target := range i.links {
		entries[strings.TrimPrefix(to, "/")] = tar.Header{Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
	}
	for to := range entries {
		for dir := path.Dir(strings.TrimSuffix(to, "/")); dir != "."; dir = path.Dir(dir) {
			entries[dir+"/"] = tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}
		}
	}
	names := make([]string, 0, len(entries))
	for to := range entries {
		names = append(names, to)
	}
	sort.Strings(names)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, to := range names {
		header := entries[to]
		header.Name = to
		var content []byte
		if from := i.files["/"+to]; from != "" {
			var err error
			if content, err = os.ReadFile(from); err != nil {
				return nil, err
			}
			header.Size = int64(len(content))
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// tagged names each image repository/NAME:TAG. The tag is a part of the image's
// digest: a node never runs an older one.
func tagged(images []image, repository, arch string) (map[name.Tag]v1.Image, map[string]string, error) {
	built, names := map[name.Tag]v1.Image{}, map[string]string{}
	for _, i := range images {
		made, err := i.build(arch)
		if err != nil {
			return nil, nil, err
		}
		digest, err := made.Digest()
		if err != nil {
			return nil, nil, err
		}
		tag, err := name.NewTag(fmt.Sprintf("%s/%s:%.12s", repository, i.name, digest.Hex), name.StrictValidation)
		if err != nil {
			return nil, nil, err
		}
		built[tag], names[i.name] = made, tag.String()
	}
	return built, names, nil
}

// archive writes images to a file, in the format of docker save.
func archive(file string, images map[name.Tag]v1.Image) error {
	return tarball.MultiWriteToFile(file, images)
}

// push sends images to their registry.
func push(images map[name.Tag]v1.Image) error {
	for tag, i := range images {
		if err := remote.Write(tag, i); err != nil {
			return fmt.Errorf("push %s: %w", tag, err)
		}
	}
	return nil
}
