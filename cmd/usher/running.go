package main

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"usher/internal/file"
	"usher/signals/entry"
	"usher/supervisor/process"
)

// running is the usher that runs the app of this container: `usher --plan`
// shows its plan. Its arguments and its environment are in /proc: usher may have
// no endpoint that could be asked.
type running struct {
	pid           int
	args, environ []string
	hidden        bool // its environment cannot be read (proc_pid_environ(5))
}

// findRunning looks for the usher of this container: PID 1, or, where the
// containers of a pod share their processes, the first usher in this cgroup.
func findRunning() (r running, found bool) {
	self := unix.Getpid()
	if self == 1 || !process.Own(self) {
		return r, false
	}
	cgroup, pids := file.Read("/proc/self/cgroup"), process.PIDs() // in ascending order
	entry.Raise()                                                  // PIDs has given the capabilities up
	for _, pid := range pids {
		if pid == self || pid != 1 && file.Read(proc(pid, "cgroup")) != cgroup {
			continue
		}
		if r, found = runningAs(pid); found {
			break
		}
	}
	return r, found
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// runningAs reads what a process was started with, if it is an usher. Its
// program is this program; where the kernel does not say which program it is
// (another user's process), it has this program's name.
func runningAs(pid int) (r running, found bool) {
	r = running{pid: pid, args: words(file.Read(proc(pid, "cmdline")))}
	if len(r.args) == 0 {
		return r, false
	}
	var its, own unix.Stat_t
	switch unix.Stat(proc(pid, "exe"), &its) {
	case nil:
		found = unix.Stat("/proc/self/exe", &own) == nil && its.Dev == own.Dev && its.Ino == own.Ino
	default:
		found = personalityOf(r.args) != nil || path.Base(r.args[0]) == "usher"
	}
	environ, err := file.ReadAll(proc(pid, "environ"))
	r.environ, r.hidden = words(environ), err != nil
	return r, found
}

// words are those of a file of /proc, each of which ends in NUL.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

// planned is whose plan `usher --plan` shows: that of the usher that runs here,
// if no flag and no command says otherwise. The note says whose it is.
func (o *options) planned(environ []string) (whose options, note string) {
	if !o.planAlone {
		return *o, ""
	}
	r, found := findRunning()
	if !found {
		return *o, "no usher runs here whose plan could be shown: this is the plan of the variables alone"
	}
	note = fmt.Sprintf("this is the plan of the running usher, pid %d", r.pid)
	if r.hidden {
		r.environ = environ
		note += "; its variables can't be read, and those of this process are taken for them"
	}
	its, err := parse(personalityOf(r.args), r.args[1:], r.environ)
	if err != nil || len(its.config.Command) == 0 {
		return *o, fmt.Sprintf("pid %d is no usher with a plan: this is the plan of the variables alone", r.pid)
	}
	return its, note
}

// onlyAsks reports whether no flag was given but --plan and how to show it.
func (o *options) onlyAsks() bool {
	return !slices.ContainsFunc(o.settings, func(s setting) bool {
		return s.from != "" && !slices.Contains([]string{"plan", "log-format", "quiet", "verbose"}, s.name)
	})
}
