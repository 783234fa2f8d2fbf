package spawn

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/internal/file"
)

// Identity is the user and the groups that a process runs as.
type Identity struct {
	UID, GID   uint32
	Groups     []uint32 // supplementary
	sameGroups bool     // usher has the same groups, so that it does not matter if it may not set them
	home       string
}

// LookUp parses USER[:GROUP] in the way of a Dockerfile's USER. Both are names
// or numbers. For a user in the image's /etc/passwd, the group and the
// supplementary groups come from /etc/passwd and /etc/group. A number that is
// not there gets the group of root. LookUp adds the groups that the container
// engine gave usher beyond those of the image (docker run --group-add; fsGroup
// and supplementalGroups of a pod). With GROUP, that group is the only one, as
// with gosu and su-exec.
func LookUp(spec string) (*Identity, error) {
	a, err := readAccounts()
	var id *Identity
	if err == nil {
		id, err = a.lookUp(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("--user %q: %w", spec, err)
	}
	return id, nil
}

func (a *accounts) lookUp(spec string) (*Identity, error) {
	name, group, explicit := strings.Cut(spec, ":")
	id, err := a.user(name)
	if err != nil {
		return nil, err
	}
	own := OwnIdentity()
	if explicit {
		id.GID, err = a.groupID(group)
		id.Groups = []uint32{id.GID}
	} else {
		err = a.addEngineGroups(id, own)
	}
	id.sameGroups = own.GID == id.GID && own.hasGroupsOf(id, id.GID) ||
		own.hasGroupsOf(id, unmapped) && DeniesSetgroups()
	return id, err
}

// OwnIdentity returns the identity of usher itself.
func OwnIdentity() *Identity {
	id := &Identity{UID: uint32(unix.Geteuid()), GID: uint32(unix.Getegid())}
	groups, _ := unix.Getgroups()
	for _, gid := range groups {
		id.Groups = append(id.Groups, uint32(gid))
	}
	return id
}

// accounts has the content of the image's /etc/passwd and /etc/group; "" for a
// missing file.
type accounts struct{ passwd, group string }

// The lines of passwd(5) are name:password:uid:gid:comment:home:shell, those of
// group(5) name:password:gid:members. Package os/user would make usher larger.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// readAccounts fails if a file exists and can't be read. Otherwise a known user
// would be taken for an unknown one, and get the group of root.
func readAccounts() (a accounts, err error) {
	if a.passwd, err = readAccount(passwdFile); err == nil {
		a.group, err = readAccount(groupFile)
	}
	return a, err
}

func readAccount(path string) (string, error) {
	content, err := file.ReadAll(path)
	if err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return content, nil
}

// user returns a user, by name or number, with the groups of the image.
func (a *accounts) user(name string) (*Identity, error) {
	if name == "" {
		return nil, errors.New("no user given")
	}
	entry := find(a.passwd, 0, name)
	if entry == nil {
		uid, err := parseID(name)
		if err != nil {
			return nil, fmt.Errorf("no user %q in %s", name, passwdFile)
		}
		if entry = find(a.passwd, 2, strconv.FormatUint(uint64(uid), 10)); entry == nil {
			return &Identity{UID: uid, Groups: []uint32{0}, home: noHome}, nil
		}
	}
	if len(entry) < 6 {
		return nil, fmt.Errorf("malformed entry for %q in %s", name, passwdFile)
	}
	uid, err := parseID(entry[2])
	if err != nil {
		return nil, err
	}
	gid, err := parseID(entry[3])
	if err != nil {
		return nil, err
	}
	id := &Identity{UID: uid, GID: gid, home: cmp.Or(entry[5], noHome), Groups: []uint32{gid}}
	for line := range strings.SplitSeq(a.group, "\n") {
		e := strings.Split(line, ":")
		if len(e) < fields {
			continue
		}
		if g, err := parseID(e[2]); err == nil && g != gid && slices.Contains(strings.Split(e[3], ","), entry[0]) {
			id.Groups = append(id.Groups, g)
		}
	}
	return id, nil
}

// noHome is the home of a user without one, as with container engines and gosu.
const noHome = "/"

// addEngineGroups adds to id the groups that the container engine has given
// usher. The groups that usher's own user has in the image are left out (Alpine's
// root is in a dozen groups, disk for example), and so is the group that usher
// runs as.
func (a *accounts) addEngineGroups(id, own *Identity) error {
	image, err := a.user(strconv.FormatUint(uint64(own.UID), 10))
	if err != nil {
		return err
	}
	for _, g := range own.Groups {
		if g != own.GID && g != unmapped && !slices.Contains(image.Groups, g) && !slices.Contains(id.Groups, g) {
			id.Groups = append(id.Groups, g)
		}
	}
	return nil
}

// unmapped is the number under which a group appears that has none in the user
// namespace (/proc/sys/kernel/overflowgid).
const unmapped = 65534

// hasGroupsOf reports whether own has the supplementary groups of id, and no other
// groups except ignored.
func (own *Identity) hasGroupsOf(id *Identity, ignored uint32) bool {
	for _, g := range own.Groups {
		if g != id.GID && g != ignored && !slices.Contains(id.Groups, g) {
			return false
		}
	}
	for _, g := range id.Groups {
		if g != id.GID && !slices.Contains(own.Groups, g) {
			return false
		}
	}
	return true
}

// DeniesSetgroups reports whether this user namespace denies setgroups(2)
// (user_namespaces(7)). Then no process in it can drop a group that the
// namespace has no number for.
func DeniesSetgroups() bool { return file.Read("/proc/self/setgroups") == "deny\n" }

// groupID returns the number of a group, by name or number.
func (a *accounts) groupID(name string) (uint32, error) {
	if name == "" {
		return 0, errors.New("no group given after the colon")
	}
	if entry := find(a.group, 0, name); entry != nil {
		return parseID(entry[2])
	}
	gid, err := parseID(name)
	if err != nil {
		return 0, fmt.Errorf("no group %q in %s", name, groupFile)
	}
	return gid, nil
}

// fields is the smallest number of fields in a line of both files.
const fields = 4

// find returns the fields of the first line of passwd or group that has value in
// the given field, or nil.
func find(content string, field int, value string) []string {
	for line := range strings.SplitSeq(content, "\n") {
		if entry := strings.Split(line, ":"); len(entry) >= fields && entry[field] == value {
			return entry
		}
	}
	return nil
}

// parseID parses a uid or gid. The largest number means "none" to the kernel
// (chown(2)).
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no user or group number", s)
	}
	return uint32(n), nil
}

// Current reports whether this process has the identity already. Then usher
// needs no privileges to change it.
func (id *Identity) Current() bool {
	return id.sameGroups && unix.Getuid() == int(id.UID) && unix.Geteuid() == int(id.UID) &&
		unix.Getgid() == int(id.GID) && unix.Getegid() == int(id.GID)
}

// GiveStdio makes the user the owner of stdin, stdout and stderr if these are
// pipes or terminals, so that it can open /dev/stdout. Container engines do the
// same for a Dockerfile's USER. Other devices remain root's, because they may be
// in the machine's own /dev. Errors are ignored: without privileges usher can't
// give files away.
func (id *Identity) GiveStdio() {
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Uid == id.UID {
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR {
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
				continue
			}
		} else if st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue
		}
		_ = unix.Fchown(fd, int(id.UID), -1)
	}
}

// WithHome returns env with the HOME of the user.
func (id *Identity) WithHome(env []string) []string {
	out := make([]string, 0, len(env)+1)
	for _, entry := range env {
		if !strings.HasPrefix(entry, "HOME=") {
			out = append(out, entry)
		}
	}
	return append(out, "HOME="+id.home)
}
