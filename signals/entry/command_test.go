package entry

import (
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// block is what the kernel puts on the first stack.
func block(argv, env []string) *word {
	words := []uintptr{uintptr(len(argv))}
	var kept []*byte
	for _, list := range [][]string{argv, env} {
		for _, s := range list {
			b := append([]byte(s), 0)
			kept = append(kept, &b[0])
			words = append(words, uintptr(unsafe.Pointer(&b[0])))
		}
		words = append(words, 0)
	}
	keep = append(keep, kept)
	return (*word)(unsafe.Pointer(&words[0]))
}

// keep is for the collector, which does not see what words refer to.
var keep [][]*byte

func (t text) String() string {
	return strings.Clone(t.string())
}

func list(w *word) (list []string) {
	for ; *w != 0; w = w.at(1) {
		list = append(list, w.text().String())
	}
	return list
}

// files are all that is tried, or nothing if there is a path that is too long.
func (c *command) files() (files []string) {
	if c.hasSlash {
		return []string{c.argv.text().String()}
	}
	var f file
	for directories, more := c.path, true; more; {
		var ok bool
		if directories, more, ok = c.candidate(directories, &f); !ok {
			return append(files, "too long")
		}
		files = append(files, text{&f.bytes[0]}.String())
	}
	return files
}

func TestRead(t *testing.T) {
	long := "/" + strings.Repeat("x", 4093)
	for _, tt := range []struct {
		line  string // separated by spaces; _ is an empty word
		env   []string
		files string // "" is for main
	}{
		{"usher -- app", nil, "/usr/local/bin/app /bin/app /usr/bin/app"},
		{"/usher app -x --", []string{"PATH=/a:/b/"}, "/a/app /b/app"},
		{"/sbin/usher -- app", []string{"A=b", "PATH=", "PATH=/b"}, "./app"},
		{"./usher -- app", []string{"PATH=:/:c:"}, "./app /app c/app ./app"},
		{"usher -- ./app", []string{"PATH=/a"}, "./app"},
		{"usher -- a/b", []string{"PATH=/a"}, "a/b"},
		{"usher -- /", nil, "/"},
		{"/init /app", nil, "/app"},
		{"_ /app", nil, ""},
		{"tinier /app", nil, "/app"},
		{"usher -- -x", []string{"PATH=/a"}, "/a/-x"},
		{"usher -- --", []string{"PATH=/a"}, "/a/--"},
		{"usher app", []string{"PATH=" + long[:4091]}, long[:4091] + "/app"}, // with its NUL, PATH_MAX
		{"usher app", []string{"PATH=/a:" + long[:4092] + ":/b"}, "/a/app too long"},
		{"usher " + long + "x", []string{"PATH=/a"}, long + "x"},
		{"usher app" + long[1:], []string{"PATH=/a"}, "too long"},
		{"usher app", []string{"USHER=1", "NOTIFY_SOCKETS=", "PATHS=/b", "LISTEN_FDS=3", "WATCHDOG_USEC=1", "usher_x=", ""}, "/usr/local/bin/app /bin/app /usr/bin/app"},

		{"", nil, ""},
		{"_", nil, ""},
		{"usher", nil, ""},
		{"usher --", nil, ""},
		{"usher _", nil, ""},
		{"usher -- _ x", nil, ""},
		{"usher -", nil, ""},
		{"usher -v -- app", nil, ""},
		{"usher --version", nil, ""},
		{"usher --term-delay=1s app", nil, ""},
		{"/tini -- app", nil, ""},
		{"/sbin/docker-init -- app", nil, ""},
		{"tini/ -- app", nil, ""},
		{"-tini -- app", nil, ""},
		{"usher -- app", []string{"A=b", "USHER_TERM_DELAY="}, ""},
		{"usher -- app", []string{"USHER_SERVICE_HOST=10.0.0.1"}, ""},
		{"usher -- app", []string{"NOTIFY_SOCKET=@x"}, ""},
		{"usher -- app", []string{"LISTEN_PID=1"}, ""},
		{"usher -- app", []string{"WATCHDOG_PID=1"}, ""},
	} {
		argv := strings.Split(strings.ReplaceAll(tt.line, "_", ""), " ")
		if tt.line == "" {
			argv = nil
		}
		var c command
		if ok := c.read(block(argv, tt.env)); ok != (tt.files != "") {
			t.Errorf("%.40q, %.40q: %v", tt.line, tt.env, ok)
			continue
		} else if !ok {
			continue
		}
		if got := strings.Join(c.files(), " "); got != tt.files {
			t.Errorf("%.40q, %.40q: %.100q", tt.line, tt.env, got)
		}
		if want := argv[len(argv)-len(list(c.argv)):]; !slices.Equal(list(c.argv), want) || !slices.Equal(list(c.envp), tt.env) {
			t.Errorf("%.40q: %.40q, %.40q", tt.line, list(c.argv), list(c.envp))
		}
	}
}

// The files are those that splitting PATH gives, whatever is in it.
func FuzzRead(f *testing.F) {
	f.Add("usher", "--", "app", "/bin:/usr/bin", "A=b")
	f.Add("/usher", "app", "-x", "::/", "USHER_X=")
	f.Add("usher", "--", "./app", strings.Repeat("/x", 3000), "PATH=")
	f.Fuzz(func(t *testing.T, self, first, second, path, variable string) {
		for _, s := range []string{self, first, second, path, variable} {
			if strings.Contains(s, "\x00") {
				t.Skip()
			}
		}
		defer func() { keep = nil }()
		argv, env := []string{self, first, second}, []string{"PATH=" + path, variable}
		var c command
		if !c.read(block(argv, env)) {
			return
		}
		got := list(c.argv)
		if !slices.Equal(got, argv[1:]) && !(first == "--" && slices.Equal(got, argv[2:])) || !slices.Equal(list(c.envp), env) {
			t.Fatalf("%q becomes %q, %q", argv, got, list(c.envp))
		}
		var want []string
		for dir := range strings.SplitSeq(path, ":") {
			if dir == "" {
				dir = "."
			}
			file := strings.TrimSuffix(dir, "/") + "/" + got[0]
			if len(file) >= 4096 {
				want = append(want, "too long")
				break
			}
			want = append(want, file)
		}
		if strings.Contains(got[0], "/") {
			want = got[:1]
		}
		if files := c.files(); !slices.Equal(files, want) {
			t.Fatalf("%q in %q: %q", got[0], path, files)
		}
	})
}
