package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// speaker is an app that says to its NOTIFY_SOCKET what it reads from the fifo $0, a datagram a line, \n in it as a newline.
// Its SIGTERM is waited for: a handler of Python's that comes just before a read runs only after it.
const speaker = `import os, socket, sys, signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
name = os.environ["NOTIFY_SOCKET"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("\0" + name[1:] if name[0] == "@" else name)
fifo = os.fdopen(os.open(sys.argv[1], os.O_RDWR)) # not to lose what is said in between
print("env", os.getpid(), os.environ.get("WATCHDOG_PID"), os.environ.get("WATCHDOG_USEC"), "end")
print("socket", name, "here", flush=True)
def speak():
    while True:
        s.send(fifo.readline().strip().replace("\\n", "\n").encode())
threading.Thread(target=speak, daemon=True).start()
signal.sigwait([signal.SIGTERM])
os._exit(42)
`

// speaking starts usher with that app, and returns what makes it say something.
func speaking(t *testing.T, b *build, env []string, args ...string) (u *usher, say func(datagram string)) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	u = command(t, b, append(args, "--", python, "-c", speaker, fifo)...)
	u.cmd.Env = append(u.cmd.Env, env...)
	u.begin().printed(" here\n")
	return u, func(datagram string) {
		t.Helper()
		f, err := os.OpenFile(fifo, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintln(f, datagram)
	}
}

// The app's own word is a check like any other, but that nobody waits for its period.
func TestNotify(t *testing.T) {
	eachBuild(t, func(t *testing.T, b *build) {
		health := freePort(t)
		u, say := speaking(t, b, nil, "--health-addr", health, "--ready-check", "notify:", "--startup-check", "notify:", "--ready-period", "1h", "--startup-period", "1h")
		base := "http://" + health
		wantBody(t, base+"/readyz", 503, "[-]startup-1 failed: no READY=1 yet\n", "[-]ready-1 failed: not yet checked\n")
		say("STATUS=loading the data")
		wantBody(t, base+"/readyz?verbose", 503, "[+]app ok: loading the data\n[-]startup-1 failed: no READY=1 yet; the app says \"loading the data\"")
		say(`STATUS=up\nREADY=1\nMAINPID=77`)
		wantBody(t, base+"/readyz", 200)
		wantBody(t, base+"/livez?verbose", 200, "[+]app ok: up\n")
		say("RELOADING=1")
		say("STOPPING=1")
		wantBody(t, base+"/readyz", 503, "[-]shutdown failed: the app said STOPPING=1\n")
		wantBody(t, base+"/livez", 200)
		u.signal(unix.SIGTERM)
		u.want(42)
		if out := u.stdout.String(); !strings.Contains(out, " None None end\n") {
			t.Errorf("the app has a watchdog: %q", out)
		}
	})
}

// The app's watchdog: its interval is in the environment, under the app's own pid.
func TestWatchdog(t *testing.T) {
	health := freePort(t)
	u, say := speaking(t, &made, nil, "--health-addr", health, "--watchdog", "300ms")
	var pid, watched string
	if _, err := fmt.Sscanf(u.stdout.String(), "env %s %s 300000", &pid, &watched); err != nil || pid != watched {
		t.Errorf("%q: %v", &u.stdout, err)
	}
	url := "http://" + health + "/livez"
	wantBody(t, url, 503, "[-]watchdog failed: no WATCHDOG=1 for ")
	say("WATCHDOG=1")
	wantBody(t, url, 200)
	wantBody(t, url, 503)
	say(`WATCHDOG=1\nWATCHDOG_USEC=3600000000`)
	wantBody(t, url+"?verbose", 200, "[+]watchdog ok\n")
	say("WATCHDOG=trigger")
	wantBody(t, url, 503, "[-]watchdog failed: the app said WATCHDOG=trigger\n")
	u.signal(unix.SIGTERM)
	u.want(42)
}

// While the app asks for more time, a startup check that fails does not count, and a stop waits, as long as its budget lasts.
func TestExtendTimeout(t *testing.T) {
	health := freePort(t)
	u, say := speaking(t, &made, nil, "--health-addr", health, "--startup-check", "notify:", "--startup-period", "20ms", "--startup-failure-threshold", "100")
	wantBody(t, "http://"+health+"/livez", 200)
	begin := time.Now()
	say("EXTEND_TIMEOUT_USEC=3000000") // without, it fails after 2s
	wantBody(t, "http://"+health+"/livez", 503, "[-]startup-1 failed: ")
	took(t, begin, 3*time.Second)
	say("READY=1")
	wantBody(t, "http://"+health+"/livez", 200)
	u.signal(unix.SIGTERM)
	u.want(42)

	// USR1 is nothing to it.
	u, say = speaking(t, &made, nil, "-v", "--startup-check", "notify:", "--stop-schedule", "USR1/500ms/KILL")
	begin = time.Now()
	u.signal(unix.SIGTERM)
	u.logged("begins the stop")
	say("EXTEND_TIMEOUT_USEC=2000000")
	u.want(137)
	took(t, begin, 2*time.Second)
}

