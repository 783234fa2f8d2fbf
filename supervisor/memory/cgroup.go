// Package memory watches a container's memory: its limit, its usage, and the
// processes that the kernel has killed because memory ran out.
package memory

import (
	"math"
	"strconv"
	"strings"

	"usher/internal/file"
)

// Cgroup is the control group of this process, as far as memory is concerned
// (cgroups(7)). For a nil Cgroup, all numbers are 0.
type Cgroup struct {
	dir string
	v2  bool
}

// Counts are numbers of events, which never decrease.
type Counts struct {
	// Limit is how often usage was about to exceed this group's own limit. The
	// kernel then takes pages back, from caches first.
	Limit uint64
	// OOM is how often that was not enough, in this group or in a group below.
	// Version 1 does not count it.
	OOM uint64
	// Kills is the number of processes of this group, or of a group below, that the
	// kernel has killed because memory ran out. The limit may be that of another
	// group.
	Kills uint64
}

// Find finds the path of the group in /proc/self/cgroup, and the directory for
// that path in /proc/self/mountinfo. A mount shows the hierarchy below the
// mount's root. In a container that is the container's own group, with a cgroup
// namespace or without. Find returns nil if there is no /proc or no cgroup file
// system, if that does not show the group, or for the topmost group, which has
// no limit. All paths are below root.
func Find(root string) *Cgroup {
	groups := parseGroups(file.Read(root + "/proc/self/cgroup"))
	for line := range strings.SplitSeq(file.Read(root+"/proc/self/mountinfo"), "\n") {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		group := groups.v1
		if m.v2 {
			group = groups.v2
		}
		dir, ok := m.directory(group)
		if !ok {
			continue
		}
		c := &Cgroup{dir: root + dir, v2: m.v2}
		if file.Read(c.dir+c.file("/memory.events", "/memory.oom_control")) != "" {
			return c
		}
	}
	return nil
}

// Container returns, without a search, the group of version 2 that container
// engines show as the whole hierarchy. If that is another group, Whole returns
// false.
func Container(root string) *Cgroup { return &Cgroup{dir: root + "/sys/fs/cgroup", v2: true} }

// Whole reports whether the kernel kills all processes of the group when it
// kills one because memory ran out (memory.oom.group, version 2). The topmost
// group of a machine has no such file.
func (c *Cgroup) Whole() bool { return c != nil && c.v2 && c.number("/memory.oom.group") == 1 }

// groups has the paths of a process's groups in both versions; "" if there is
// none.
type groups struct{ v1, v2 string }

// parseGroups parses proc_pid_cgroup(5): lines of ID:CONTROLLERS:PATH.
func parseGroups(s string) (g groups) {
	for line := range strings.SplitSeq(s, "\n") {
		id, rest, _ := strings.Cut(line, ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case id == "0" && controllers == "":
			g.v2 = path
		case strings.Contains(","+controllers+",", ",memory,"):
			g.v1 = path
		}
	}
	return g
}

// mount is a mounted hierarchy: the group that is its root, and the directory.
type mount struct {
	root, dir string
	v2        bool
}

// parseMount parses a line of proc_pid_mountinfo(5). It returns false for a line
// that is no cgroup hierarchy with the memory controller.
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	if !strings.HasPrefix(after, "cgroup") {
		return mount{}, false
	}
	fields, fs := strings.Fields(before), strings.Fields(after)
	if !ok || len(fields) < 6 || len(fs) < 3 {
		return mount{}, false
	}
	m := mount{root: fields[3], dir: fields[4], v2: fs[0] == "cgroup2"}
	return m, m.v2 || fs[0] == "cgroup" && strings.Contains(","+fs[2]+",", ",memory,")
}

// directory returns the directory of a group in the mount, or false if the mount
// does not show the group. A path that begins with "/.." is above the root of the
// cgroup namespace (cgroup_namespaces(7)), so nothing is known of it.
func (m mount) directory(group string) (string, bool) {
	if !strings.HasPrefix(group, "/") || strings.HasPrefix(group, "/..") || strings.HasPrefix(m.root, "/..") {
		return "", false
	}
	below, ok := strings.CutPrefix(group+"/", strings.TrimSuffix(m.root, "/")+"/")
	return strings.TrimRight(m.dir+"/"+below, "/"), ok
}

// Counts returns the numbers of events since the group was made.
func (c *Cgroup) Counts() (n Counts) {
	switch {
	case c == nil:
	case c.v2:
		events := file.Read(c.dir + "/memory.events")
		local := file.Read(c.dir + "/memory.events.local") // Linux 5.2
		if local == "" {
			local = events
		}
		n = Counts{Limit: value(local, "max"), OOM: value(events, "oom"), Kills: value(events, "oom_kill")}
	default:
		kills := value(file.Read(c.dir+"/memory.oom_control"), "oom_kill") // Linux 4.13
		n = Counts{Limit: c.number("/memory.failcnt"), Kills: kills}
	}
	return n
}

// Limit returns the number of bytes that the group may use; 0 means no limit.
func (c *Cgroup) Limit() uint64 {
	n := c.number(c.file("/memory.max", "/memory.limit_in_bytes"))
	// Version 1 has PAGE_COUNTER_MAX pages for no limit, of any page size.
	if n > math.MaxInt64/2 {
		return 0
	}
	return n
}

// Usage returns the number of bytes that the group uses, caches included.
func (c *Cgroup) Usage() uint64 { return c.number(c.file("/memory.current", "/memory.usage_in_bytes")) }

// Peak returns the largest Usage so far, or 0 if the kernel does not report it
// (version 2 does from Linux 5.19 on).
func (c *Cgroup) Peak() uint64 { return c.number(c.file("/memory.peak", "/memory.max_usage_in_bytes")) }

// Cache returns the number of bytes in Usage that the kernel can take back, from
// files that were read or written.
func (c *Cgroup) Cache() uint64 {
	if c == nil {
		return 0
	}
	stat := file.Read(c.dir + "/memory.stat")
	return value(stat, c.file("inactive_file", "total_inactive_file")) +
		value(stat, c.file("active_file", "total_active_file"))
}

// file returns the name for the version of the hierarchy.
func (c *Cgroup) file(v2, v1 string) string {
	if c != nil && c.v2 {
		return v2
	}
	return v1
}

// number reads a file with a single number. It returns 0 for "max".
func (c *Cgroup) number(name string) uint64 {
	if c == nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(file.Read(c.dir+name)), 10, 64)
	return n
}

// value returns the number for key in a file with lines of KEY VALUE.
func value(s, key string) uint64 {
	for line := range strings.SplitSeq(s, "\n") {
		if name, number, ok := strings.Cut(line, " "); ok && name == key {
			n, _ := strconv.ParseUint(number, 10, 64)
			return n
		}
	}
	return 0
}
