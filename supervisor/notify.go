package supervisor

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"usher/healthz/check"
	"usher/healthz/notify"
	"usher/signals"
	"usher/signals/entry"
	"usher/supervisor/process"
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
	isPath := strings.HasPrefix(s.notifyUp, "/")
	entry.Raise()
	s.notify, err = notify.Listen(notify.Where{EveryUser: s.config.User != "", OtherNetwork: isPath})
	entry.Restore()
	if err != nil {
		return fmt.Errorf("cannot make a socket for sd_notify: %w", err)
	}
	if name := s.notify.Name(); isPath && name[0] != '/' {
		s.log.Debugf("%s=%s, no path, as there is no writable directory: another network namespace can't reach it",
			notifySocket, name)
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
		if s.isApps(sender) {
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
	if m.MainPID && !h.mainPID {
		h.mainPID = true
		s.log.Debugf("MAINPID from the app: usher stays with the process that it has started")
	}
	// One at a time: what comes meanwhile is in said.
	if m.Extend > 0 && !h.extending.Swap(true) {
		s.post(func() {
			h.extending.Store(false)
			s.life.Extend(h.said.Load().Extended())
		})
	}
	for _, p := range h.notify {
		p.Again()
	}
	select {
	case h.heard <- struct{}{}:
	default:
	}
}

// isApps reports whether the sender of a datagram is the app or a descendant:
// usher's, since orphans become that. The kernel vouches for its pid and user.
//
// Many a sender has ended by now (systemd-notify in a script), and so the
// kernel no longer says whose it was. Where usher is PID 1, all processes are
// the app's but those of `docker exec`, which take a right that is above the
// app's. Elsewhere the user decides: usher's, the app's, or that of one of the
// app's processes (gosu changes it). A process of such a user could end the app
// as well.
func (s *Supervisor) isApps(sender unix.Ucred) bool {
	if sender.Pid <= 0 { // of another PID namespace
		return false
	}
	if process.Own(s.self) {
		for range 3 { // an ancestor may end between two looks, and leaves its children to another
			if ours, ok := s.descends(int(sender.Pid)); ok {
				return ours
			}
		}
	}
	if s.self == 1 || sender.Uid == uint32(os.Getuid()) || s.as != nil && sender.Uid == s.as.UID {
		return true
	}
	for _, p := range process.Stragglers(s.self) {
		var st unix.Stat_t
		if unix.Stat("/proc/"+strconv.Itoa(p.PID), &st) == nil && st.Uid == sender.Uid {
			return true
		}
	}
	return false
}

// descends reports whether a process is a descendant of usher's. It is not ok
// if the process, or one between the two, has ended.
func (s *Supervisor) descends(pid int) (ours, ok bool) {
	for p := pid; p != s.self; {
		found, ok := process.Read(p)
		if !ok || found.Group < 0 { // reaped while it was read: its parent is 0 as well
			return false, false
		}
		if p = found.Parent; p == 0 {
			return false, true // came in from outside: docker exec
		}
	}
	return pid != s.self, true
}
