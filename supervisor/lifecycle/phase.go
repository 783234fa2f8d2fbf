package lifecycle

// Phase is a part of the life of an app.
type Phase uint8

const (
	Preparing  Phase = iota // there is no app yet: usher waits for checks, and runs the pre-start hooks
	Running                 // the app runs, and no stop has been requested
	Holding                 // usher holds the stop signal back, and the app keeps serving
	Draining                // the app finishes the requests that it has accepted
	Leaving                 // the pre-stop hook runs
	Stopping                // the app has been sent the first signal of the stop
	Killing                 // the app has been sent SIGKILL
	Sweeping                // the app has ended, and the stragglers have been sent SIGTERM
	Clearing                // the stragglers have been sent SIGKILL
	BackingOff              // no process runs, and the app will be started again
	Cleaning                // no process runs but the post-stop hook
	Ended                   // no process runs
	Phases                  // number of phases
)

// String returns the phase's name, as in metrics and the termination message.
func (p Phase) String() string {
	return [Phases]string{"preparing", "running", "holding", "draining", "leaving", "stopping", "killing", "sweeping",
		"clearing", "backing off", "cleaning", "ended"}[p]
}

// Alive reports whether there is an app in this phase.
func (p Phase) Alive() bool { return Running <= p && p <= Killing }

// Serves reports whether there is an app that has not been signalled to stop.
func (p Phase) Serves() bool { return Running <= p && p <= Leaving }

// Sweeps reports whether usher waits for the stragglers to end.
func (p Phase) Sweeps() bool { return p == Sweeping || p == Clearing }