// notifySocket is the name that a speaker has printed.
func (u *usher) notifySocket() string {
	u.t.Helper()
	_, name, _ := strings.Cut(u.stdout.String(), "\nsocket ")
	name, _, ok := strings.Cut(name, " here\n")
	if !ok {
		u.t.Fatalf("no socket in %q", &u.stdout)
	}
	return name
}

// Only the app and its descendants are heard, whoever knows the name.
func TestNotifyFromStrangers(t *testing.T) {
	health := freePort(t)
	u, say := speaking(t, &made, nil, "--health-addr", health, "--ready-check", "notify:")
	name := u.notifySocket()
	c, err := net.Dial("unixgram", name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "READY=1")
	u.logged("no process of the app")
	wantBody(t, "http://"+health+"/readyz", 503, "no READY=1 yet")
	say("READY=1")
	wantBody(t, "http://"+health+"/readyz", 200)
	u.signal(unix.SIGTERM)
	u.want(42)
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("the socket outlived usher: %v", err)
	}
}

// What usher was given it passes on, READY=1 first, and what is between the app and usher stays there.
func TestNotifyUpwards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "up")
	up, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	u, say := speaking(t, &made, []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=5000000", "WATCHDOG_PID=1"})
	var pid, watched string
	if _, err := fmt.Sscanf(u.stdout.String(), "env %s %s 5000000", &pid, &watched); err != nil || pid != watched {
		t.Errorf("%q: %v", &u.stdout, err)
	}
	for said, want := range map[string]string{
		`STATUS=up\nMAINPID=7\nREADY=1`: "READY=1\nSTATUS=up\n",
		"WATCHDOG=1":                    "WATCHDOG=1\n",
		"STOPPING=1":                    "STOPPING=1\n",
	} {
		say(said)
		b := make([]byte, 1000)
		up.SetReadDeadline(time.Now().Add(patience))
		if n, _, err := up.ReadFrom(b); err != nil || string(b[:n]) != want {
			t.Errorf("%q became %q, %v", said, b[:n], err)
		}
	}
	u.signal(unix.SIGTERM)
	u.want(42)
}

// Without a need there is no socket in the environment.
func TestNoNotify(t *testing.T) {
	u := start(t, &made, "--ready-check", "tcp://127.0.0.1:1", "--", "sh", "-c", "env | grep -E 'NOTIFY|WATCHDOG'")
	u.want(1)
	for _, args := range [][]string{{"--probe", "notify:"}, {"--wait-for", "notify:", "--", "true"}, {"--watchdog", "-1s", "--", "true"}} {
		start(t, &made, args...).want(125)
	}
}

// Redis says when it has loaded its data, and that it is about to end.
func TestNotifyOfRedis(t *testing.T) {
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server")
	}
	health := freePort(t)
	_, port, _ := net.SplitHostPort(freePort(t))
	u := start(t, &made, "--health-addr", health, "--ready-check", "notify:", "--ready-period", "1h", "--", redis, "--port", port, "--bind", "127.0.0.1", "--save", "",
		"--dir", t.TempDir(), "--supervised", "systemd")
	wantBody(t, "http://"+health+"/readyz?verbose", 200, "[+]app ok: Ready to accept connections\n[+]ready-1 ok\n")
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	u.signal(unix.SIGTERM)
	u.want(0)
}

// So does PostgreSQL, which is not root's: it says so from a process that usher has dropped to another user.
func TestNotifyOfPostgres(t *testing.T) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 || os.Getuid() != 0 {
		t.Skip("needs postgresql, and root to become postgres")
	}
	postgres := found[len(found)-1]
	dir, err := os.MkdirTemp("", "usher-pg-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	out, err := exec.Command("sh", "-c", `chown postgres "$0" && exec setpriv --reuid postgres --regid postgres --clear-groups "$1/initdb" -D "$0/data" -A trust --no-sync`, dir, filepath.Dir(postgres)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	health := freePort(t)
	_, port, _ := net.SplitHostPort(freePort(t))
	u := start(t, &made, "--user", "postgres", "--health-addr", health, "--startup-check", "notify:", "--ready-check", "exec:"+filepath.Dir(postgres)+"/pg_isready -q -h 127.0.0.1 -p "+port,
		"--ready-timeout", "10s", "--ready-period", "100ms", "--rewrite", "TERM:INT", "--", postgres, "-D", data, "-p", port, "-k", dir, "-c", "listen_addresses=127.0.0.1")
	wantBody(t, "http://"+health+"/readyz?verbose", 200, "[+]startup-1 ok\n[+]ready-1 ok\n")
	u.signal(unix.SIGTERM)
	u.want(0)
}
