package supervisor

import (
	"golang.org/x/sys/unix"

	"usher/supervisor/lifecycle"
	"usher/supervisor/process"
)

// withoutCommands removes usher's own commands from procs. They have been
// killed already when stragglers are signalled.
func (s *Supervisor) withoutCommands(procs []process.Proc) []process.Proc {
	kept := procs[:0]
	for _, p := range procs {
		if !s.commands.Has(p.Group) {
			kept = append(kept, p)
		}
	}
	return kept
}

// leavesStragglers reports whether usher ends and leaves the stragglers
// running. With Session it sends SIGTERM to the rest of the app's process
// group.
func (s *Supervisor) leavesStragglers() bool {
	if !s.config.LeaveBehind || s.self == 1 || s.config.Restart != lifecycle.RestartNo {
		return false
	}
	if s.config.Session {
		_ = unix.Kill(-s.app.group, s.config.Rewrites.Apply(unix.SIGTERM))
	}
	return true
}
