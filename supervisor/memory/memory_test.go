package memory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes files below a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	v2Mount     = "541 534 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot\n"
	v1Group     = "9:name=systemd:/docker/c0ffee\n4:memory:/docker/c0ffee\n1:cpu,cpuacct:/docker/c0ffee\n0::/\n"
	otherMounts = "500 499 0:45 / / rw,relatime master:1 - overlay overlay rw\n501 500 0:50 / /proc rw,nosuid - proc proc rw\n\n"
)

// What engines and kernels really show (Docker 20.10 on both versions,
// containerd; cgroup_namespaces(7)).
func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, cgroup, mounts, dir string // dir is where the group is; "" is nowhere
		v2                        bool
	}{
		{"2, in a namespace", "0::/\n", otherMounts + v2Mount, "/sys/fs/cgroup", true},
		{"2, the host's", "0::/system.slice/docker-c0ffee.scope\n", otherMounts + v2Mount, "/sys/fs/cgroup/system.slice/docker-c0ffee.scope", true},
		{"2, a part of the host's", "0::/system.slice/docker-c0ffee.scope/init\n",
			"541 534 0:28 /system.slice/docker-c0ffee.scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/sys/fs/cgroup/init", true},
		{"2, below another name", "0::/abc\n", "541 534 0:28 /ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "", true},
		{"2, from above the namespace", "0::/\n", "541 534 0:28 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "", true},
		{"2, moved out of the namespace", "0::/../other\n", v2Mount, "", true},
		{"1, with its namespace", "4:memory:/\n", "35 31 0:32 / /sys/fs/cgroup/memory ro shared:1 - cgroup cgroup rw,memory\n", "/sys/fs/cgroup/memory", false},
		{"1, as Docker mounts it", v1Group, otherMounts + "520 519 0:32 /docker/c0ffee /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup memory rw,memory\n", "/sys/fs/cgroup/memory", false},
		{"1, the host's", v1Group, "35 31 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "/sys/fs/cgroup/memory/docker/c0ffee", false},
		{"1, with version 2 beside it", v1Group, "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
			"36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n35 31 0:32 / /cg rw - cgroup cgroup rw,cpuset,memory\n", "/cg/docker/c0ffee", false},
		{"none", "", "", "", false},
		{"no cgroup file system", "0::/\n", otherMounts, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"proc/self/cgroup": c.cgroup, "proc/self/mountinfo": c.mounts}
			if c.dir != "" && c.v2 {
				files[c.dir+"/memory.events"] = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 1\n"
				files[c.dir+"/memory.events.local"] = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n"
			} else if c.dir != "" {
				files[c.dir+"/memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
				files[c.dir+"/memory.failcnt"] = "3\n"
			}
			root := tree(t, files)
			g := Find(root)
			switch {
			case c.dir == "" && g != nil:
				t.Fatalf("found %+v", g)
			case c.dir == "":
			case g == nil || g.dir != root+c.dir || g.v2 != c.v2:
				t.Fatalf("found %+v", g)
			}
			want := Counts{}
			if c.dir != "" {
				want = Counts{Limit: 3, Kills: 1}
			}
			if c.v2 && c.dir != "" {
				want.OOM = 2
			}
			if n := g.Counts(); n != want {
				t.Errorf("counts %+v, want %+v", n, want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	two := &Cgroup{v2: true, dir: tree(t, map[string]string{"memory.max": "134217728\n", "memory.current": "4096\n", "memory.peak": "8192\n",
		"memory.stat": "anon 4096\nfile 12288\ninactive_file 1\nactive_file 2\n"})}
	one := &Cgroup{dir: tree(t, map[string]string{"memory.limit_in_bytes": "134217728\n", "memory.usage_in_bytes": "4096\n", "memory.max_usage_in_bytes": "8192\n",
		"memory.stat": "cache 5\ninactive_file 7\ntotal_inactive_file 1\ntotal_active_file 2\n"})}
	for name, c := range map[string]*Cgroup{"2": two, "1": one} {
		if c.Limit() != 128<<20 || c.Usage() != 4096 || c.Peak() != 8192 || c.Cache() != 3 {
			t.Errorf("version %s: limit %d, usage %d, peak %d, cache %d", name, c.Limit(), c.Usage(), c.Peak(), c.Cache())
		}
	}
	for name, c := range map[string]*Cgroup{
		"2":       {v2: true, dir: tree(t, map[string]string{"memory.max": "max\n"})},
		"1":       {dir: tree(t, map[string]string{"memory.limit_in_bytes": "9223372036854771712\n"})},
		"1, 64Ki": {dir: tree(t, map[string]string{"memory.limit_in_bytes": "9223372036854710272\n"})},
		"none":    nil,
		"gone":    {v2: true, dir: "/nowhere"},
	} {
		if c.Limit() != 0 || c.Usage() != 0 || c.Peak() != 0 || c.Cache() != 0 || c.Counts() != (Counts{}) || c.Notify(1, unix.SIGCHLD) != -1 {
			t.Errorf("version %s: there is something", name)
		}
	}
}

// This machine's own: whatever there is, what is found is read.
func TestHere(t *testing.T) {
	c := Find("")
	if c == nil {
		t.Skip("this process is in no memory cgroup that can be seen")
	}
	if c.Usage() == 0 {
		t.Errorf("%+v uses nothing", c)
	}
}

func FuzzGroups(f *testing.F) {
	f.Add(v1Group, otherMounts+v2Mount)
	f.Add("0::/\n", "541 534 0:28 /.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n")
	f.Add("0::/a", "1 1 0:1 /a /x ro - cgroup2 c rw")
	f.Fuzz(func(t *testing.T, cgroup, mountinfo string) {
		g := parseGroups(cgroup)
		for line := range strings.SplitSeq(mountinfo, "\n") {
			m, ok := parseMount(line)
			if !ok {
				continue
			}
			if m.dir == "" || m.root == "" {
				t.Fatalf("%q: %+v", line, m)
			}
			for _, group := range []string{g.v1, g.v2} {
				if dir, ok := m.directory(group); ok && !strings.HasPrefix(dir+"/", strings.TrimSuffix(m.dir, "/")+"/") {
					t.Fatalf("%q in %+v is %q", group, m, dir)
				}
			}
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("low 0\nmax 3\noom_kill 18446744073709551615\n", "oom_kill")
	f.Add("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill")
	f.Fuzz(func(t *testing.T, s, key string) {
		n := value(s, key)
		if strings.ContainsAny(key, " \n") {
			return
		}
		if got := value(key+" 5\n"+s, key); got != 5 {
			t.Fatalf("of two the first counts: %d", got)
		}
		if got := value("x"+key+" 5\n"+s, key); got != n {
			t.Fatalf("another key's number was taken: %d", got)
		}
	})
}
