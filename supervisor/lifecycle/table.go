package lifecycle

// table has what the machine does about each kind of event in each phase. Three rules of Step come first:
//
//   - TimeUp before the deadline is no event.
//   - A stop that usher itself requests is no event once a stop is in progress, except in a hold, which it ends.
//   - A signal that requests a stop, after a stop that usher itself has requested and that is over, makes that one forgotten.
var table = [Phases][kinds]func(*Machine, *Event){
	Preparing: {
		StopRequested: (*Machine).cancelStart,
		Signalled:     (*Machine).saveSignal,
		TimeUp:        (*Machine).expirePreparation,
		HookEnded:     (*Machine).endPreparation,
	},
	Running: {
		StopRequested: (*Machine).beginStop,
		Signalled:     (*Machine).forwardSignal,
		TimeUp:        (*Machine).expirePostStart,
		HookEnded:     (*Machine).endPostStart,
		AppStarted:    (*Machine).beginPostStart,
		AppEnded:      (*Machine).endApp,
	},
	Holding: {
		StopRequested: (*Machine).cutHold,
		Signalled:     (*Machine).forwardSignal,
		TimeUp:        (*Machine).beginDrain,
		AppEnded:      (*Machine).endApp,
		TrafficQuiet:  (*Machine).endHold,
	},
	Draining: {
		StopRequested:  (*Machine).cutHold,
		Signalled:      (*Machine).forwardSignal,
		TimeUp:         (*Machine).beginPreStop,
		AppEnded:       (*Machine).endApp,
		TrafficDrained: (*Machine).beginPreStop,
	},
	Leaving: {
		StopRequested: (*Machine).cancelPreStop,
		Signalled:     (*Machine).forwardSignal,
		TimeUp:        (*Machine).expirePreStop,
		HookEnded:     (*Machine).beginSchedule,
		AppEnded:      (*Machine).endApp,
	},
	Stopping: {
		StopRequested: (*Machine).forwardSignal,
		Signalled:     (*Machine).forwardSignal,
		TimeUp:        (*Machine).nextItem,
		AppEnded:      (*Machine).endApp,
	},
	Killing: {
		TimeUp:   (*Machine).giveUpApp,
		AppEnded: (*Machine).endApp,
	},
	Sweeping: {
		StopRequested: (*Machine).startBudget,
		TimeUp:        (*Machine).killStragglers,
		NobodyLeft:    (*Machine).endRun,
	},
	Clearing: {
		StopRequested: (*Machine).shortenClear,
		TimeUp:        (*Machine).endRun,
		NobodyLeft:    (*Machine).endRun,
	},
	BackingOff: {
		StopRequested: (*Machine).cancelRestart,
		TimeUp:        (*Machine).restart,
	},
	Cleaning: {
		StopRequested: (*Machine).shortenPostStop,
		TimeUp:        (*Machine).expirePostStop,
		HookEnded:     (*Machine).finish,
	},
	Ended: {},
}

// ignored has the events that change nothing in a phase. With the table it is complete, which a test holds: a new kind of
// event needs a decision for every phase.
var ignored = [Phases][]Kind{
	// Without an app, nothing starts, ends or serves.
	Preparing: {AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	// Only a stop looks at traffic.
	Running: {NobodyLeft, TrafficQuiet, TrafficDrained},
	// A post-start hook has been cancelled by now, and an app that started late is on its way to the end.
	Holding:  {HookEnded, AppStarted, NobodyLeft, TrafficDrained},
	Draining: {HookEnded, AppStarted, NobodyLeft, TrafficQuiet},
	Leaving:  {AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	Stopping: {HookEnded, AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	// There is nothing stronger than SIGKILL.
	Killing: {StopRequested, Signalled, HookEnded, AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	// Signals are for the app, which is gone.
	Sweeping:   {Signalled, HookEnded, AppStarted, AppEnded, TrafficQuiet, TrafficDrained},
	Clearing:   {Signalled, HookEnded, AppStarted, AppEnded, TrafficQuiet, TrafficDrained},
	BackingOff: {Signalled, HookEnded, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	Cleaning:   {Signalled, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	Ended:      {StopRequested, Signalled, TimeUp, HookEnded, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
}
