package supervisor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"usher/healthz/check"
	"usher/healthz/notify"
	"usher/signals"
)

// The app's NOTIFY_SOCKET (sd_notify(3)). It is usher's own and not the one that usher was given: systemd takes nothing from a process that
// is not the main one, and usher is that.

const notifySocket = "NOTIFY_SOCKET"

// listenNotify makes the socket, if somebody wants to know.
func (s *Supervisor) listenNotify() (err error) {
	wanted := s.config.Watchdog > 0
	for role := range check.Roles {
		for _, c := range s.config.Checks[role].Checks {
			wanted = wanted || c.IsNotify()
		}
	}
	for _, entry := range s.config.Env {
		if name, ok := strings.CutPrefix(entry, notifySocket+"="); ok && name != "" {
			s.notifyUp, wanted = name, true
		}
	}
	if !wanted {
		return nil
	}
	if err := signals.OpenPoller(); err != nil { // which the socket waits with
		return err
	}
	if s.notify, err = notify.Listen(); err != nil {
		return fmt.Errorf("cannot make a socket for sd_notify: %w", err)
	}
	return nil
}

// notifyEnv is env with the app's socket and watchdog.
func (s *Supervisor) notifyEnv(env []string) []string {
	if s.notify == nil {
		return env
	}
	own := []string{notifySocket + "=" + s.notify.Name()}
	if d := s.config.Watchdog; d > 0 {
		own = append(own, "WATCHDOG_USEC="+strconv.FormatInt(d.Microseconds(), 10), "WATCHDOG_PID="+strconv.Itoa(s.self)) // child makes that the app's
	}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if name != notifySocket && (s.config.Watchdog == 0 || name != "WATCHDOG_USEC" && name != "WATCHDOG_PID") {
			own = append(own, entry)
		}
	}
	return own
}

// hear takes what the app says, until the end, on a goroutine of its own.
func (s *Supervisor) hear() {
	complained := false // once is enough: it may be anybody
	for {
		datagram, sender, done, err := s.notify.Receive()
		if err == os.ErrClosed {
			return
		}
		if err != nil { // for lack of memory
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if s.isApps(int(sender.Pid), sender.Uid) {
			s.heard(notify.Parse(datagram))
			if up := notify.Forward(datagram); s.notifyUp != "" && len(up) > 0 {
				if err := notify.Send(s.notifyUp, up); err != nil {
					s.log.Debugf("cannot pass on %q to %q: %v", up, s.notifyUp, err)
				}
			}
		} else if !complained {
			complained = true
			s.log.Errorf("sd_notify from pid %d (uid %d), which is not the app's, is not heeded", sender.Pid, sender.Uid)
		}
		done()
	}
}

func (s *Supervisor) heard(m notify.Message) {
	h, now := s.checks(), time.Now()
	said := h.said.Load().Observe(m, now)
	h.said.Store(&said)
	if m.MainPID {
		s.log.Debugf("MAINPID from the app: usher stays with the process that it has started")
	}
	if m.Extend > 0 {
		s.post(func() { s.stop.extend(now.Add(m.Extend)) })
	}
	for _, p := range h.notify {
		p.Again()
	}
	select {
	case h.heard <- struct{}{}:
	default:
	}
}

// isApps reports whether a process is the app's or its descendant: usher's, since orphans become that. One that is gone already, as
// systemd-notify may be, is told by its user.
func (s *Supervisor) isApps(pid int, uid uint32) bool {
	if pid <= 0 { // of another PID namespace
		return false
	}
	for p := pid; p > 0 && ownProc(s.self); {
		if p == s.self {
			return pid != p
		}
		found, ok := readProc(p)
		if !ok {
			break
		}
		if p = found.parent; p == 0 {
			return false // came in from outside: docker exec
		}
	}
	return uid == uint32(os.Getuid()) || s.as != nil && uid == s.as.uid
}
