package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An app that ignores every signal is gone in time, and the log says who had to be killed.
func TestSchedule(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		log := newLog(t)
		u := start(t, b, "--termination-log", log, "--stop-schedule", "TERM/300ms/QUIT/200ms/INT/0/KILL", "--", "bash", "-c",
			`mount -t proc proc /proc; trap 'echo got TERM' TERM; trap 'echo got QUIT' QUIT; trap 'echo got INT' INT; echo ready; while :; do sleep 0.01; done`)
		u.printed("ready\n")
		begin := time.Now()
		u.signal(unix.SIGTERM)
		u.word(log, 137, `^StopTimeout: killed by SIGKILL \(exit code 137\); .*, SIGQUIT after [\d.]+m?s, SIGINT after [\d.]+m?s, SIGKILL after [\d.]+m?s, app gone [\d.]+m?s after SIGTERM; still there: bash \(pid`)
		took(t, begin, 500*time.Millisecond)
		if out := u.stdout.String(); !strings.HasPrefix(out, "ready\ngot TERM\n") {
			t.Errorf("the app got %q", out)
		}
		for _, want := range []string{": SIGQUIT\n", "of SIGTERM: SIGKILL to bash (pid "} {
			if !strings.Contains(u.stderr.String(), want) {
				t.Errorf("no %q in %s", want, &u.stderr)
			}
		}
	})
}

// The second signal of a schedule does what the first could not.
func TestScheduleStepsOn(t *testing.T) {
	u := start(t, &made, "--stop-schedule", "HUP/200ms/QUIT/1h/KILL", "--", "sh", "-c", `trap '' HUP; `+app, "0")
	u.printed("ready\n")
	begin := time.Now()
	u.signal(unix.SIGTERM)
	u.want(43)
	quickly(t, begin)
	if strings.Contains(u.stdout.String(), "TERM") {
		t.Errorf("the app got the stop signal itself: %s", &u.stdout)
	}
}

// A stopped app can do nothing about a signal but die of SIGKILL, unless it is woken: for each of the schedule's.
func TestScheduleWakes(t *testing.T) {
	const app = `trap 'echo got TERM; kill -STOP $$' TERM
trap 'exit 43' QUIT
echo ready
kill -STOP $$
while :; do sleep 0.01; done`
	u := start(t, &made, "--stop-schedule", "TERM/300ms/QUIT/1h", "--", "sh", "-c", app)
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.want(43)
	if !strings.Contains(u.stdout.String(), "got TERM") {
		t.Errorf("the app was not woken for SIGTERM: %s", &u.stdout)
	}
}

// Which signals begin a stop is for the image to say (STOPSIGNAL), or for Kubernetes (stopSignal). An app that has ended on another one, where a
// stop would have held it back, may have been meant to stop: usher says so.
func TestStopSignals(t *testing.T) {
	u := start(t, &made, "--stop-signals", "QUIT,USR1", "--term-delay", "1h", "--", "sh", "-c", app, "0")
	u.printed("ready\n")
	u.signal(unix.SIGTERM) // is no stop signal now, and passes
	u.want(42)
	if out := u.stderr.String(); !strings.Contains(out, "; SIGTERM from outside the container is none of --stop-signals, and began no stop") || strings.Count(out, "\n") != 1 {
		t.Errorf("log: %s", out)
	}
	u = start(t, &made, "--stop-signals", "QUIT,USR1", "--", "sh", "-c", app, "0") // a stop would not have held it back
	u.printed("ready\n")
	u.signal(unix.SIGTERM)
	u.want(42)
	if out := u.stderr.String(); out != "" {
		t.Errorf("log: %s", out)
	}
	for _, sig := range []unix.Signal{unix.SIGQUIT, unix.SIGUSR1} {
		u = start(t, &made, "--stop-signals", "QUIT,USR1", "--term-delay", "1h", "--", "sh", "-c", app, "0")
		u.printed("ready\n")
		u.signal(sig)
		u.logged(unix.SignalName(sig) + " from outside the container, held back for 1h")
		u.signal(unix.SIGTERM)
		u.want(42)
	}
}

// nginx finishes its requests on QUIT, and drops them on TERM: the schedule gives it time for the first, and the second if that is not enough.
func TestScheduleOfNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("needs nginx")
	}
	nginxNeedsRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 300<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	open(dir)
	for _, c := range []struct {
		schedule string
		whole    bool
	}{{"QUIT/1h/TERM", true}, {"QUIT/300ms/TERM", false}} {
		addr := freePort(t)
		conf := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, `pid %s/pid; error_log stderr; events {} http { access_log off; server { listen %s; root %s; location /big { sendfile off; limit_rate 200k; } } }`,
			dir, addr, dir), 0o644); err != nil {
			t.Fatal(err)
		}
		u := start(t, &made, "--stop-schedule", c.schedule, "--", nginx, "-g", "daemon off;", "-c", conf)
		get(t, "http://"+addr+"/", 403)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + addr + "/big")
		if err != nil {
			t.Fatal(err)
		}
		u.signal(unix.SIGTERM) // the answer has begun, and takes a second and a half
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if whole := n == 300<<10 && err == nil; whole != c.whole {
			t.Errorf("%s: %d bytes, %v\n%s", c.schedule, n, err, &u.stderr)
		}
		u.want(0)
	}
}

// Postgres has three ways to stop: TERM waits for its clients for ever, INT sends them home, QUIT needs a recovery.
func TestScheduleOfPostgres(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 || os.Getuid() != 0 {
		t.Skip("needs postgresql, and root to become postgres")
	}
	bin := filepath.Dir(found[0])
	dir := t.TempDir()
	open(dir)
	data := filepath.Join(dir, "data")
	addr := freePort(t)
	_, port, _ := strings.Cut(addr, ":")
	as := func(args ...string) *exec.Cmd {
		return exec.Command("setpriv", append([]string{"--reuid=postgres", "--regid=postgres", "--clear-groups"}, args...)...)
	}
	exec.Command("install", "-d", "-o", "postgres", data).Run()
	if out, err := as(bin+"/initdb", "-D", data, "-A", "trust", "-N").CombinedOutput(); err != nil {
		t.Skipf("initdb: %v\n%s", err, out)
	}
	log := newLog(t)
	u := start(t, &made, "--termination-log", log, "--user", "postgres", "--stop-schedule", "TERM/1s/INT/30s/QUIT", "--ready-check", "tcp://"+addr, "--health-addr", ":0",
		"--post-start", "exec:sh -c 'until "+bin+"/pg_isready -q -h 127.0.0.1 -p "+port+"; do sleep 0.05; done; echo accepts connections'",
		"--", bin+"/postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", "")
	u.logged("post-start: accepts connections")
	client := exec.Command(bin+"/psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c", "select pg_sleep(1000)")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer client.Wait()
	eventually(t, func() error {
		out, err := exec.Command(bin+"/psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-Atc", "select count(*) from pg_stat_activity where query like '%pg_sleep(1000)%' and pid <> pg_backend_pid()").Output()
		if strings.TrimSpace(string(out)) != "1" {
			return fmt.Errorf("the client is not there yet: %s %v", out, err)
		}
		return nil
	})
	u.signal(unix.SIGTERM)
	u.word(log, 0, `^Completed: exit code 0; .*, SIGINT after [\d.]+s, app gone [\d.]+s after SIGTERM`)
}

// open lets other users into a test's own directory.
func open(dir string) {
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
}
