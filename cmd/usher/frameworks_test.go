package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"usher/examples/load"
)

// docs/how-to/frameworks.md has a line to copy for each server. These tests take the lines from the page, run them as they stand, with the real
// servers, and stop them under load.

const frameworksPage = "../../docs/how-to/frameworks.md"

// framework is a section of the page, and its row in the table.
type framework struct {
	name string
	line string // a shell's
	row  []string
}

// Columns of the table.
const colExitCode, colFlags, colTested = 3, 4, 5

// frameworkSettings are what the page has its lines take for granted, with numbers for a test.
var frameworkSettings = []string{
	"USHER_HEALTH_ADDR=:8086", "USHER_READY_PERIOD=100ms", "USHER_TERM_DELAY=15s", "USHER_QUIET_PERIOD=1s", "USHER_GRACE_PERIOD=60s",
}

// frameworks reads the page.
func frameworks(t *testing.T) (all []framework) {
	t.Helper()
	text, err := os.ReadFile(frameworksPage)
	if err != nil {
		t.Fatal(err)
	}
	exports := regexp.MustCompile(`(?m)^export \w+=`).FindAllString(string(text), -1)
	for i, setting := range frameworkSettings {
		if name, _, _ := strings.Cut(setting, "="); len(exports) != len(frameworkSettings) || exports[i] != "export "+name+"=" {
			t.Fatalf("the page has its lines take for granted %s, and not %s", exports, frameworkSettings)
		}
	}
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| \[(.+?)\]\(#.*?\) \|(.*)\|$`).FindAllStringSubmatch(string(text), -1) {
		row := []string{m[1]}
		for cell := range strings.SplitSeq(m[2], "|") {
			row = append(row, strings.Trim(cell, " `"))
		}
		rows[m[1]] = row
	}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		f := framework{name: name, row: rows[name]}
		if len(f.row) != colTested+1 {
			t.Errorf("%s has no row of %d cells in the table", name, colTested+1)
			continue
		}
		delete(rows, name)
		blocks := strings.Split(body, "```")
		if len(blocks) != 3 || !strings.HasPrefix(blocks[1], "sh\nusher ") {
			t.Errorf("%s: want one line to copy", name)
			continue
		}
		f.line = strings.TrimSpace(strings.TrimPrefix(blocks[1], "sh"))
		flags, _, ok := strings.Cut(f.line, " -- ")
		if want := f.row[colFlags]; !ok || want != "none" && !strings.Contains(flags+" ", " "+want+" ") {
			t.Errorf("%s: the table's flags, %s, are not in its line, %s", name, want, f.line)
		}
		all = append(all, f)
	}
	for name := range rows {
		t.Errorf("%s has a row in the table, and no section", name)
	}
	return all
}

// verySlowPage is longer than the quiet period, which ends meanwhile.
const verySlowPage = 2 * time.Second

// conversation is how a server that speaks no HTTP is talked to. The page "/slow" is one that takes verySlowPage to answer.
type conversation struct {
	addr string
	ask  func(addr, page string) error
	fast bool // has no slow page
}

// conversations has them by section. The server runs in dir.
func conversations(dir string) map[string]conversation {
	return map[string]conversation{
		"php-fpm":    {addr: "127.0.0.1:9000", ask: askFastCGI(dir)},
		"gRPC":       {addr: "127.0.0.1:50051", ask: askGRPC},
		"PostgreSQL": {addr: "127.0.0.1:5432", ask: askPostgres},
		"MariaDB":    {addr: "127.0.0.1:3306", ask: askMariaDB},
		"Redis":      {addr: "127.0.0.1:6379", ask: asking("PING\r\n", "+PONG\r\n"), fast: true},
		"memcached":  {addr: "127.0.0.1:11211", ask: asking("version\r\n", "VERSION "), fast: true},
	}
}

// programs are servers of these tests' own.
var programs = map[string]string{"Go": "server", "gRPC": "frameworks/grpc"}

func TestFrameworks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: some servers change their user")
	}
	outside := os.Getenv(envInside) == ""
	if outside {
		t.Parallel()
		for _, program := range programs {
			helper(t, program)
		}
	}
	tested := map[string]bool{}
	reports := map[string]chan func(*testing.T){}
	running := make(chan struct{}, 4) // they mostly wait
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	all := frameworks(t)
	for _, f := range all {
		switch f.row[colTested] {
		case "yes":
			tested[f.dir()] = true
			if outside {
				reported := make(chan func(*testing.T), 1)
				reports[f.name] = reported
				wg.Go(func() {
					running <- struct{}{}
					reported <- inOwnNetwork("TestFrameworks/" + strings.ReplaceAll(f.name, " ", "_"))
					<-running
				})
			}
		case "not tested here":
		default:
			t.Errorf("%s: tested: %q", f.name, f.row[colTested])
		}
	}
	for _, f := range all {
		if !tested[f.dir()] {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			if outside {
				(<-reports[f.name])(t)
				return
			}
			if err := loopbackUp(); err != nil {
				t.Fatal(err)
			}
			f.stopUnderLoad(t)
		})
	}
	dirs, err := filepath.Glob("testdata/frameworks/*")
	if err != nil || len(dirs) == 0 || len(tested) < 20 {
		t.Fatal(len(dirs), len(tested), err)
	}
	for _, dir := range dirs {
		if !tested[dir] {
			t.Errorf("%s: the page has no section that uses it", dir)
		}
	}
}

