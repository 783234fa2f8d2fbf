package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// entry is a file in a tarball or an image; a directory where its name ends in
// a slash.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// archive makes a tar of entries, all root's and of the commit's time.
func (r *release) archive(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(e.name, "/") {
			kind = tar.TypeDir
		}
		err := w.WriteHeader(&tar.Header{
			Typeflag: kind,
			Name:     e.name,
			Mode:     e.mode,
			Size:     int64(len(e.content)),
			ModTime:  r.time,
			Format:   tar.FormatUSTAR,
		})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// zipped has neither name nor time.
func zipped(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

// pages are the manual pages, by their names.
var pages = []string{"usher.1", "usher-check.1", "usher-termination.5"}

// tarballs makes one for each target.
func (r *release) tarballs() error {
	for _, t := range r.targets {
		name := fmt.Sprintf("usher_%s_linux_%s", r.number(), t.name)
		entries := []entry{{name: name + "/", mode: 0o755}}
		var errs []error
		add := func(as string, mode int64, from string) {
			content, err := os.ReadFile(from)
			errs = append(errs, err)
			entries = append(entries, entry{name + "/" + as, mode, content})
		}
		for _, program := range programs {
			add(program, 0o755, filepath.Join(r.dist, t.binary(program)))
		}
		for _, file := range []string{"LICENSE", "CHANGELOG.md"} {
			add(file, 0o644, filepath.Join(r.root, file))
		}
		entries = append(entries, entry{name + "/LICENSES.third-party", 0o644, r.notices})
		for _, folder := range []string{"/man/", "/man/man1/", "/man/man5/"} {
			entries = append(entries, entry{name: name + folder, mode: 0o755})
		}
		for _, page := range pages {
			add("man/man"+page[len(page)-1:]+"/"+page, 0o644, filepath.Join(r.root, "docs/man", page))
		}
		content, err := r.archive(entries)
		if err := errors.Join(append(errs, err)...); err != nil {
			return err
		}
		if content, err = zipped(content); err != nil {
			return err
		}
		if err := r.file(name+".tar.gz", content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readNotices collects the licences of the modules that the binaries have in
// them, and Go's own: who hands the binaries on hands them on, too.
func (r *release) readNotices() error {
	versions := map[string]bool{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(filepath.Join(r.dist, r.targets[0].binary(program)))
		if err != nil {
			return err
		}
		for _, dep := range info.Deps {
			versions[dep.Path] = true
		}
	}
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Path}}\t{{.Version}}\t{{.Dir}}", "all")
	cmd.Dir = r.root
	cmd.Env = append(slices.DeleteFunc(os.Environ(), callersOwn), "GOTOOLCHAIN="+r.goName, "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list -m all: %w", err)
	}
	goroot := exec.Command("go", "env", "GOROOT")
	goroot.Env = cmd.Env
	root, err := goroot.Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	modules := "Go\t" + r.goName + "\t" + strings.TrimSpace(string(root)) + "\n" + string(out)
	for line := range strings.Lines(modules) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 || fields[2] == "" || fields[0] != "Go" && !versions[fields[0]] {
			continue
		}
		delete(versions, fields[0])
		text, err := licence(fields[2])
		if err != nil {
			return fmt.Errorf("the licence of %s: %w", fields[0], err)
		}
		r.notices = fmt.Appendf(r.notices, "==== %s %s\n\n%s\n", fields[0], fields[1], bytes.TrimSpace(text))
	}
	if len(versions) > 0 {
		return fmt.Errorf("modules without a licence: %v", versions)
	}
	return nil
}

// licence is all that a module's root has by way of a licence.
func licence(dir string) (all []byte, _ error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		is := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if entry.IsDir() || !slices.ContainsFunc([]string{"LICEN", "NOTICE", "COPYING"}, is) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, text...)
	}
	if len(all) == 0 {
		return nil, fs.ErrNotExist
	}
	return all, nil
}
