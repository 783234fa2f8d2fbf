package dockerfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// baseName is what the Dockerfiles say. Where no registry can be reached, an image of that name is made here, so that
// the Dockerfiles are tested as users have them.
const baseName = "debian:bookworm-slim"

// sources is what Debian's own image has, and debootstrap does not write.
const sources = `deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
`

// debianBase sees to it that the base image is there; one that is already there is taken as it is.
var debianBase = sync.OnceValue(func() error {
	if _, err := docker("image", "inspect", baseName); err == nil {
		return nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	tarball := filepath.Join(cache, "usher-test", "debian-bookworm-slim.tar")
	if _, err := os.Stat(tarball); errors.Is(err, fs.ErrNotExist) {
		err = debootstrap(tarball)
		if err != nil {
			return missingError{fmt.Sprintf("no image %s, and it cannot be made: %v", baseName, err)}
		}
	}
	// The label tells whoever wonders later where this image is from.
	_, err = docker("import", "--change", `CMD ["bash"]`, "--change", "LABEL "+label+".made-by=usher/dockerfiles", tarball, baseName)
	return err
})

// debootstrap makes a minimal Debian into a tarball: it is there whole or not at all.
func debootstrap(tarball string) error {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return errors.New("debootstrap is not installed (apt-get install debootstrap)")
	}
	if os.Geteuid() != 0 {
		return errors.New("debootstrap needs root")
	}
	if err := os.MkdirAll(filepath.Dir(tarball), 0o755); err != nil {
		return err
	}
	// Beside the tarball and not in /tmp, which may be mounted nodev; debootstrap makes devices.
	dir, err := os.MkdirTemp(filepath.Dir(tarball), "debootstrap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "root")
	if err := command("debootstrap", "--variant=minbase", "bookworm", root, "http://deb.debian.org/debian"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/apt/sources.list"), []byte(sources), 0o644); err != nil {
		return err
	}
	part := filepath.Join(dir, "part.tar")
	if err := command("tar", "-C", root, "--one-file-system", "--exclude=./var/cache/apt/archives/*.deb",
		"--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*", "-cf", part, "."); err != nil {
		return err
	}
	return os.Rename(part, tarball)
}
