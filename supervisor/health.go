package supervisor

import (
	"time"

	"usher/healthz"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/config"
	"usher/supervisor/event"
	"usher/supervisor/health"
	"usher/supervisor/lifecycle"
)

// prepareChecks connects the checks with usher. It does so once, because the
// checks of one run of the app may still be active when the next run begins.
// The checks note their ports if a stop looks at traffic: usher's own
// connections don't count there.
func (s *Supervisor) prepareChecks() {
	s.view.Stops = s.config.OnUnhealthy == config.UnhealthyStop
	for _, c := range s.config.WaitFor {
		c.SetExec(s.commands.Exec)
	}
	for role := range s.config.Checks {
		for _, c := range s.config.Checks[role].Checks {
			c.SetExec(s.commands.Exec)
			c.SetPorts(s.traffic.ports)
		}
	}
}

// listen makes the endpoints and the app's NOTIFY_SOCKET.
func (s *Supervisor) listen() (err error) {
	if s.notify, err = s.view.Listen(s.config.Env, s.config.User != ""); err != nil {
		return err
	}
	if s.notify != nil {
		s.notify.Self, s.notify.UID = s.self, s.appUID()
		s.notify.Post, s.notify.Extend = s.post, s.life.Extend
	}
	if len(s.config.HealthAddrs) > 0 {
		if s.server, err = healthz.NewServer(s.log.Errorf); err != nil {
			return err
		}
		s.view.Register(s.server)
	}
	for _, addr := range s.config.HealthAddrs {
		entry.Raise()
		err = s.server.Listen(addr)
		entry.Restore()
		if err != nil {
			return err
		}
	}
	return nil
}

// serve starts the goroutines that run beside the loop. None of them touches
// the loop's state.
func (s *Supervisor) serve() {
	if s.tail != nil {
		go s.tail.Run()
	}
	if s.notify != nil {
		go s.notify.Hear()
	}
	if s.server != nil {
		go s.server.Serve()
	}
}

// close stops listening.
func (s *Supervisor) close() {
	if s.server == nil && s.notify == nil {
		return
	}
	entry.Raise() // the sockets may be in another user's directory
	if s.server != nil {
		s.server.Close()
	}
	if s.notify != nil {
		s.notify.Close()
	}
	entry.Restore()
}

// publish makes the snapshot that probe requests read.
func (s *Supervisor) publish() {
	snap := &health.Snapshot{
		Progress: s.life.Progress(),
		PID:      s.app.pid,
		Started:  s.app.startedAt,
		Restarts: s.ending.Restarts,
		Health:   s.app.health,
	}
	switch {
	case snap.Phase == lifecycle.BackingOff:
		snap.Waiting = "to be started again"
	case s.app.starting != nil:
		snap.Waiting = "the kernel is still loading the app (execve)"
	case s.hook != nil && s.hook.fatal:
		snap.Waiting = s.hook.name + " is running"
		if s.hook.waits != "" {
			snap.Waiting = "waiting for " + s.hook.waits
		}
	}
	s.view.Publish(snap)
}

// unhealthy stops the app if --on-unhealthy says so, and logs why. A startup or
// live check, or the watchdog, has failed in the run of the app to which h
// belongs.
func (s *Supervisor) unhealthy(h *health.Health, check, failure string) {
	s.post(func() {
		if s.app.health != h || !s.life.Phase().Alive() || !s.view.Stops {
			return
		}
		why := check + ": " + failure
		s.emit(event.Event{Kind: event.Unhealthy, Check: check, Reason: why})
		s.step(&lifecycle.Event{
			Kind:    lifecycle.StopRequested,
			At:      time.Now(),
			Signal:  &signals.Event{Signal: s.timing.StopSignal},
			Deliver: s.timing.StopDeliver,
			Cause:   why,
			NoHold:  health.LiveFails,
			Retry:   true,
		})
	})
}
