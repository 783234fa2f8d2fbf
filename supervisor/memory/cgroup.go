// Package memory reads what the kernel counts of a container's memory: its limit, how much is used, and who died for want of it.
package memory

import (
	"math"
	"strconv"
	"strings"

	"usher/internal/file"
)

// Cgroup is the control group that this process is in, as far as memory goes (cgroups(7)). A nil one knows nothing.
type Cgroup struct {
	dir string
	v2  bool
}

// Counts only ever grow.
type Counts struct {
	// Limit is how often usage was about to go over this group's own limit: the kernel then takes pages back, from caches first.
	Limit uint64
	// OOM is how often that was not enough, here or in a group below. Version 1 does not count it.
	OOM uint64
	// Kills is how many processes of this group, or one below, the kernel has killed for want of memory, whoever's limit it was.
	Kills uint64
}

// Find finds the group by its path in /proc/self/cgroup, and the directory of that by /proc/self/mountinfo: a mount shows the
// hierarchy from its root on, which in a container is the container's own group, with a cgroup namespace or without. Nil is none: no
// /proc, no cgroup file system, one that belongs to somebody else, or the topmost group, which has no limit. All paths are below root.
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

// Container is the group of version 2 that an engine shows a container as the whole hierarchy, without a search; it is of use for
// Whole, which is false where this is another one.
func Container(root string) *Cgroup { return &Cgroup{dir: root + "/sys/fs/cgroup", v2: true} }

// Whole reports whether the kernel kills all processes of the group when it kills one for want of memory (memory.oom.group, version 2). The
// topmost group of a machine has no such file.
func (c *Cgroup) Whole() bool { return c != nil && c.v2 && c.number("/memory.oom.group") == 1 }

// groups are the paths of one process's groups; "" where there is none.
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

// mount is where a hierarchy can be seen, from which group on.
type mount struct {
	root, dir string
	v2        bool
}

// parseMount parses a line of proc_pid_mountinfo(5); false if it is none of a hierarchy that could have memory.
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

// directory is where group is in the mount; false if it can't be seen there. "/.." begins what is above the cgroup namespace's root
// (cgroup_namespaces(7)): neither root nor group has a name from there on.
func (m mount) directory(group string) (string, bool) {
	if !strings.HasPrefix(group, "/") || strings.HasPrefix(group, "/..") || strings.HasPrefix(m.root, "/..") {
		return "", false
	}
	below, ok := strings.CutPrefix(group+"/", strings.TrimSuffix(m.root, "/")+"/")
	return strings.TrimRight(m.dir+"/"+below, "/"), ok
}

// Counts are those since the group was made.
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
		n = Counts{Limit: c.number("/memory.failcnt"), Kills: value(file.Read(c.dir+"/memory.oom_control"), "oom_kill")} // Linux 4.13
	}
	return n
}

// Limit is what the group may use, in bytes; 0 is no limit.
func (c *Cgroup) Limit() uint64 {
	n := c.number(c.file("/memory.max", "/memory.limit_in_bytes"))
	if n > math.MaxInt64/2 { // version 1's word for none is all the pages that can be counted (PAGE_COUNTER_MAX), whatever their size
		return 0
	}
	return n
}

// Usage is what the group uses, in bytes, caches included.
func (c *Cgroup) Usage() uint64 { return c.number(c.file("/memory.current", "/memory.usage_in_bytes")) }

// Peak is the most the group has used, in bytes, caches included; 0 if the kernel does not say (version 2 does from Linux 5.19 on).
func (c *Cgroup) Peak() uint64 { return c.number(c.file("/memory.peak", "/memory.max_usage_in_bytes")) }

// Cache is what of Usage the kernel can take back from files that were read or written, in bytes.
func (c *Cgroup) Cache() uint64 {
	if c == nil {
		return 0
	}
	stat := file.Read(c.dir + "/memory.stat")
	return value(stat, c.file("inactive_file", "total_inactive_file")) + value(stat, c.file("active_file", "total_active_file"))
}

// file is the name of a file, or of what it has, in one version or the other.
func (c *Cgroup) file(v2, v1 string) string {
	if c != nil && c.v2 {
		return v2
	}
	return v1
}

// number is what a file with one number has; 0 if it has none ("max").
func (c *Cgroup) number(name string) uint64 {
	if c == nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(file.Read(c.dir+name)), 10, 64)
	return n
}

// value is the number behind key in a file of lines of KEY VALUE.
func value(s, key string) uint64 {
	for line := range strings.SplitSeq(s, "\n") {
		if name, number, ok := strings.Cut(line, " "); ok && name == key {
			n, _ := strconv.ParseUint(number, 10, 64)
			return n
		}
	}
	return 0
}
