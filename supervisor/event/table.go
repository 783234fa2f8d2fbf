package event

// Kind is a kind of event. docs/reference/events.md shows its comment, too.
type Kind uint8

const (
	// Something failed that usher can do without.
	Problem Kind = iota
	// Something else that an operator may want to know.
	Notice
	// A detail that helps to find a mistake.
	Detail
	// The reader of stderr was too slow, and lines had to be dropped.
	LinesLost
	// A variable begins with USHER_, and usher has no such setting.
	UnknownVariable

	// A check of --wait-for does not hold yet, or for another reason than before.
	Waiting
	// A hook has ended with success, or the checks of --wait-for hold.
	HookSucceeded
	// A hook has failed or has taken too long.
	HookFailed
	// A stop, or the end of the app, has ended a hook.
	HookCut
	// A hook or an exec check has been started.
	CommandStarted

	// The app has been started. If that was before the Go runtime's start, the
	// event comes when the runtime is there.
	AppStarted
	// The kernel has executed the app's program, after it took longer than usual.
	AppExecuted
	// The app cannot be started.
	StartFailed
	// Advice after a failed start.
	Hint
	// All startup checks hold.
	StartedUp

	// The app is ready for the first time since its start.
	Ready
	// The app is no longer ready.
	NotReady
	// The app is ready again.
	ReadyAgain
	// The app has never been ready, for longer than its checks allow for.
	NotReadyYet
	// A live check, a startup check or the watchdog has failed.
	Unhealthy
	// What made the app unhealthy is over.
	LiveAgain

	// A signal was passed on to the app.
	SignalForwarded
	// A signal from the terminal's keyboard reached the app and its group.
	SignalGrouped
	// --rewrite takes a signal from the app.
	SignalSwallowed
	// The kernel refuses to send the app a signal.
	SignalFailed
	// A signal has stopped the app, as Ctrl-Z does.
	AppPaused

	// A stop begins.
	StopRequested
	// The hold begins: the app goes on serving.
	Held
	// The hold begins, and ends early when traffic is quiet.
	HeldUntilQuiet
	// The hold has ended early: traffic was quiet.
	QuietReached
	// The hold is over.
	HoldOver
	// The kernel shows too little of traffic.
	TrafficFallback
	// The kernel shows nothing of traffic.
	TrafficUnseen
	// The drain begins: requests may finish.
	DrainBegan
	// All requests are answered.
	Drained
	// The time for requests is over, or the app gets its signal for another reason.
	DrainCut
	// The app gets the first signal of the stop, after a hold, a drain or a hook.
	AppSignalled
	// The app gets the first signal of the stop at once, although a hold is
	// configured.
	AppSignalledUnheld
	// The app gets the first signal of the stop; there is nothing to wait for.
	AppSignalledAtOnce
	// The app has not ended in time, and gets the next signal of the schedule.
	Escalated
	// The app has not ended in time, and is killed.
	AppKilled
	// The app has ended.
	AppEnded
	// Processes that the app has left behind get SIGTERM.
	StragglersSignalled
	// Processes that the app has left behind are killed.
	StragglersKilled
	// The app is started again at once.
	RestartedAtOnce
	// The app is started again after a pause.
	RestartDelayed
	// usher ends. The text is the last word, the reason is its first word.
	Ended
	// usher ends because the app has exited by itself.
	EndedPlain
	// usher ends, for a reason that an earlier event has reported.
	EndedBefore
	// The kernel has killed a process of the container because memory ran out.
	OOMKill
	// How many orphans usher has reaped.
	OrphansReaped
	// The timeline in one line.
	Summary

	// Kinds is the number of kinds.
	Kinds
)

// definition is a row of the table.
type definition struct {
	name  string // in the JSON log and in the timeline
	level Level
	text  string // for people: the log's line, and the JSON log's msg
	also  string // fields that are not in the text
	short string // in the timeline's one line; "" keeps the event out of the timeline
}

