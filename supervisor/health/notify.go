package health

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

const notifySocket = "NOTIFY_SOCKET"

// Notify is the app's NOTIFY_SOCKET (sd_notify(3)). It is not the socket that
// usher got itself: systemd takes messages from the main process only, and that
// is usher.
type Notify struct {
	Self int // usher's pid
	UID  int // the app's user; -1 means usher's own
	// Post makes the loop call a function.
	Post func(func())
	// Extend is called on the loop when the app wants more time, and says until
	// when.
	Extend func(until time.Time)

	view     *View
	socket   *notify.Socket
	upstream string // the NOTIFY_SOCKET that usher was given
}

// Listen makes the socket if a check, the watchdog, or the socket that env
// names has a use for messages. Otherwise it returns nil. If everyUser is set,
// processes of other users can send messages too.
func (v *View) Listen(env []string, everyUser bool) (*Notify, error) {
	n := &Notify{view: v}
	wanted := v.Watchdog > 0
	for role := range check.Roles {
		for _, c := range v.Checks[role].Checks {
			wanted = wanted || c.IsNotify()
		}
	}
	for _, entry := range env {
		if name, ok := strings.CutPrefix(entry, notifySocket+"="); ok && name != "" {
			n.upstream, wanted = name, true
		}
	}
	if !wanted {
		return nil, nil
	}
	if err := signals.OpenPoller(); err != nil { // the socket needs the poller
		return nil, err
	}
	isPath := strings.HasPrefix(n.upstream, "/")
	entry.Raise()
	var err error
	n.socket, err = notify.Listen(notify.Where{EveryUser: everyUser, OtherNetwork: isPath})
	entry.Restore()
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for sd_notify: %w", err)
	}
	v.Hears = true
	if name := n.socket.Name(); isPath && name[0] != '/' {
		v.Log.Debugf("%s=%s, no path, as there is no writable directory: another network namespace can't reach it",
			notifySocket, name)
	}
	return n, nil
}

// Close stops listening.
func (n *Notify) Close() { n.socket.Close() }

// Env returns env with the app's socket and watchdog. A nil Notify changes
// nothing.
func (n *Notify) Env(env []string) []string {
	if n == nil {
		return env
	}
	own := []string{notifySocket + "=" + n.socket.Name()}
	d := n.view.Watchdog
	if d > 0 {
		own = append(own, "WATCHDOG_USEC="+strconv.FormatInt(d.Microseconds(), 10),
			"WATCHDOG_PID="+strconv.Itoa(n.Self)) // the child replaces that by its own pid
	}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if name != notifySocket && (d == 0 || name != "WATCHDOG_USEC" && name != "WATCHDOG_PID") {
			own = append(own, entry)
		}
	}
	return own
}

// Hear receives the app's messages until the socket is closed. It runs on a
// goroutine of its own.
func (n *Notify) Hear() {
	log := n.view.Log
	complained := false // one line is enough: any process may send messages
	for {
		datagram, sender, done, err := n.socket.Receive()
		if err == os.ErrClosed {
			return
		}
		if err != nil { // there is no memory
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if n.isApps(sender) {
			n.heard(notify.Parse(datagram))
			if up := notify.Forward(datagram); n.upstream != "" && len(up) > 0 {
				if err := notify.Send(n.upstream, up); err != nil {
					log.Debugf("cannot forward %q to %q: %v", up, n.upstream, err)
				}
			}
		} else if !complained {
			complained = true
			log.Errorf("ignored sd_notify from pid %d (uid %d): no process of the app", sender.Pid, sender.Uid)
		}
		done()
	}
}

func (n *Notify) heard(m notify.Message) {
	h, now := n.view.health(), time.Now()
	said := h.said.Load().Observe(m, now)
	h.said.Store(&said)
	if m.MainPID && !h.mainPID {
		h.mainPID = true
		n.view.Log.Debugf("MAINPID from the app: usher stays with the process that it has started")
	}
	// The loop gets one request at a time. It reads later messages from said.
	if m.Extend > 0 && !h.extending.Swap(true) {
		n.Post(func() {
			h.extending.Store(false)
			n.Extend(h.said.Load().Extended())
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

// isApps reports whether the sender of a datagram is the app or a descendant of
// it. Descendants of usher count, because orphans become usher's children. The
// kernel guarantees the sender's pid and user.
//
// Often the sender has ended by now (systemd-notify in a script), and the
// kernel no longer knows its ancestors. If usher is PID 1, all processes are
// the app's except those of `docker exec`, which needs more rights than the app
// has. Elsewhere the user decides: it must be usher's, the app's, or that of
// one of the app's processes (gosu changes it). A process of such a user could
// end the app as well.
func (n *Notify) isApps(sender unix.Ucred) bool {
	if sender.Pid <= 0 { // the sender is in another PID namespace
		return false
	}
	if process.Own(n.Self) {
		for range 3 { // an ancestor may end between two looks, and its children get another parent
			if ours, ok := process.Descends(n.Self, int(sender.Pid)); ok {
				return ours
			}
		}
	}
	if n.Self == 1 || sender.Uid == uint32(os.Getuid()) || int64(sender.Uid) == int64(n.UID) {
		return true
	}
	for _, p := range process.Stragglers(n.Self) {
		var st unix.Stat_t
		if unix.Stat("/proc/"+strconv.Itoa(p.PID), &st) == nil && st.Uid == sender.Uid {
			return true
		}
	}
	return false
}
