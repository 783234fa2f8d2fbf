package traffic

import (
	"errors"
	"time"
)

// arrivals distinguishes connections that have come in since the last look from
// older ones.
type arrivals struct {
	seen  map[int]int  // connections, by id, and the number of the last look that has seen them
	look  int          // number of the present look
	began [2]time.Time // when the last look began, and the one before
}

// maxSeen bounds the map, to some 4 MB.
const maxSeen = 100_000

// maxLate is how many looks later the kernel may report a connection's end.
const maxLate = 8

// isNew reports whether a connection that exists now has come in since the last
// look.
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

// cameAndWent reports whether a connection that has ended came in between two
// looks. The age of the connection decides, because the kernel reports an end
// late: a moment after it, and for a connection that was reset only when the
// app closes it.
//
//go:noinline
func (a *arrivals) cameAndWent(s *socket, now time.Time) bool {
	_, old := a.seen[s.id]
	age := time.Duration(max(s.dataSent, s.dataReceived, s.ackReceived)) * time.Millisecond
	return !old && a.look > 0 && now.Sub(a.began[1])+jiffy > age
}

// next ends a look that began at that time. It forgets connections that the last
// looks have not seen. On a busy machine, the kernel may report their end some
// looks later.
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
