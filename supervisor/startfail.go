package supervisor

import (
	"time"

	"golang.org/x/sys/unix"

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
	code := x.explain(s.config.Command, err)
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
