package supervisor

import "sync"

// posts is a queue of functions that other goroutines ask the loop to call.
type posts struct {
	mu    sync.Mutex
	queue []func()
}

// post makes the loop call f. Any goroutine may call it.
func (s *Supervisor) post(f func()) {
	s.posts.mu.Lock()
	s.posts.queue = append(s.posts.queue, f)
	s.posts.mu.Unlock()
	s.source.Wake()
}

// callPosted calls the functions that were posted.
func (s *Supervisor) callPosted() {
	s.posts.mu.Lock()
	queue := s.posts.queue
	s.posts.queue = nil
	s.posts.mu.Unlock()
	for _, f := range queue {
		f()
	}
}
