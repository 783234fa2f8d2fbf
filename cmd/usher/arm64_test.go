package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The entry point for arm64, with one layer after the other, in an emulator of its system calls: the app is this machine's own.
func TestArm64(t *testing.T) {
	for n := range len(layers) + 1 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			onArm64(t, n)
		})
	}
}

func onArm64(t *testing.T, n int) {
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Skip("needs qemu-user-static")
	}
	b := makeWith(t, n, "arm64")
	emulate := func(u *usher, args []string) *usher {
		u.cmd.Path, u.cmd.Args = qemu, append([]string{"qemu", b.path}, args...)
		return u
	}
	emulated := func(args ...string) *usher { return emulate(commandHere(t, b), args) }
	// As PID 1, whose app is started before the Go runtime, also with a signal in between.
	for range 10 {
		u := emulate(command(t, b), []string{"--", "sh", "-c", `trap "exit 42" TERM; kill -TERM 1; sleep 60 & wait`})
		u.begin().want(42)
	}
	emulate(command(t, b), []string{"--", "true"}).begin().want(0)
	emulate(command(t, b), []string{"--", "./missing"}).begin().want(127)
	for _, code := range []int{0, 1, 42, 255} {
		emulated("--", "sh", "-c", fmt.Sprintf("exit %d", code)).begin().want(code)
	}
	emulated("--", "/no/such/command").begin().want(127)
	if b.complete {
		// Its runtime does not see GOMEMLIMIT, which it would die of; the app does.
		u := emulated("--", "sh", "-c", "echo $GOMEMLIMIT")
		u.cmd.Env = append(u.cmd.Env, "GOMEMLIMIT=nonsense")
		u.begin().want(0)
		if u.stdout.String() != "nonsense\n" {
			t.Errorf("the app has %q", &u.stdout)
		}
	}

	u := emulated("--term-delay", "200ms", "-r", "HUP:USR2", "--", "sh", "-c", trapAll()).begin()
	u.printed("ready\n")
	for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGURG, unix.SIGPROF, unix.SIGPIPE, unix.SIGWINCH, 40} {
		if b.complete || !lostByNotify[sig] {
			u.signal(sig)
			u.printed(fmt.Sprintf("got %d.\n", sig))
		}
	}
	u.signal(unix.SIGHUP)
	u.printed("got 12.\n")
	u.signal(unix.SIGTERM)
	u.want(42)
	if out := u.stderr.String(); b.complete && !strings.Contains(out, fmt.Sprintf("(pid %d, uid ", os.Getpid())) {
		t.Errorf("log: %q", out)
	}
}
