package traffic

import (
	"errors"
	"time"
)

// arrivals tells connections that have come in since the last look from those
// that were there before.
type arrivals struct {
	seen  map[int]int  // connections, and the look that has seen them last
	look  int          // the number of the one under way
	began [2]time.Time // the last look, and the one before
}

// maxSeen bounds the map, to some 4 MB.
const maxSeen = 100_000

// maxLate is how many looks later the kernel may tell of a connection's end.
const maxLate = 8

// isNew is whether a connection that is there has come in since the last look.
//
//go:noinline
func (a *arrivals) isNew(id int) bool {
	if a.seen == nil {
		a.seen = map[int]int{}
	}
	_, old := a.seen[id]
	if old || len(a.seen) < maxSeen {
		a.seen[id] = a.look
	}
	return !old && a.look > 0
}

// cameAndWent is whether a connection that has come to its end came in when
// nobody looked. The kernel tells of an end a moment after it, and of one that
// was reset not before the app closes it, however late: its age tells.
//
//go:noinline
func (a *arrivals) cameAndWent(s *socket, now time.Time) bool {
	_, old := a.seen[s.id]
	age := time.Duration(max(s.dataSent, s.dataReceived, s.ackReceived)) * time.Millisecond
	return !old && a.look > 0 && now.Sub(a.began[1])+jiffy > age
}

// next ends a look that began at that time. It forgets connections that were not
// there at the last looks. The kernel may tell of their end some looks later, on
// a busy machine.
func (a *arrivals) next(began time.Time) error {
	if len(a.seen) >= maxSeen {
		return errors.New("too many connections to tell new ones from old ones")
	}
	for id, look := range a.seen {
		if a.look-look > maxLate {
			delete(a.seen, id)
		}
	}
	a.look++
	a.began = [2]time.Time{began, a.began[0]}
	return nil
}
