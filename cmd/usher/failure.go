package main

import (
	"strings"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sys/unix"

	"usher/supervisor/event"
	"usher/supervisor/lastword"
)

// fail reports mistakes, before anything is started, and exits: in the log, one
// a line, and in the termination log, so that `kubectl describe` shows them.
func (o *options) fail(code int, err error, hints ...string) {
	errs := []error{err}
	if merr, ok := err.(*multierror.Error); ok {
		errs = merr.Errors
	}
	log := logger{json: o.logJSON}
	prefix := "error: "
	if o.logJSON { // the line has a level already
		prefix = ""
	}
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
		writeLines(log.line(&event.Event{Kind: event.Problem, Message: prefix + err.Error()}))
	}
	for _, hint := range hints {
		writeLines(log.line(&event.Event{Kind: event.Hint, Message: hint}))
	}
	o.writeWord(&lastword.Record{
		Reason:   lastword.StartError,
		Message:  strings.Join(all, "; "),
		Hint:     strings.Join(hints, "; "),
		ExitCode: code,
	})
	exit(code)
}

// writeWord writes to the termination log, if usher is the container's init. An
// usher that a probe has called must not write over the word of that one.
func (o *options) writeWord(r *lastword.Record) {
	c := &o.config
	if unix.Getpid() != 1 || c.TerminationLog == "" {
		return
	}
	pen := lastword.Pen{Log: lastword.NewLog(c.TerminationLog, c.CreateTerminationLog, c.TerminationJSON)}
	if pen.Begin() == nil { // what is there is of an earlier run
		_ = pen.Write(r, lastword.LastTime, true)
	}
}
