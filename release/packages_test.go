package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const host = "amd64" // the architecture whose packages are installed

// newer is a release of the same source with a higher number, for upgrades.
var newer = sync.OnceValues(func() (string, error) {
	b, err := first()
	if err != nil {
		return "", err
	}
	dist := filepath.Join(scratch, "newer")
	cmd := tool("-version", "v0.0.2", "-source", b.source, "-dist", dist, "-arch", host)
	cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH="+commitAt, "REVISION=x")
	_, err = output(cmd)
	return dist, err
})

func upgrade(t *testing.T) string {
	t.Helper()
	dist, err := newer()
	if err != nil {
		t.Fatal(err)
	}
	return dist
}

// packaged are the files that all packages have.
var packaged = []string{"/usr/bin/usher", "/usr/bin/usher-check", "/usr/share/man/man1/usher.1.gz", "/usr/share/man/man1/usher-check.1.gz",
	"/usr/share/man/man5/usher-termination.5.gz"}

func needs(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// debian unpacks a minimal Debian, which debootstrap makes where the tests of
// dockerfiles have not.
func debian(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(scratch, "debian")
	tarball := filepath.Join(cache, "usher-test", "debian-bookworm-slim.tar")
	if _, err := os.Stat(tarball); err == nil {
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		command(t, "tar", "-C", root, "-xf", tarball)
		return root
	}
	needs(t, "debootstrap")
	command(t, "debootstrap", "--variant=minbase", "bookworm", root, "http://deb.debian.org/debian")
	return root
}

// The deb is installed by apt in a minimal Debian, runs an app there as PID 1,
// is upgraded, and leaves nothing behind.
func TestDeb(t *testing.T) {
	b := made(t)
	needs(t, "chroot", "dpkg-deb", "unshare")
	root := debian(t)
	file := "usher_" + number + "_linux_" + host + ".deb"
	for _, from := range []string{filepath.Join(b.dist, file), filepath.Join(upgrade(t), strings.Replace(file, number, "0.0.2", 1))} {
		content, err := os.ReadFile(from)
		if err := errors.Join(err, os.WriteFile(filepath.Join(root, filepath.Base(from)), content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(args ...string) string {
		t.Helper()
		return command(t, "chroot", append([]string{root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}, args...)...)
	}
	before := list(t, root)
	in("apt-get", "install", "-y", "-qq", "/"+file)
	if out := in("dpkg-query", "-W", "-f", "${Version} ${Architecture} ${Maintainer} ${db:Status-Abbrev} ${Section} ${Homepage}", "usher"); out != number+"-1 amd64 "+maintainer+" ii  utils "+url {
		t.Errorf("dpkg says %q", out)
	}
	if out := in("dpkg", "--verify", "usher"); out != "" {
		t.Errorf("dpkg --verify: %s", out)
	}
	for _, name := range append(slices.Clone(packaged), "/usr/share/doc/usher/copyright", "/usr/share/doc/usher/changelog.gz") {
		if owner := in("dpkg", "-S", name); !strings.HasPrefix(owner, "usher: ") {
			t.Errorf("%s is not there: %s", name, owner)
		}
	}
	if out := in("usher", "--version"); !strings.HasPrefix(out, "usher "+version+" (") {
		t.Errorf("usher --version: %q", out)
	}
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "chroot", root, "/usr/bin/usher", "--", "sh", "-c", "echo $PPID; exit 3")
	if out, err := cmd.Output(); string(out) != "1\n" || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("as PID 1: %q, %v", out, err)
	}
	in("apt-get", "install", "-y", "-qq", "/"+strings.Replace(file, number, "0.0.2", 1))
	if out := in("usher", "--version"); !strings.HasPrefix(out, "usher v0.0.2 (") {
		t.Errorf("usher --version after the upgrade: %q", out)
	}
	in("apt-get", "purge", "-y", "-qq", "usher")
	for _, name := range list(t, root) {
		if !slices.Contains(before, name) {
			t.Errorf("the package has left %s", name)
		}
	}
}

// list are the names below usr in root.
func list(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, "usr"), func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The rpm is installed into a root of its own by rpm, verified, upgraded and
// removed. Each architecture's has its name.
func TestRPM(t *testing.T) {
	b := made(t)
	needs(t, "rpm")
	if !whole && host != "amd64" {
		t.Skip("needs an amd64 machine")
	}
	root := t.TempDir()
	rpm := func(args ...string) string {
		t.Helper()
		return command(t, "rpm", append([]string{"--root", root, "--dbpath", "/rpmdb"}, args...)...)
	}
	file := filepath.Join(b.dist, "usher_"+number+"_linux_"+host+".rpm")
	command(t, "rpm", "-K", "--nosignature", file)
	rpm("--initdb")
	rpm("--force-debian", "-i", file)
	if out := rpm("-q", "--qf", "%{VERSION}-%{RELEASE} %{ARCH} %{LICENSE} %{URL} %{BUILDHOST} %{BUILDTIME} %{SUMMARY}", "usher"); out !=
		number+"-1 x86_64 Apache-2.0 "+url+" "+buildHost+" "+commitAt+" "+summary {
		t.Errorf("rpm says %q", out)
	}
	if out := rpm("-V", "--nouser", "--nogroup", "usher"); out != "" {
		t.Errorf("rpm -V: %s", out)
	}
	files := strings.Fields(rpm("-ql", "usher"))
	for _, name := range append(slices.Clone(packaged), "/usr/share/licenses/usher/LICENSE", "/usr/share/licenses/usher/LICENSES.third-party") {
		if !slices.Contains(files, name) {
			t.Errorf("%s is not in the package", name)
		}
	}
	if out := command(t, filepath.Join(root, "usr/bin/usher"), "--version"); !strings.HasPrefix(out, "usher "+version+" (") {
		t.Errorf("usher --version: %q", out)
	}
	rpm("--force-debian", "-U", filepath.Join(upgrade(t), "usher_0.0.2_linux_"+host+".rpm"))
	if out := rpm("-qa"); out != "usher-0.0.2-1.x86_64\n" {
		t.Errorf("after the upgrade: %q", out)
	}
	rpm("-e", "usher")
	for _, name := range packaged {
		if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the package has left %s: %v", name, err)
		}
	}
	for _, target := range chosen(t) {
		out := command(t, "rpm", "-qp", "--nosignature", "--qf", "%{ARCH}", filepath.Join(b.dist, "usher_"+number+"_linux_"+target.name+".rpm"))
		if out != target.rpm {
			t.Errorf("the rpm for %s is for %q, want %q", target.name, out, target.rpm)
		}
	}
}

func chosen(t *testing.T) []target {
	t.Helper()
	targets, err := targetsOf(architectures())
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

// An apk is two gzip streams: what it is, with the hash of the second, and the
// files, each with its hash. Debian has no apk to ask.
func TestAPK(t *testing.T) {
	b := made(t)
	for _, target := range chosen(t) {
		content, err := os.ReadFile(filepath.Join(b.dist, "usher_"+number+"_linux_"+target.name+".apk"))
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(content)
		control := unzip(t, r)
		data := content[len(content)-r.Len():]
		files := unzip(t, r)
		if r.Len() != 0 {
			t.Errorf("%d bytes are behind the second stream", r.Len())
		}
		info := map[string]string{}
		lines := bufio.NewScanner(bytes.NewReader(control[".PKGINFO"].content))
		for lines.Scan() {
			name, value, ok := strings.Cut(lines.Text(), " = ")
			if !ok && lines.Text() != "" && !strings.HasPrefix(lines.Text(), "#") {
				t.Errorf(".PKGINFO has the line %q", lines.Text())
			}
			info[name] = value
		}
		for name, want := range map[string]string{"pkgname": "usher", "pkgver": number + "-r1", "arch": target.apk, "license": licenseID, "url": url, "pkgdesc": summary,
			"datahash": fmt.Sprintf("%x", sha256.Sum256(data))} {
			if info[name] != want {
				t.Errorf("%s: %s is %q, want %q", target.name, name, info[name], want)
			}
		}
		for _, name := range append(slices.Clone(packaged), "/usr/share/licenses/usher/LICENSE") {
			file, ok := files[name[1:]]
			sum := sha1.Sum(file.content)
			if !ok || file.header.PAXRecords["APK-TOOLS.checksum.SHA1"] != hex.EncodeToString(sum[:]) || file.header.Uname != "root" {
				t.Errorf("%s: %s is not there, or has another checksum or owner", target.name, name)
			}
		}
		binary, err := os.ReadFile(filepath.Join(b.dist, target.binary("usher")))
		if err != nil || !bytes.Equal(binary, files["usr/bin/usher"].content) || files["usr/bin/usher"].header.Mode != 0o755 {
			t.Errorf("%s: another usher, or not executable: %v", target.name, err)
		}
	}
}

type member struct {
	header  *tar.Header
	content []byte
}

// unzip reads one gzip stream of r, a tar, whose end may be missing, as apk has
// it for all but the last.
func unzip(t *testing.T, r *bytes.Reader) map[string]member {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]member{}
	for files := tar.NewReader(bytes.NewReader(all)); ; {
		header, err := files.Next()
		if err == io.EOF {
			return members
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		members[header.Name] = member{header, content}
	}
}

// The tarball unpacks into one folder, with what belongs to it, and its manual
// pages can be read.
func TestTarball(t *testing.T) {
	b := made(t)
	dir := t.TempDir()
	for _, target := range chosen(t) {
		name := "usher_" + number + "_linux_" + target.name
		command(t, "tar", "-C", dir, "-xzf", filepath.Join(b.dist, name+".tar.gz"))
		for _, file := range []string{"usher", "usher-check", "LICENSE", "LICENSES.third-party", "CHANGELOG.md", "man/man1/usher.1", "man/man1/usher-check.1", "man/man5/usher-termination.5"} {
			if info, err := os.Stat(filepath.Join(dir, name, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
		notices, err := os.ReadFile(filepath.Join(dir, name, "LICENSES.third-party"))
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []string{"Go go1.", "golang.org/x/sys ", "github.com/hashicorp/go-multierror ", "github.com/spf13/pflag "} {
			if !bytes.Contains(notices, []byte("==== "+of)) {
				t.Errorf("LICENSES.third-party does not have %s", of)
			}
		}
		if mandoc, err := exec.LookPath("mandoc"); err == nil {
			if out := command(t, mandoc, "-Tascii", filepath.Join(dir, name, "man/man1/usher.1")); !strings.Contains(out, "SIGTERM") {
				t.Errorf("usher(1) does not render: %q", out)
			}
		}
	}
}

// Each binary's and image's bill has what `go version -m` finds in the binary,
// with the checksum of the very file.
func TestBills(t *testing.T) {
	b := made(t)
	for _, target := range chosen(t) {
		for _, program := range programs {
			path := filepath.Join(b.dist, target.binary(program))
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := buildinfo.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bill := readBill(t, path+".cdx.json")
			if subject := bill.Metadata.Component; subject.Name != program || subject.Version != version || (*subject.Hashes)[0].Value != fmt.Sprintf("%x", sha256.Sum256(content)) {
				t.Errorf("%s: the bill is of %+v", path, subject)
			}
			want := []string{"stdlib"}
			for _, dep := range info.Deps {
				want = append(want, dep.Path)
			}
			var got []string
			for _, c := range *bill.Components {
				got = append(got, c.Name)
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) || len(want) < 4 {
				t.Errorf("%s: the bill has %q, want %q", path, got, want)
			}
		}
	}
	for _, k := range kinds {
		bill := readBill(t, filepath.Join(b.dist, "usher_"+number+"_image"+k.suffix+".cdx.json"))
		binaries := 0
		for _, c := range *bill.Components {
			if c.Type == cdx.ComponentTypeApplication {
				binaries++
			}
		}
		want := len(architectures())
		if k.suffix != "" {
			want *= 2
		}
		if bill.Metadata.Component.Type != cdx.ComponentTypeContainer || binaries != want {
			t.Errorf("the image's bill has %d binaries, want %d", binaries, want)
		}
	}
}

func readBill(t *testing.T, path string) *cdx.BOM {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bill cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bill); err != nil {
		t.Fatal(err)
	}
	return &bill
}