var table = [Kinds]definition{
	Problem:   {"problem", Error, "{message}", "", ""},
	Notice:    {"notice", Info, "{message}", "", ""},
	Detail:    {"detail", Debug, "{message}", "", ""},
	LinesLost: {"lines-lost", Error, "{count} lines lost: stderr had stalled", "", ""},
	UnknownVariable: {"unknown-variable", Info,
		"unknown variable {reason}: ignored, and not passed to the app[ (did you mean {meant}?)]", "", ""},

	Waiting:        {"waiting", Info, "waiting for {reason}", "", ""},
	HookSucceeded:  {"hook-succeeded", Debug, "{hook} has succeeded after {seconds}", "", "{hook} {seconds}"},
	HookFailed:     {"hook-failed", Error, "{hook} failed: {reason}", "{seconds}", "{hook} failed {seconds}"},
	HookCut:        {"hook-cut", Debug, "{hook} was cut short", "{seconds}", "{hook} cut short {seconds}"},
	CommandStarted: {"command-started", Debug, "{hook} \"{command}\" started, pid {pid}", "", ""},

	AppStarted:  {"app-started", Debug, "started \"{command}\", pid {pid}", "", "started {at}"},
	AppExecuted: {"app-executed", Debug, "the kernel has started \"{command}\" at last", "{pid}", ""},
	StartFailed: {"start-failed", Error, "{message}", "{exitCode}", "start failed {at}"},
	Hint:        {"hint", Error, "hint: {message}", "", ""},
	StartedUp:   {"started-up", Debug, "startup checks hold after {seconds}", "", "started up {at}"},

	Ready:       {"ready", Info, "ready after {seconds}[ ({count} changes)]", "", "ready {at}"},
	NotReady:    {"not-ready", Info, "not ready: {reason}[ ({count} changes)]", "{check}", "not ready {at}"},
	ReadyAgain:  {"ready", Info, "ready again after {seconds}[ ({count} changes)]", "", "ready {at}"},
	NotReadyYet: {"not-ready-yet", Info, "not ready yet after {seconds}: {reason}", "{check}", "not ready yet {at}"},
	Unhealthy:   {"unhealthy", Info, "unhealthy: {reason}[ ({count} changes)]", "{check}", "unhealthy {at}"},
	LiveAgain:   {"live", Info, "live again after {seconds}[ ({count} changes)]", "", "live {at}"},

	SignalForwarded: {"signal-forwarded", Debug, "{signal} from {sender} sent to the app as {sentAs}", "", ""},
	SignalGrouped: {"signal-forwarded", Debug,
		"{signal} from {sender} sent to the app and its process group", "", ""},
	SignalSwallowed: {"signal-swallowed", Debug, "{signal} from {sender} swallowed", "", ""},
	SignalFailed:    {"signal-failed", Error, "cannot send {signal} to the app: {reason}", "", ""},
	AppPaused:       {"app-paused", Debug, "the app was stopped by {signal}, and usher stops with it", "", ""},

	StopRequested: {"stop-requested", Silent, "{signal} from {sender}", "{phase}", "{signal} {at}"},
	Held:          {"held", Info, "{signal} from {sender}, held back for {limitSeconds}", "", ""},
	HeldUntilQuiet: {"held", Info,
		"{signal} from {sender}, held back until traffic has been {reason}, at most {limitSeconds}",
		"{quietSeconds}", ""},
	QuietReached: {"hold-over", Info,
		"traffic has been {reason}, after {seconds} of at most {limitSeconds}", "{quietSeconds}", "hold {seconds}"},
	HoldOver: {"hold-over", Silent, "held back for {seconds}[: {reason}]", "", "hold {seconds}"},
	TrafficFallback: {"traffic-fallback", Info,
		"{reason}: traffic is looked for in /proc/net/tcp, which shows less, so that the stop may take longer", "", ""},
	TrafficUnseen: {"traffic-unseen", Info,
		"{reason}: traffic can't be seen, the stop takes its full time", "", ""},
	DrainBegan: {"drain-began", Info,
		"requests that are being answered may finish, within {limitSeconds}", "", ""},
	Drained: {"drained", Info, "drained in {seconds}", "", "drain {seconds}"},
	DrainCut: {"drain-cut", Info,
		"connections still busy after {seconds}: {count}", "", "drain cut short {seconds}"},
	AppSignalled: {"app-signalled", Info, "{sentAs} sent to the app after {seconds}", "", "{sentAs} sent {at}"},
	AppSignalledUnheld: {"app-signalled", Info,
		"{signal} from {sender}, sent to the app without further delay: {reason}", "{sentAs}", "{sentAs} sent {at}"},
	AppSignalledAtOnce: {"app-signalled", Debug,
		"{signal} from {sender} begins the stop", "{sentAs}", "{sentAs} sent {at}"},
	Escalated: {"escalated", Info,
		"the app has not ended within {seconds}: {sentAs}", "", "{sentAs} sent {at}"},
	AppKilled: {"app-killed", Error,
		"the app has not ended within {seconds} of {signal}: SIGKILL to {processes}", "", "SIGKILL sent {at}"},
	AppEnded: {"app-ended", Silent,
		"the app ended with exit code {exitCode}", "{signal}{seconds}", "app ended {at}"},
	StragglersSignalled: {"stragglers-signalled", Debug,
		"the app is gone, SIGTERM to what it leaves behind: {processes}", "", ""},
	StragglersKilled: {"stragglers-killed", Info,
		"the app is gone, SIGKILL to what it leaves behind: {processes}", "", "stragglers killed {at}"},
	RestartedAtOnce: {"restart", Info, "the app ended with exit code {exitCode}, started again at once", "", ""},
	RestartDelayed: {"restart", Info,
		"{message}; started again in {seconds}", "{reason}{exitCode}", "restart in {seconds}"},
	Ended:         {"ended", Info, "{message}", "{reason}{exitCode}{signal}{phase}{seconds}", "ended {at}"},
	EndedPlain:    {"ended", Debug, "{message}", "{reason}{exitCode}{signal}{phase}{seconds}", "ended {at}"},
	EndedBefore:   {"ended", Silent, "{message}", "{reason}{exitCode}{signal}{phase}{seconds}", "ended {at}"},
	OOMKill:       {"oom-kill", Error, "{message}", "{processes}", "OOM kill {at}"},
	OrphansReaped: {"orphans-reaped", Debug, "{count} orphans reaped", "", ""},
	Summary:       {"timeline", Debug, "{message}", "", ""},
}
