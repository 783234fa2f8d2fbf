package supervisor

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

// identity is who a process runs as.
type identity struct {
	uid, gid   uint32
	groups     []uint32 // supplementary
	sameGroups bool     // usher has the same ones: where it may not set them, nothing is amiss
	home       string
}

// lookUp reads USER[:GROUP] as a Dockerfile's USER does: names or numbers, the group and the supplementary ones from the image's
// /etc/passwd and /etc/group where the user is known there; the group is root's for a number that is not. Added to them are the groups
// that the container engine gave usher on top of the image's (docker run --group-add, a pod's fsGroup and supplementalGroups). An
// explicit group is the only one, as gosu and su-exec have it.
func lookUp(spec string) (*identity, error) {
	a, err := readAccounts()
	var id *identity
	if err == nil {
		id, err = a.lookUp(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("--user %q: %w", spec, err)
	}
	return id, nil
}

func (a *accounts) lookUp(spec string) (*identity, error) {
	name, group, explicit := strings.Cut(spec, ":")
	id, err := a.user(name)
	if err != nil {
		return nil, err
	}
	own := ownIdentity()
	if explicit {
		id.gid, err = a.groupID(group)
		id.groups = []uint32{id.gid}
	} else {
		err = a.add(id, own)
	}
	id.sameGroups = own.gid == id.gid && own.hasGroupsOf(id, id.gid) || own.hasGroupsOf(id, unmapped) && deniesSetgroups()
	return id, err
}

// accounts is what an image knows of users and groups: its /etc/passwd and /etc/group, "" for a file that is missing.
type accounts struct{ passwd, group string }

// passwd(5) has name:password:uid:gid:comment:home:shell, group(5) name:password:gid:members. Package os/user would cost 25 kB.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// readAccounts fails for a file that is there and can't be read whole: to take a user for unknown then would give him root's group.
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

// user is a user with the image's groups, by name or number.
func (a *accounts) user(name string) (*identity, error) {
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
			return &identity{uid: uid, groups: []uint32{0}, home: noHome}, nil
		}
	}
	if len(entry) < 6 {
		return nil, fmt.Errorf("the line of %q in %s is not whole", name, passwdFile)
	}
	uid, err := parseID(entry[2])
	if err != nil {
		return nil, err
	}
	gid, err := parseID(entry[3])
	if err != nil {
		return nil, err
	}
	id := &identity{uid: uid, gid: gid, home: cmp.Or(entry[5], noHome), groups: []uint32{gid}}
	for line := range strings.SplitSeq(a.group, "\n") {
		e := strings.Split(line, ":")
		if len(e) < fields {
			continue
		}
		if g, err := parseID(e[2]); err == nil && g != gid && slices.Contains(strings.Split(e[3], ","), entry[0]) {
			id.groups = append(id.groups, g)
		}
	}
	return id, nil
}

// noHome is the home of a user who has none, as container engines and gosu have it.
const noHome = "/"

// add gives id the groups that the engine has added to usher's own user. The image's root may be in a dozen groups (Alpine's is in disk's):
// those, and the group that usher runs as, belong to usher's user and are not another's.
func (a *accounts) add(id, own *identity) error {
	image, err := a.user(strconv.FormatUint(uint64(own.uid), 10))
	if err != nil {
		return err
	}
	for _, g := range own.groups {
		if g != own.gid && g != unmapped && !slices.Contains(image.groups, g) && !slices.Contains(id.groups, g) {
			id.groups = append(id.groups, g)
		}
	}
	return nil
}

// unmapped is how a group looks that a user namespace has no number for (/proc/sys/kernel/overflowgid): that number is not its own.
const unmapped = 65534

// hasGroupsOf reports whether own has the supplementary groups of id, and no other ones but ignored.
func (own *identity) hasGroupsOf(id *identity, ignored uint32) bool {
	for _, g := range own.groups {
		if g != id.gid && g != ignored && !slices.Contains(id.groups, g) {
			return false
		}
	}
	for _, g := range id.groups {
		if g != id.gid && !slices.Contains(own.groups, g) {
			return false
		}
	}
	return true
}

// deniesSetgroups is whether this user namespace does (user_namespaces(7)). A group that the namespace has no number for can't be given up
// then by anybody in it.
func deniesSetgroups() bool { return file.Read("/proc/self/setgroups") == "deny\n" }

// groupID is a group by name or number.
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

// fields is how many an entry has at least.
const fields = 4

// find returns the first entry of passwd or group that has value in a field, by its fields; nil without one.
func find(content string, field int, value string) []string {
	for line := range strings.SplitSeq(content, "\n") {
		if entry := strings.Split(line, ":"); len(entry) >= fields && entry[field] == value {
			return entry
		}
	}
	return nil
}

// parseID reads a uid or gid; the largest one means "none" to the kernel (chown(2)).
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no user or group number", s)
	}
	return uint32(n), nil
}

// current reports whether this process is id already, so that nothing has to be changed, which takes privileges.
func (id *identity) current() bool {
	return id.sameGroups && unix.Getuid() == int(id.uid) && unix.Geteuid() == int(id.uid) && unix.Getgid() == int(id.gid) && unix.Getegid() == int(id.gid)
}

// give makes id the owner of stdin, stdout and stderr where they are pipes or terminals, so that it can open /dev/stdout, as container
// engines do for a Dockerfile's USER. Other devices stay root's: theirs may be the machine's own /dev. It can fail only for somebody
// else's, which they are not for root.
func (id *identity) give() {
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Uid == id.uid {
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR {
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
				continue
			}
		} else if st.Mode&unix.S_IFMT != unix.S_IFIFO {
			continue
		}
		_ = unix.Fchown(fd, int(id.uid), -1)
	}
}

// withHome is env with id's HOME.
func (id *identity) withHome(env []string) []string {
	out := make([]string, 0, len(env)+1)
	for _, entry := range env {
		if !strings.HasPrefix(entry, "HOME=") {
			out = append(out, entry)
		}
	}
	return append(out, "HOME="+id.home)
}