// dir has what a server serves.
func (f framework) dir() string {
	name, _, _ := strings.Cut(strings.ToLower(f.name), " ")
	return "testdata/frameworks/" + name
}

// start runs the section's line, as PID 1 in a directory with the server's files.
func (f framework) start(t *testing.T) *usher {
	t.Helper()
	dir, err := os.MkdirTemp("", "usher-framework-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for servers that change their user
		t.Fatal(err)
	}
	if _, err := os.Stat(f.dir()); err == nil {
		if out, err := exec.Command("cp", "-r", f.dir()+"/.", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if program := programs[f.name]; program != "" {
		if err := os.Symlink(helper(t, program), dir+"/server"); err != nil {
			t.Fatal(err)
		}
	}
	path := append([]string{dir + "/bin", filepath.Dir(made.path)}, postgresPath()...)
	env := append(environ(), "PATH="+strings.Join(append(path, "/usr/sbin:/usr/bin:/sbin:/bin"), ":"), "HOME="+dir, "PWD="+dir)
	_, server, _ := strings.Cut(f.line, " -- ")
	program := strings.Fields(strings.TrimPrefix(server, "\\\n"))[0]
	needed := map[string]string{"java": "javac", "httpd": "apache2", "php-fpm": "php-fpm8.2"}[program]
	if needed == "" {
		needed = program
	}
	look := exec.Command("sh", "-c", "command -v "+needed)
	look.Dir, look.Env = dir, env
	if look.Run() != nil {
		t.Skipf("needs %s", needed)
	}
	if _, err := os.Stat(dir + "/setup.sh"); err == nil {
		setup := exec.Command("sh", "-e", "setup.sh")
		setup.Dir, setup.Env = dir, env
		if out, err := setup.CombinedOutput(); err != nil {
			t.Fatalf("setup.sh: %v: %s", err, out)
		}
	}
	// /proc is as in a container.
	u := command(t, &build{path: "/bin/sh"}, "-c", "mount --make-rprivate / && mount -t proc proc /proc && exec "+f.line)
	u.cmd.Dir = dir
	u.cmd.Env = append(append(env, noLog...), frameworkSettings...)
	return u.begin()
}

// postgresPath is where Debian has PostgreSQL's programs.
func postgresPath() []string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	return dirs
}

var checked = regexp.MustCompile(`http://([0-9.:]+)/`)

func (f framework) stopUnderLoad(t *testing.T) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { // what a proxy is in front of
		if strings.HasSuffix(r.URL.Path, "/slow") {
			time.Sleep(verySlowPage)
		}
		fmt.Fprintln(w, "ok")
	})
	if f.name != "php-fpm" {
		go http.ListenAndServe("127.0.0.1:9000", nil) //nolint:errcheck // as long as the test runs
	}
	u := f.start(t)
	if f.name == "Celery" {
		f.stopCelery(u)
		return
	}
	ask, ok := conversations(u.cmd.Dir)[f.name]
	if !ok {
		ask.addr = "127.0.0.1:80"
		if m := checked.FindStringSubmatch(f.line); m != nil {
			ask.addr = m[1]
		}
		ask.ask = func(addr, page string) error {
			return (&load.Client{Addr: addr, Timeout: patience}).Get(page)
		}
	}
	get(t, "http://127.0.0.1:8086/readyz", 200)

	c := &clients{}
	const late, pace = verySlowPage / 5, 10 * time.Millisecond
	for range 3 {
		c.send(func() error { return ask.ask(ask.addr, "/") }, pace, late)
	}
	if !ask.fast { // the last request of all, which is still being answered when the hold ends
		c.wg.Go(func() {
			for !c.ended(ask.ask(ask.addr, "/"), late) {
				time.Sleep(pace)
			}
			c.ended(ask.ask(ask.addr, "/slow?"+verySlowPage.String()), 0)
		})
	}
	eventually(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.tally.OK < 10 && c.tally.Failed() == 0 {
			return fmt.Errorf("%d requests were answered", c.tally.OK)
		}
		return nil
	})
	took := c.stop(u)
	t.Logf("%s: %d served, %v, gone after %v", f.name, c.tally.OK, c.tally, took)
	if c.tally.Failed() > 0 {
		t.Errorf("%v: %v\n%s", c.tally, c.errs, &u.stderr)
	}
	if got := fmt.Sprint(u.wait()); got != f.row[colExitCode] {
		t.Errorf("exit code %s, the table says %s\n%s", got, f.row[colExitCode], &u.stderr)
	}
	u.logged(" for 1s), ") // and not at the end of the hold
}

// stopCelery stops a worker while it works: what it has begun it finishes, and it begins nothing more.
func (f framework) stopCelery(u *usher) {
	u.logged("task started") // Celery makes log lines of what tasks print
	begun := time.Now()
	u.signal(unix.SIGTERM)
	code := fmt.Sprint(u.wait())
	started, finished := strings.Count(u.stderr.String(), "task started"), strings.Count(u.stderr.String(), "task finished")
	u.t.Logf("%s: %d tasks started, %d finished, gone after %v", f.name, started, finished, time.Since(begun))
	if started == 40 || started != finished || code != f.row[colExitCode] {
		u.t.Errorf("exit code %s, the table says %s\n%s\n%s", code, f.row[colExitCode], &u.stdout, &u.stderr)
	}
}
