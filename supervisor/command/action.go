package command

import (
	"fmt"
	"strings"

	"usher/healthz/check"
)

// Action is what a hook does: it runs a command or makes a request.
type Action struct {
	Command []string
	// Request is made if Command is empty. It is http://…, and any answer from 200 to
	// 399 is success.
	Request *check.Check
}

// ParseAction parses exec:command args… or http://host:port/path.
func ParseAction(s string) (*Action, error) {
	if command, ok := strings.CutPrefix(s, "exec:"); ok {
		words, err := check.Words(command)
		if err != nil {
			return nil, fmt.Errorf("action %q: %w", s, err)
		}
		return &Action{Command: words}, nil
	}
	if !strings.HasPrefix(s, "http://") {
		return nil, fmt.Errorf("action %q: want exec:COMMAND or http://HOST:PORT/PATH", s)
	}
	request, err := check.Parse(s)
	return &Action{Request: request}, err
}

// String describes the action; it is "" for nil.
func (a *Action) String() string {
	if a == nil {
		return ""
	}
	if len(a.Command) > 0 {
		return strings.Join(a.Command, " ")
	}
	return a.Request.String()
}
