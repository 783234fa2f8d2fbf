package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// refName is the annotation that names an image in a layout.
const refName = "org.opencontainers.image.ref.name"

// kind is an image that is released.
type kind struct {
	suffix  string // of its tag and its files
	title   string
	config  v1.Config
	entries func(usher, check []byte) []entry
}

var kinds = []kind{
	{
		title:  "usher: COPY --from takes it from here, and --install puts it into a volume",
		config: v1.Config{Entrypoint: []string{"/usher"}, Cmd: []string{"--version"}},
		entries: func(usher, _ []byte) []entry {
			return []entry{{"usher", 0o755, usher}}
		},
	},
	{
		suffix: "-base",
		title:  "usher and usher-check, as the base of an image with a static app",
		config: v1.Config{
			Entrypoint: []string{"/usher", "--"},
			Env:        []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
			WorkingDir: "/",
		},
		entries: func(usher, check []byte) []entry {
			return []entry{
				{"etc/", 0o755, nil},
				{"etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n")},
				{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/sbin/nologin\n" +
					"nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
				{"run/", 0o755, nil},
				{"tmp/", 0o1777, nil},
				{"usher", 0o755, usher},
				{"usher-check", 0o755, check},
			}
		},
	},
}

// images writes the images as one layout, and each as an archive with its bill
// of materials.
func (r *release) images() error {
	path, err := layout.Write(filepath.Join(r.dist, "image"), empty.Index)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		index, images, err := r.index(k)
		if err != nil {
			return err
		}
		tag := r.number() + k.suffix
		named := layout.WithAnnotations(map[string]string{refName: tag})
		if err := path.AppendIndex(index, named); err != nil {
			return err
		}
		if err := r.imageArchive(k, index, images); err != nil {
			return err
		}
		if err := r.imageBOM(k, index); err != nil {
			return err
		}
	}
	return filepath.WalkDir(string(path), func(name string, d fs.DirEntry, err error) error {
		mode := fs.FileMode(0o644)
		if err == nil && d.IsDir() {
			mode = 0o755
		}
		return errors.Join(err, os.Chmod(name, mode))
	})
}

// index makes an image for each target, and what holds them together.
func (r *release) index(k kind) (v1.ImageIndex, []v1.Image, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	index = mutate.Annotations(index, r.labels(k)).(v1.ImageIndex)
	var images []v1.Image
	for _, t := range r.targets {
		image, err := r.image(k, t)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot make an image for %s: %w", t.name, err)
		}
		images = append(images, image)
		descriptor := v1.Descriptor{Platform: &t.platform}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: descriptor})
	}
	return index, images, nil
}

// labels are OCI's annotations.
func (r *release) labels(k kind) map[string]string {
	labels := map[string]string{}
	for name, value := range map[string]string{
		"title":       "usher",
		"description": k.title,
		"version":     r.number(),
		"revision":    r.revision,
		"licenses":    licenseID,
		"created":     r.time.Format(time.RFC3339),
		"source":      r.url,
	} {
		if value != "" {
			labels["org.opencontainers.image."+name] = value
		}
	}
	return labels
}

func (r *release) image(k kind, t target) (v1.Image, error) {
	usher, err := os.ReadFile(filepath.Join(r.dist, t.binary("usher")))
	if err != nil {
		return nil, err
	}
	check, err := os.ReadFile(filepath.Join(r.dist, t.binary("usher-check")))
	if err != nil {
		return nil, err
	}
	content, err := r.archive(k.entries(usher, check))
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	history := v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "usher " + r.version}
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: history})
	if err != nil {
		return nil, err
	}
	config := k.config
	config.Labels = r.labels(k)
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Config, file.Created = config, v1.Time{Time: r.time}
	file.OS, file.Architecture, file.Variant = t.platform.OS, t.platform.Architecture, t.platform.Variant
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, r.labels(k)).(v1.Image), nil
}

// imageArchive writes what `ctr image import`, `docker load` and others take:
// an OCI layout in a tar, with one image for all platforms, and the list of
// older Docker engines, in which each platform has a name of its own.
func (r *release) imageArchive(k kind, index v1.ImageIndex, images []v1.Image) error {
	dir, err := os.MkdirTemp(r.dist, "stage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tag := r.number() + k.suffix
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		refName:                    tag,
		"io.containerd.image.name": "docker.io/library/usher:" + tag,
	}))
	if err != nil {
		return err
	}
	type dockerImage struct{ Config, RepoTags, Layers any }
	var list []dockerImage
	for i, image := range images {
		config, err := image.ConfigName()
		if err != nil {
			return err
		}
		manifest, err := image.Manifest()
		if err != nil {
			return err
		}
		list = append(list, dockerImage{
			Config:   blob(config),
			RepoTags: []string{"usher:" + tag + "-" + r.targets[i].name},
			Layers:   []string{blob(manifest.Layers[0].Digest)},
		})
	}
	docker, err := json.Marshal(list)
	if err != nil {
		return err
	}
	var entries []entry
	for _, name := range []string{"oci-layout", "index.json"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		entries = append(entries, entry{name, 0o644, content})
	}
	entries = append(entries, entry{"manifest.json", 0o644, docker},
		entry{"blobs/", 0o755, nil}, entry{"blobs/sha256/", 0o755, nil})
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs/sha256"))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		content, err := os.ReadFile(filepath.Join(dir, "blobs/sha256", b.Name()))
		if err != nil {
			return err
		}
		entries = append(entries, entry{"blobs/sha256/" + b.Name(), 0o644, content})
	}
	content, err := r.archive(entries)
	if err != nil {
		return err
	}
	return r.file(fmt.Sprintf("usher_%s_image%s.tar", r.number(), k.suffix), content, 0o644)
}

// blob is where a layout keeps it.
func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// imageBOM writes an image's bill of materials: the binaries of all platforms,
// and what they are made of.
func (r *release) imageBOM(k kind, index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	var sum [32]byte
	if _, err := hex.Decode(sum[:], []byte(digest.Hex)); err != nil {
		return err
	}
	purl := "pkg:oci/usher@" + digest.String() + "?tag=" + r.number() + k.suffix
	subject := r.component(cdx.ComponentTypeContainer, "usher", purl, sum)
	var parts []cdx.Component
	for _, t := range r.targets {
		for _, program := range programs {
			inImage := slices.ContainsFunc(k.entries(nil, nil), func(e entry) bool { return e.name == program })
			if !inImage {
				continue
			}
			path := filepath.Join(r.dist, t.binary(program))
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			info, err := buildinfo.ReadFile(path)
			if err != nil {
				return err
			}
			purl := "pkg:golang/usher@" + r.version + "?arch=" + t.name + "#cmd/" + program
			part := r.component(cdx.ComponentTypeApplication, program, purl, sha256.Sum256(content))
			part.Properties = &[]cdx.Property{
				{Name: "file", Value: "/" + program},
				{Name: "platform", Value: t.platform.String()},
			}
			parts = append(append(parts, part), linked(info)...)
		}
	}
	return r.bom(fmt.Sprintf("usher_%s_image%s.cdx.json", r.number(), k.suffix), subject, parts)
}
