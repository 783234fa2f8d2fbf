package resolve

import (
	"encoding/binary"
	"net/netip"
	"strings"
)

// The messages of RFC 1035 4, as far as a stub resolver needs them.

const (
	typeA    = 1
	typeAAAA = 28 // RFC 3596
	classIN  = 1

	headerLen = 12
	maxUDP    = 512 // RFC 1035 4.2.1: a longer message is truncated, and asked for again over TCP
	maxName   = 255 // RFC 1035 2.3.4
	maxLabel  = 63
)

// Bits of the header's flags, and its response codes.
const (
	flagResponse      = 1 << 15
	flagAuthoritative = 1 << 10
	flagTruncated     = 1 << 9
	flagAskRecursion  = 1 << 8
	flagRecursion     = 1 << 7

	codeMask    = 0xf
	codeOK      = 0
	codeUnknown = 3 // NXDOMAIN
)

// newQuery returns a query for the records of a name that has no dot at its
// end. If the name is not valid, ok is false.
func newQuery(id uint16, name string, qtype uint16) (query []byte, ok bool) {
	query = binary.BigEndian.AppendUint16(make([]byte, 0, headerLen+len(name)+6), id)
	query = append(query, flagAskRecursion>>8, flagAskRecursion&0xff, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return nil, false
		}
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0)
	if len(query)-headerLen > maxName {
		return nil, false
	}
	query = binary.BigEndian.AppendUint16(query, qtype)
	return binary.BigEndian.AppendUint16(query, classIN), true
}

// reply is an answer of a name server.
type reply struct {
	flags uint16
	empty bool // there are no records of any type
	addrs []netip.Addr
}

// isReply reports whether a message answers this query: it has the same id and
// the same question, except for capitals. Any other message comes too late, or
// from another sender.
func isReply(msg, query []byte) bool {
	return len(msg) >= len(query) && string(msg[:2]) == string(query[:2]) && msg[2]&(flagResponse>>8) != 0 &&
		string(msg[4:6]) == string(query[4:6]) &&
		strings.EqualFold(string(msg[headerLen:len(query)]), string(query[headerLen:]))
}

// parseReply reads a message for which isReply holds. It returns all addresses
// in the answer section, for whatever alias.
func parseReply(msg, query []byte) (r reply, ok bool) {
	qtype := binary.BigEndian.Uint16(query[len(query)-4:])
	r.flags = binary.BigEndian.Uint16(msg[2:])
	records := binary.BigEndian.Uint16(msg[6:])
	r.empty = records == 0
	rest := msg[len(query):]
	for range records {
		if rest, ok = skipName(rest); !ok || len(rest) < 10 {
			return r, false
		}
		rtype, class := binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		length := int(binary.BigEndian.Uint16(rest[8:]))
		if rest = rest[10:]; len(rest) < length {
			return r, false
		}
		if rtype == qtype && class == classIN {
			if addr, ok := netip.AddrFromSlice(rest[:length]); ok && addr.Is4() == (qtype == typeA) {
				r.addrs = append(r.addrs, addr)
			}
		}
		rest = rest[length:]
	}
	return r, true
}

// skipName returns the bytes after a name. A name is a sequence of labels up to
// the empty one, or up to a pointer to other labels (RFC 1035 4.1.4).
func skipName(b []byte) (rest []byte, ok bool) {
	for len(b) > 0 {
		n := int(b[0])
		switch {
		case n == 0:
			return b[1:], true
		case n >= 0xc0:
			return b[min(2, len(b)):], len(b) >= 2
		case n > maxLabel || n >= len(b):
			return nil, false
		}
		b = b[1+n:]
	}
	return nil, false
}
