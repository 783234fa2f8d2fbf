// Package entry is the code of usher that runs before there is a Go runtime.
//
// The entry point (entry_amd64.s, entry_arm64.s; `make build` links it with -E)
// has three layers, each with a build tag: VERIFY.md. It exists because of what
// the runtime does at its start, above all to signals. Nothing in Go code is
// early enough to undo that:
//
//   - Between the start of the runtime and signal.Notify, for half a
//     millisecond, a SIGTERM ends a Go program, even as PID 1: its handlers are
//     installed, nothing in the program has asked for the signal, and so the
//     program exits with 2. entry blocks all signals first.
//   - The runtime unblocks HUP, INT, QUIT, TERM, ABRT, CHLD, PROF, SYS, URG and
//     others on each thread that it makes, so that sigtimedwait(2) and
//     signalfd(2) are useless, and installs a handler for every signal. The
//     flags in runtime.sigtable make it do both, and entry clears them. Then a
//     blocked signal stays blocked, and no handler is installed, which saves
//     130 system calls. The runtime also unblocks SIGURG for asynchronous
//     preemption. GODEBUG turns that off; usher has no loops that would need
//     it.
//   - The runtime raises RLIMIT_NOFILE. It dies if one of the descriptors 0 to
//     2 is closed and there is no /dev/null. entry saves the limit. It fills
//     the gaps with descriptors that can be neither read nor written (epoll's)
//     and that close on exec: the app finds the gaps as usher did.
//   - The runtime obeys GOGC, GOMEMLIMIT, GODEBUG and the like, which the
//     environment has for the app, and dies of some values (GOMEMLIMIT=x).
//     entry hides all variables that begin with GO, by pointers that leave out
//     the G. Environ has them again.
//   - The runtime searches /proc and /sys for a CPU limit, which usher does not
//     need, before the app is started. That takes a tenth of the start. entry
//     sets the soft RLIMIT_NOFILE to 0, so that the runtime can open nothing
//     there (EMFILE) until it raises the limit itself.
//   - The runtime takes longer to start than a whole init does. If nothing else
//     has to be done first, entry starts the app (early.go).
//   - The runtime makes threads for every CPU, where one would do. entry adds
//     GOMAXPROCS=1 to the environment, and the GODEBUG from above; Environ has
//     neither.
//
// A fault (a nil dereference) in a program with this entry point ends it with
// SIGSEGV and without a stack trace, because the kernel does not let a fault's
// signal stay blocked. Other panics are as usual.
package entry
