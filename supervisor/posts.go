package supervisor

import "sync"

// posts are functions that goroutines want the loop to call.
type posts struct {
	mu    sync.Mutex
	queue []func()
}

// post has the loop call f. Any goroutine may call it.
func (s *Supervisor) post(f func()) {
	s.posts.mu.Lock()
	s.posts.queue = append(s.posts.queue, f)
	s.posts.mu.Unlock()
	s.source.Wake()
}

// callPosted calls what has been posted.
func (s *Supervisor) callPosted() {
	s.posts.mu.Lock()
	queue := s.posts.queue
	s.posts.queue = nil
	s.posts.mu.Unlock()
	for _, f := range queue {
		f()
	}
}
