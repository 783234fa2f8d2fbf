package lifecycle

// table has the machine's answer to each kind of event in each phase. Step
// applies three rules first:
//
//   - It ignores TimeUp before the deadline.
//   - It ignores a stop that usher itself requests while a stop is in progress,
//     except in a hold, which that request ends.
//   - If a stop that usher itself requested is over, and a signal requests
//     another one, Step forgets the first.
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

// ignored has the events that change nothing in a phase. Together with table it
// is complete, which a test verifies: a new kind of event needs a decision for
// every phase.
var ignored = [Phases][]Kind{
	// Without an app, no program starts, ends or serves.
	Preparing: {AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	// Only a stop looks at traffic.
	Running: {NobodyLeft, TrafficQuiet, TrafficDrained},
	// The post-start hook has been cancelled by now, and an app that started late
	// is being stopped.
	Holding:  {HookEnded, AppStarted, NobodyLeft, TrafficDrained},
	Draining: {HookEnded, AppStarted, NobodyLeft, TrafficQuiet},
	Leaving:  {AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	Stopping: {HookEnded, AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	// No signal is stronger than SIGKILL.
	Killing: {StopRequested, Signalled, HookEnded, AppStarted, NobodyLeft, TrafficQuiet, TrafficDrained},
	// Signals are for the app, which has ended.
	Sweeping:   {Signalled, HookEnded, AppStarted, AppEnded, TrafficQuiet, TrafficDrained},
	Clearing:   {Signalled, HookEnded, AppStarted, AppEnded, TrafficQuiet, TrafficDrained},
	BackingOff: {Signalled, HookEnded, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	Cleaning:   {Signalled, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained},
	Ended: {
		StopRequested, Signalled, TimeUp, HookEnded, AppStarted, AppEnded, NobodyLeft, TrafficQuiet, TrafficDrained,
	},
}
