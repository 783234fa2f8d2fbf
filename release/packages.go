package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/apk"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

const (
	summary     = "init for containers: signals, health, a stop in time, and a reason"
	description = summary + `
usher is the entrypoint of a container: it starts an app as its child, stands in
for it as PID 1, answers health probes, holds SIGTERM back until traffic has
moved on, and writes why it ended to the termination log.`
	maintainer = "The usher authors"
	licenseID  = "Apache-2.0"
)

// buildHost is what an rpm says it was built on: any name will do, but not this
// machine's.
const buildHost = "localhost"

// packages makes the packages of each target.
func (r *release) packages() error {
	stage, err := os.MkdirTemp(r.dist, "stage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	for _, t := range r.targets {
		packagers := map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM, "apk": apk.Default}
		for kind, packager := range packagers {
			contents, err := r.contents(t, kind, stage)
			if err != nil {
				return err
			}
			says := description
			if kind == "apk" { // whose fields are lines
				says = summary
			}
			info := nfpm.WithDefaults(&nfpm.Info{
				Name:            "usher",
				Arch:            t.goarch,
				Platform:        "linux",
				Version:         r.version,
				Release:         "1",
				Section:         "utils",
				Priority:        "optional",
				Maintainer:      maintainer,
				Description:     says,
				Homepage:        r.url,
				License:         licenseID,
				MTime:           r.time,
				DisableGlobbing: true,
				Overridables: nfpm.Overridables{
					Contents: contents,
					Deb:      nfpm.Deb{Arch: t.deb, Compression: "gzip"},
					RPM: nfpm.RPM{
						Arch:        t.rpm,
						Summary:     summary,
						Group:       "Applications/System",
						Compression: "gzip:9",
						BuildHost:   buildHost,
					},
					APK: nfpm.APK{Arch: t.apk},
				},
			})
			var b bytes.Buffer
			if err := packager.Package(info, &b); err != nil {
				return fmt.Errorf("cannot package a %s for %s: %w", kind, t.name, err)
			}
			name := fmt.Sprintf("usher_%s_linux_%s.%s", r.number(), t.name, kind)
			if err := r.file(name, b.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// contents are the files of a package, in the places where each kind has them.
// Those that are made for it are put into stage.
func (r *release) contents(t target, kind, stage string) (files.Contents, error) {
	var contents files.Contents
	add := func(source, destination string, mode fs.FileMode) {
		contents = append(contents, &files.Content{Source: source, Destination: destination,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.time}})
	}
	write := func(destination string, content []byte) error {
		source := filepath.Join(stage, kind+"-"+filepath.Base(destination))
		if err := os.WriteFile(source, content, 0o644); err != nil {
			return err
		}
		add(source, destination, 0o644)
		return nil
	}
	for _, program := range programs {
		add(filepath.Join(r.dist, t.binary(program)), "/usr/bin/"+program, 0o755)
	}
	compressed := map[string]string{} // from, to
	for _, page := range pages {
		compressed["docs/man/"+page] = "/usr/share/man/man" + page[len(page)-1:] + "/" + page + ".gz"
	}
	licence, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	third := "/usr/share/doc/usher/LICENSES.third-party"
	switch kind {
	case "deb":
		compressed["CHANGELOG.md"] = "/usr/share/doc/usher/changelog.gz"
		err = write("/usr/share/doc/usher/copyright", append(append(licence, "\n\n"...), r.notices...))
	case "rpm":
		compressed["CHANGELOG.md"] = "/usr/share/doc/usher/CHANGELOG.md.gz"
		third = "/usr/share/licenses/usher/LICENSES.third-party"
		err = write("/usr/share/licenses/usher/LICENSE", licence)
	default:
		err = write("/usr/share/licenses/usher/LICENSE", licence)
		third = "/usr/share/licenses/usher/LICENSES.third-party"
	}
	if err == nil && kind != "deb" {
		err = write(third, r.notices)
	}
	for from, to := range compressed {
		text, readErr := os.ReadFile(filepath.Join(r.root, from))
		if readErr != nil {
			return nil, readErr
		}
		small, zipErr := zipped(text)
		if zipErr != nil {
			return nil, zipErr
		}
		if err == nil {
			err = write(to, small)
		}
	}
	return contents, err
}
