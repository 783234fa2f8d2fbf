package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// diag reads sockets through sock_diag(7), which needs no privileges. One
// netlink socket asks for the sockets that exist. The other one receives a
// message from the kernel for each socket that ends, with all that is known
// about it (since Linux 4.3, `ss -E`). So a connection that came and went
// between two looks is seen in one of the two.
type diag struct {
	dump, ends int
	buf        []byte
}

// Constants of linux/sock_diag.h and linux/inet_diag.h that x/sys/unix lacks.
const (
	sockDiagByFamily = 20
	diagInfo         = 2 // INET_DIAG_INFO
	groupTCPDestroy  = 1 // SKNLGRP_INET_TCP_DESTROY
	groupTCP6Destroy = 3

	// All states but TIME_WAIT, which the other socket has reported, SYN_SENT and
	// CLOSE.
	states = 1<<established | 1<<synRecv | 1<<4 | 1<<5 | 1<<closeWait | 1<<9 | 1<<listening | 1<<11

	// minInfo is the length of a tcp_info up to tcpi_data_segs_out, which Linux has
	// since 4.6.
	minInfo = 160
)

func openDiag() (source, error) {
	d := &diag{dump: -1, ends: -1, buf: make([]byte, 32<<10)} // the largest datagram that the kernel makes
	err := d.open()
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *diag) open() (err error) {
	const family, kind = unix.AF_NETLINK, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC
	if d.dump, err = unix.Socket(family, kind, unix.NETLINK_SOCK_DIAG); err != nil {
		return fmt.Errorf("cannot open sock_diag: %w", err)
	}
	if d.ends, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG); err != nil {
		return fmt.Errorf("cannot open sock_diag: %w", err)
	}
	// The kernel answers at once. If it ever does not, a stop must not hang.
	if err = unix.SetsockoptTimeval(d.dump, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return err
	}
	const groups = 1<<(groupTCPDestroy-1) | 1<<(groupTCP6Destroy-1)
	if err = unix.Bind(d.ends, &unix.SockaddrNetlink{Family: family, Groups: groups}); err != nil {
		return fmt.Errorf("sock_diag does not tell of connections that end: %w", err)
	}
	return nil
}

func (d *diag) close() {
	unix.Close(d.dump)
	unix.Close(d.ends)
}

// read asks again if a change interrupted a dump (NLM_F_DUMP_INTR), but not for
// ever.
func (d *diag) read(w *Watcher) error {
	for try := 0; ; try++ {
		w.look.Open, w.look.Busy = 0, 0
		whole, err := d.ask(w, unix.AF_INET)
		if err == nil {
			var whole6 bool
			whole6, err = d.ask(w, unix.AF_INET6)
			whole = whole && whole6
		}
		if err != nil {
			return fmt.Errorf("cannot read from sock_diag: %w", err)
		}
		if whole || try == 3 {
			break
		}
	}
	for { // after the dump, which has shown the listening sockets
		n, err := unix.Read(d.ends, d.buf)
		switch {
		case err == unix.EAGAIN && w.blind:
			return errors.New("sock_diag shows less than that of Linux 4.6")
		case err == unix.EAGAIN:
			return nil
		case err == unix.ENOBUFS: // the kernel had more messages than fit: there is traffic, of whatever peer
			w.active(time.Now())
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("cannot read from sock_diag: %w", err)
		default:
			d.messages(w, d.buf[:n], true)
		}
	}
}

// ask makes the kernel dump the sockets of a family, with a struct
// inet_diag_req_v2. It reports whether no change interrupted the dump.
func (d *diag) ask(w *Watcher, family uint8) (whole bool, err error) {
	req := d.buf[:unix.SizeofNlMsghdr+56]
	clear(req)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	req[16], req[17], req[18] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
	binary.NativeEndian.PutUint32(req[20:], states)
	if _, err := unix.Write(d.dump, req); err != nil {
		return false, err
	}
	whole = true
	for {
		n, err := unix.Read(d.dump, d.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false, err
		}
		flags, done, err := d.messages(w, d.buf[:n], false)
		whole = whole && flags&unix.NLM_F_DUMP_INTR == 0
		if done || err != nil {
			return whole, err
		}
	}
}

// messages handles each message of a datagram. It returns the flags of all
// messages. It is done if a message ended the dump; err is the kernel's
// refusal.
func (d *diag) messages(w *Watcher, b []byte, ended bool) (flags uint16, done bool, err error) {
	now := time.Now()
	for len(b) >= unix.SizeofNlMsghdr {
		n := binary.NativeEndian.Uint32(b)
		if n < unix.SizeofNlMsghdr || uint64(n) > uint64(len(b)) {
			break
		}
		m := b[unix.SizeofNlMsghdr:n]
		flags |= binary.NativeEndian.Uint16(b[6:])
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return flags, true, nil
		case unix.NLMSG_ERROR:
			if len(m) >= 4 {
				err = unix.Errno(-int32(binary.NativeEndian.Uint32(m)))
			}
			return flags, true, err
		case sockDiagByFamily:
			var s socket
			if !s.parse(m) {
				w.blind = true
				break
			}
			if ended {
				s.state = closed
			}
			w.see(&s, now)
		}
		b = b[min(len(b), int(n+3)&^3):]
	}
	return flags, false, nil
}

// parse reads a struct inet_diag_msg and the tcp_info that follows. It fails if
// the tcp_info is too short, as that of old kernels is.
func (s *socket) parse(m []byte) bool {
	if len(m) < 72 {
		return false
	}
	s.state, s.retrans = m[1], m[3]
	s.local.port, s.peer.port = binary.BigEndian.Uint16(m[4:]), binary.BigEndian.Uint16(m[6:])
	switch m[0] {
	case unix.AF_INET:
		s.local.ip, s.peer.ip = mapped, mapped
		copy(s.local.ip[12:], m[8:12])
		copy(s.peer.ip[12:], m[24:28])
	case unix.AF_INET6:
		copy(s.local.ip[:], m[8:24])
		copy(s.peer.ip[:], m[24:40])
	default:
		return false
	}
	s.id = int(binary.NativeEndian.Uint64(m[44:]))
	s.unread, s.unacked = binary.NativeEndian.Uint32(m[56:]), binary.NativeEndian.Uint32(m[60:])
	for m = m[72:]; len(m) >= unix.SizeofRtAttr; {
		n := int(binary.NativeEndian.Uint16(m))
		if n < unix.SizeofRtAttr || n > len(m) {
			break
		}
		if info := m[4:n]; binary.NativeEndian.Uint16(m[2:]) == diagInfo {
			if len(info) < minInfo {
				return false
			}
			s.info = true
			s.retrans = info[2]
			s.dataSent = binary.NativeEndian.Uint32(info[44:])
			s.dataReceived = binary.NativeEndian.Uint32(info[52:])
			s.ackReceived = binary.NativeEndian.Uint32(info[56:])
			s.segmentsIn = binary.NativeEndian.Uint32(info[152:])
			s.segmentsOut = binary.NativeEndian.Uint32(info[156:])
		}
		m = m[min(len(m), (n+3)&^3):]
	}
	return true
}
