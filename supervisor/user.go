package supervisor

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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
	u, err := user.Lookup(name)
	if err != nil {
		uid, numErr := parseID(name)
		if numErr != nil {
			return nil, fmt.Errorf("no user %q in /etc/passwd", name)
		}
		if u, err = user.LookupId(name); err != nil {
			return &identity{uid: uid, groups: []uint32{0}}, nil
		}
	}
	uid, err := parseID(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := parseID(u.Gid)
	if err != nil {
		return nil, err
	}
	id := &identity{uid: uid, gid: gid, home: u.HomeDir, groups: []uint32{gid}}
	ids, _ := u.GroupIds() // no /etc/group: the user's own group is all there is
	for _, s := range ids {
		if g, err := parseID(s); err == nil && g != gid {
			id.groups = append(id.groups, g)
		}
	}
	return id, nil
}

func lookUpGroup(name string) (uint32, error) {
	if name == "" {
		return 0, errors.New("no group given after the colon")
	}
	if g, err := user.LookupGroup(name); err == nil {
		return parseID(g.Gid)
	}
	gid, err := parseID(name)
	if err != nil {
		return 0, fmt.Errorf("no group %q in /etc/group", name)
	}
	return gid, nil
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
