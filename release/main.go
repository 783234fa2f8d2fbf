// Release makes what users install, in dist: binaries, tarballs, packages,
// images, SBOMs and checksums. `make release` calls it.
//
// It has a folder and a module of its own because it is none of the others'
// kind, neither a part of usher nor an example nor a measurement, and because
// nothing of what it is made of may come into usher's go.mod. The same source
// gives the same bytes, wherever, whenever and by whomever it is built: no
// clock, host name, user or path goes into a file.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "the version, such as v0.1.0")
	flag.StringVar(&o.source, "source", "..", "usher's source")
	flag.StringVar(&o.dist, "dist", "../dist", "where to")
	flag.StringVar(&o.url, "url", "", "where the source is published: https://…, for labels and packages")
	flag.Func("arch", "only these, with commas between them: amd64,armv7", func(s string) error {
		o.only = strings.Split(s, ",")
		return nil
	})
	flag.Parse()
	if err := run(o); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(os.Stderr, "release: error:", strings.TrimSpace(line))
		}
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	version, source, dist, url string
	only                       []string
}

// release is one release in the making.
type release struct {
	source
	url     string
	dist    string // where files go until all of them are there
	targets []target
	notices []byte // the licences of what is linked in
}

// run makes the release. Dist is there whole, or as it was before.
func run(o options) error {
	targets, err := targetsOf(o.only)
	source, sourceErr := readSource(o.source, o.version)
	dist, distErr := filepath.Abs(o.dist)
	if err := errors.Join(err, sourceErr, distErr, replaceable(dist)); err != nil {
		return err
	}
	part := dist + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	r := &release{source: source, url: o.url, dist: part, targets: targets}
	for _, step := range []func() error{r.build, r.readNotices, r.tarballs, r.packages, r.boms, r.images, r.sums} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	return os.Rename(part, dist)
}

// replaceable is an error for a directory that no release has made.
func replaceable(dist string) error {
	entries, err := os.ReadDir(dist)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dist, sumsName)); err != nil {
		return fmt.Errorf("%q is there and is no earlier release: it is left alone", dist)
	}
	return nil
}

// file writes a file of the release, with the mode that it is to have whatever
// the umask.
func (r *release) file(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(r.dist, name)
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}
