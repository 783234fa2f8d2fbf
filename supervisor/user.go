package supervisor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/healthz/file"
)

// identity is who a process runs as.
type identity struct {
	uid, gid uint32
	groups   []uint32 // supplementary
	home     string   // "" where the image has no entry for the user
}

// lookUp reads USER[:GROUP] as a Dockerfile's USER does: names or numbers, the group and the supplementary ones from the image's
// /etc/passwd and /etc/group where the user is known there; the group is root's for a number that is not. An explicit group is the only
// one.
func lookUp(spec string) (*identity, error) {
	name, group, explicit := strings.Cut(spec, ":")
	id, err := lookUpUser(name)
	if err != nil {
		return nil, fmt.Errorf("--user %q: %w", spec, err)
	}
	if explicit {
		gid, err := lookUpGroup(group)
		if err != nil {
			return nil, fmt.Errorf("--user %q: %w", spec, err)
		}
		id.gid, id.groups = gid, []uint32{gid}
	}
	return id, nil
}

func lookUpUser(name string) (*identity, error) {
	if name == "" {
		return nil, errors.New("no user given")
	}
	entry := find(passwdFile, func(e []string) bool { return e[0] == name })
	if entry == nil {
		uid, err := parseID(name)
		if err != nil {
			return nil, fmt.Errorf("no user %q in %s", name, passwdFile)
		}
		number := strconv.FormatUint(uint64(uid), 10)
		if entry = find(passwdFile, func(e []string) bool { return e[2] == number }); entry == nil {
			return &identity{uid: uid, groups: []uint32{0}}, nil
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
	id := &identity{uid: uid, gid: gid, home: entry[5], groups: []uint32{gid}}
	find(groupFile, func(e []string) bool {
		if g, err := parseID(e[2]); err == nil && g != gid && slices.Contains(strings.Split(e[3], ","), entry[0]) {
			id.groups = append(id.groups, g)
		}
		return false // on to the next
	})
	return id, nil
}

func lookUpGroup(name string) (uint32, error) {
	if name == "" {
		return 0, errors.New("no group given after the colon")
	}
	if entry := find(groupFile, func(e []string) bool { return e[0] == name }); entry != nil {
		return parseID(entry[2])
	}
	gid, err := parseID(name)
	if err != nil {
		return 0, fmt.Errorf("no group %q in %s", name, groupFile)
	}
	return gid, nil
}

// passwd(5) has name:password:uid:gid:comment:home:shell, group(5) name:password:gid:members. Package os/user would cost 25 kB.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// find returns the first entry of passwd or group for which match holds, by its fields, at least four; nil without one, or a file.
func find(path string, match func(entry []string) bool) []string {
	for line := range strings.SplitSeq(file.Read(path), "\n") {
		if entry := strings.Split(line, ":"); len(entry) >= 4 && match(entry) {
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
	return unix.Getuid() == int(id.uid) && unix.Geteuid() == int(id.uid) && unix.Getgid() == int(id.gid) && unix.Getegid() == int(id.gid)
}

// give makes id the owner of stdin, stdout and stderr where they are pipes or terminals, so that it can open /dev/stdout, as container
// engines do for a Dockerfile's USER. It can fail only for somebody else's, which they are not for root.
func (id *identity) give() {
	for fd := range 3 {
		var st, null unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Uid == id.uid {
			continue
		}
		if unix.Stat("/dev/null", &null) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null.Rdev {
			continue
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFIFO, unix.S_IFCHR:
			_ = unix.Fchown(fd, int(id.uid), int(st.Gid))
		}
	}
}

// withHome is env with HOME as id's, if it is known.
func (id *identity) withHome(env []string) []string {
	if id.home == "" {
		return env
	}
	out := make([]string, 0, len(env)+1)
	for _, entry := range env {
		if !strings.HasPrefix(entry, "HOME=") {
			out = append(out, entry)
		}
	}
	return append(out, "HOME="+id.home)
}
