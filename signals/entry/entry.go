// Package entry is what usher does before there is a Go runtime.
//
// The entry point (entry_amd64.s, entry_arm64.s; linked with -E by `make build`) has three layers, with a tag each: VERIFY.md. It is there
// because of what the runtime does, to signals above all, and what nothing in Go code is early enough to undo:
//
//   - Between the start of the runtime and signal.Notify, half a millisecond, a SIGTERM ends a Go program, PID 1 as well (its
//     handlers are there, nobody has asked for the signal, so it exits with 2). entry blocks all signals first.
//   - The runtime unblocks HUP, INT, QUIT, TERM, ABRT, CHLD, PROF, SYS, URG and others on each thread it makes, so that
//     sigtimedwait(2) and signalfd(2) are of no use, and installs a handler for every signal. Both it does by the flags in
//     runtime.sigtable; entry clears them. Blocked then stays blocked, and no handler is installed: 130 system calls less.
//     SIGURG it unblocks for asynchronous preemption, so that is turned off (GODEBUG); usher has no loops that
//     would need it.
//   - It raises RLIMIT_NOFILE, and dies if one of the descriptors 0 to 2 is closed and there is no /dev/null. entry saves the
//     limit and fills the gaps with descriptors that can neither be read nor written (epoll's) and are closed on exec: the app
//     finds them as usher did.
//   - It obeys GOGC, GOMEMLIMIT, GODEBUG and the like, which the environment has for the app, and dies of some of them (GOMEMLIMIT=x).
//     entry hides all that begins with GO, by pointers that leave out the G; Environ has them again.
//   - It looks through /proc and /sys for a limit of CPUs, which nobody wants to know here, before the app is started: a tenth of the
//     time that takes. entry has it find no descriptor free (EMFILE), until it raises the limit.
//   - It takes longer to start than an init does, all told. Where there is nothing else to be done first, entry starts the app (early.go).
//   - It makes threads for every CPU, where one will do. entry adds GOMAXPROCS=1 to the environment, and the GODEBUG that is needed;
//     Environ has neither.
//
// A fault (a nil dereference) in a program so built ends it with SIGSEGV and without a stack trace: the kernel does not let it
// be blocked. Other panics are as ever.
package entry
