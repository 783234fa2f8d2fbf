package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sumsName is what sha256sum -c takes.
const sumsName = "SHA256SUMS"

// sums writes the checksums of all files.
func (r *release) sums() error {
	var all []byte
	err := filepath.WalkDir(r.dist, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.dist, path)
		all = fmt.Appendf(all, "%x  %s\n", sha256.Sum256(content), name)
		return err
	})
	if err != nil {
		return err
	}
	return r.file(sumsName, all, 0o644)
}
