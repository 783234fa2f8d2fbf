package supervisor

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"

	"usher/signals/entry"
	"usher/supervisor/lastword"
)

// Exit codes of usher's own, as the shells and tini have them.
const (
	ExitFailure   = 125 // usher itself failed, or was called wrongly
	exitCannotRun = 126 // the command was found but can't be run
	exitNotFound  = 127 // the command was not found
)

func (s *Supervisor) startFailed(err error) {
	x := s.newExplainer()
	entry.Raise()
	code := x.explain(s.config.Command, err)
	entry.Restore()
	if s.config.StartCode != 0 {
		code = s.config.StartCode
	}
	s.log.Errorf("%s", x.why)
	if x.hint != "" {
		s.log.Errorf("hint: %s", x.hint)
	}
	s.fatal = &lastword.Record{Reason: lastword.StartError, Message: x.why, Hint: x.hint, ExitCode: code}
	// What could be started once may be so again: it is being replaced, or there is no memory.
	s.step(&event{kind: appEnded, at: time.Now(), failed: true, final: s.restarted == 0, last: alone(s.self, s.childless)})
}

// newExplainer is for the app's failed start.
func (s *Supervisor) newExplainer() *explainer {
	x := &explainer{disk: &realDisk, env: s.config.Env, as: s.as}
	if x.as == nil {
		x.as = ownIdentity()
	}
	return x
}

// ownIdentity is usher's own identity.
func ownIdentity() *identity {
	id := &identity{uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid())}
	groups, _ := unix.Getgroups()
	for _, gid := range groups {
		id.groups = append(id.groups, uint32(gid))
	}
	return id
}

// shellError is the failed start of the shell that was to run a script without #!.
type shellError struct{ *execError }

// start is execvp(3): spawn, with a file that has no magic number taken for a shell script.
func start(p *process) (int, error) {
	pid, err := spawn(p)
	failed, ok := err.(*execError)
	if !ok || failed.errno != unix.ENOEXEC || !isText(failed.file) {
		return pid, err
	}
	script := *p
	script.files = []string{"/bin/sh"}
	script.argv = append([]string{"/bin/sh", failed.file}, p.argv[1:]...)
	pid, err = spawn(&script)
	if failed, ok := err.(*execError); ok {
		return 0, &shellError{failed}
	}
	return pid, err
}

// isText tells a script without #! from a program for another machine, as bash does: no NUL byte in the first line. A script whose
// interpreter is no program is not left to a shell that it was not written for, although execvp would.
func isText(file string) bool {
	var head [scriptHead]byte
	n := readFile(file, head[:], 0)
	if n == 0 {
		return true // it is empty, or may be run but not be read: leave it to the shell to say so
	}
	if isELF(head[:n]) {
		return false
	}
	if isScript(head[:n]) {
		interpreter, _, whole := readScript(head[:n])
		return whole && interpreter == ""
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return bytes.IndexByte(line, 0) < 0
}
